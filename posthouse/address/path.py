"""Reverse and forward paths as MAIL and RCPT carry them.

take_path() cuts the path off the front of a command's argument; parse_path() gives the
internal form of the address in it. Not strict, what Postfix takes is taken: comments, a
display name, no brackets at all; strict (strict_rfc821_envelopes), only RFC 5321's form.

Standards: RFC 5321 sections 4.1.1.2, 4.1.1.3 and 4.1.2; RFC 6531 section 3.3.
"""

import re
from itertools import pairwise

from posthouse.address.domain import is_domain
from posthouse.address.local_part import unquote_address
from posthouse.address.tokens import Kind, Token, scan

# RFC 5321 section 4.1.2: Path = "<" [ A-d-l ":" ] Mailbox ">". The usual case: a Dot-string and a domain.
_USUAL = re.compile(r"<([^\x00-\x20\x7f()<>@,;:\\\".\[\]%!]+(?:\.[^\x00-\x20\x7f()<>@,;:\\\".\[\]%!]+)*@[\w.\-]+)>")
# RFC 5321 section 4.1.2: A-d-l = At-domain *( "," At-domain ). Section 3.3: source routes are stripped.
_ROUTE = re.compile(r"(?:@[^@,:<>\"\s]*,?)+:")
_PATH = re.compile(r'\s*(<(?:[^<>"\\]|\\.|"(?:[^"\\]|\\.)*"?)*>?|(?:[^\s"\\<]|\\.|"(?:[^"\\]|\\.)*"?)+)', re.DOTALL)


def take_path(argument: str) -> tuple[str, str]:
    """(path as written, the rest of the argument without leading blanks); the path is "" when there is none."""
    match = _PATH.match(argument)
    if match is None:
        return "", argument.strip()
    return match.group(1), argument[match.end() :].strip()


def parse_path(text: str, *, strict: bool = False) -> str | None:
    """The internal form of the address in a path, "" for the null path, None for what is no path at all."""
    if match := _USUAL.fullmatch(text):
        return _with_domain(match.group(1))
    if text == "<>":
        return ""
    if strict and not (text.startswith("<") and text.endswith(">")):
        return None
    tokens = scan(text)
    kept = [token for token in tokens if token.kind is not Kind.COMMENT]
    if strict and len(kept) != len(tokens):
        return None
    inner = _inside(kept, strict=strict)
    if inner is None or any(token.kind is Kind.SPECIAL and token.text not in ".@,:!%|" for token in inner):
        return None
    if any(a.is_word and b.is_word for a, b in pairwise(inner)):
        return None
    address = strip_route("".join(_external(token) for token in inner), strict=strict)
    return None if address is None else _with_domain(address)


def _with_domain(address: str) -> str | None:
    """The address when its domain, if there is one, can be one; a dot at its end is let through."""
    _, at, domain = address.rpartition("@")
    return address if not at or is_domain(domain.removesuffix(".")) else None


def strip_route(text: str, *, strict: bool = False) -> str | None:
    """Without the source route in front; a comma or colon elsewhere, or (strict) a lone @domain, is no address."""
    if text.startswith("@"):
        if strict and ":" not in text:
            return None
        text = _ROUTE.sub("", text, count=1)
    address = unquote_address(text)
    return address if '"' in text or not ({",", ":"} & set(_outside_literal(text))) else None


def _outside_literal(text: str) -> str:
    return text.partition("[")[0]


def _inside(tokens: list[Token], *, strict: bool) -> list[Token] | None:
    """The tokens between the brackets, or all of them when there are none."""
    opens = [n for n, t in enumerate(tokens) if t == _OPEN]
    closes = [n for n, t in enumerate(tokens) if t == _CLOSE]
    if not opens and not closes:
        return tokens
    if len(opens) != 1 or len(closes) != 1 or closes[0] < opens[0]:
        return None
    if closes[0] != len(tokens) - 1 or (strict and opens[0] != 0):
        return None
    if not all(t.is_word or t.text in ".!%|" for t in tokens[: opens[0]]):
        return None
    return tokens[opens[0] + 1 : closes[0]]


_OPEN = Token(Kind.SPECIAL, "<")
_CLOSE = Token(Kind.SPECIAL, ">")


def _external(token: Token) -> str:
    if token.kind is Kind.QUOTED:
        return '"' + token.text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if token.kind is Kind.LITERAL:
        return f"[{token.text}]"
    return token.text
