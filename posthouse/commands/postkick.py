"""postkick: send a request to a service. Manual: postkick(1) of Postfix 3.7.

    postkick [-c config_dir] [-v] class service request

Two services have something to do when kicked: `public qmgr` tries the deferred mail again when its
request holds F or D, and `public pickup` looks into the maildrop. Every other service of master.cf is known,
needs no kick, and gets none. Exit status 1 when the system is down or there is no such service.
"""

import errno
import getopt
import os
import pwd

from posthouse.commands.complaint import Fatal, complain, configuration_of, enter_queue, run
from posthouse.commands.queue_access import Refused, SystemDown, ask_all
from posthouse.config.configuration import Configuration
from posthouse.config.everywhere import require_everywhere
from posthouse.config.read import configuration_directory
from posthouse.wire.control import ControlRequest

USAGE = "usage: postkick [-c config_dir] [-v] class service request"

FLUSHING = frozenset("FD")
"""qmgr's requests that a flush carries out: forget who is down, and scan the deferred queue."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    return run("postkick", _run, arguments)


def _run(arguments: list[str]) -> int:
    try:
        options, words = getopt.getopt(arguments, "c:v")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        complain("postkick", f"{kind} -- '{error.opt}'")
        raise Fatal(USAGE) from error
    if len(words) != 3:
        raise Fatal(USAGE)
    kind, service, request = words
    chosen = dict(options)
    configuration = configuration_of("postkick", configuration_directory(chosen.get("-c")))
    require_everywhere(configuration)
    if "-v" in chosen:
        complain("postkick", f"kick {kind}/{service}: {request}")
    queue_directory = enter_queue(configuration)
    started = os.path.exists(os.path.join(queue_directory, "pid", "master.pid"))
    known = _known(configuration, kind, service)
    try:
        if started and not _may_look(queue_directory, configuration.value("mail_owner")):
            known = False
            raise SystemDown(os.strerror(errno.EACCES))
        if not known:
            raise SystemDown(os.strerror(errno.ENOENT))
        _kick(queue_directory, service, request)
    except SystemDown as down:
        if not (started and known):  # a system that was stopped leaves its sockets behind
            complain("postkick", f"warning: unable to look up {kind}/{service}: {down}")
        complain(
            "postkick", f"warning: Cannot contact class {kind} service {service} - perhaps the mail system is down"
        )
        return 1
    except Refused as refusal:
        raise Fatal(str(refusal)) from refusal
    return 0


def _may_look(queue_directory: str, mail_owner: str) -> bool:
    """Whether the caller may look into Postfix's folders public and private, which are mail_owner's."""
    uid = os.geteuid()
    if uid == 0:
        return True
    try:
        return uid in (os.stat(queue_directory).st_uid, pwd.getpwnam(mail_owner).pw_uid)
    except (OSError, KeyError):
        return False


def _known(configuration: Configuration, kind: str, service: str) -> bool:
    """Whether master.cf has this service in this class; its services other than inet are local endpoints."""
    from posthouse.config.master_cf import read_master_cf

    services = read_master_cf(f"{configuration.directory}/master.cf")
    classes = {"public": False, "private": True}
    return any(
        one.name == service and one.type in ("unix", "fifo", "unix-dgram") and one.private == classes.get(kind)
        for one in services
    )


def _kick(queue_directory: str, service: str, request: str) -> None:
    """Raises SystemDown, Refused."""
    if service == "qmgr" and FLUSHING & set(request):
        for _ in ask_all(queue_directory, ControlRequest("flush")):
            pass
        return
    if service == "pickup":
        for _ in ask_all(queue_directory, ControlRequest("pickup")):
            pass
        return
    from posthouse.service.instance import running_pid

    if running_pid(queue_directory) is None:
        raise SystemDown(os.strerror(errno.ENOENT))
