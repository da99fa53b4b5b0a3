"""The sending half of mail(1): collect a text, make a message of it, hand it to our sendmail.

Standards: RFC 5322 section 3.6; RFC 2047 (encoded words in Subject); RFC 2045 (8bit text).
"""

import base64
import io
import os
import subprocess
import sys
import tempfile

ESCAPES = """\
~b addresses  add to Bcc          ~q  give up (the text goes to ~/dead.letter)
~c addresses  add to Cc           ~r file  read a file into the text
~d            read ~/dead.letter  ~s subject  set the subject
~e            edit the text       ~t addresses  add to To
~p            show the message    ~w file  write the text to a file
~x            give up, save nothing  ~~ text  a line that starts with ~
~.            end of the message"""


ADDRESS_FIELDS = frozenset({"from", "reply-to", "sender", "to", "cc", "bcc"})
"""Fields in which only names are encoded."""


class Draft:
    """The message as it is being written."""

    def __init__(self, to: list[str]) -> None:
        self.to = list(to)
        self.cc: list[str] = []
        self.bcc: list[str] = []
        self.subject: str | None = None
        self.fields: list[str] = []
        self.sender = ""
        self.lines: list[str] = []

    def header(self) -> bytes:
        """To, Cc, Subject and what -a gave; MIME fields when the text needs them. Lines end in LF."""
        body = "".join(self.lines)
        out = [f"To: {', '.join(encoded_address(one) for one in self.to)}"]
        if self.cc:
            out.append(f"Cc: {', '.join(encoded_address(one) for one in self.cc)}")
        if self.subject:
            out.append(f"Subject: {encoded_text(self.subject)}")
        names = {field.partition(":")[0].strip().lower() for field in self.fields}
        if not body.isascii() and "content-type" not in names:
            out += [
                "MIME-Version: 1.0",
                f"Content-Type: text/plain; charset={charset_of(body)}",
                "Content-Transfer-Encoding: 8bit",
            ]
        out += [field_text(field) for field in self.fields]
        return ("\n".join(out) + "\n\n").encode("utf-8", "surrogateescape")

    def content(self) -> bytes:
        """Header and text."""
        return self.header() + "".join(self.lines).encode("utf-8", "surrogateescape")


def encoded_text(text: str) -> str:
    """RFC 2047 section 2: an unstructured field's text, in encoded words of at most 75 characters where it must be."""
    text = " ".join(text.splitlines())
    if text.isascii():
        return text
    words: list[str] = []
    chunk = ""
    for character in text:
        if len((chunk + character).encode("utf-8", "replace")) > 45:  # 45 octets are 60 of base64
            words.append(chunk)
            chunk = ""
        chunk += character
    words.append(chunk)
    encoded = [base64.b64encode(word.encode("utf-8", "replace")).decode() for word in words]
    return "\n ".join(f"=?UTF-8?B?{word}?=" for word in encoded)


def encoded_address(text: str) -> str:
    """An address as given, on one line, with the name before it encoded where it must be."""
    text = " ".join(text.split())
    name, bracket, rest = text.rpartition("<")
    if not bracket or name.isascii():
        return text
    return f"{encoded_text(name.strip().strip(chr(34)))} <{rest}"


def field_text(field: str) -> str:
    """What -a gave as a field: further lines become its continuation, so that they end neither it nor the header."""
    name, _, value = field.partition(":")
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    if name.strip().lower() in ADDRESS_FIELDS:
        lines = [", ".join(encoded_address(one) for one in " ".join(lines).split(","))]
    return f"{name.strip()}: " + "\n ".join(encoded_text(line) for line in lines)


def charset_of(body: str) -> str:
    """utf-8; unknown-8bit (RFC 1428) for bytes that are none."""
    try:
        body.encode("utf-8")
    except UnicodeEncodeError:
        return "unknown-8bit"
    return "utf-8"


