"""What is played to both SMTP clients: by name, what the server says, and what is sent to it."""

from dataclasses import dataclass, field

from tests.interop.scripted_servers import CLOSE, NOTHING, Answer

EIGHT_BIT = """\
MIME-Version: 1.0
Content-Type: text/plain; charset=latin1
Content-Transfer-Encoding: 8bit

b\xf6
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One script and the message for it."""

    script: dict[str, Answer] = field(default_factory=dict)
    recipients: tuple[str, ...] = ("a",)
    """Local parts."""
    second: "dict[str, Answer] | None" = None
    """A second server, tried after the first."""
    transport: str = "smtp"
    sender: str = "sender@from.test"
    mail: str = ""
    """Parameters of MAIL, as the message arrives."""
    rcpt: str = ""
    content: str = "Subject: x\n\nbody\n"
    times: int = 1
    """How often the message is sent; each waits for the end of the one before."""


WORDS = (
    *("warn", "bare", "info", "replace", "prepend", "strip", "ignore", "dunno", "ok", "reject", "hold", "discard"),
    *("filter", "redirect", "bcc", "pass", "nonsense", "empty", "badreplace", "plain"),
)
FIELDS = "".join(f"{word}: of {{0}}\n" for word in WORDS)
FOLDED = "warn: folded\n in {0}\nContent-Description: warn\nContent-Type: {1}\n"

CHECKED = (
    "MIME-Version: 1.0\n"
    + FIELDS.format("head")
    + FOLDED.format("head", 'multipart/mixed; boundary="b1"')
    + "\nwarn: preamble\n--b1\n"
    + FIELDS.format("part")
    + FOLDED.format("part", "text/html")
    + "\nwarn: text\n--b1\n"
    + FOLDED.format("outer", "message/rfc822")
    + "\n"
    + FIELDS.format("nested")
    + FOLDED.format("nested", "multipart/alternative; boundary=b2")
    + "\nwarn: inner\n--b2\n\n"
    + FIELDS.format("inner part")
    + "--b2--\nwarn: after b2\n--b1--\nwarn: epilogue\n"
    + "x" * 300
    + "warn\nwarn: "
    + "y" * 300
    + "\n"
)
PLAIN_CHECKED = "Subject: warn\nwarn: x\n\n" + FIELDS.format("body") + "\n" + ("z" * 70 + "\n") * 900 + "warn: far\n"


def _offer(*words: str) -> str:
    lines = ["peer.test", *words]
    return "\n".join(f"250{'-' if n + 1 < len(lines) else ' '}{word}" for n, word in enumerate(lines))


TRIPLE = ("a", "b", "c")

