"""The address lists of From:, To: and their like: parsed so that addresses can be rewritten in place.

Nothing is refused and nothing is lost: what is no address stays between the addresses as it
is. Two words without a comma between them are two addresses, as Postfix and Sendmail have it.
The form written back is Postfix's: white space as it sees fit, comments after their address.

Standards: RFC 5322 sections 3.4 and 4.4; RFC 6532 section 3.2; RFC 5321 appendix C (source routes are dropped).
"""

import re
from dataclasses import dataclass

from posthouse.address.local_part import quote_address, quote_local_part
from posthouse.address.tokens import Kind, Token, scan

FOLD_AT = 70
"""Octets of a line (a tab counts as one) up to which addresses share it."""

GROUP = Token(Kind.SPECIAL, "group:")
"""The colon after a group's name."""
_COMMA = Token(Kind.SPECIAL, ",")

# A list that standard form leaves alone: every address a Dot-string and a domain of two labels or more. No two
# ways to match the same text, so it is linear (possessive quantifiers on groups are broken before 3.11.5).
_ATEXT = r"[^\x00-\x20\x7f()<>@,;:\\\".\[\]%!|]"
_FULL = rf"{_ATEXT}+(?:\.{_ATEXT}+)*@{_ATEXT}+(?:\.{_ATEXT}+)+"
_ITEM = rf'(?:(?:[^\x00-\x08\x0a-\x1f\x7f()<>@,;:\\"\[\]]|\r\n|"[^"\\\r\n]*")*<{_FULL}>|[ \t\r\n]*{_FULL})[ \t\r\n]*'
_COMPLETE = re.compile(rf"{_ITEM}(?:,{_ITEM})*")


