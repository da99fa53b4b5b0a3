"""smtp-sink's command line."""

import getopt
import os
import pwd
import random
import re
import socket
import sys
import time
from dataclasses import dataclass, field

PROGRAM = "smtp-sink"

USAGE = (
    "usage: smtp-sink [-468acCeEFLpPv] [-A abort_delay] [-b soft_bounce_reply] [-B hard_bounce_reply]"
    " [-d dump-template] [-D dump-template] [-f commands] [-h hostname] [-m max_concurrency] [-M message_quit_count]"
    " [-n quit_count] [-q commands] [-r commands] [-R root-dir] [-s commands] [-S start-string] [-u user_privs]"
    " [-w delay] [host]:port backlog"
)

VERBS = frozenset(
    {"EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "QUIT", "AUTH", "XCLIENT", "XFORWARD"}
)
NAMED = VERBS | {"CONNECT", "."}
"""What -f, -r, -q, -Q, -s and -W may name."""

_REPLY = re.compile(r"[2345][0-9]{2} .*")
_ESCAPE = re.compile(r"\\([abfnrtv\\]|[0-7]{1,3})")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


class Fatal(Exception):
    """The program ends."""


def say(text: str) -> None:
    """A line to standard error."""
    sys.stderr.buffer.write(f"{PROGRAM}: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Sink:
    """What the server is to be like."""

    target: str
    backlog: int
    family: int
    hostname: str
    esmtp: bool
    pix: bool
    lmtp: bool
    counter: bool
    verbose: bool
    verbs: frozenset[str]
    capabilities: bytes
    soft: frozenset[str]
    hard: frozenset[str]
    disconnects: frozenset[str]
    shuts: frozenset[str]
    logged: frozenset[str]
    soft_reply: str
    hard_reply: str
    abort: float | None
    """-A: seconds after DATA."""
    data_read_delay: float
    delays: dict[str, tuple[float, int]] = field(default_factory=dict)
    concurrency: int = 256
    quit_messages: int = 0
    quit_sessions: int = 0
    timeout: float = 100
    window: int = 0
    root: str = ""
    identity: tuple[int, int, list[int]] | None = None
    one_file_each: str = ""
    all_in_one: str = ""
    start: str = ""

    @property
    def keeps(self) -> bool:
        """Whether mail is kept at all."""
        return bool(self.one_file_each or self.all_in_one)

    def delay_of(self, verb: str) -> float:
        """Seconds to wait before this command; with odds, a multiple that a dice gives."""
        found = self.delays.get(verb)
        if found is None:
            return 0
        seconds, odds = found
        rolls = 1
        while random.randrange(100) < odds:  # noqa: S311
            rolls += 1
        return seconds * rolls

    def store(self, text: bytes, number: str) -> None:
        """Write a message to its file, or to the common one."""
        path = time.strftime(self.one_file_each or self.all_in_one)
        if self.one_file_each:
            path += number
        folder = os.path.dirname(path)
        try:
            if folder:
                os.makedirs(folder, exist_ok=True)
            with open(path, "xb" if self.one_file_each else "ab") as file:
                file.write(text)
        except OSError as error:
            raise Fatal(f"open {path}: {error.strerror}") from error

    def log(self, text: str) -> None:
        """-s: to syslog."""
        from posthouse.host.log import SyslogSink

        SyslogSink("mail").write(PROGRAM, "info", text, os.getpid())


def parse_options(arguments: list[str]) -> Sink:
    """Raises Fatal."""
    try:
        options, words = getopt.getopt(arguments, "468aA:b:B:cCd:D:eEf:Fh:H:Ln:m:M:NpPq:Q:r:R:s:S:t:T:u:vw:W:")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        say(f"{kind} -- '{error.opt}'")
        raise Fatal(USAGE) from error
    chosen = dict(options)
    sets = {option: _commands(options, option) for option in ("-f", "-r", "-q", "-Q", "-s")}
    numbers = {
        option: _number(chosen, option, complaint)
        for option, complaint in (
            ("-m", "bad concurrency limit"),
            ("-M", "bad message quit count"),
            ("-n", "bad quit count"),
            ("-t", "bad timeout"),
            ("-T", "bad TCP window size"),
        )
    }
    soft = _bounce(chosen.get("-b", "450 4.3.0 Error: command failed"), "4", "soft")
    hard = _bounce(chosen.get("-B", "500 5.3.0 Error: command failed"), "5", "hard")
    delays = _delays(options)
    if len(words) != 2 or not words[1].isdigit() or int(words[1]) < 1:
        raise Fatal(USAGE)
    if os.geteuid() == 0 and "-u" not in chosen:
        raise Fatal("-u option is required if running as root")
    pix, lmtp = "-P" in chosen, "-L" in chosen
    esmtp = "-e" not in chosen and not pix
    hostname = chosen.get("-h", "smtp-sink")
    unknown = {"LHLO"} if not lmtp else {"EHLO", "HELO"}
    if not esmtp and not lmtp:
        unknown |= {"EHLO"}
    unknown |= {"XCLIENT"} if "-C" in chosen else set()
    unknown |= {"XFORWARD"} if "-F" in chosen else set()
    families = {"-4": socket.AF_INET, "-6": socket.AF_INET6}
    wanted = [families[option] for option, _ in options if option in families]
    return Sink(
        target=words[0],
        backlog=int(words[1]),
        family=wanted[-1] if wanted else socket.AF_UNSPEC,
        hostname=hostname,
        esmtp=esmtp,
        pix=pix,
        lmtp=lmtp,
        counter="-c" in chosen,
        verbose="-v" in chosen,
        verbs=VERBS - unknown,
        capabilities=_capabilities(chosen, hostname, pipelining=not sets["-f"] and not sets["-r"]),
        soft=sets["-r"],
        hard=sets["-f"],
        disconnects=sets["-q"],
        shuts=sets["-Q"],
        logged=sets["-s"],
        soft_reply=soft,
        hard_reply=hard,
        abort=float(_seconds(chosen["-A"], "bad abort delay")) if "-A" in chosen else None,
        data_read_delay=_seconds(chosen.get("-H", "0"), "bad data read delay"),
        delays=delays,
        concurrency=numbers["-m"] or 256,
        quit_messages=numbers["-M"],
        quit_sessions=numbers["-n"],
        timeout=numbers["-t"] or 100,
        window=numbers["-T"],
        root=chosen.get("-R", ""),
        identity=_identity(chosen["-u"]) if "-u" in chosen else None,
        one_file_each=chosen.get("-d", ""),
        all_in_one=chosen.get("-D", ""),
        start=_ESCAPE.sub(_unescape, chosen.get("-S", "")),
    )


def _commands(options: list[tuple[str, str]], wanted: str) -> frozenset[str]:
    found = set()
    for option, value in options:
        if option == wanted:
            for word in value.replace(",", " ").split():
                if word.upper() not in NAMED:
                    raise Fatal(f"unknown command: {word}")
                found.add(word.upper())
    return frozenset(found)


def _number(chosen: dict[str, str], option: str, complaint: str) -> int:
    value = chosen.get(option)
    if value is None:
        return 0
    if not value.isdigit() or int(value) < 1:
        raise Fatal(f"{complaint}: {value}")
    return int(value)


def _seconds(value: str, complaint: str) -> float:
    if not value.isdigit():
        raise Fatal(f"{complaint}: {value}")
    return float(value)


def _bounce(text: str, digit: str, name: str) -> str:
    if not _REPLY.fullmatch(text) or text[0] != digit:
        say(f"error: bad {name} error reply: {text}")
        raise Fatal(USAGE)
    return text


def _delays(options: list[tuple[str, str]]) -> dict[str, tuple[float, int]]:
    found: dict[str, tuple[float, int]] = {}
    for option, value in options:
        if option == "-w":
            if not value.isdigit() or int(value) < 1:
                raise Fatal(USAGE)
            found["DATA"] = (float(value), 0)
        elif option == "-W":
            command, *rest = value.split(":")
            numbers = [part for part in rest if part.isdigit()]
            if not 1 <= len(rest) <= 2 or len(numbers) != len(rest) or (len(rest) == 2 and not 0 < int(rest[1]) < 100):
                raise Fatal(f"invalid command delay argument: {value}")
            if command.upper() not in NAMED:
                raise Fatal(f"unknown command: {command}")
            found[command.upper()] = (float(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 0)
    return found


def _capabilities(chosen: dict[str, str], hostname: str, *, pipelining: bool) -> bytes:
    lines = [hostname]
    for keyword, hidden in (
        ("PIPELINING", "-p"),
        ("8BITMIME", "-8"),
        ("AUTH PLAIN LOGIN", "-a"),
        ("XCLIENT NAME HELO", "-C"),
        ("XFORWARD NAME ADDR PROTO HELO", "-F"),
        ("ENHANCEDSTATUSCODES", "-E"),
        ("DSN", "-N"),
    ):
        if hidden not in chosen and (pipelining or keyword != "PIPELINING"):
            lines.append(keyword)
    return "".join(f"250-{line}\r\n" for line in lines).encode() + b"250 \r\n"


def _identity(name: str) -> tuple[int, int, list[int]]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise Fatal(f"unknown user: {name}") from error
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(name, entry.pw_gid)


def _unescape(found: re.Match[str]) -> str:
    text = found[1]
    return _ESCAPES.get(text) or chr(int(text, 8) & 0xFF)