CASES: dict[str, Case] = {
    "plain": Case(),
    # the greeting
    "greet4": Case({"greeting": "421 4.3.2 busy"}),
    "greet450": Case({"greeting": "450 4.3.2 busy"}),
    "greet5": Case({"greeting": "554 5.7.1 no mail here"}),
    "greet5hard": Case({"greeting": "554 5.7.1 no mail here"}, transport="hard"),
    "greet3": Case({"greeting": "354 what"}),
    "greetgarbage": Case({"greeting": "hello there" + CLOSE}),
    "greetgarbage2": Case({"greeting": "hello there\n220 peer.test ESMTP"}),
    "greetclose": Case({"greeting": CLOSE}),
    "greetnothing": Case({"greeting": NOTHING}, transport="quick"),
    "greetmulti": Case({"greeting": "220-peer.test\n220-more\n220 ESMTP at the end"}, transport="shy"),
    "greetnoesmtp": Case({"greeting": "220 peer.test"}, transport="shy"),
    "greetesmtp": Case({"greeting": "220 peer.test ESMTP"}, transport="shy"),
    "greetpartial": Case({"greeting": "220-peer.test" + CLOSE}),
    "greetme": Case({"greeting": "220 host.pair.test ESMTP"}),
    "greetnotext": Case({"greeting": "220"}),
    "greet5notext": Case({"greeting": "554"}),
    "greet5next": Case({"greeting": "554 5.7.1 no"}, second={}),
    "greet4next": Case({"greeting": "421 4.7.1 no"}, second={}),
    "greethardnext": Case({"greeting": "554 5.7.1 no"}, second={}, transport="hard"),
    # EHLO
    "ehlo5": Case({"EHLO": "502 5.5.1 no such thing"}),
    "ehlo4": Case({"EHLO": "450 4.5.1 not now"}),
    "ehlo421": Case({"EHLO": "421 4.5.1 bye" + CLOSE}),
    "ehloclose": Case({"EHLO": CLOSE}),
    "ehlo5helo5": Case({"EHLO": "502 no", "HELO": "501 5.5.1 you?"}),
    "ehlo5helo4": Case({"EHLO": "502 no", "HELO": "450 4.5.1 you?"}),
    "ehlo5heloclose": Case({"EHLO": "502 no", "HELO": CLOSE}),
    "ehlonothing": Case({"EHLO": NOTHING}, transport="quick"),
    "ehlome": Case({"EHLO": "250 host.pair.test"}),
    "ehlonever": Case(transport="never"),
    "ehlodiscard": Case(transport="discarding"),
    "ehlobroken": Case({"EHLO": "250-peer.test\nrubbish\n250-PIPELINING\n250 DSN"}),
    "ehlomixed": Case({"EHLO": "250-peer.test\n500-PIPELINING\n250 DSN"}),
    "ehlolower": Case({"EHLO": _offer("pipelining", "size 100", "dsn", "8bitmime")}),
    "ehlosize0": Case({"EHLO": _offer("SIZE 0")}),
    "ehlosizebare": Case({"EHLO": _offer("SIZE")}),
    "ehlosizebad": Case({"EHLO": _offer("SIZE many")}),
    "ehlosizesmall": Case({"EHLO": _offer("SIZE 10", "PIPELINING")}),
    "ehlosizesmallnext": Case({"EHLO": _offer("SIZE 10", "PIPELINING")}, second={}),
    "ehlolong": Case({"EHLO": "250-peer.test\n250-X" + "x" * 3000 + "\n250 DSN"}),
    "ehlo250only": Case({"EHLO": "250"}),
    # MAIL
    "mail4": Case({"MAIL": "451 4.3.0 later"}, TRIPLE),
    "mail5": Case({"MAIL": "550 5.7.1 not you"}, TRIPLE),
    "mail5nopipe": Case({"EHLO": _offer("DSN"), "MAIL": "550 5.7.1 not you"}, TRIPLE),
    "mail421": Case({"MAIL": "421 4.3.0 bye" + CLOSE}),
    "mail421stay": Case({"MAIL": "421 4.3.0 bye"}),
    "mail421nopipe": Case({"EHLO": _offer("DSN"), "MAIL": "421 4.3.0 bye"}),
    "mailclose": Case({"MAIL": CLOSE}),
    "mailnothing": Case({"MAIL": NOTHING}, transport="quick"),
    "mail3": Case({"MAIL": "354 what"}),
    "mail552": Case({"MAIL": "552 5.3.4 too big"}),
    "mailnostatus": Case({"MAIL": "550 no status code"}),
    "mailwrongstatus": Case({"MAIL": "550 4.1.1 of another class"}),
    "mailbadstatus": Case({"MAIL": "550 5.1 half of one"}),
    "mail4next": Case({"MAIL": "451 4.3.0 later"}, TRIPLE, second={}),
    "mail5next": Case({"MAIL": "551 5.3.0 never"}, TRIPLE, second={}),
    "mailclosenext": Case({"MAIL": CLOSE}, TRIPLE, second={}),
    "mailgarbage": Case({"MAIL": "what is this\n250 2.1.0 Ok"}),
    "mailgarbageonly": Case({"MAIL": "what is this" + CLOSE}),
    "mail6": Case({"MAIL": "650 what\n250 ok"}),
    "maillong": Case({"MAIL": "550 5.1.8 " + "long " * 700}),
    "mailmulti": Case({"MAIL": "550-5.7.1 one\n550-5.7.1 two\n550 5.7.1 three"}),
    "mailmultimixed": Case({"MAIL": "550-one\n551-5.7.2 two\n552 5.7.3 three"}),
    "mailmultistatus": Case({"MAIL": "550-5.7.1 one\n550 5.7.2 two"}),
    "mailctrl": Case({"MAIL": "550 5.7.1 bell \a and tab\tand \x7f and \xe4"}),
    "mailmany": Case({"MAIL": "\n".join(["550-5.7.1 line"] * 130 + ["550 5.7.1 end"])}),
    # RCPT
    "rcpt4": Case({"RCPT": "450 4.2.0 greylisted"}, TRIPLE),
    "rcpt5": Case({"RCPT": "550 5.1.1 unknown"}, TRIPLE),
    "rcpt5nopipe": Case({"EHLO": _offer("DSN"), "RCPT": "550 5.1.1 unknown"}, TRIPLE),
    "rcptmixed": Case({"RCPT": ("250 2.1.5 Ok", "450 4.2.0 later", "550 5.1.1 unknown")}, TRIPLE),
    "rcptmixednopipe": Case(
        {"EHLO": _offer("DSN"), "RCPT": ("250 2.1.5 Ok", "450 4.2.0 later", "550 5.1.1 unknown")}, TRIPLE
    ),
    "rcptmixednext": Case(
        {"RCPT": ("250 2.1.5 Ok", "450 4.2.0 later", "550 5.1.1 unknown")}, TRIPLE, second={"RCPT": "250 2.1.5 too"}
    ),
    "rcptmixednext2": Case(
        {"RCPT": ("450 4.2.0 later", "450 4.2.1 later")}, TRIPLE, second={"RCPT": "550 5.1.1 never"}
    ),
    "rcpt421": Case({"RCPT": ("250 2.1.5 Ok", "421 4.3.2 bye" + CLOSE)}, TRIPLE),
    "rcpt421nopipe": Case({"EHLO": _offer("DSN"), "RCPT": ("250 2.1.5 Ok", "421 4.3.2 bye")}, TRIPLE),
    "rcpt421next": Case({"RCPT": ("250 2.1.5 Ok", "421 4.3.2 bye" + CLOSE)}, TRIPLE, second={}),
    "rcptclose": Case({"RCPT": ("250 2.1.5 Ok", CLOSE)}, TRIPLE),
    "rcptcloserejected": Case({"RCPT": ("550 5.1.1 no", CLOSE)}, TRIPLE),
    "rcptnothing": Case({"RCPT": ("550 5.1.1 no", NOTHING)}, TRIPLE, transport="quick"),
    "rcpt552": Case({"RCPT": "552 too many recipients"}, TRIPLE),
    "rcpt552b": Case({"RCPT": ("250 2.1.5 Ok", "552 5.5.3 too many recipients")}, TRIPLE),
    "rcpt3": Case({"RCPT": "354 what"}),
    "rcpt251": Case({"RCPT": "251 2.1.5 forwarded"}),
    # DATA
    "data4": Case({"DATA": "451 4.3.0 later"}, TRIPLE),
    "data5": Case({"DATA": "554 5.3.0 never"}, TRIPLE),
    "data2": Case({"DATA": "250 what"}),
    "data421": Case({"DATA": "421 4.3.0 bye" + CLOSE}),
    "dataclose": Case({"DATA": CLOSE}),
    "datanothing": Case({"DATA": NOTHING}, transport="quick"),
    "datanorcpt": Case({"RCPT": "550 5.1.1 unknown", "DATA": "554 5.5.1 no valid recipients"}, TRIPLE),
    "data354norcpt": Case({"RCPT": "550 5.1.1 unknown", "DOT": "554 5.5.1 empty"}, TRIPLE),
    "data354nomail": Case({"MAIL": "550 5.1.0 unknown", "RCPT": "503 5.5.1 mail first", "DOT": "554 no"}, TRIPLE),
    "data4next": Case({"DATA": "451 4.3.0 later"}, TRIPLE, second={}),
    # the dot
    "dot4": Case({"DOT": "451 4.3.0 later"}, TRIPLE),
    "dot5": Case({"DOT": "554 5.7.1 spam"}, TRIPLE),
    "dot421": Case({"DOT": "421 4.3.0 bye" + CLOSE}),
    "dotclose": Case({"DOT": CLOSE}, TRIPLE),
    "dotnothing": Case({"DOT": NOTHING}, transport="quick"),
    "dot3": Case({"DOT": "354 what"}),
    "dotmulti": Case({"DOT": "250-2.0.0 one\n250 2.0.0 two"}),
    "dotnostatus": Case({"DOT": "250 taken as 12345"}),
    "dotnotext": Case({"DOT": "250"}),
    "dot4next": Case({"DOT": "451 4.3.0 later"}, TRIPLE, second={}),
    "dotclosenext": Case({"DOT": CLOSE}, TRIPLE, second={}),
    "dot5mixed": Case({"RCPT": ("250 Ok", "550 5.1.1 unknown"), "DOT": "554 5.7.1 spam"}, TRIPLE),
    # the end
    "quit4": Case({"QUIT": "450 no"}, transport="wait"),
    "quitclose": Case({"QUIT": CLOSE}, transport="wait"),
    "quitnothing": Case({"QUIT": NOTHING}, transport="wait"),
    # what the message needs
    "dsn": Case({}, mail=" RET=HDRS ENVID=e+2Bx", rcpt=" NOTIFY=FAILURE,DELAY ORCPT=rfc822;orig@x.test"),
    "dsnsuccess": Case({}, rcpt=" NOTIFY=SUCCESS"),
    "dsnnever": Case({"RCPT": "550 5.1.1 no"}, rcpt=" NOTIFY=NEVER"),
    "dsnabsent": Case({"EHLO": _offer("PIPELINING")}, mail=" RET=FULL ENVID=e1", rcpt=" NOTIFY=SUCCESS,FAILURE"),
    "eight": Case({}, mail=" BODY=8BITMIME", content="Subject: x\n\nb\xf6dy\n"),
    "eightmime": Case(
        {},
        mail=" BODY=8BITMIME",
        content=EIGHT_BIT,
    ),
    "eightabsent": Case(
        {"EHLO": _offer("PIPELINING")},
        mail=" BODY=8BITMIME",
        content=EIGHT_BIT,
    ),
    "eightabsentbare": Case({"EHLO": _offer("PIPELINING")}, mail=" BODY=8BITMIME", content="Subject: x\n\nb\xf6dy\n"),
    "utf8": Case({"EHLO": _offer("SMTPUTF8", "8BITMIME")}, ("j\xc3\xb6",), mail=" SMTPUTF8"),
    "utf8absent": Case({"EHLO": _offer("8BITMIME")}, ("j\xc3\xb6",), mail=" SMTPUTF8"),
    "utf8needless": Case({"EHLO": _offer("8BITMIME")}, mail=" SMTPUTF8"),
    "nullsender": Case({}, sender=""),
    "nullsendermail5": Case({"MAIL": "550 5.7.1 no notices"}, sender=""),
    "quoted": Case({}, ('"a b"', '"x\\"y"', "p!q")),
    "quotednot": Case({}, ('"a b"', '"a.."', '".a"', "b"), transport="unquoted"),
    "longline": Case({}, content="Subject: x\n\n" + "word " * 300 + "\n" + "y" * 998 + "\n" + "z" * 999 + "\n.dot\n"),
    "longlineshort": Case({}, content="Subject: x\n\n" + "word " * 50 + "\n.dot\n..dots\n", transport="short"),
    "longheader": Case({}, content="Subject: " + "word " * 300 + "\n\nbody\n"),
    "dots": Case({}, content=".\n..\n.a\nSubject: x\n\n.\n..b\n.\n"),
    "empty": Case({}, content="Subject: only\n\n"),
    "seven": Case({"EHLO": _offer("SIZE 100000")}, mail=" BODY=7BIT"),
    "mailauthlogin": Case({"EHLO": _offer("AUTH PLAIN", "PIPELINING")}, transport="dummyauthlogin"),
    "mailauth": Case({"EHLO": _offer("AUTH PLAIN", "PIPELINING")}, transport="dummyauth"),
    "heloname": Case({}, transport="named"),
    "bound": Case({}, transport="bound"),
    "badbound": Case({}, transport="badbound"),
    "badboundhard": Case({}, transport="badboundhard"),
    "greetstars": Case({"greeting": "220 ****02*20**0*"}),
    "greetpixmulti": Case({"greeting": "220-**\n220 ***"}),
    "pixmaps": Case({"greeting": "220 ***"}, transport="pixmaps"),
    "pixmapsoff": Case({"greeting": "220 ***"}, transport="pixmapsoff"),
    "pixdelay": Case({"greeting": "220 ***"}, transport="pixdelay"),
    "pixbad": Case({"greeting": "220 ***"}, transport="pixbad"),
    # changes
    "generic": Case({"RCPT": "550 5.1.1 unknown"}, ("gen", "b"), sender="gen@from.test", transport="generic"),
    "replyfilter": Case({"RCPT": "450 4.2.0 filter me"}, ("a",), transport="filtering"),
    "replyfilter2": Case({"DOT": "550-5.2.0 filter\n550 5.2.0 me"}, ("a",), transport="filtering"),
    "replyfilterehlo": Case({"EHLO": _offer("XHIDE DSN", "PIPELINING")}, ("a",), transport="filtering"),
    "statusfilter": Case({"RCPT": "550 5.1.1 soften me"}, ("a",), transport="status"),
    "checks": Case({}, content=CHECKED, transport="checks"),
    "checksplain": Case({}, content=PLAIN_CHECKED, transport="checks"),
    "checksbody": Case({}, content=CHECKED, transport="checksbody"),
    "checkshead": Case({}, content=CHECKED, transport="checkshead"),
    "checksnested": Case({}, content=CHECKED, transport="checksnested"),
    "checksfail": Case({}, content="Subject: x\n\nx\n", transport="checksfail"),
    "checksfailbody": Case({}, content="Subject: x\n\nx\n", transport="checksfailbody", second={}),
    "checksrefused": Case({"DATA": "450 4.3.0 no"}, content=CHECKED, transport="checks"),
    "checkstwice": Case({"DOT": "450 4.3.0 no"}, content="Subject: x\nwarn: 2\n\nx\n", transport="checks", second={}),
    "checkseight": Case(
        {"EHLO": _offer("PIPELINING")}, mail=" BODY=8BITMIME", content="warn: x\n" + EIGHT_BIT, transport="checks"
    ),
    "checkslmtp": Case({"LHLO": _offer("PIPELINING")}, content=CHECKED, transport="checkslmtp"),
    # passwords
    "auth": Case({"EHLO": _offer("AUTH PLAIN LOGIN")}, transport="auth"),
    "authlogin": Case(
        {"EHLO": _offer("AUTH LOGIN"), "AUTH": "334 VXNlcm5hbWU6", "AUTH2": ("334 UGFzc3dvcmQ6", "235 ok")},
        transport="auth",
    ),
    "authtwice": Case({"EHLO": _offer("AUTH=LOGIN", "AUTH PLAIN")}, transport="auth"),
    "authtwice2": Case({"EHLO": _offer("AUTH LOGIN", "AUTH PLAIN")}, transport="auth"),
    "authtwice3": Case({"EHLO": _offer("AUTH PLAIN", "AUTH=LOGIN")}, transport="auth"),
    "authtwice4": Case({"EHLO": _offer("AUTH=LOGIN")}, transport="authfilter"),
    "discardmaps": Case({}, transport="discardmaps"),
    "auth5": Case({"EHLO": _offer("AUTH PLAIN"), "AUTH": "535 5.7.8 wrong"}, transport="auth"),
    "auth5hard": Case({"EHLO": _offer("AUTH PLAIN"), "AUTH": "535 5.7.8 wrong"}, transport="authhard"),
    "auth4": Case({"EHLO": _offer("AUTH PLAIN"), "AUTH": "454 4.7.0 later"}, transport="auth"),
    "authclose": Case({"EHLO": _offer("AUTH PLAIN"), "AUTH": CLOSE}, transport="auth"),
    "authnone": Case({"EHLO": _offer("PIPELINING")}, transport="auth"),
    "authbare": Case({"EHLO": _offer("AUTH")}, transport="auth"),
    "authunknown": Case({"EHLO": _offer("AUTH FOO BAR")}, transport="auth"),
    "authfiltered": Case({"EHLO": _offer("AUTH PLAIN LOGIN")}, transport="authfilter"),
    "authnoplain": Case({"EHLO": _offer("AUTH PLAIN LOGIN")}, transport="authnoplain"),
    "authold": Case({"EHLO": _offer("AUTH=PLAIN")}, transport="auth"),
    "authsender": Case({"EHLO": _offer("AUTH PLAIN")}, transport="authsender", sender="own@from.test"),
    "auth5next": Case({"EHLO": _offer("AUTH PLAIN"), "AUTH": "535 5.7.8 wrong"}, transport="auth", second={}),
    # no TLS here
    "tlsmust": Case({}, transport="encrypt"),
    "tlsmustrefused": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": "454 4.7.0 not now"}, transport="encrypt"),
    "tlsmustrefused5": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": "554 5.7.0 never"}, transport="encrypt"),
    "tlsmustbroken": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": "220 2.0.0 go" + CLOSE}, transport="encrypt"),
    "tlsmayrefused": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": "454 4.7.0 not now"}, transport="may"),
    "tlsmaybroken": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": "220 2.0.0 go" + CLOSE}, transport="may"),
    "tlsmayclose": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": CLOSE}, transport="may"),
    "tlsnote": Case({"EHLO": _offer("STARTTLS")}, transport="note"),
    "tlspolicy": Case({"EHLO": _offer("PIPELINING")}, transport="policy"),
    "authcached4": Case({"EHLO": _offer("AUTH PLAIN"), "AUTH": "454 4.7.8 wrong"}, transport="authcache4", times=2),
    "authcached5": Case({"EHLO": _offer("AUTH PLAIN"), "AUTH": "534 5.7.8 wrong"}, transport="authcache5", times=2),
    "policybad": Case({}, transport="policybad"),
    "persite": Case({}, transport="persite"),
    "persitemay": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": "454 4.7.0 no"}, transport="persitemay"),
    "persitemust": Case({}, transport="persitemust"),
    "persitenopeer": Case({}, transport="persitenopeer"),
    "persitebad": Case({}, transport="persitebad"),
    "persitenone": Case({"EHLO": _offer("STARTTLS")}, transport="persitenone"),
    "persiteother": Case({"EHLO": _offer("STARTTLS"), "STARTTLS": "454 4.7.0 no"}, transport="persiteother"),
    # connections that are kept
    "kept": Case({}, transport="keeping", times=3),
    "keptcount": Case({}, transport="keepingtwo", times=3),
    "keptmixed": Case({"RCPT": ("550 5.1.1 no", "250 2.1.5 Ok")}, transport="keeping", times=3),
    "keptrefused": Case({"MAIL": ("550 5.1.1 no", "250 2.1.5 Ok")}, transport="keeping", times=2),
    "keptdot5": Case({"DOT": "554 5.7.1 no"}, transport="keeping", times=2),
    "keptclose": Case({"DOT": ("250 Ok", CLOSE, "250 Ok")}, transport="keeping", times=3),
    "keptnopipe": Case({"EHLO": _offer("DSN")}, transport="keeping", times=2),
    "kept3": Case({"DOT": "354 what"}, transport="keeping", times=2),
    "keptlmtp": Case({"LHLO": _offer("PIPELINING")}, TRIPLE, transport="keepinglmtp", times=2),
    # LMTP
    "lmtpsuccess": Case({"LHLO": _offer("PIPELINING")}, transport="lmtp", rcpt=" NOTIFY=SUCCESS"),
    "lmtpfinal": Case({"LHLO": _offer("PIPELINING")}, transport="finallmtp", rcpt=" NOTIFY=SUCCESS"),
    "lmtpfinaldsn": Case({"LHLO": _offer("DSN")}, transport="finallmtp", rcpt=" NOTIFY=SUCCESS"),
    "lmtpnames": Case({"LHLO": _offer("PIPELINING", "DSN")}, transport="nameslmtp"),
    "lmtpslow": Case({"LHLO": NOTHING}, transport="nameslmtp"),
    "lmtpauth": Case({"LHLO": _offer("AUTH PLAIN")}, transport="authlmtp"),
    "lmtpgarbage": Case({"LHLO": _offer("PIPELINING"), "MAIL": "what\n250 ok"}, transport="lmtp"),
    "lmtpehlo": Case({"LHLO": "250 host.pair.test"}, transport="lmtp"),
    "lmtppix": Case({"LHLO": _offer("PIPELINING"), "greeting": "220 ***"}, transport="lmtp"),
    "lmtpline": Case({"LHLO": _offer("PIPELINING")}, content="Subject: x\n\n" + "a" * 3000 + "\n", transport="lmtp"),
    "lmtpeight": Case({"LHLO": _offer("PIPELINING")}, mail=" BODY=8BITMIME", content=EIGHT_BIT, transport="lmtp"),
    "lmtpdotclose": Case({"LHLO": _offer("PIPELINING"), "DOT": CLOSE}, TRIPLE, transport="lmtp"),
    "lmtpnorcpt": Case(
        {"LHLO": _offer("PIPELINING"), "RCPT": "550 5.1.1 no", "DATA": "503 5.5.1 no"}, transport="lmtp"
    ),
    "lmtpnorcpt354": Case({"LHLO": _offer("PIPELINING"), "RCPT": "550 5.1.1 no"}, transport="lmtp"),
    "lmtp": Case({"LHLO": _offer("PIPELINING")}, TRIPLE, transport="lmtp"),
    "lmtpmixed": Case(
        {"LHLO": _offer("PIPELINING"), "DOT": ("250 2.0.0 Ok", "450 4.2.2 full", "550 5.2.2 full")},
        TRIPLE,
        transport="lmtp",
    ),
    "lmtpnopipe": Case(
        {"LHLO": _offer("DSN"), "DOT": ("250 2.0.0 Ok", "450 4.2.2 full", "550 5.2.2 full")}, TRIPLE, transport="lmtp"
    ),
    "lmtprcpt": Case(
        {"LHLO": _offer("PIPELINING"), "RCPT": ("250 Ok", "550 5.1.1 no"), "DOT": ("250 2.0.0 Ok",)},
        TRIPLE,
        transport="lmtp",
    ),
    "lmtpclose": Case({"LHLO": _offer("PIPELINING"), "DOT": ("250 2.0.0 Ok", CLOSE)}, TRIPLE, transport="lmtp"),
    "lmtp421": Case(
        {"LHLO": _offer("PIPELINING"), "DOT": ("250 2.0.0 Ok", "421 4.3.2 bye" + CLOSE)}, TRIPLE, transport="lmtp"
    ),
    "lmtplhlo5": Case({"LHLO": "502 5.5.1 what"}, transport="lmtp"),
    "lmtplhlo4": Case({"LHLO": "452 4.5.1 what"}, transport="lmtp"),
    "lmtpgreet": Case({"LHLO": _offer("PIPELINING"), "greeting": "421 4.3.2 busy"}, transport="lmtp"),
    "lmtpdata5": Case({"LHLO": _offer("PIPELINING"), "DATA": "554 5.3.0 never"}, TRIPLE, transport="lmtp"),
}

