"""The keys under which access(5) tables are asked, in order.

    host name      name, then its parents: plain where parent_domain_matches_subdomains names smtpd_access_maps,
                   else as .parent
    host address   the address, then its networks, one octet or group less each time
    mail address   user+extension@domain, user@domain, domain and its parents, user+extension@, user@

Tables that match by pattern (whole_key) are asked once with the whole.
"""

from collections.abc import Iterator

from posthouse.address.address import fold, split_address
from posthouse.address.domain import parents
from posthouse.address.local_part import split_extension


def domain_keys(domain: str, *, parents_match: bool) -> Iterator[str]:
    """The domain and its parents."""
    domain = fold(domain)
    yield domain
    for parent in parents(domain):
        if parent:
            yield parent if parents_match else f".{parent}"


def address_keys(address: str) -> Iterator[str]:
    """The address and its networks."""
    yield address
    separator = ":" if ":" in address else "."
    rest = address
    while True:
        rest, cut, _ = rest.rpartition(separator)
        # 2001:db8::1 becomes 2001:db8, and no key ends in a separator.
        rest = rest.rstrip(separator)
        if not cut or not rest:
            return
        yield rest


def mail_keys(address: str, delimiter: str, *, parents_match: bool) -> Iterator[str]:
    """An address with everything that stands for it."""
    address = fold(address)
    local_part, domain = split_address(address)
    base, _ = split_extension(local_part, delimiter)
    if domain:
        yield address
        if base != local_part:
            yield f"{base}@{domain}"
        yield from domain_keys(domain, parents_match=parents_match)
    else:
        yield local_part
        if base != local_part:
            yield base
    yield f"{local_part}@"
    if base != local_part:
        yield f"{base}@"
