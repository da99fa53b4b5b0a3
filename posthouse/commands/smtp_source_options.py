"""smtp-source's command line: what is to be sent, and how."""

import getopt
import socket
import sys
from dataclasses import dataclass

PROGRAM = "smtp-source"

USAGE = (
    "usage: smtp-source -cdLNov -s sess -l msglen -m msgs -C count -M myhostname -f from -t to"
    " -r rcptcount -R delay -w delay host[:port]"
)

LINE = 80
"""Bytes in a line of a message of a given length."""


class Fatal(Exception):
    """The program ends."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be sent, and how."""

    target: str
    family: int
    hostname: str
    sender: str
    recipient: str
    subject: str
    payload: bytes
    preformatted: bool
    messages: int
    sessions: int
    recipients: int
    tries: int
    window: int
    fixed_delay: float
    random_delay: float
    lmtp: bool
    keep: bool
    """-d: the next message over the same connection."""
    go_on: bool
    """-A: a refusal is a warning."""
    numbered: bool
    bare: bool
    """-o: neither HELO nor header."""
    counter: bool
    verbose: bool


def say(text: str) -> None:
    """A line to standard error."""
    sys.stderr.buffer.write(f"{PROGRAM}: {text}\n".encode("utf-8", "surrogateescape"))
    sys.stderr.flush()


_NUMBERS = {
    "-C": ("bad connection count", 1),
    "-l": ("bad message length", 1),
    "-m": ("bad message count", 1),
    "-r": ("bad recipient count", 1),
    "-R": ("bad random delay", 1),
    "-s": ("bad session count", 1),
    "-T": ("bad TCP window size", 1),
    "-w": ("bad fixed delay", 1),
}


def parse_options(arguments: list[str]) -> Load:
    """The options and the words behind them. Raises Fatal."""
    try:
        options, words = getopt.getopt(arguments, "46AcC:df:F:l:Lm:M:Nor:R:s:S:t:T:vw:")
    except getopt.GetoptError as error:
        kind = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        say(f"{kind} -- '{error.opt}'")
        raise Fatal(USAGE) from error
    numbers: dict[str, int] = {}
    for option, value in options:
        if option in _NUMBERS:
            complaint, least = _NUMBERS[option]
            if not value.isdigit() or int(value) < least:
                raise Fatal(f"{complaint}: {value}")
            numbers[option] = int(value)
    chosen = dict(options)
    if "-w" in chosen and "-R" in chosen:
        raise Fatal("do not use -w and -R options at the same time")
    if len(words) != 1:
        raise Fatal(USAGE)
    hostname = chosen.get("-M") or socket.gethostname()
    families = {"-4": socket.AF_INET, "-6": socket.AF_INET6}
    wanted = [families[option] for option, _ in options if option in families]
    return Load(
        target=words[0],
        family=wanted[-1] if wanted else socket.AF_UNSPEC,
        hostname=hostname,
        sender=chosen.get("-f", f"foo@{hostname}").strip("<>"),
        recipient=chosen.get("-t", f"foo@{hostname}").strip("<>"),
        subject=chosen.get("-S", ""),
        payload=_payload(chosen.get("-F"), numbers.get("-l")),
        preformatted="-F" in chosen,
        messages=numbers.get("-m", 1),
        sessions=numbers.get("-s", 1),
        recipients=numbers.get("-r", 1),
        tries=numbers.get("-C", 1),
        window=numbers.get("-T", 0),
        fixed_delay=numbers.get("-w", 0),
        random_delay=numbers.get("-R", 0),
        lmtp="-L" in chosen,
        keep="-d" in chosen,
        go_on="-A" in chosen,
        numbered="-N" in chosen,
        bare="-o" in chosen,
        counter="-c" in chosen,
        verbose="-v" in chosen,
    )


def _payload(path: str | None, length: int | None) -> bytes:
    """What follows the header: a file's lines, so many bytes, or four lines."""
    if path is not None:
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError as error:
            raise Fatal(f"open {path}: {error.strerror}") from error
        # Postfix's program ends the text with an empty line of its own.
        lines = [b"." + line if line.startswith(b".") else line for line in (*text.split(b"\n"), b"")]
        if text.endswith(b"\n"):
            lines.pop()
        if text:
            return b"".join(line + b"\r\n" for line in lines)
    if length is None:
        return b"".join(b"La de da de da %d.\r\n" % number for number in range(1, 5))
    lines = []
    while length > LINE:
        lines.append(b"%d" % (len(lines) + 1))
        lines[-1] += b"X" * (LINE - 2 - len(lines[-1]))
        length -= LINE
    lines.append(b"X" * length)
    return b"".join(line + b"\r\n" for line in lines)
