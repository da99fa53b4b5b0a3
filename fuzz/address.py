"""Paths and address lists: any text gives a value or None, in time that grows with its length, and what is written back
parses to the same addresses (the invariant)."""

import random

from rounds import main

from posthouse.address.address_list import Listed, Rewritten, addresses, format_list, is_complete, parse_list
from posthouse.address.local_part import quote_address, unquote_address
from posthouse.address.path import parse_path, take_path

SEEDS = [
    b"<@a,@b:joe@example.net>",
    b'Joe Doe <joe@example.net>, "a, b"@[192.0.2.1] (comment (inner)), undisclosed: c@d, e; f g',
    b"=?UTF-8?Q?J=C3=B6rg?= <j@example.net>,\r\n\tpostmaster",
]
ALPHABET = b'\r\n\0 <>@:;,.\\"()[]=%!\xff\xc3\xa9aA1'


def check(data: bytes, source: random.Random) -> None:
    """One input."""
    text = data.decode("utf-8", "surrogateescape")
    path, _ = take_path(text)
    for strict in (False, True):
        found = parse_path(path, strict=strict)
        assert found is None or isinstance(found, str)
    is_complete(text)
    for node in parse_list(text):
        if isinstance(node, Listed):
            local_part, domain = node.local_part, node.domain
            plain = domain is None or not set(domain) & set('()<>@,;:\\"[] \t\r\n')
            if plain and local_part and "\r" not in local_part and "\n" not in local_part:
                address = local_part if domain is None else f"{local_part}@{domain}"
                if "@" in local_part and domain is None:
                    continue
                assert unquote_address(quote_address(address)) == address
                if domain and "\t" not in local_part:
                    assert addresses(format_list([Rewritten(local_part, domain)])) == [address]


if __name__ == "__main__":
    main(SEEDS, ALPHABET, check)
