"""Inputs after the grammar of main.cf: values with references, and files of odd layout. Each tells its rules."""

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from tests.interop.fair_choice import fair

VARIABLES = {
    "one": "1",
    "ten": "10",
    "text": "some text",
    "empty": "",
    "level": "3.6",
    "list": "a, b, c",
    "chained": "$one$text",
    "chosen": "${empty?{no}:{yes $text}}",
    "domain": "example.com",
    "hollow": "$empty",
}
"""The user's own parameters that values refer to."""

BUILTIN = ("myhostname", "mydomain", "mail_name", "relayhost", "compatibility_level", "smtpd_banner")
UNDEFINED = ("nowhere", "Text", "smtpd_banne")

TARGETS = (
    *(
        "relay_transport",
        "relay_domains",
        "transport_maps",
        "canonical_maps",
        "virtual_alias_maps",
        "masquerade_domains",
    ),
    *("default_destination_rate_delay", "local_recipient_maps", "smtpd_client_restrictions", "header_checks"),
    *("smtpd_helo_restrictions", "notify_classes", "always_bcc", "smtp_bind_address", "smtp_helo_name", "mynetworks"),
    *("smtpd_sasl_path", "smtp_tls_policy_maps", "fallback_transport", "luser_relay", "maximal_queue_lifetime"),
    *("message_size_limit", "biff", "home_mailbox", "mailbox_size_limit", "queue_minfree", "proxy_interfaces"),
)
"""Parameters that take the generated values: of all kinds, and none that the listing itself depends on."""

RAW = ("forward_path", "mailbox_command", "smtpd_banner", "smtp_sasl_mechanism_filter", "bounce_template_file")
"""Parameters that are not expanded when listed, or have defaults with references."""


class Made(NamedTuple):
    """A text, and the rules that it was made by."""

    text: str
    rules: frozenset[str]


OPERATORS = ("==", "!=", "<", "<=", ">", ">=")
LEVELS = tuple(f"{operator}level" for operator in OPERATORS)

EXPRESSION_RULES = (
    *("text", "$$", "$name", "${name}", "$(name)", "blank in braces", "undefined name", "built-in name", "nested"),
    *("?text", ":text", "?{}", ":{}", "?{}:{}", "?{}:text", "comparison alone", "comparison?:", "empty text"),
    *OPERATORS,
    *LEVELS,
)

_words = st.text("abcXYZ0189.,-_/@ ", min_size=1, max_size=8)
_operand_words = st.sampled_from(["", "1", "2", "10", "010", "9", "abc", "abd", "ABC", " 1", "1 ", "a b", "-1", "1.5"])
_levels = st.sampled_from(["0", "1", "2", "3", "3.5", "3.6", "3.10", "3.6.1", "03.6", "4"])
_blank = st.sampled_from(["", "", "", " ", "\t", "  ", "\r"])

Draw = Callable[[st.SearchStrategy[str]], str]


def _pick(draw: st.DrawFn, *choices: str) -> str:
    return fair(draw, choices)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> Made:
    """A value without an error in it."""
    rules: set[str] = set()
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        made = draw(_piece(depth))
        rules |= made.rules
        parts.append(made.text)
    return Made(_separated(parts), frozenset(rules))


def _separated(parts: list[str]) -> str:
    # "$one" and "b" side by side would be one name.
    text = ""
    for part in parts:
        text += part if not text or not part[:1].isalnum() else f".{part}"
    return text


