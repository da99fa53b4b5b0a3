"""The mbox format by bytes: where messages begin, what their Status fields say, how one is written.

    mbox    = *( From_ header LF body LF )         an empty line ends each message
    From_   = "From " sender SP date LF            at the start, or after a line end, with a date in it

"From " at the start of a line of a body is written ">From ", and ">From " as ">>From ", and read back
likewise (so what Postfix and others quoted is unquoted, and content comes back octet by octet).
Content-Length is not believed. Status, X-Status, X-Keywords, X-UID, X-IMAP and X-IMAPbase belong to
the mailbox: they are not part of the content, and a message that brings them in loses them.

Standards: RFC 4155 (mbox), with the status fields of mail(1), elm and pine.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

from posthouse.mailbox.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, is_keyword

# A From_ line: sender and date are far shorter.
LINE_LIMIT = 1000
# Of a header no more is looked at for Status fields and for telling messages apart.
HEADER_LIMIT = 1 << 20

# asctime's time and year somewhere in the line: "Mon Jan  1 00:00:00 2024", with or without seconds and zone.
_TIME = re.compile(rb" \d{1,2}:\d{2}(?::\d{2})? ")
_YEAR = re.compile(rb" (?:19|20)\d{2}(?:[ \r\n]|\Z)")

_OURS = re.compile(
    rb"^(status|x-status|x-keywords|x-uid|x-imap|x-imapbase)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)
_UNQUOTE = re.compile(rb"^>(>*From )", re.MULTILINE)
_STATUS_LETTERS = {ord("A"): ANSWERED, ord("F"): FLAGGED, ord("D"): DELETED, ord("T"): DRAFT}


@dataclass(frozen=True, slots=True)
class Found:
    """One message in the file: the octets [start, end) with its From_ line and the empty line after it."""

    start: int
    content: int
    """After the From_ line."""
    end: int
    digest: str
    """Of From_ line, header without Status fields, and length of body: who it is, whatever its flags."""
    status: str
    """Status, X-Status and X-Keywords as they stand there, with "/" between."""
    internal: bool
    """The folder's own data (pine, UW imapd): no message to show."""


def messages_of(data: bytes | mmap, start: int = 0) -> Iterator[Found]:
    """The messages from `start` on, where one begins (or white space and then one)."""
    size = len(data)
    while start < size and data[start] in b"\r\n":
        start += 1
    if start >= size or not is_from_line(data, start):
        return
    while start < size:
        following = next_from_line(data, start + 5)
        yield _found(data, start, following)
        start = following


def next_from_line(data: bytes | mmap, position: int) -> int:
    """Where the next message begins; the end when there is none."""
    while True:
        found = data.find(b"\nFrom ", position)
        if found < 0:
            return len(data)
        if is_from_line(data, found + 1):
            return found + 1
        position = found + 1


def is_from_line(data: bytes | mmap, position: int) -> bool:
    """Whether a From_ line stands there."""
    line = data[position : position + LINE_LIMIT].partition(b"\n")[0]
    return line.startswith(b"From ") and _TIME.search(line) is not None and _YEAR.search(line) is not None


def _found(data: bytes | mmap, start: int, end: int) -> Found:
    line_end = data.find(b"\n", start, end)
    content = end if line_end < 0 else line_end + 1
    blank = header_stop(data, content, end)
    header = data[content : min(blank, content + HEADER_LIMIT)]
    status: dict[bytes, bytes] = {}
    for match in _OURS.finditer(header):
        status.setdefault(match[1].lower(), match[2].strip())
    digest = hashlib.sha256(data[start:content])
    digest.update(_OURS.sub(b"", header).replace(b"\r\n", b"\n"))
    digest.update(b"%d" % (_without_empty_lines(data, blank, end) - blank))
    words = [status.get(name, b"").decode("latin-1") for name in (b"status", b"x-status", b"x-keywords")]
    internal = b"x-imap" in status and start == 0
    return Found(start, content, end, digest.hexdigest()[:32], "/".join(words), internal)


def _without_empty_lines(data: bytes | mmap, start: int, end: int) -> int:
    """Before the line ends at the end: another program may add one before it appends."""
    while end > start and data[end - 1] in b"\r\n":
        end -= 1
    return end


def header_stop(data: bytes | mmap, content: int, end: int) -> int:
    """Where the fields of a header end: at its empty line, or the message's end."""
    if data[content : content + 1] == b"\n" or data[content : content + 2] == b"\r\n":
        return content
    stops = [
        found + 1 for found in (data.find(b"\n\n", content, end), data.find(b"\n\r\n", content, end)) if found >= 0
    ]
    return min(stops, default=end)


def raw_content(data: bytes | mmap, found: Found) -> bytes:
    """A message as it was put in: no Status fields, nothing quoted, line ends as on disk."""
    return unwrap(data[found.content : found.end])


def unwrap(raw: bytes) -> bytes:
    """The octets after the From_ line to the next, as content."""
    if raw.endswith(b"\r\n\r\n"):
        raw = raw[:-2]
    elif raw.endswith(b"\n\n") or raw == b"\n":
        raw = raw[:-1]
    blank = header_stop(raw, 0, len(raw))
    header = _OURS.sub(b"", raw[:blank])
    body = raw[blank:]
    return header + (_UNQUOTE.sub(rb"\1", body) if b">From " in body else body)


def wrap(content: bytes, sender: str, date: float) -> bytes:
    """A message with LF line ends as it is appended: From_ line, quoted, an empty line at the end."""
    line = f"From {sender.replace(' ', '_') or 'MAILER-DAEMON'}  {time.asctime(time.localtime(date))}\n"
    blank = header_stop(content, 0, len(content))
    header = _OURS.sub(b"", content[:blank])
    body = content[blank:]
    if b"From " in content:
        body = _QUOTE.sub(rb">\1", body)
        header = _QUOTE.sub(rb">\1", header)  # no field; but a line of a header must not begin a message either
    text = header + body
    if text and not text.endswith(b"\n"):
        text += b"\n"
    return line.encode("utf-8", "surrogateescape") + text + b"\n"


def read_status(status: str) -> tuple[int, str]:
    """Bits and keywords of a Found.status."""
    plain, other, words = (status.split("/", 2) + ["", ""])[:3]
    bits = SEEN if "R" in plain else 0
    for letter in other.encode("latin-1", "replace"):
        bits |= _STATUS_LETTERS.get(letter, 0)
    return bits, " ".join(sorted({word for word in words.split() if is_keyword(word)}, key=str.lower))


def write_status(bits: int, keywords: str) -> str:
    """The Found.status of flags; "O" says that a session has seen that it is there."""
    other = "".join(chr(letter) for letter, bit in _STATUS_LETTERS.items() if bits & bit)
    return f"{'RO' if bits & SEEN else 'O'}/{other}/{keywords}"


def with_status(raw: bytes, status: str) -> bytes:
    """A whole message (From_ line and all) with its Status fields replaced."""
    content = raw.find(b"\n") + 1
    blank = header_stop(raw, content, len(raw))
    header = _OURS.sub(b"", raw[content:blank])
    end = b"\r\n" if header.endswith(b"\r\n") else b"\n"
    if header and not header.endswith(b"\n"):
        header += end
    names = (b"Status", b"X-Status", b"X-Keywords")
    for name, value in zip(names, status.split("/", 2), strict=True):
        if value:
            header += name + b": " + value.encode("latin-1", "replace") + end
    return raw[:content] + header + raw[blank:]