def private(path: str, flags: int) -> int:
    """Opener of files that hold mail: for their owner only."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def addresses(text: str) -> list[str]:
    """A list typed by a person: commas or blanks between."""
    if "<" in text or '"' in text:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text.replace(",", " ").split()


def send(options: list[tuple[str, str]], words: list[str]) -> int:
    """Send; returns the exit status."""
    draft = Draft(words)
    only_full = verbose = False
    for name, value in options:
        match name:
            case "-s":
                draft.subject = value
            case "-c":
                draft.cc += addresses(value)
            case "-b":
                draft.bcc += addresses(value)
            case "-a":
                if ":" not in value:
                    print(f"mail: -a {value}: a header field (Name: text) is expected", file=sys.stderr)
                    return 1
                draft.fields.append(value)
            case "-r":
                draft.sender = value
            case "-E":
                only_full = True
            case "-v":
                verbose = True
    if sys.stdin.isatty():
        if not typed(draft):
            return 1
    else:
        draft.lines = [sys.stdin.buffer.read().decode("utf-8", "surrogateescape")]
    text = "".join(draft.lines)
    if not text:
        if only_full:
            return 0
        print("Null message body; hope that's ok", file=sys.stderr)
    elif not text.endswith("\n"):
        draft.lines.append("\n")
    return hand_over(draft, verbose=verbose)


def typed(draft: Draft) -> bool:
    """Ask for the subject and the text at a terminal; False when the writer gave up."""
    interrupted = False
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is typed need not be in the terminal's charset
    try:
        if draft.subject is None:
            draft.subject = input("Subject: ")
    except EOFError:
        print()
    except KeyboardInterrupt:
        print()
        return False
    while True:
        try:
            line = input()
            interrupted = False
            if line == ".":
                break
            if not line.startswith("~"):
                draft.lines.append(line + "\n")
                continue
            said = escape(draft, line)
            if said is None:
                break
            if not said:
                return False
        except EOFError:
            break
        except KeyboardInterrupt:
            if interrupted:
                save_dead_letter(draft)
                return False
            interrupted = True
            print("\n(Interrupt -- one more to kill letter)")
    print("EOT")
    return True


def escape(draft: Draft, line: str) -> bool | None:
    """One tilde escape: True goes on, None ends the text, False gives up."""
    letter, rest = line[1:2], line[2:].strip()
    match letter:
        case "~":
            draft.lines.append(line[1:] + "\n")
        case ".":
            return None
        case "q" | "x":
            if letter == "q":
                save_dead_letter(draft)
            return False
        case "s":
            draft.subject = rest
        case "t":
            draft.to += addresses(rest)
        case "c":
            draft.cc += addresses(rest)
        case "b":
            draft.bcc += addresses(rest)
        case "p":
            print("-------\nMessage contains:")
            sys.stdout.write(draft.content().decode("utf-8", "replace"))
            print("(continue)")
        case "r" | "d":
            path = os.path.expanduser(rest if letter == "r" else "~/dead.letter")
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    text = file.read()
            except OSError as error:
                print(f"{path}: {error.strerror}")
            else:
                draft.lines.append(text)
                print(f'"{path}" {text.count(chr(10))}/{len(text)}')
        case "w":
            try:
                with open(os.path.expanduser(rest), "w", encoding="utf-8", errors="surrogateescape") as file:
                    file.write("".join(draft.lines))
            except OSError as error:
                print(f"{rest}: {error.strerror}")
        case "e" | "v":
            edit(draft)
        case _:
            print(ESCAPES)
    return True


def edit(draft: Draft) -> None:
    """The text in $VISUAL or $EDITOR."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.NamedTemporaryFile("w+", suffix=".txt", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(draft.lines))
        file.flush()
        subprocess.run([*editor.split(), file.name], check=False)
        with open(file.name, encoding="utf-8", errors="surrogateescape") as edited:
            draft.lines = [edited.read()]
    print("(continue)")


def save_dead_letter(draft: Draft) -> None:
    """What was written so far must not be lost."""
    if not "".join(draft.lines):
        return
    try:
        with open(os.path.expanduser("~/dead.letter"), "ab", opener=private) as file:
            file.write(draft.content())
    except OSError as error:
        print(f"mail: dead.letter: {error.strerror}", file=sys.stderr)


def hand_over(draft: Draft, *, verbose: bool = False) -> int:
    """Give it to our own sendmail, whatever sendmail_path says: that may be another program."""
    from posthouse.address.address_list import addresses as in_field
    from posthouse.commands import sendmail
    from posthouse.host.durable import write_all

    recipients: list[str] = []
    for entry in (*draft.to, *draft.cc, *draft.bcc):
        recipients += in_field(entry) or [entry]
    descriptor = os.memfd_create("message", os.MFD_CLOEXEC)
    write_all(descriptor, draft.content())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    arguments = ["-i", *(["-f", draft.sender] if draft.sender else []), *(["-v"] if verbose else []), "--", *recipients]
    status = sendmail.main(arguments)
    if status != 0:
        save_dead_letter(draft)
        print("mail: the message was not sent; it is in ~/dead.letter", file=sys.stderr)
        return 1
    return 0
