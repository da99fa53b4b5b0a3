"""Inputs after the grammar of master.cf: whole files, and requests to list or change parts. Each tells its rules."""

from hypothesis import strategies as st

from tests.interop.fair_choice import fair, some
from tests.interop.main_cf_grammar import Made, expressions

FILE_RULES = (
    *(
        "plain",
        "folded",
        "comment",
        "comment inside",
        "blank line",
        "CRLF",
        "tab",
        "-o",
        "-oname",
        "-o {}",
        "-v",
        "{} word",
    ),
    *("duplicate", "bad field", "short", "open brace", "after brace", "no final newline", "leading blank", "odd bytes"),
    *("many words", "reference", "no = in -o"),
)

_NAMES = ("smtp", "submission", "127.0.0.1:10025", "relay", "slow", "a-b", "mailman")
_TYPES = ("inet", "unix", "fifo", "pass", "unix-dgram")
_COMMANDS = ("smtpd", "smtp", "lmtp", "pipe", "local", "cleanup", "spawn", "error")
_SETTINGS = ("syslog_name", "smtpd_tls_security_level", "mynetworks", "own_setting", "smtpd_banner", "relay_domains")
_VALUES = ("x", "yes", "", "a,b", "$mydomain", "${one?{a}:{b}}", "$own_setting", "postfix/$service_name")
_BAD = ("bad field", "short")
_CALM = tuple(rule for rule in FILE_RULES if rule not in _BAD)


@st.composite
def files(draw: st.DrawFn) -> Made:
    """A master.cf, most often without a fatal error."""
    places = draw(some([(name, type_) for name in _NAMES for type_ in _TYPES], least=9, most=9))
    kinds = [fair(draw, _CALM) for _ in range(fair(draw, range(2, 9)))]
    if not fair(draw, range(3)):
        kinds[fair(draw, range(len(kinds)))] = fair(draw, _BAD)
    text = "".join([draw(_entry(kind, place)) for kind, place in zip(kinds, places, strict=False)])
    if "no final newline" in kinds:
        text = text.removesuffix("\n")
    return Made(text, frozenset(kinds))


@st.composite
def _entry(draw: st.DrawFn, kind: str, place: tuple[str, str]) -> str:
    def pick(*choices: str) -> str:
        return fair(draw, choices)

    fields = [
        *(*place, pick("-", "y", "n"), pick("-", "y", "n"), pick("-", "y", "n")),
        *(pick("-", "0", "60", "1000?", "?"), pick("-", "0", "1", "100"), pick(*_COMMANDS)),
    ]
    if kind == "bad field":
        fields[draw(st.integers(1, 6))] = pick("x", "yes", "-1", "1?", "tcp", "1000??", "")
    if kind == "short":
        del fields[draw(st.integers(3, 7)) :]
    gap = pick(" ", "  ", "\t", " \t ")
    line = gap.join(fields)
    name, value = pick(*_SETTINGS), pick(*_VALUES)
    compact = value.replace(" ", "")
    extra = {
        "folded": f"\n  -o {name}={compact}\n\t-o {pick(*_SETTINGS)}=y argument",
        "comment inside": f"\n# comment\n   # -o x=y\n  -o {name}={compact}",
        "blank line": f"\n\n   \n -o {name}={compact}",
        "CRLF": f"\r\n  -o {name}={compact}\r",
        "tab": f"\t-o\t{name}={compact}\t",
        "-o": f" -o {name}={compact} -o {name}=again",
        "-o {}": f" -o {{ {name} = {value} with blanks }} -o {{{name}={value}}}",
        "-v": f" {pick('-v', '-vv', '-D', '-v -D')} -o {name}={compact}",
        "{} word": " flags=x {argv with blanks} { } {}",
        "open brace": " -o { a = b",
        "after brace": " -o {d = e}f",
        "leading blank": "",
        "odd bytes": " argv=caf\u00e9\udcff\x01\x7f",
        "many words": " " + " ".join(f"word{number}" for number in range(draw(st.integers(5, 30)))),
        "reference": f" -o {name}={''.join(draw(expressions(1)).text.split())}",
        "no = in -o": f" -o {pick('plain', '{no equals}', '{ = x }', '=x')}",
    }
    text = line + extra.get(kind, "")
    if kind == "comment":
        return f"# {line}\n{text}\n"
    if kind == "duplicate":
        return f"{text}\n{line}\n"
    if kind == "leading blank":
        return f" {text}\n{text}\n"
    return f"{text}\n"


