"""The sandbox: the story's three hosts in one process and one event loop, for any user.

Started as root it drops root first. It sets itself up in a temporary folder, sends letters
through the whole house with the real commands, reads them back over POP3 and IMAP, shows the
log meanwhile, and then stays up and says how to connect.
"""

import asyncio
import io
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from posthouse.commands import postalias, postconf, postmap
from posthouse.config.configuration import Configuration
from posthouse.config.master_cf import read_master_cf
from posthouse.config.read import read_configuration
from posthouse.host.log import FileSink
from posthouse.host.users import Identity, become, own_identity, user_identity
from posthouse.service import spool
from posthouse.service.access_worker import AccessWorker
from posthouse.service.listeners import ACCESS_COMMANDS, MAIL_COMMANDS, Listener, bind, service_endpoints
from posthouse.service.mail_worker import MailWorker
from posthouse.testkit.dns_server import DnsServer
from posthouse.testkit.letters import Letter, letters, read_back
from posthouse.testkit.site import COURSE, NAME_SERVER, SERVER, ZONES, Host, Site, build

PORT_OFFSET = 10000
"""Added to every port: 25 is 10025, which needs no root."""

PATIENCE = 30.0
"""Seconds in which every letter of the story must have arrived."""


class HouseSink:
    """A host's log: into its maillog_file, and on the terminal under the host's name."""

    def __init__(self, host: Host, hostname: str, show: Callable[[str], None]) -> None:
        descriptor = os.open(host.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._file = FileSink(descriptor, hostname)
        self._host = host.name.split(".")[0]
        self._show = show

    def write(self, name: str, level: str, text: str, number: int) -> None:
        """Take one event."""
        self._file.write(name, level, text, number)
        self._show(f"{self._host:>10}  {name.rpartition('/')[2]}: {'' if level == 'info' else level + ': '}{text}")


class House:
    """One host's workers."""

    def __init__(self, host: Host, sink: HouseSink, configuration: Configuration, identity: Identity) -> None:
        self.host = host
        queue_directory = configuration.value("queue_directory")
        spool.prepare(queue_directory, configuration.value("data_directory"), identity)
        services = read_master_cf(str(host.configuration / "master.cf"))
        mail: list[tuple[Listener, socket.socket]] = []
        access: list[tuple[Listener, socket.socket]] = []
        for service in services:
            listening = {**dict.fromkeys(MAIL_COMMANDS, mail), **dict.fromkeys(ACCESS_COMMANDS, access)}
            if service.command in listening:
                for endpoint in service_endpoints(service, configuration):
                    listening[service.command].append((Listener(service, endpoint), bind(endpoint, shared=False)))
        sockets = spool.bind_sockets(queue_directory, identity)
        self.mail = MailWorker(
            configuration,
            services,
            sink,
            identity,
            mail,
            intake_socket=sockets["intake"],
            control_socket=spool.bind_control(queue_directory, 1, identity),
        )
        self.access = AccessWorker(configuration, services, sink, access)

    async def start(self) -> None:
        """Listen and deliver."""
        await self.mail.start()
        await self.access.start()

    async def stop(self) -> None:
        """End."""
        await self.access.stop()
        await self.mail.stop()


def run(*, once: bool, folder: str | None) -> int:
    """Run the sandbox; returns the exit status."""
    if os.geteuid() == 0:
        _drop_root()
    kept = folder is not None
    place = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="posthouse-"))
    place.mkdir(parents=True, exist_ok=True)
    os.environ["HOME"] = str(place)
    try:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_live(place, once=once))
    except KeyboardInterrupt:
        return 0
    finally:
        if not kept:
            shutil.rmtree(place, ignore_errors=True)


def _drop_root() -> None:
    """Be who called sudo, or nobody."""
    uid = int(os.environ.get("SUDO_UID", "0"))
    identity = Identity(uid, int(os.environ.get("SUDO_GID", "0"))) if uid else user_identity("nobody")
    become(identity)
    os.environ.pop("TMPDIR", None)
    os.chdir("/")


def command_path(name: str) -> str:
    """One of our commands, beside the interpreter that runs this."""
    return os.path.join(os.path.dirname(sys.executable), name)


def configure(site: Site) -> None:
    """The course's commands, and the tables."""
    hosts = {"desktop": site.desktop, "relay": site.relay, "server": site.server}
    for name, setting in COURSE:
        text = setting.format(relay=site.relay.configuration)
        postconf.main(["-c", str(hosts[name].configuration), "-e", text])
    postmap.main(["-c", str(site.relay.configuration), f"hash:{site.relay.configuration}/access"])
    for host in site.hosts:
        postalias.main(["-c", str(host.configuration), f"hash:{host.configuration}/aliases"])


async def _live(place: Path, *, once: bool) -> int:
    identity = own_identity()
    site = build(place, PORT_OFFSET, local_users=False)
    configure(site)
    names = await DnsServer.start(ZONES, NAME_SERVER, site.ports[53])
    houses: list[House] = []
    for host in site.hosts:
        configuration = read_configuration(str(host.configuration))
        houses.append(House(host, HouseSink(host, host.name, print), configuration, identity))
    for house in houses:
        await house.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # whoever reads a pipe wants to see mail moving, too
    try:
        print(f"Three hosts are up; their folders are in {place}\n")
        arrived = await _story(site)
        if once:
            return 0 if arrived else 1
        _how_to_connect(site)
        await ended.wait()
        return 0
    finally:
        for house in houses:
            await house.stop()
        await names.aclose()


async def _story(site: Site) -> bool:
    """Send every letter, wait until each can be read where it should be."""
    posted = letters(site)
    for letter in posted:
        await _send(site, letter)
    missing = list(posted)
    until = asyncio.get_running_loop().time() + PATIENCE
    while missing and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.2)
        missing = [letter for letter in missing if not await _arrived(site, letter)]
    print()
    for letter in posted:
        print(f"{'LOST   ' if letter in missing else 'arrived'}  {letter.shown}  ->  {letter.where}")
    return not missing


async def _arrived(site: Site, letter: Letter) -> bool:
    check: Awaitable[bool] = asyncio.to_thread(read_back, site, letter)
    return await check


async def _send(site: Site, letter: Letter) -> None:
    print(f"\n$ {letter.shown}")
    environment = {**os.environ, "MAIL_CONFIG": str(site.desktop.configuration)}
    process = await asyncio.create_subprocess_exec(
        command_path(letter.argv[0]), *letter.argv[1:], stdin=asyncio.subprocess.PIPE, env=environment
    )
    await process.communicate(letter.typed)


def _how_to_connect(site: Site) -> None:
    ports = site.ports
    desktop = site.desktop.configuration
    bin_folder = os.path.dirname(sys.executable)
    print(f"""
How to connect (Ctrl-C ends it; the folder goes away):

  send     MAIL_CONFIG={desktop} {bin_folder}/mail -s hello bob@tony.test
  SMTP     {SERVER}:{ports[25]}  smtp12: 127.0.0.3:{ports[25]}
  IMAP     {SERVER}:{ports[143]} (STARTTLS), {SERVER}:{ports[993]} (TLS)
  POP3     {SERVER}:{ports[110]} (STLS),     {SERVER}:{ports[995]} (TLS)
  logins   alice / alicespw, bob / bobspw, joe@virt.tony.test / joespw
  mutt     mutt -f imaps://bob@{SERVER}:{ports[993]}/
  queue    MAIL_CONFIG={desktop} {bin_folder}/mailq
  trace    MAIL_CONFIG={site.server.configuration} {bin_folder}/posthouse trace bob@tony.test
""")