TRANSPORTS = {
    "hard": "smtp -o smtp_skip_5xx_greeting=no",
    "quick": "smtp -o smtp_helo_timeout=1 -o smtp_mail_timeout=1 -o smtp_rcpt_timeout=1"
    " -o smtp_data_init_timeout=1 -o smtp_data_done_timeout=1",
    "shy": "smtp -o smtp_always_send_ehlo=no",
    "never": "smtp -o smtp_never_send_ehlo=yes",
    "discarding": "smtp -o smtp_discard_ehlo_keywords=dsn,silent-discard,8bitmime",
    "discardmaps": "smtp -o smtp_discard_ehlo_keyword_address_maps=inline:{{127.0.0.1=dsn,pipelining}}",
    "wait": "smtp -o smtp_skip_quit_response=no -o smtp_quit_timeout=1",
    "unquoted": "smtp -o smtp_quote_rfc821_envelope=no",
    "short": "smtp -o smtp_line_length_limit=80",
    "dummyauth": "smtp -o smtp_send_dummy_mail_auth=yes",
    "dummyauthlogin": "smtp -o smtp_send_dummy_mail_auth=yes -o smtp_sasl_auth_enable=yes"
    " -o smtp_sasl_password_maps=static:joe:secret -o smtp_sasl_security_options=noanonymous",
    "named": "smtp -o smtp_helo_name=other.test",
    "bound": "smtp -o smtp_bind_address=127.0.0.9",
    "badbound": "smtp -o smtp_bind_address=192.0.2.9",
    "badboundhard": "smtp -o smtp_bind_address=192.0.2.9 -o smtp_bind_address_enforce=yes",
    "pixmaps": "smtp -o smtp_pix_workaround_maps=inline:{127.0.0.1=delay_dotcrlf}"
    " -o smtp_pix_workaround_threshold_time=0 -o smtp_pix_workaround_delay_time=1",
    "pixmapsoff": "smtp -o smtp_pix_workaround_maps=inline:{127.0.0.1=}",
    "pixdelay": "smtp -o smtp_pix_workaround_threshold_time=0 -o smtp_pix_workaround_delay_time=1",
    "pixbad": "smtp -o smtp_pix_workarounds=disable_esmtp,nonsense",
    "keeping": "smtp -o smtp_connection_cache_destinations=static:all -o smtp_connection_cache_time_limit=300",
    "keepingtwo": "smtp -o smtp_connection_cache_destinations=static:all -o smtp_connection_cache_time_limit=300"
    " -o smtp_connection_reuse_count_limit=2",
    "keepinglmtp": "lmtp -o lmtp_connection_cache_destinations=static:all -o lmtp_connection_cache_time_limit=300",
    "generic": "smtp -o smtp_generic_maps=inline:{{gen@from.test=out@ext.test},{@generic.test=@ext.test}}",
    "filtering": "smtp -o smtp_reply_filter=pcre:@folder@/etc/replies",
    "checks": "smtp -o smtp_header_checks=pcre:@folder@/etc/head -o smtp_mime_header_checks=pcre:@folder@/etc/mime"
    " -o smtp_nested_header_checks=pcre:@folder@/etc/nest -o smtp_body_checks=pcre:@folder@/etc/body",
    "checksbody": "smtp -o smtp_body_checks=pcre:@folder@/etc/body",
    "checkshead": "smtp -o smtp_header_checks=pcre:@folder@/etc/head",
    "checksnested": "smtp -o smtp_nested_header_checks=pcre:@folder@/etc/nest",
    "checksfail": "smtp -o smtp_header_checks=fail:x",
    "checksfailbody": "smtp -o smtp_body_checks=fail:x",
    "checkslmtp": "lmtp -o lmtp_header_checks=pcre:@folder@/etc/head -o lmtp_mime_header_checks=pcre:@folder@/etc/mime"
    " -o lmtp_nested_header_checks=pcre:@folder@/etc/nest -o lmtp_body_checks=pcre:@folder@/etc/body",
    "status": "smtp -o smtp_delivery_status_filter=pcre:@folder@/etc/status",
    "auth": "smtp -o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:secret"
    " -o smtp_sasl_security_options=noanonymous",
    "authhard": "smtp -o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:secret"
    " -o smtp_sasl_security_options=noanonymous -o smtp_sasl_auth_soft_bounce=no",
    "authfilter": "smtp -o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:secret"
    " -o smtp_sasl_security_options=noanonymous -o smtp_sasl_mechanism_filter=!plain,!login,static:all",
    "authnoplain": "smtp -o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:secret"
    " -o smtp_sasl_security_options=noanonymous,noplaintext",
    "authsender": "smtp -o smtp_sasl_auth_enable=yes -o smtp_sender_dependent_authentication=yes"
    " -o smtp_sasl_password_maps=inline:{{own@from.test=own:secret}} -o smtp_sasl_security_options=noanonymous",
    "authcache4": "smtp -o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:secret4"
    " -o smtp_sasl_security_options=noanonymous -o smtp_sasl_auth_cache_name=proxy:btree:@folder@/data/sasl",
    "authcache5": "smtp -o smtp_sasl_auth_enable=yes -o smtp_sasl_password_maps=static:joe:secret5"
    " -o smtp_sasl_security_options=noanonymous -o smtp_sasl_auth_cache_name=proxy:btree:@folder@/data/sasl",
    "policybad": "smtp -o smtp_tls_policy_maps=static:nonsense",
    "persite": "smtp -o smtp_tls_security_level= -o smtp_tls_per_site=static:MUST",
    "persitemay": "smtp -o smtp_tls_security_level= -o smtp_tls_per_site=inline:{127.0.0.1=MAY}",
    "persitemust": "smtp -o smtp_tls_security_level= -o smtp_tls_per_site=inline:{127.0.0.1=MUST}",
    "persitenopeer": "smtp -o smtp_tls_security_level= -o smtp_tls_per_site=inline:{127.0.0.1=must_nopeermatch}",
    "persitebad": "smtp -o smtp_tls_security_level= -o smtp_tls_per_site=inline:{127.0.0.1=nonsense}",
    "persitenone": "smtp -o smtp_use_tls=yes -o smtp_tls_security_level= -o smtp_tls_per_site=inline:{127.0.0.1=NONE}",
    "persiteother": "smtp -o smtp_use_tls=yes -o smtp_tls_security_level= -o smtp_tls_per_site=inline:{x=NONE}",
    "finallmtp": "lmtp -o lmtp_assume_final=yes",
    "nameslmtp": "lmtp -o lmtp_lhlo_name=lhlo.test -o lmtp_lhlo_timeout=1 -o lmtp_discard_lhlo_keywords=dsn",
    "authlmtp": "lmtp -o lmtp_sasl_auth_enable=yes -o lmtp_sasl_password_maps=static:joe:secret"
    " -o lmtp_sasl_security_options=noanonymous",
    "encrypt": "smtp -o smtp_tls_security_level=encrypt",
    "may": "smtp -o smtp_tls_security_level=may",
    "note": "smtp -o smtp_tls_note_starttls_offer=yes",
    "policy": "smtp -o smtp_tls_policy_maps=static:encrypt",
}
