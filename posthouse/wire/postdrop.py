"""What Postfix's sendmail writes to postdrop: a message as records, so that other programs' copies of it go on working.

A record is a type byte, a length in groups of seven bits (low first, the high bit says that
more follow) and the data. Envelope records come first, then M, content lines (N; L when a
line goes on), X, more recipients, E.
"""

from dataclasses import dataclass, field

from posthouse.envelope.envelope import Notify, Recipient
from posthouse.wire.intake import Submission
from posthouse.wire.xtext import encode_orcpt, encode_xtext

LENGTH_GROUPS = 5
"""Groups of seven bits: more is no length."""


class BadRecords(Exception):
    """The bytes are no message. The text is postdrop's."""


@dataclass(slots=True)
class Records:
    """A message being read."""

    sender: str | None = None
    full_name: str = ""
    verp: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    recipients: list[Recipient] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)
    _orcpt: str = ""
    _notify: Notify = Notify.NONE

    def envelope(self, kind: str, text: str) -> None:
        """One record before M or after X. Raises BadRecords."""
        if kind == "S" and self.sender is None:
            self.sender = text
        elif kind == "R" and self.sender is not None:
            self.recipients.append(Recipient(text, "", self._notify, self._orcpt))
            self._orcpt, self._notify = "", Notify.NONE
        elif kind == "F":
            self.full_name = text
        elif kind == "V":
            self.verp = text
        elif kind == "A":
            name, _, value = text.partition("=")
            if name == "dsn_orig_rcpt":
                self._orcpt = encode_orcpt(value)
            elif name == "notify_flags" and value.isascii() and value.isdigit():
                self._notify = Notify(int(value) & 15)
            else:
                self.attributes[name] = value
        else:
            raise BadRecords(f"unexpected record type: {ord(kind)}")

    def submission(self) -> Submission:
        """The envelope."""
        given = self.attributes
        return Submission(
            sender=self.sender or "",
            recipients=tuple(self.recipients),
            full_name=self.full_name,
            local_rewrite=given.get("rewrite_context") != "remote",
            body={"7bit": "7BIT", "8bit": "8BITMIME"}.get(given.get("encoding", ""), ""),
            ret={"1": "FULL", "2": "HDRS"}.get(given.get("ret_flags", ""), ""),
            envid=encode_xtext(given.get("envelope_id", "")),
            verp=self.verp,
        )


def parse_records(data: bytes) -> Records | None:
    """The message, or None when the input ended before it did: then there is nothing to do. Raises BadRecords."""
    records = Records()
    place = "envelope"
    position = 0
    while position < len(data):
        kind = chr(data[position])
        length, start = _length(data, position + 1)
        end = start + length
        if end > len(data):
            raise BadRecords("malformed input")
        text = data[start:end]
        position = end
        if place == "content":
            if kind == "N":
                records.content += (text, b"\r\n")
            elif kind == "L":
                records.content.append(text)
            elif kind == "X":
                place = "extracted"
            else:
                raise BadRecords(f"unexpected record type: {ord(kind)}")
        elif kind == "M" and place == "envelope" and records.sender is not None:
            place = "content"
        elif kind == "E" and place == "extracted":
            return records
        else:
            records.envelope(kind, text.decode("utf-8", "surrogateescape"))
    return None


def _length(data: bytes, position: int) -> tuple[int, int]:
    """(length, where the data starts)."""
    length = 0
    for group in range(LENGTH_GROUPS):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        length |= (byte & 0x7F) << (7 * group)
        if not byte & 0x80:
            return length, position
    raise BadRecords("malformed input")
