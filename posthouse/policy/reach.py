"""Connecting to the neighbours that main.cf names: inet:host:port, unix:pathname, local:pathname.

Paths are relative to queue_directory, as Postfix's processes stand there.
"""

import errno
import os
from collections.abc import Awaitable, Callable
from typing import cast

from posthouse.address.domain import is_ipv4, is_ipv6
from posthouse.config.error import ConfigError
from posthouse.dns.native import NativeLookup
from posthouse.dns.resolver import DnsRetry
from posthouse.net.stream import Stream, StreamTimeout
from posthouse.net.tcp import connect, connect_unix

Reach = Callable[[str, float], Awaitable[Stream]]
"""From endpoint and seconds to a connection. Raises OSError, StreamTimeout, DnsRetry; ConfigError for other kinds."""


def reach(queue_directory: str, *, chroot: bool = False, native: NativeLookup | None = None) -> Reach:
    """`chroot`: absolute paths are looked for under queue_directory first, where a chrooted Postfix finds them."""
    lookup = native

    async def open_stream(endpoint: str, timeout: float) -> Stream:
        nonlocal lookup
        kind, _, rest = endpoint.partition(":")
        if kind in ("unix", "local"):
            if chroot and rest.startswith("/"):
                try:
                    return cast(Stream, await connect_unix(queue_directory + rest, timeout=timeout))
                except FileNotFoundError:
                    pass  # this process is not chrooted: the path as it is written
            return cast(Stream, await connect_unix(os.path.join(queue_directory, rest), timeout=timeout))
        if kind != "inet":
            raise ConfigError(kind)
        host, _, port = rest.rpartition(":")
        if not port.isdigit():
            raise OSError(errno.EADDRNOTAVAIL, "service not found")
        host = host.strip("[]") or "localhost"
        addresses: tuple[str, ...] = (host,)
        if not is_ipv4(host) and not is_ipv6(host):
            lookup = lookup or NativeLookup()
            addresses = await lookup.addresses(host)
        failure: OSError | StreamTimeout | DnsRetry = OSError(errno.EADDRNOTAVAIL, "host not found")
        for address in addresses:
            try:
                return cast(Stream, await connect(address, int(port), timeout=timeout))
            except (OSError, StreamTimeout) as error:
                failure = error
        raise failure

    return open_stream
