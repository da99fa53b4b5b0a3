"""The reading half of mail(1): list, print, delete, answer, save. mbox and Maildir by the stores that IMAP uses, and
the native store by IMAP itself, over a local socket.

A message number is its place in the list that was shown at the start; deletions take effect at
quit, as do the marks for what was read.
"""

import os
import pwd
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from posthouse.address.local_part import quote_local_part
from posthouse.commands.mail_send import private
from posthouse.commands.mail_text import one_line, readable, shown_header, text_of
from posthouse.commands.mail_where import Place, place_of
from posthouse.mailbox.store import MailboxFault, MessageSummary
from posthouse.message.structure_envelope import MessageAddress, MessageEnvelope

HELP = """\
Commands (a message list is numbers, 1-3, $ or *):
  <enter>, next     the next message          p, print [list]   print messages
  h, headers        list them                 from [list]       list these
  d, delete [list]  delete                    u, undelete [list]
  r, reply          answer the sender         R, Reply          answer everybody
  s, save [list] file      append to an mbox  w, write [list] file   without headers
  m, mail address   write a message           z, z-             the next, the last page
  q, quit           do what was marked        x, exit           leave all as it was"""


class Box(Protocol):
    """One open mailbox and what was in it when it was opened: MailBox (files) and SocketBox (the store)."""

    rows: list[MessageSummary]
    first_recent: int

    @property
    def path(self) -> object:
        """What it is called."""

    def open(self) -> None:
        """Look into it. Raises MailboxFault, OSError."""

    def envelope(self, index: int) -> MessageEnvelope:
        """The fields of a message that the list and an answer need. Raises MailboxFault."""

    def content(self, index: int) -> bytes:
        """All of a message, lines ending in CRLF. Raises MailboxFault."""

    def finish(self, seen: Iterable[int], deleted: Iterable[int]) -> None:
        """Mark and remove, by index. Raises MailboxFault, OSError."""

    def close(self) -> None:
        """Let go of everything."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What reading is asked for by options."""

    only_check: bool
    only_headers: bool
    show_headers: bool


def read(*, file: str | None, user: str | None, only_check: bool, only_headers: bool, show_headers: bool) -> int:
    """Read a mailbox; returns the exit status."""
    wish = Wish(only_check, only_headers, show_headers)
    try:
        me = pwd.getpwuid(os.getuid())
        name = user or me.pw_name
        place = place_of(name) if file is None else Place(Path(file), Path(me.pw_dir))
    except KeyError:
        print(f"mail: no user {user or os.getuid()}", file=sys.stderr)
        return 1
    if place.socket and name != me.pw_name:
        print(f"mail: mail of {name} is in the mail system's store, which shows it to {name} only", file=sys.stderr)
        return 1
    if place.socket:
        from posthouse.commands.mail_socket import SocketBox

        status = _read(SocketBox(place.socket), place.socket, name, wish, again=place.has_file)
        if status is not None:
            return status
    if not place.has_file:
        if not only_check:
            missing = f"{place.path}: No such file or directory"
            print(f"No mail for {name}" if file is None else missing, file=sys.stderr)
        return 1
    from posthouse.commands.mail_box import MailBox

    status = _read(MailBox(place.path, place.home, name), str(place.path), name, wish, again=False)
    return 1 if status is None else status


def _read(box: Box, path: str, name: str, wish: Wish, *, again: bool) -> int | None:
    """Read one; the exit status. `again`: there is another place to look at, so None when this has nothing."""
    try:
        box.open()
        if not box.rows:
            if again:
                return None
            if not wish.only_check:
                print(f"No mail for {name}", file=sys.stderr)
            return 1
        if wish.only_check:
            return 0
        reader = Reader(box)
        if wish.only_headers:
            reader.headers()
            return 0
        return reader.talk(show_headers=wish.show_headers)
    except (MailboxFault, OSError) as error:
        if again and not box.rows:
            return None
        print(f"mail: {path}: {error.strerror if isinstance(error, OSError) else error}", file=sys.stderr)
        return 1
    finally:
        box.close()