@dataclass(frozen=True, slots=True)
class Listed:
    """One address of a list."""

    tokens: tuple[Token, ...]
    route: str = ""
    """The source route that was dropped."""

    @property
    def routed(self) -> bool:
        """Whether there was one."""
        return bool(self.route)

    @property
    def local_part(self) -> str:
        """Unquoted; all there is when there is no @."""
        at = self._at()
        return _joined(self.tokens if at < 0 else self.tokens[:at])

    @property
    def domain(self) -> str | None:
        """After the last @ that is not quoted; None without one."""
        at = self._at()
        return None if at < 0 else _joined(self.tokens[at + 1 :])

    @property
    def bang(self) -> int:
        """Where in the local part the first ! stands that is not quoted; -1 when there is none."""
        return self._offset("!", range(len(self.tokens)))

    @property
    def percent(self) -> int:
        """Where in the local part the last % stands that is not quoted; -1 when there is none."""
        return self._offset("%", range(len(self.tokens) - 1, -1, -1))

    def _offset(self, special: str, order: range) -> int:
        for number in order:
            if _is(self.tokens[number], special):
                return len(_joined(self.tokens[:number]))
        return -1

    @property
    def address(self) -> str:
        """The internal form."""
        domain = self.domain
        return self.local_part if domain is None else f"{self.local_part}@{domain}"

    def _at(self) -> int:
        for number in range(len(self.tokens) - 1, -1, -1):
            if self.tokens[number].kind is Kind.SPECIAL and self.tokens[number].text == "@":
                return number
        return -1


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An address that replaces a Listed one, in internal form; domain None when there is no @."""

    local_part: str
    domain: str | None


Node = Token | Listed | Rewritten


def is_complete(text: str) -> bool:
    """Whether every address is plainly local@two.labels, so that standard form changes nothing."""
    return _COMPLETE.fullmatch(text) is not None


def parse_list(text: str, limit: int = 0) -> list[Node]:
    """The nodes of a list in order: tokens, and the addresses among them. `limit`: tokens that are looked at, 0 for
    all; the rest is lost."""
    tokens = scan(text)
    if limit:
        del tokens[limit:]
    nodes: list[Node] = []  # from right to left: only there is it plain what a word belongs to
    current: list[Token] = []
    in_group = False
    position = len(tokens) - 1

    def end_address(*, comma: bool) -> None:
        if current:
            bare = _without_route(current[::-1])
            route = "".join(map(_joined_one, current[: len(bare) - 1 : -1]))
            nodes.append(Listed(tuple(bare), route))
            if comma:
                nodes.append(_COMMA)
            current.clear()

    while position >= 0:
        token = tokens[position]
        special = token.text if token.kind is Kind.SPECIAL else ""
        if token.kind is Kind.COMMENT:
            nodes.append(token)
        elif special == ";":
            end_address(comma=True)
            nodes.append(token)
            in_group = True
        elif special == ":" and in_group:
            end_address(comma=False)
            nodes.append(GROUP)
            position = _copy_until(tokens, position - 1, ",", nodes)
            continue
        elif special == ">":
            end_address(comma=True)
            nodes.append(token)
            position -= 1
            while position >= 0 and not _is(tokens[position], "<"):
                if tokens[position].kind is Kind.COMMENT:
                    nodes.append(tokens[position])
                else:
                    current.append(tokens[position])
                position -= 1
            end_address(comma=False)
            if position >= 0:
                nodes.append(tokens[position])
            position = _copy_until(tokens, position - 1, ">;,:", nodes)
            if position >= 0 and _is(tokens[position], ":") and not in_group:
                nodes.append(tokens[position])  # a group that nothing ends: its name is an address
                position -= 1
            continue
        elif special == ",":
            end_address(comma=False)
            nodes.append(token)
        else:
            if token.is_word and current and current[-1].is_word:
                end_address(comma=True)
            current.append(token)
        position -= 1
    end_address(comma=False)
    nodes.reverse()
    return nodes


def addresses(text: str) -> list[str]:
    """The addresses of a list in internal form, in order; the null path is left out."""
    return [node.address for node in parse_list(text) if isinstance(node, Listed)]


def addresses_as_given(text: str) -> list[tuple[str, str]]:
    """As addresses(), each with what was written: the address and its source route; "" when it has none."""
    found = [node for node in parse_list(text) if isinstance(node, Listed)]
    return [(node.address, f"{node.route}{node.address}" if node.route else "") for node in found]


def format_list(nodes: list[Node]) -> str:
    """The list as text, a line break after each comma."""
    out: list[str] = []
    for number, node in enumerate(nodes):
        out.append(_text(node))
        following = nodes[number + 1] if number + 1 < len(nodes) else None
        if following is not None and _space_between(node, following):
            out.append(" ")
    return "".join(out)


def fold_list(name: str, text: str) -> str:
    """The field `name: text` with as many addresses on a line as fit; further lines start with a tab."""
    lines = f"{name}: {text}".split("\n")
    folded = [lines[0]]
    for line in lines[1:]:
        if _width(folded[-1]) + 1 + _width(line) < FOLD_AT:
            folded[-1] += " " + line
        else:
            folded.append(line)
    # A line that begins with a blank was one before: in a comment that nothing ends.
    return folded[0] + "".join(f"\r\n{line}" if line[:1] in (" ", "\t") else f"\r\n\t{line}" for line in folded[1:])


def _width(line: str) -> int:
    """Octets on the wire."""
    return len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))


def _copy_until(tokens: list[Token], position: int, stops: str, nodes: list[Node]) -> int:
    """Tokens leftwards as they are, up to a special among `stops`; its position (or -1)."""
    while position >= 0 and not (tokens[position].kind is Kind.SPECIAL and tokens[position].text in stops):
        nodes.append(tokens[position])
        position -= 1
    return position


def _is(token: Token, special: str) -> bool:
    return token.kind is Kind.SPECIAL and token.text == special


def _without_route(tokens: list[Token]) -> list[Token]:
    """RFC 5321 appendix C: `@one,@two:user@domain` means user@domain."""
    if _is(tokens[0], "@"):
        for number, token in enumerate(tokens[:-1]):
            if _is(token, ":"):
                return tokens[number + 1 :]
    return tokens


def _joined_one(token: Token) -> str:
    return f"[{token.text}]" if token.kind is Kind.LITERAL else token.text


def _joined(tokens: tuple[Token, ...]) -> str:
    # Two words side by side, which only stand between < and >, are one; a < that nothing closes has its blank.
    out: list[str] = []
    for number, token in enumerate(tokens):
        if number and _is(token, "<") and not _is(tokens[number - 1], ","):
            out.append(" ")
        out.append(_joined_one(token))
        if _is(token, ",") and number + 1 < len(tokens) and not _is(tokens[number + 1], ">"):
            out.append(" ")
    return "".join(out)


def _space_between(left: Node, right: Node) -> bool:
    if left is GROUP:
        return True
    if _is_bracket(right, "<"):
        return not _is_bracket(left, ",")
    leading = not isinstance(left, Token) or left.kind is not Kind.SPECIAL
    trailing = not isinstance(right, Token) or right.kind is not Kind.SPECIAL
    return leading and trailing


def _is_bracket(node: Node, bracket: str) -> bool:
    return isinstance(node, Token) and node.kind is Kind.SPECIAL and node.text == bracket


def _text(node: Node) -> str:
    if isinstance(node, Listed | Rewritten):
        if node.domain is None:
            return quote_local_part(node.local_part)
        return quote_address(f"{node.local_part}@{node.domain}")
    if node is GROUP:
        return ":"
    if node.kind is Kind.SPECIAL:
        return ",\n" if node.text == "," else node.text
    if node.kind is Kind.QUOTED:
        return '"' + node.text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"[{node.text}]" if node.kind is Kind.LITERAL else node.text