@st.composite
def _piece(draw: st.DrawFn, depth: int) -> Made:
    kinds = ["text", "$$", "$name", "${name}", "$(name)"]
    if depth:
        kinds += ["?text", ":text", "?{}", ":{}", "?{}:{}", "?{}:text", "comparison alone", "comparison?:"] * 2
    kind = _pick(draw, *kinds)
    rules = {kind}
    if kind == "text":
        return Made(draw(_words), frozenset(rules))
    if kind == "$$":
        return Made("$$", frozenset(rules))
    if kind.startswith("comparison"):
        return draw(_comparison(depth, alone=kind.endswith("alone")))
    name, more = draw(_names())
    rules |= more
    if kind == "$name":
        return Made(f"${name}", frozenset(rules))
    a, b = draw(_blank), draw(_blank)
    if kind == "$(name)":
        return Made(f"$({name})", frozenset(rules))
    if kind == "${name}":
        if a or b:
            rules.add("blank in braces")
        return Made(f"${{{a}{name}{b}}}", frozenset(rules))
    first, second = draw(_inner(depth)), draw(_inner(depth))
    rules |= first.rules
    if kind in {"?text", ":text"}:
        return Made(f"${{{a}{name}{b}{kind[0]}{first.text}}}", frozenset(rules))
    c, d, e, f = (draw(_blank) for _ in range(4))
    if a or b or c or d:
        rules.add("blank in braces")
    head = f"${{{a}{name}{b}{kind[0]}{c}{{{d}{first.text}{e}}}{f}"
    if kind in {"?{}", ":{}"}:
        return Made(f"{head}}}", frozenset(rules))
    rules |= second.rules
    if kind == "?{}:text":
        return Made(f"{head}:{second.text}}}", frozenset(rules))
    return Made(f"{head}:{c}{{{second.text}}}{b}}}", frozenset(rules))


@st.composite
def _names(draw: st.DrawFn) -> tuple[str, set[str]]:
    kind = _pick(draw, "own", "own", "own", "built-in name", "undefined name")
    if kind == "own":
        return _pick(draw, *VARIABLES), set()
    return _pick(draw, *(BUILTIN if kind == "built-in name" else UNDEFINED)), {kind}


@st.composite
def _inner(draw: st.DrawFn, depth: int) -> Made:
    kind = _pick(draw, "text", "empty", "nested", "nested")
    if kind == "text" or (kind == "nested" and depth < 2):
        return Made(draw(_words), frozenset({"text"}))
    if kind == "empty":
        return Made("", frozenset({"empty text"}))
    made = draw(expressions(depth - 1))
    return Made(made.text, made.rules | {"nested"})


@st.composite
def _comparison(draw: st.DrawFn, depth: int, *, alone: bool) -> Made:
    level = fair(draw, (True, False))
    operator = _pick(draw, *(LEVELS if level else OPERATORS))
    rules = {"comparison alone" if alone else "comparison?:", operator}
    sides = []
    for _ in range(2):
        if level:
            sides.append(draw(_levels) if draw(st.booleans()) else "$compatibility_level")
        elif draw(st.integers(0, 3)):
            sides.append(draw(_operand_words))
        else:
            made = draw(expressions(depth - 1))
            rules |= made.rules | {"nested"}
            sides.append(made.text)
    a, b, c, d = (draw(_blank) for _ in range(4))
    body = f"{a}{{{sides[0]}}}{b}{operator}{c}{{{sides[1]}}}{d}"
    if alone:
        return Made(f"${{{body}}}", frozenset(rules))
    first, second = draw(_inner(depth)), draw(_inner(depth))
    rules |= first.rules | second.rules
    form = _pick(draw, "?{}:{}", "?{}", ":{}", "?text", "?{}:text")
    rules.add(form)
    tail = {
        "?{}:{}": f"?{a}{{{first.text}}}{b}:{c}{{{second.text}}}",
        "?{}": f"?{{{first.text}}}{d}",
        ":{}": f":{{{first.text}}}",
        "?text": f"?{first.text}",
        "?{}:text": f"?{{{first.text}}}:{second.text}",
    }[form]
    return Made(f"${{{body}{tail}}}", frozenset(rules))


BREAKS = ("cut", "doubled", "odd character", "swapped", "blank", "loop")