VIEWS = ("-M", "-F", "-P")
MORE = ("-f", "-x", "-h", "-H")
_PATTERNS = (
    *("smtp", "smtp/inet", "*/inet", "*", "relay/unix", "nothing", "nothing/unix", "smtp/inet/command", "*/*/chroot"),
    *("*/*/mynetworks", "smtp/*/*", "a/b/c/d", "/", "", "smtp/", "*/unix/syslog_name", "smtp/inet/nonsense"),
)


@st.composite
def views(draw: st.DrawFn) -> tuple[str, ...]:
    """Options and patterns of a listing."""
    return (fair(draw, VIEWS), *draw(some(MORE, most=2)), *draw(some(_PATTERNS, most=2)))


EDITS = ("-Me", "-M#", "-MX", "-Fe", "-Pe", "-PX", "-M", "-F", "-P")
MAIN_EDITS = ("-e", "-X", "-#", "name=value")
_ENTRIES = (
    *("smtp inet n - n - - smtpd", "new unix - - n - - pipe flags=R argv=/bin/true", "smtp inet n", ""),
    *("x unix - - n - - smtp -o a=b -o {c = d e}", "x tcp - - n - - smtp", "  spaced   inet n  -  n  -  -  smtpd  "),
)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, ...]:
    """Options and arguments of a change."""
    kind = fair(draw, EDITS)
    name, type_ = (
        draw(st.sampled_from([*_NAMES[:5], "*", "new", "x", ""])),
        draw(st.sampled_from([*_TYPES[:2], "*", ""])),
    )
    place = f"{name}/{type_}" if type_ else name
    if kind in {"-Fe", "-F"}:
        field = draw(
            st.sampled_from(["chroot", "command", "process_limit", "wakeup", "private", "type", "nonsense", "*"])
        )
        place += f"/{field}"
    if kind in {"-Pe", "-PX", "-P"}:
        place += "/" + draw(st.sampled_from([*_SETTINGS, "*"]))
    if kind in {"-Me", "-M"}:
        place += "=" + draw(st.sampled_from(_ENTRIES))
    elif kind in {"-Fe", "-F"}:
        place += draw(st.sampled_from(["=", " = "])) + draw(
            st.sampled_from(["y", "n", "-", "7", "60?", "unix", "smtpd -o x=y a", "a b"])
        )
    elif kind in {"-Pe", "-P"}:
        place += "=" + draw(st.sampled_from([*_VALUES, "with blank"]))
    return (kind, place)


@st.composite
def main_edits(draw: st.DrawFn) -> tuple[str, ...]:
    """Options and arguments of a change of main.cf."""
    names = ("relay_domains", "one", "list", "new_name", "mynetworks", "relay_transport", "x-y")
    kind = fair(draw, MAIN_EDITS)
    if kind in {"-X", "-#"}:
        # Postfix 3.7 dies when one name is given twice.
        chosen = [draw(st.sampled_from([*names, "", " ", "#x", "a=b", " one", "one "]))]
        if draw(st.booleans()) and chosen[0] != "mynetworks":
            chosen.append("mynetworks")
        return (kind, *chosen)
    name, value = (
        draw(st.sampled_from([*names, "", "#c", " one", "a b"])),
        draw(st.sampled_from(["", "x", "  y  z ", "a = b", "l\nm", "#", "\u00e9"])),
    )
    request = name + draw(st.sampled_from(["=", " = ", "= "])) + value
    return ("-e", request) if kind == "-e" else (request,)
