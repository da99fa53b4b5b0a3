"""What sources of lookup tables are made of, as Hypothesis strategies: each piece names its rule, which is counted."""

from typing import NamedTuple

from hypothesis import strategies as st

from tests.interop.fair_choice import LONG, fair

LINES = 10 if LONG else 1
"""Of a source of rows, at least."""


class Made(NamedTuple):
    """A text, the rules it was made by, and keys worth asking for."""

    text: str
    rules: tuple[str, ...]
    keys: tuple[str, ...] = ()


LETTERS = "abcXYZ019._-"
WORDS = st.sampled_from(
    [
        *("a", "b", "joe", "Joe", "JOE", "joe@example.com", "@example.com", "example.com", ".example.com", "1.2.3.4"),
        *("grün", "GRÜN", "straße", "STRASSE", "Ω", "\udcff", "\udce4x", "x+y", "owner-x", "a:", "#a", "a#b", "x=y"),
        *('"a b"', '"a', 'a"b c"d', '"\\"', "\\", "a\\ b", "a\\", "[1.2.3.4]", "{x}", "$x", "%s", "*", "/a/", "!x"),
    ]
)
BLANK = st.sampled_from([" ", "\t", "  ", " \t ", "\v", "\f"])
END = st.sampled_from(["\n", "\n", "\n", "\n", "\r\n", " \n", "\n\n"])


def words() -> st.SearchStrategy[str]:
    """One word of a line."""
    return st.one_of(WORDS, WORDS, st.text(LETTERS, min_size=1, max_size=8))


ENTRY_RULES = (
    *(
        "row",
        "long value",
        "value of words",
        "continued",
        "continued by blanks",
        "comment",
        "comment inside",
        "blank line",
    ),
    *(
        "orphan",
        "key alone",
        "value trailing blanks",
        "alias like",
        "long line",
        "NUL",
        "CR inside",
        "empty continuation",
    ),
)
SOURCE_RULES = (*ENTRY_RULES, "CRLF", "duplicate", "no last line end")


@st.composite
def entry(draw: st.DrawFn) -> Made:
    """A row, or something like it."""
    key, value = draw(words()), draw(words())
    rule = fair(draw, ("row", "row", *ENTRY_RULES))
    end = draw(END)
    blank = draw(BLANK)
    text = {
        "row": f"{key}{blank}{value}{end}",
        "long value": f"{key}{blank}{value * 40}{end}",
        "value of words": f"{key}{blank}{value}, {value} {key}{end}",
        "continued": f"{key}\n{blank}{value}{end}",
        "continued by blanks": f"{key} {value}\n{blank}{blank}\n more{end}",
        "comment": f"# {key} {value}{end}",
        "comment inside": f"{key} {value}\n# between\n{blank}more{end}",
        "blank line": f"{blank}{end}",
        "orphan": f"{blank}{key} {value}{end}",
        "key alone": f"{key}{end}",
        "value trailing blanks": f"{key}{blank}{value}{blank}{end}",
        "alias like": f"{key}: {value}{end}",
        "long line": f"{key}{blank}{'v' * 3000}{value}{end}",
        "NUL": f"{key}\0 {value}{end}",
        "CR inside": f"{key} a\rb{end}",
        "empty continuation": f"{key} {value}\n{blank}{end}",
    }[rule]
    return Made(text, (rule, *(("CRLF",) if end == "\r\n" else ())), (key,))


@st.composite
def source(draw: st.DrawFn) -> Made:
    """A whole file of rows; the last line may lack its end, rows may come twice."""
    parts = draw(st.lists(entry(), min_size=LINES, max_size=3 * LINES + 5))
    rules = [rule for part in parts for rule in part.rules]
    if fair(draw, (True, False)):
        parts.append(draw(st.sampled_from(parts)))
        rules.append("duplicate")
    text = "".join(part.text for part in parts)
    if fair(draw, (True, False)):
        text = text.rstrip("\n")
        rules.append("no last line end")
    return Made(text, tuple(rules), draw(asked([key for part in parts for key in part.keys])))


@st.composite
def asked(draw: st.DrawFn, known: list[str]) -> tuple[str, ...]:
    """Keys to ask for: known ones, known ones in another case, others."""
    keys = list(known)
    keys += [key.swapcase() for key in known[:2]]
    keys += draw(st.lists(words(), min_size=2, max_size=4))
    if draw(st.integers(0, 3)) == 0:
        keys.append("")
    return tuple(dict.fromkeys(keys))


ALIAS_RULES = ("alias", "alias continued", "alias comment", "no colon", "blank before colon")


