"""Names in a Maildir++: files of messages with their flags, folders of mailboxes, keywords.

    file    = base [ ":2," letters ]      base = unique [ ",S=" octets ] [ ",W=" octets with CRLF ]
    letters = D (draft) F (flagged) P (passed on) R (replied) S (seen) T (trashed), and a to z: keywords,
              numbered by the lines of dovecot-keywords
    folder  = "." level *( "." level )    level in modified UTF-7

Letters this store does not know stay where they are.

Standards: RFC 3501 section 5.1.3 (modified UTF-7); maildir(5); Courier's Maildir++.
"""

import binascii
import re

from posthouse.mailbox.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from posthouse.mailbox.store import SEPARATOR

LETTERS = {"D": DRAFT, "F": FLAGGED, "R": ANSWERED, "S": SEEN, "T": DELETED}
PASSED = "$Forwarded"


def split_name(name: str) -> tuple[str, str]:
    """Base and letters."""
    base, _mark, letters = name.partition(":2,")
    return base, letters


def read_letters(letters: str, keywords: list[str]) -> tuple[int, set[str]]:
    """Bits and keywords of a file name; keywords is what dovecot-keywords says, by number."""
    bits, words = 0, set()
    for letter in letters:
        bits |= LETTERS.get(letter, 0)
        if letter == "P":
            words.add(PASSED)
        elif "a" <= letter <= "z":
            number = ord(letter) - 97
            if number < len(keywords) and keywords[number]:
                words.add(keywords[number])
    return bits, words


def write_letters(old: str, bits: int, words: set[str], keywords: list[str]) -> str:
    """Letters for these flags, in ASCII order; unknown ones of the old name are kept."""
    letters = {letter for letter in old if letter not in LETTERS and letter != "P" and not "a" <= letter <= "z"}
    letters |= {letter for letter, bit in LETTERS.items() if bits & bit}
    folded = {word.lower() for word in words}
    if PASSED.lower() in folded:
        letters.add("P")
    letters |= {chr(97 + number) for number, word in enumerate(keywords[:26]) if word.lower() in folded}
    return "".join(sorted(letters))


def folder_of(name: str) -> str:
    """The folder of a mailbox, beneath the Maildir; "" is INBOX."""
    if name == "INBOX":
        return ""
    return "." + ".".join(encode_utf7(level).replace(".", "&AC4-") for level in name.split(SEPARATOR))


def name_of(folder: str) -> str | None:
    """The mailbox of a folder's name, or None when it is none."""
    levels = [decode_utf7(level) for level in folder[1:].split(".")]
    if not all(levels) or any(SEPARATOR in (level or "/") for level in levels):
        return None
    return SEPARATOR.join(level for level in levels if level)


_PRINTABLE = re.compile(r"[\x20-\x7e]+|[^\x20-\x7e]+")


def encode_utf7(text: str) -> str:
    """RFC 3501 section 5.1.3."""
    out = []
    for run in _PRINTABLE.findall(text):
        if " " <= run[0] <= "~":
            out.append(run.replace("&", "&-"))
        else:
            coded = binascii.b2a_base64(run.encode("utf-16-be"), newline=False).decode("ascii")
            out.append("&" + coded.rstrip("=").replace("/", ",") + "-")
    return "".join(out)


def decode_utf7(text: str) -> str | None:
    """Its inverse; None for what is no modified UTF-7."""
    out = []
    position = 0
    while position < len(text):
        start = text.find("&", position)
        if start < 0:
            out.append(text[position:])
            break
        out.append(text[position:start])
        end = text.find("-", start)
        if end < 0:
            return None
        coded = text[start + 1 : end].replace(",", "/")
        if not coded:
            out.append("&")
        else:
            try:
                out.append(binascii.a2b_base64(coded + "=" * (-len(coded) % 4)).decode("utf-16-be"))
            except (ValueError, UnicodeDecodeError):
                return None
        position = end + 1
    return "".join(out)
