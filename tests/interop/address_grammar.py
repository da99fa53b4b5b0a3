"""Address lists as they stand in header fields, right and wrong: RFC 5322 section 3.4, with what its section 4.4 calls
obsolete, and with what nobody calls an address. Each text names its rules, which are counted.
"""

from hypothesis import strategies as st

from tests.interop.fair_choice import fair
from tests.interop.main_cf_grammar import Made

LOCAL = (
    *("joe", "Joe", "ann", "joe+ext", "owner-x", "a.b", "root", "x.y.z", "postmaster", "a%b", "host!user", "a!b!c"),
    *('"a b"', '"a@b"', '"joe"', '"a\\"b"', '"a\\\\b"', '""', '"a"."b"', 'x."y"', "a b", "a..b", ".a", "a.", "a\\ b"),
    *("jo\u00e9", "\udcff", "a=b", "a'b", "a/b", "{x}", "a*b", "a\x01b", "nobody", "old", "new+x", "swap"),
)
DOMAIN = (
    *("example.com", "sub.pair.test", "host.sub.pair.test", "pair.test", "PAIR.test", "host", "localhost", "a.b.c"),
    *(
        "[1.2.3.4]",
        "[IPv6:::1]",
        "1.2.3.4]",
        "x.",
        ".x",
        "x..y",
        "-x-",
        "d\u00f6main",
        "a_b",
        "[a b]",
        "old.test",
    ),
    *("other.test", "mail.masq.test", "masq.test", "deep.mail.masq.test", "[::1]", "x . y", "(c)x", "x(c)", '"x"'),
)
HOSTS = ("a.test", "b", "x.y.z", "[1.2.3.4]", "UP.test", "h-o.st", "x.")
PHRASES = (
    *(
        "Joe",
        "Joe Doe",
        '"Doe, Joe"',
        '"Joe \\"J\\" Doe"',
        "J. Doe",
        "=?utf-8?q?J=C3=B6?=",
        "J\u00f6",
        '"unclosed',
        "Joe @ home",
    ),
    *('""', "a:b", "Joe (c) Doe", '"a" b "c"', "Joe.", "[x]", "a;b", "\\Joe", "Joe\\", "Mr. \\(X", "a<b"),
)
COMMENTS = ("(c)", "(a (nested) c)", "()", "(un", "closed)", '("q)', "(\\))", "(joe@x)", "((", "(,)", "(\u00fc)")

KINDS = (
    *("addr-spec", "name-addr", "angle", "comment after", "comment before", "comment inside", "group", "empty group"),
    *("route", "local only", "domain only", "two @", "empty", "null", "open angle", "open quote", "stray", "folded"),
    *("semicolon", "colon", "no comma", "percent", "bang", "uucp at", "list of empties", "blanks", "long", "backslash"),
    *("phrase only", "two angles", "after angle", "angle in group", "control", "trailing comma", "quoted whole"),
)
FIELDS = (
    *("From", "To", "Cc", "Sender", "Reply-To", "Errors-To", "Return-Receipt-To", "Disposition-Notification-To"),
    *("Resent-From", "Resent-To", "Resent-Cc", "Resent-Sender", "Resent-Reply-To", "Apparently-To", "X-Other"),
    *("Mail-Followup-To", "TO", "from", "cC"),
)


@st.composite
def addresses(draw: st.DrawFn) -> Made:
    """One member of a list."""

    def pick(*choices: str) -> str:
        return fair(draw, choices)

    kind = pick(*KINDS)
    local, domain, phrase, comment = pick(*LOCAL), pick(*DOMAIN), pick(*PHRASES), pick(*COMMENTS)
    plain = f"{local}@{domain}"
    # Postfix mangles an IPv6 address that has no local part before it.
    lettered = domain.replace(":", ".")
    gap = pick("", " ", "  ", "\t")
    text = {
        "addr-spec": plain,
        "name-addr": f"{phrase} <{plain}>",
        "angle": f"<{gap}{plain}{gap}>",
        "comment after": f"{plain} {comment}",
        "comment before": f"{comment}{gap}{plain}",
        "comment inside": f"{local}{gap}{comment}{gap}@{gap}{comment}{domain}",
        "group": f"{phrase}: {plain}, {pick(*LOCAL)}@{pick(*DOMAIN)};",
        "empty group": f"undisclosed-recipients:{gap};",
        "route": f"<@{pick(*HOSTS)},@{pick(*HOSTS)}:{plain}>",
        "local only": local,
        "domain only": f"@{lettered}",
        "two @": f"{local}@{pick(*DOMAIN)}@{domain}",
        "empty": "",
        "null": f"{pick('', phrase)} <{gap}>",
        "open angle": f"{phrase} <{plain}",
        "open quote": f'"{local}@{lettered}',
        "stray": f"{plain}{pick(')', ']', ';', ':', '@', '.', '<>', '{')}",
        "folded": f"{phrase}\r\n {gap}<{local}\r\n\t@{domain}>",
        "semicolon": f"{plain}; {pick(*LOCAL)}",
        "colon": f"{local}: {domain}",
        "no comma": f"{plain} {pick(*LOCAL)}@{pick(*DOMAIN)}",
        "percent": f"{local}%{pick(*DOMAIN)}@{domain}",
        "bang": f"{lettered}!{local}",
        "uucp at": f"{lettered}!{local}@{pick(*DOMAIN)}",
        "list of empties": ", ,,",
        "blanks": f"{local} @ {domain}",
        "long": f"{'x' * draw(st.integers(60, 900))}@{domain}",
        "backslash": f"\\{local}\\@{domain}\\",
        "phrase only": phrase,
        "two angles": f"<{plain}> <{local}>",
        "after angle": f"<{plain}> {phrase}",
        "angle in group": f"x: <{plain}>, {phrase} <{local}>;",
        "control": f"{local}\x07\x7f@{domain}",
        "trailing comma": f"{plain},",
        "quoted whole": f'"{local}@{lettered}"',
    }[kind]
    return Made(text, frozenset({kind}))


@st.composite
def fields(draw: st.DrawFn) -> Made:
    """A header field with one to three of them."""
    name = fair(draw, FIELDS)
    made = [draw(addresses()) for _ in range(fair(draw, (1, 1, 2, 3)))]
    between = fair(draw, (", ", ",", " , ", ",\r\n\t", ",\r\n "))
    rules = {rule for one in made for rule in one.rules} | {f"field {name}"}
    return Made(f"{name}:{fair(draw, (' ', ' ', '', '  '))}{between.join(one.text for one in made)}", frozenset(rules))


@st.composite
def headers(draw: st.DrawFn) -> list[Made]:
    """The fields of one message. Lines that the two would take for other things are left out: they begin no field."""
    found = [draw(fields()) for _ in range(24)]
    return [one for one in found if all(line.strip(" \t") for line in one.text.split("\r\n"))]