@st.composite
def alias_entry(draw: st.DrawFn) -> Made:
    """A line of an aliases file."""
    name = draw(
        st.sampled_from(
            [
                *(
                    "joe",
                    "Joe",
                    '"joe doe"',
                    "owner-x",
                    "a b",
                    "joe@x",
                    "gr\u00fcn",
                    "\udcff",
                    "(c) joe",
                    "joe (c)",
                    "",
                    "a,b",
                ),
                *(
                    '"a',
                    "a\\ b",
                    "[x]",
                    "<x>",
                    "a.b",
                    "postmaster",
                    "/x",
                    "|x",
                    ":include:x",
                    "x y z",
                    '"a\\"b"',
                    "joe ",
                ),
            ]
        )
    )
    values = draw(
        st.lists(
            st.sampled_from(
                [
                    *(
                        "root",
                        "a@b.c",
                        '"|/bin/cmd arg"',
                        "|/bin/cmd",
                        "/var/mail/x",
                        ":include:/x",
                        "(comment) x",
                        "<a@b>",
                    ),
                    *(
                        '"quoted x"@d',
                        "a b",
                        "",
                        '"open',
                        "(open",
                        "[1.2.3.4]",
                        "x\\y",
                        "\u00fc",
                        "\udcff",
                        '"|cmd \\"x\\""',
                    ),
                    *("\\joe", "a;b", "group: a, b;", "<a", "a>", "a@[1.2.3.4]", "a . b", '"" ', "()", "a(b(c)d)e"),
                ]
            ),
            max_size=3,
        )
    )
    rule = fair(draw, ("alias", *ALIAS_RULES))
    joined = ", ".join(values)
    text = {
        "alias": f"{name}: {joined}\n",
        "alias continued": f"{name}:\n\t{joined}\n",
        "alias comment": f"# {name}: {joined}\n",
        "no colon": f"{name} {joined}\n",
        "blank before colon": f"{name} : {joined}\n",
    }[rule]
    return Made(text, (rule,), (name,))


@st.composite
def alias_source(draw: st.DrawFn) -> Made:
    """An aliases file."""
    parts = draw(st.lists(alias_entry(), min_size=1, max_size=6))
    keys = draw(asked([part.keys[0].strip('"') for part in parts if part.keys[0]]))
    return Made("".join(part.text for part in parts), tuple(rule for part in parts for rule in part.rules), keys)


ADDRESSES = st.sampled_from(
    [
        *("1.2.3.4", "1.2.3.0", "10.0.0.0", "10.1.2.3", "192.168.1.1", "255.255.255.255", "0.0.0.0", "::1", "::"),
        *("2001:db8::", "2001:db8::1", "2001:DB8::1", "::ffff:1.2.3.4", "fe80::1", "1.2.3", "1.2.3.256", "01.2.3.4"),
        *(
            "host.example",
            "2001:db8::g",
            "[::1]",
            "[1.2.3.4]",
            "[2001:db8::]",
            "1.2.3.4.5",
            "",
            ":",
            "[::1",
            "1.2.3.4]",
        ),
    ]
)
BITS = st.sampled_from(
    ["", "", "/0", "/8", "/24", "/32", "/33", "/64", "/128", "/129", "/", "/x", "/-1", "/024", "/ 8"]
)


CIDR_RULES = (
    *("cidr", "cidr if", "cidr endif", "cidr endif text", "cidr no result", "cidr comment", "cidr continued"),
    *("cidr if text", "cidr odd"),
)


@st.composite
def cidr_rule(draw: st.DrawFn) -> Made:
    """A line of a cidr table."""
    negation = draw(st.sampled_from(["", "", "", "!", "! ", "!!"]))
    pattern = draw(ADDRESSES) + draw(BITS)
    rule = fair(draw, ("cidr", "cidr", "cidr if", "cidr endif", *CIDR_RULES))
    value = draw(words())
    text = {
        "cidr": f"{negation}{pattern} {value}\n",
        "cidr if": f"if {negation}{pattern}\n",
        "cidr endif": "endif\n",
        "cidr endif text": f"ENDIF {value}\n",
        "cidr no result": f"{negation}{pattern}\n",
        "cidr comment": f"# {pattern} {value}\n",
        "cidr continued": f"{negation}{pattern}\n\t{value}\n",
        "cidr if text": f"IF {negation}{pattern} {value}\n",
        "cidr odd": f"{value}\n",
    }[rule]
    return Made(text, (rule, *(("cidr IPv6",) if ":" in pattern else ())))