@st.composite
def broken(draw: st.DrawFn) -> Made:
    """A value that most likely has an error: a good one with a piece cut out, doubled or exchanged."""
    made = draw(expressions(2))
    text = made.text
    rules = set()
    for _ in range(draw(st.integers(1, 2))):
        kind = _pick(draw, *BREAKS)
        rules.add(kind)
        start = draw(st.integers(0, len(text)))
        length = draw(st.integers(1, 4))
        if kind == "cut":
            text = text[:start] + text[start + length :]
        elif kind == "doubled":
            text = text[: start + length] + text[start:]
        elif kind == "odd character":
            text = text[:start] + _pick(draw, *"{}()$?:=<>!-x1.\x01\x7f", "é", "level") + text[start:]
        elif kind == "swapped":
            text = text[:start] + text[start : start + length][::-1] + text[start + length :]
        elif kind == "blank":
            text = text[:start] + _pick(draw, " ", "\t", "  ", "\r", "\v", "\f", "\u00a0") + text[start:]
        else:
            text += _pick(draw, "$loop", "${loop2}", "${loop?{x}}")
    return Made(text, frozenset(rules))


LAYOUT_RULES = (
    *("comment", "indented comment", "comment inside", "continuation", "blank line", "CRLF", "odd bytes"),
    *("no =", "no name", "duplicate", "leading blank", "blank in name", "no final newline", "empty value"),
    *("own name", "unknown name", "service name", "long value", "tab", "NUL", "read-only name"),
)

_TROUBLE = ("no =", "no name", "blank in name")
_CALM = tuple(rule for rule in LAYOUT_RULES if rule not in _TROUBLE)


@st.composite
def layouts(draw: st.DrawFn) -> Made:
    """A whole main.cf, most often without a fatal error."""
    rules: set[str] = set()
    lines: list[str] = []
    kinds = [_pick(draw, *_CALM) for _ in range(fair(draw, range(2, 12)))]
    if not fair(draw, range(2)):
        kinds[fair(draw, range(len(kinds)))] = _pick(draw, *_TROUBLE)
    for kind in kinds:
        rules.add(kind)
        lines.append(draw(_line(kind)))
    text = "".join(lines)
    if "no final newline" in rules:
        text = text.removesuffix("\n").removesuffix("\r")
    return Made(text, frozenset(rules))


@st.composite
def _line(draw: st.DrawFn, kind: str) -> str:
    name = _pick(draw, *TARGETS[:12], *VARIABLES)
    value = draw(st.one_of(_words, expressions(1).map(lambda made: made.text)))
    if name in value or name in VARIABLES:
        value = draw(_words)  # no loops: which of their many warnings come depends on the order of Postfix's hash table
    blank = draw(_blank)
    plain = {
        "comment": f"#{value}\n",
        "indented comment": f"  \t# {value} = x\n",
        "comment inside": f"{name} = {value}\n# comment\n   # more\n  {value}\n",
        "continuation": f"{name} ={blank}\n{blank} {value}\n\t{value}   {value}\n",
        "blank line": f"{name} = {value}\n\n  \n  {value}\n",
        "CRLF": f"{name} = {value}\r\n  more {value}\r\n",
        "odd bytes": f"{name} = caf\u00e9 \udcff\udc80 \x01 \x7f{value}\n",
        "no =": f"{name} {value.replace('=', '')}\n",
        "no name": f"= {value}\n",
        "duplicate": f"{name} = {value}\n{name} = other {value}\n",
        "leading blank": f" {name} = {value}\n",
        "blank in name": f"{name} more = {value}\n",
        "no final newline": f"{name} = {value}\n",
        "empty value": f"{name} ={blank}\n",
        "own name": f"{_pick(draw, 'mine', 'yours')} = {value}\n",
        "unknown name": f"{_pick(draw, 'smtpd_banne', 'Relayhost', 'x-y', 'a.b', '1')} = {value}\n",
        "service name": f"{_pick(draw, 'relay', 'slow', 'mailman')}_{_pick(draw, *SERVICE_ENDINGS)} = {value}\n",
        "long value": f"{name} = " + f"{value} word " * 12 + "\n",
        "tab": f"{name}\t=\t{value}\tx\n",
        "NUL": f"{name} = {value}\0after\n",
        "read-only name": f"{_pick(draw, 'process_name', 'process_id', 'service_name')} = {value}\n",
    }
    return plain[kind]


SERVICE_ENDINGS = (
    *("destination_recipient_limit", "destination_concurrency_limit", "destination_rate_delay", "time_limit"),
    *("initial_destination_concurrency", "transport_rate_delay", "delivery_slot_cost"),
)
