"""cidr: tables, and the networks that address lists are made of.

    network/bits result          1.2.3.0/24, 2001:db8::/32, or a single address
    !network/bits result         for addresses outside
    if [!]network/bits … endif   the rules between are tried only for those addresses; may nest

The first rule that matches decides. A rule with host bits set, or that cannot be read, is skipped with a warning.

Standards: cidr_table(5); RFC 4632 section 3.1; RFC 4291 section 2.3.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from posthouse.tables.file_values import BadFiles, ReadValue, as_written
from posthouse.tables.source_text import BLANKS, logical_lines, rule_lines
from posthouse.tables.table import Row, TableError
from posthouse.tables.warning import warn


class BadNetwork(Exception):
    """Not a network; the text says what is wrong, in Postfix's words."""


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses of one family that share their first bits."""

    family: int
    mask: int
    prefix: int

    def holds(self, address: tuple[int, int]) -> bool:
        """Whether a parsed address lies inside."""
        return address[0] == self.family and address[1] & self.mask == self.prefix


def parse_address(text: str) -> tuple[int, int] | None:
    """(family, number) of an address as text, or None."""
    try:
        if ":" in text:
            return 6, int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        return None


def parse_network(text: str) -> Network:
    """From `address` or `address/bits`, an IPv6 address with or without brackets. Raises BadNetwork."""
    if text.startswith("["):
        inside, closed, after = text[1:].partition("]")
        if not closed:
            raise BadNetwork(f"missing ']' character after \"{text}\"")
        if after and after[0] != "/":
            raise BadNetwork(f'garbage after "[{inside}]"')
        bare, slash, bits_text = inside, after[:1], after[1:]
        text = f"{inside}{after}"
    else:
        bare, slash, bits_text = text.partition("/")
    address = parse_address(bare)
    if not slash:
        if address is None:
            raise BadNetwork(f'bad address pattern: "{text}"')
        width = 32 if address[0] == 4 else 128
        return Network(address[0], (1 << width) - 1, address[1])
    if not (bits_text.isascii() and bits_text.isdigit()):
        raise BadNetwork(f'bad mask value in "{text}"')
    width = 128 if ":" in bare else 32
    bits = int(bits_text[:6])
    if bits > width:
        raise BadNetwork(f'bad mask length in "{text}"')
    if address is None:
        raise BadNetwork(f'bad network value in "{text}"')
    family, number = address
    mask = ((1 << bits) - 1) << (width - bits)
    if number & ~mask:
        inet = socket.AF_INET if family == 4 else socket.AF_INET6
        better = socket.inet_ntop(inet, (number & mask).to_bytes(width // 8, "big"))
        raise BadNetwork(
            f'non-null host address bits in "{bare}/{bits_text}", perhaps you should use "{better}/{bits}" instead'
        )
    return Network(family, mask, number & mask)


@dataclass(frozen=True, slots=True)
class CidrRule:
    """One line that is tried."""

    source: str
    network: Network
    negated: bool
    value: str | None
    """None for `if`."""
    line: int
    otherwise: int = 0
    """For `if`: the number of the rule after its endif."""


class CidrTable:
    """Rules in file order."""

    __slots__ = ("_rules", "name", "whole_key")

    def __init__(self, name: str, rules: Iterable[CidrRule]) -> None:
        self.name = name
        self.whole_key = True
        self._rules = tuple(rules)

    async def lookup(self, key: str) -> Row | None:
        """The result for an address; anything else is not found."""
        address = parse_address(key)
        if address is None:
            return None
        rules = self._rules
        position = 0
        while position < len(rules):
            rule = rules[position]
            position += 1
            # A rule about one family says nothing about the other, negated or not.
            if rule.network.family != address[0] or rule.network.holds(address) == rule.negated:
                if rule.value is None:
                    position = rule.otherwise
            elif rule.value is not None:
                return Row(rule.value, self.name, rule.source, rule.line)
        return None

    def close(self) -> None:
        """Nothing is held open."""


def parse_cidr(lines: Iterable[str], path: str, read_value: ReadValue = as_written) -> list[CidrRule]:
    """The rules of a file; those that cannot be read are skipped with a warning."""
    rules: list[CidrRule] = []
    unclosed: list[int] = []
    for line in logical_lines(lines, path, warn):
        where = f"cidr map {path}, line {line.number}"
        text = line.text.strip(BLANKS)
        word, rest = _first_word(text)
        word = word.upper()
        try:
            if word == "ENDIF":
                if rest:
                    raise BadNetwork("garbage after ENDIF")
                if not unclosed:
                    raise BadNetwork("ENDIF without IF")
                start = unclosed.pop()
                condition = rules[start]
                rules[start] = CidrRule(
                    condition.source, condition.network, condition.negated, None, condition.line, len(rules)
                )
            elif word == "IF":
                negated, pattern = _negation(rest)
                if not pattern:
                    raise BadNetwork("no address pattern")
                unclosed.append(len(rules))
                try:
                    rules.append(CidrRule(text, parse_network(pattern), negated, None, line.number))
                except BadNetwork:
                    unclosed.pop()
                    raise
            else:
                negated, text = _negation(text)
                pattern, value = _first_word(text)
                if not pattern:
                    raise BadNetwork("no address pattern")
                network = parse_network(pattern)
                if not value:
                    raise BadNetwork("no lookup result")
                source = f"!{pattern}" if negated else pattern
                rules.append(CidrRule(source, network, negated, read_value(value), line.number))
        except (BadNetwork, BadFiles) as bad:
            warn(f"{where}: {bad}: skipping this rule")
    for start in reversed(unclosed):
        condition = rules[start]
        warn(f"cidr map {path}, line {condition.line}: IF has no matching ENDIF")
        rules[start] = CidrRule(
            condition.source, condition.network, condition.negated, None, condition.line, len(rules)
        )
    return rules


def _first_word(text: str) -> tuple[str, str]:
    # C's white space: str.split() would also cut at other control and Unicode characters.
    end = next((place for place, character in enumerate(text) if character in BLANKS), len(text))
    return text[:end], text[end:].strip(BLANKS)


def _negation(text: str) -> tuple[bool, str]:
    negated = False
    while text.startswith("!"):
        negated = not negated
        text = text[1:].lstrip(BLANKS)
    return negated, text


def open_cidr(name: str, path: str, read_value: ReadValue = as_written) -> CidrTable:
    """Read the file, or the rules in braces, now."""
    try:
        lines = rule_lines(path, "cidr map")
    except OSError as error:
        raise TableError(f"open {path}: {error.strerror}") from error
    return CidrTable(name, parse_cidr(lines, path, read_value))