@st.composite
def cidr_source(draw: st.DrawFn) -> Made:
    """A cidr table."""
    parts = draw(st.lists(cidr_rule(), min_size=1, max_size=10))
    keys = draw(st.lists(st.one_of(ADDRESSES, ADDRESSES, words()), min_size=4, max_size=8, unique=True))
    return Made("".join(part.text for part in parts), tuple(rule for part in parts for rule in part.rules), tuple(keys))


ATOMS = st.sampled_from(
    [
        *(
            "a",
            "b",
            "X",
            "joe",
            ".",
            ".*",
            "a+",
            "b?",
            "[a-c]",
            "[^x]",
            "(a|b)",
            "(.*)",
            "(a)(b)",
            "^",
            "$",
            "\\.",
            "@",
        ),
        *("a{2}", "a{1,", "(", ")", "[", "[[:alpha:]]", "[[:foo:]]", "\\d", "\\w+", "(?:a)", "(?i)a", "*", "a**", "\\"),
        *(
            "\u00fc",
            "\udcff",
            " ",
            "#",
            "\\1",
            "(a)\\1",
            "|",
            "(?=a)",
            "\\/",
            "a|",
            "{",
            "}",
            "x{0}",
            "\\b",
            "[]a]",
            "[a-]",
        ),
    ]
)
RESULTS = st.sampled_from(
    [
        *(
            "found",
            "REJECT text here",
            "$1",
            "${1}",
            "$(1)",
            "$1$2",
            "$2",
            "$0",
            "$$",
            "$",
            "$x",
            "${",
            "${1",
            "$(1",
            "x$1y",
        ),
        *("${1}y", "$1 and $1", "$9", "$10", "", "\u00fc$1", "$(x)", "$-1", "${1x}", "a$$1", "${}", "$1_", "$1-"),
    ]
)
DELIMITERS = st.sampled_from(["/", "/", "/", "/", "!", "%", "|", ",", "~", "#", "a", '"'])


PATTERN_RULES = (
    *("match", "if", "endif", "if text", "endif text", "no result", "unclosed", "match comment", "match continued"),
    *("garbage", "if alone", "other case"),
)


@st.composite
def pattern_rule(draw: st.DrawFn, flags: str) -> Made:
    """A line of a regexp or pcre table."""
    pattern = "".join(draw(st.lists(ATOMS, min_size=1, max_size=4)))
    delimiter = draw(DELIMITERS)
    negation = draw(st.sampled_from(["", "", "", "", "!", "! ", "!!"]))
    turned = "".join(fair(draw, flags) for _ in range(fair(draw, (0, 0, 1, 2))))
    body = f"{negation}{delimiter}{pattern}{delimiter}{turned}"
    result = draw(RESULTS)
    rule = fair(draw, ("match", "match", "match", "match", "if", "endif", *PATTERN_RULES))
    text = {
        "match": f"{body} {result}\n",
        "if": f"if {body}\n",
        "endif": "endif\n",
        "if text": f"if {body} {result}\n",
        "endif text": "endif text\n",
        "no result": f"{body}\n",
        "unclosed": f"{negation}{delimiter}{pattern} {result}\n",
        "match comment": f"# {body} {result}\n",
        "match continued": f"{body}\n {result}\n more\n",
        "garbage": f"{draw(words())} {result}\n",
        "if alone": "if\n",
        "other case": f"IF {body}\nEndIf\n",
    }[rule]
    rules = [rule, *(f"flag {flag}" for flag in turned)]
    if negation:
        rules.append("negated")
    if "$" in result and rule.startswith("match"):
        rules.append("substitution")
    return Made(text, tuple(rules))


@st.composite
def pattern_source(draw: st.DrawFn, flags: str) -> Made:
    """A regexp or pcre table."""
    parts = draw(st.lists(pattern_rule(flags), min_size=1, max_size=8))
    subject = st.text("abXjoe@.\u00fc /#", min_size=1, max_size=8)
    keys = draw(st.lists(st.one_of(subject, subject, words()), min_size=4, max_size=10, unique=True))
    return Made("".join(part.text for part in parts), tuple(rule for part in parts for rule in part.rules), tuple(keys))


INLINE_RULES = (
    *("inline", "inline braces", "inline no equals", "inline open", "inline after", "inline empty", "inline blanks"),
)