class Reader:
    """The dialogue over one open mailbox."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._deleted: set[int] = set()
        self._read: set[int] = set()
        self._current = 0
        self._page = 0

    def _line(self, index: int) -> str:
        row = self._box.rows[index]
        seen = "\\Seen" in row.flags or index in self._read
        mark = " " if seen else ("N" if row.uid >= self._box.first_recent else "U")
        envelope = self._box.envelope(index)
        who = typed_address(envelope.from_[0]) if envelope.from_ else ""
        when = time.strftime("%a %b %e %H:%M", time.localtime(row.internal_date))
        lines = self._box.content(index).count(b"\n") if row.size < 1 << 20 else 0
        pointer = ">" if index == self._current else " "
        subject = one_line(readable(envelope.subject or b""))
        return f"{pointer}{mark}{index + 1:3d} {who[:20]:<20}  {when:16.16} {lines:4d}/{row.size:<5d} {subject[:25]}"

    def headers(self, first: int = 0) -> None:
        """One page of the list."""
        for index in range(first, min(first + PAGE, len(self._box.rows))):
            if index not in self._deleted:
                print(self._line(index))

    def talk(self, *, show_headers: bool) -> int:
        """The dialogue, until quit or exit."""
        unread = [i for i, row in enumerate(self._box.rows) if "\\Seen" not in row.flags]
        new = [i for i in unread if self._box.rows[i].uid >= self._box.first_recent]
        self._current = unread[0] if unread else 0
        count = len(self._box.rows)
        states = (f" {len(new)} new" if new else "") + (
            f" {len(unread) - len(new)} unread" if len(unread) > len(new) else ""
        )
        print("Mail (Posthouse).  Type ? for help.")
        print(f'"{self._box.path}": {count} message{"" if count == 1 else "s"}{states}')
        self._page = self._current // PAGE * PAGE
        if show_headers:
            self.headers(self._page)
        first = True
        while True:
            try:
                line = input("& ").strip()
            except EOFError:
                print()
                return self._quit()
            except KeyboardInterrupt:
                print("\nInterrupt")
                continue
            word, _, rest = line.partition(" ")
            if word[:1].isdecimal() or word in ("$", "*"):
                word, rest = "print", line
            elif len(word) > 1 and word[0].isalpha() and word[1:].isdecimal():  # d3
                word, rest = word[0], word[1:]
            done = self._command(word, rest.strip(), first=first)
            first = False
            if done is not None:
                return done

    def _command(self, word: str, rest: str, *, first: bool) -> int | None:
        match word:
            case "" | "n" | "next":
                self._next(first=first)
            case "p" | "print" | "t" | "type" | "P" | "Print":
                for index in self._list(rest):
                    self._print(index, everything=word in ("P", "Print"))
            case "h" | "headers":
                self.headers(self._page)
            case "z" | "z+" | "z-":
                self._page = max(0, self._page + (-PAGE if word == "z-" else PAGE))
                if self._page >= len(self._box.rows):
                    self._page -= PAGE
                    print("On last screenful of messages")
                self.headers(self._page)
            case "f" | "from":
                for index in self._list(rest):
                    print(self._line(index))
            case "d" | "delete" | "dp" | "dt":
                self._deleted |= set(self._list(rest))
                if word in ("dp", "dt"):
                    self._next(first=False)
            case "u" | "undelete":
                self._deleted -= set(self._list(rest, deleted=True))
            case "r" | "reply" | "respond" | "R" | "Reply":
                for index in self._list(rest):
                    self._reply(index, everybody=word in ("R", "Reply"))
            case "s" | "save" | "w" | "write" | "c" | "copy":
                self._save(rest, bare=word in ("w", "write"))
            case "m" | "mail":
                if rest:
                    self._write([rest], None)
            case "=":
                print(self._current + 1)
            case "?" | "help":
                print(HELP)
            case "q" | "quit":
                return self._quit()
            case "x" | "ex" | "exit":
                return 0
            case _:
                print(f'Unknown command: "{word}"')
        return None

    def _next(self, *, first: bool) -> None:
        index = self._current if first else self._current + 1
        while index < len(self._box.rows) and index in self._deleted:
            index += 1
        if index >= len(self._box.rows):
            print("At EOF")
            return
        self._print(index)

    def _list(self, text: str, *, deleted: bool = False) -> list[int]:
        """A message list as indexes; the current message when there is no text."""
        found: list[int] = []
        last = len(self._box.rows)
        for word in text.split() or [str(self._current + 1)]:
            if word == "*":
                found += range(last)
                continue
            start, dash, end = word.replace("$", str(last)).partition("-")
            if not start.isdecimal() or (dash and not end.isdecimal()):
                print(f'"{word}": no message list')
                return []
            numbers = range(int(start), int(end if dash else start) + 1)
            if any(number < 1 or number > last for number in numbers):
                print(f"{word}: Invalid message number")
                return []
            found += [number - 1 for number in numbers]
        chosen = [index for index in dict.fromkeys(found) if deleted or index not in self._deleted]
        if not chosen:
            print("No applicable messages")
        return chosen

    def _print(self, index: int, *, everything: bool = False) -> None:
        self._current = index
        self._read.add(index)
        content = self._box.content(index)
        print(f"Message {index + 1}:")
        page(shown_header(content, everything=everything) + "\n" + text_of(content))

    def _save(self, rest: str, *, bare: bool) -> None:
        head, _, name = rest.rpartition(" ")
        path = os.path.expanduser(name)
        if not path:
            print("No file specified.")
            return
        from posthouse.mda.copy import from_line

        exists = os.path.exists(path)
        try:
            with open(path, "ab", opener=private) as file:
                for index in self._list(head):
                    content = self._box.content(index).replace(b"\r\n", b"\n")
                    if bare:
                        file.write(content.partition(b"\n\n")[2])
                        continue
                    envelope = self._box.envelope(index)
                    sender = typed_address(envelope.from_[0]) if envelope.from_ else ""
                    file.write(from_line(sender, self._box.rows[index].internal_date))
                    file.write((b"\n" + content).replace(b"\nFrom ", b"\n>From ")[1:].rstrip(b"\n") + b"\n\n")
        except OSError as error:
            print(f"{path}: {error.strerror}")
            return
        print(f'"{path}" [{"Appended" if exists else "New file"}]')

    def _reply(self, index: int, *, everybody: bool) -> None:
        envelope = self._box.envelope(index)
        to = [typed_address(address) for address in envelope.reply_to]
        if everybody:
            to += [typed_address(address) for address in (*envelope.to, *envelope.cc)]
        subject = one_line(readable(envelope.subject or b""))
        if not subject.lower().startswith("re:"):
            subject = f"Re: {subject}"
        message_id = one_line((envelope.message_id or b"").decode("ascii", "replace"))
        fields = [f"In-Reply-To: {message_id}", f"References: {message_id}"] if message_id else []
        self._write([address for address in dict.fromkeys(to) if address], subject, fields)

    def _write(self, to: list[str], subject: str | None, fields: list[str] | None = None) -> None:
        """A message from within; handing over replaces standard input, so a child does it."""
        from posthouse.commands.mail_send import Draft, hand_over, typed

        draft = Draft(to)
        draft.subject = subject
        draft.fields = fields or []
        print(f"To: {', '.join(to)}" + (f"\nSubject: {subject}" if subject else ""))
        if not typed(draft):
            return
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os._exit(hand_over(draft))
        os.waitpid(pid, 0)

    def _quit(self) -> int:
        self._box.finish(self._read - self._deleted, self._deleted)
        left = len(self._box.rows) - len(self._deleted)
        print(f"Held {left} message{'' if left == 1 else 's'} in {self._box.path}")
        return 0


PAGE = 20
"""Lines of the list that are shown at once."""


def typed_address(address: MessageAddress) -> str:
    """local_part@domain as one would type it; "" for the ends of a group."""
    if address.local_part is None or address.domain is None:
        return ""
    local_part = quote_local_part(address.local_part.decode("utf-8", "replace"))
    return one_line(f"{local_part}@{address.domain.decode('utf-8', 'replace')}")


def page(text: str) -> None:
    """Through $PAGER when it is long and there is a terminal."""
    if sys.stdout.isatty() and text.count("\n") > 40:
        import pydoc

        pydoc.pager(text)
    else:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
