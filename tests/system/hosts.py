"""The story's three hosts as real instances: built by the test kit, configured by the course's own commands, with the
test kit's name server in a thread."""

import asyncio
import mailbox
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from posthouse.testkit.dns_server import DnsServer
from posthouse.testkit.site import COURSE, NAME_SERVER, ZONES, Host, Site, build
from tests.system.machine import Instance, eventually

PASSWORDS = {"tony": "tonyspw", "alice": "alicespw", "joe@virt.tony.test": "joespw"}


@contextmanager
def background_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, for the peers that a test plays."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def name_server(loop: asyncio.AbstractEventLoop, zones: str, host: str, port: int) -> Iterator[DnsServer]:
    """The test kit's name server."""
    server = asyncio.run_coroutine_threadsafe(DnsServer.start(zones, host, port), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.aclose(), loop).result(10)


def instance_of(host: Host) -> Instance:
    """A host of the site as an instance."""
    return Instance(host.configuration, host.log, host.folder / "spool")


@dataclass(frozen=True, slots=True)
class Story:
    """The three hosts, running."""

    site: Site
    desktop: Instance
    relay: Instance
    server: Instance
    names: DnsServer
    loop: asyncio.AbstractEventLoop

    @property
    def hosts(self) -> tuple[Instance, Instance, Instance]:
        """In the order in which a message passes them."""
        return self.desktop, self.relay, self.server

    def mbox(self, name: str) -> list[mailbox.Message]:
        """The messages in a user's spool file."""
        path = Path("/var/mail") / name
        return list(mailbox.mbox(path, create=False)) if path.exists() else []

    def maildir(self, name: str) -> list[mailbox.Message]:
        """The messages in a user's ~/Maildir."""
        path = Path(f"~{name}").expanduser() / "Maildir"
        return list(mailbox.Maildir(path, factory=None, create=False)) if (path / "cur").exists() else []

    def in_mbox(self, name: str, subject: str) -> mailbox.Message:
        """Wait for a message with this subject in the user's spool file."""
        return eventually(lambda: with_subject(self.mbox(name), subject), f"{subject} in {name}'s mbox: {self.end()}")

    def in_maildir(self, name: str, subject: str) -> mailbox.Message:
        """Wait for a message with this subject in the user's Maildir."""
        return eventually(lambda: with_subject(self.maildir(name), subject), f"{subject} in ~{name}/Maildir")

    def end(self) -> str:
        """The end of each log."""
        return "".join(f"\n== {host.log}\n{host.text()[-1500:]}" for host in self.hosts)


def with_subject(messages: list[mailbox.Message], subject: str) -> mailbox.Message | None:
    """The first message with this subject."""
    return next((message for message in messages if message["Subject"] == subject), None)


@contextmanager
def story(users: bool = True) -> Iterator[Story]:
    """Build, configure, start, and take down."""
    folder = Path(tempfile.mkdtemp(prefix="posthouse-story-"))
    folder.chmod(0o755)
    site = build(folder / "site", 0, local_users=True, owner="postfix")
    desktop, relay, server = (instance_of(host) for host in site.hosts)
    hosts = {"desktop": desktop, "relay": relay, "server": server}
    # Local users have their mail where a Debian system has it.
    server.do("postconf", "-X", "mail_spool_directory")
    for name, setting in COURSE:
        hosts[name].do("postconf", "-e", setting.format(relay=site.relay.configuration))
    relay.do("postmap", f"hash:{site.relay.configuration}/access")
    for instance in hosts.values():
        instance.do("newaliases")
    try:
        with background_loop() as loop, name_server(loop, ZONES, NAME_SERVER, site.ports[53]) as names:
            running = Story(site, desktop, relay, server, names, loop)
            try:
                for instance in running.hosts:
                    instance.start()
                yield running
            finally:
                for instance in running.hosts:
                    instance.stop()
    finally:
        for instance in hosts.values():
            instance.kill()
        shutil.rmtree(folder)