@st.composite
def inline_spec(draw: st.DrawFn) -> Made:
    """inline:{ … }."""
    pairs = draw(st.lists(st.tuples(words(), words()), min_size=1, max_size=4))
    rule = fair(draw, INLINE_RULES)
    plain = ", ".join(f"{key}={value}" for key, value in pairs)
    braces = ", ".join(f"{{ {key} = {value} {key} }}" for key, value in pairs)
    text = {
        "inline": f"inline:{{{plain}}}",
        "inline braces": f"inline:{{ {braces} }}",
        "inline no equals": f"inline:{{{plain}, {pairs[0][0]}}}",
        "inline open": f"inline:{{{plain}",
        "inline after": f"inline:{{{plain}}}x",
        "inline empty": "inline:{}",
        "inline blanks": f"inline:{{ {plain} }}",
    }[rule]
    return Made(text, (rule,), draw(asked([key for key, _ in pairs])))


STATIC_RULES = ("static", "static braces", "static open", "static after")


@st.composite
def static_spec(draw: st.DrawFn) -> Made:
    """static:value and static:{ value }."""
    value = draw(words())
    rule = fair(draw, STATIC_RULES)
    text = {
        "static": f"static:{value}",
        "static braces": f"static:{{ {value} {value} }}",
        "static open": f"static:{{ {value}",
        "static after": f"static:{{ {value} }}{value}",
    }[rule]
    return Made(text, (rule,), draw(asked([value])))


MEMBERS = st.sampled_from(
    [
        *("inline:{a=b,b=joe}", "inline:{joe=a}", "inline:{ { b = c d } }", "static:a", "static:b", "static:{ x y }"),
        *("cidr:{{1.2.3.0/24 a}}", "regexp:{{/(a)/ b$1}}", "pcre:{{/^j(o)e$/ a}}", "environ:", "fail:x", "nosuch:x"),
        *("unix:passwd.byname", "internal:x", "inline:{a", "a", ""),
    ]
)


def combined_rules(kind: str) -> tuple[str, ...]:
    """The rules of pipemap or unionmap."""
    return (kind, f"{kind} open", f"{kind} after", f"{kind} bare")


@st.composite
def combined_spec(draw: st.DrawFn, kind: str) -> Made:
    """pipemap:{…} or unionmap:{…}."""
    members = draw(st.lists(MEMBERS, min_size=1, max_size=3))
    rule = fair(draw, combined_rules(kind))
    joined = ", ".join(members)
    text = {
        kind: f"{kind}:{{{joined}}}",
        f"{kind} open": f"{kind}:{{{joined}",
        f"{kind} after": f"{kind}:{{{joined}}}x",
        f"{kind} bare": f"{kind}:{members[0]}",
    }[rule]
    return Made(text, (rule,), draw(asked(["a", "joe", "1.2.3.4", "root"])))


RANDOM_RULES = ("randmap", "randmap two", "randmap empty", "randmap open", "randmap bare")


@st.composite
def random_spec(draw: st.DrawFn) -> Made:
    """randmap:{…} whose choice is no choice."""
    # One word: of several, each of the two would choose another.
    value = draw(st.text(LETTERS, min_size=1, max_size=8))
    rule = fair(draw, RANDOM_RULES)
    text = {
        "randmap": f"randmap:{{{value}}}",
        "randmap two": f"randmap:{{{value}, {value}}}",
        "randmap empty": "randmap:{}",
        "randmap open": f"randmap:{{{value}",
        "randmap bare": f"randmap:{value}",
    }[rule]
    return Made(text, (rule,), draw(asked([value])))


@st.composite
def message(draw: st.DrawFn) -> Made:
    """A message for postmap -b, -h and -m."""
    lines = draw(
        st.lists(
            st.sampled_from(
                [
                    *(
                        "Subject: a",
                        " continued",
                        "\tb",
                        "X-joe: X",
                        "From joe a",
                        "not a field",
                        "",
                        "",
                        "body a",
                        "Key :x",
                    ),
                    *(
                        "Content-Type: multipart/mixed; boundary=b",
                        'Content-Type: multipart/mixed; boundary="b c"',
                        "--b",
                    ),
                    *(
                        "--b--",
                        "--b c",
                        "--b c--",
                        "Content-Type: message/rfc822",
                        "Content-Type: text/plain",
                        ": x",
                        "joe:",
                    ),
                    *(
                        "MIME-Version: 1.0",
                        "Content-Transfer-Encoding: base64",
                        "--",
                        "a\rb",
                        "x" * 200,
                        "Content-type:a/b",
                    ),
                ]
            ),
            min_size=1,
            max_size=14,
        )
    )
    return Made("\n".join(lines) + "\n", ("message", *(("multipart",) if any("multipart" in x for x in lines) else ())))
