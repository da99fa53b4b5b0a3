"""The reading half of mail(1): list, print, delete, answer, save. mbox and Maildir, by the stores that IMAP uses.

A message number is its place in the list that was shown at the start; deletions take effect at
quit, as do the marks for what was read.
"""

import asyncio
import os
import pwd
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from posthouse.commands.mail_text import printable, readable, shown_header, text_of
from posthouse.mailbox.store import AccountStore, Mailbox, MailboxFault, MailStore, MessageSummary, Refused
from posthouse.message.structure_envelope import MessageAddress, MessageEnvelope, envelope_of

T = TypeVar("T")

HELP = """\
Commands (a message list is numbers, 1-3, $ or *):
  <enter>, next     the next message          p, print [list]   print messages
  h, headers        list them                 from [list]       list these
  d, delete [list]  delete                    u, undelete [list]
  r, reply          answer the sender         R, Reply          answer everybody
  s, save [list] file      append to an mbox  w, write [list] file   without headers
  m, mail address   write a message           z, z-             the next, the last page
  q, quit           do what was marked        x, exit           leave all as it was"""


def place_of(user: str) -> tuple[Path, Path]:
    """(mailbox, home) of a user: $MAIL for oneself, else where local delivery puts it."""
    entry = pwd.getpwnam(user)
    home = Path(entry.pw_dir)
    if entry.pw_uid == os.getuid() and os.environ.get("MAIL"):
        return Path(os.environ["MAIL"]), home
    from posthouse.config.error import ConfigError
    from posthouse.config.read import configuration_directory, read_configuration

    try:
        configuration = read_configuration(configuration_directory())
        home_mailbox = configuration.value("home_mailbox")
        spool = configuration.value("mail_spool_directory")
    except ConfigError:
        home_mailbox, spool = "", "/var/mail"
    if home_mailbox:
        return home / home_mailbox, home
    found = Path(spool) / user
    return (home / "Maildir", home) if not found.exists() and (home / "Maildir" / "cur").is_dir() else (found, home)


def read(*, file: str | None, user: str | None, only_check: bool, only_headers: bool, show_headers: bool) -> int:
    """Read a mailbox; returns the exit status."""
    try:
        name = user or pwd.getpwuid(os.getuid()).pw_name
        path, home = place_of(name) if file is None else (Path(file), Path(pwd.getpwuid(os.getuid()).pw_dir))
    except KeyError:
        print(f"mail: no user {user or os.getuid()}", file=sys.stderr)
        return 1
    empty = (not path.exists()) or (path.is_file() and path.stat().st_size == 0)
    if empty:
        if not only_check:
            print(f"No mail for {name}" if file is None else f"{path}: No such file or directory", file=sys.stderr)
        return 1
    with asyncio.Runner() as runner:
        try:
            reader = Reader(runner, path, home, name)
            if not reader.rows:
                if not only_check:
                    print(f"No mail for {name}", file=sys.stderr)
                return 1
            if only_check:
                return 0
            if only_headers:
                reader.headers()
                return 0
            return reader.talk(show_headers=show_headers)
        except (MailboxFault, OSError) as error:
            print(f"mail: {path}: {error}", file=sys.stderr)
            return 1


class Reader:
    """One open mailbox and its list."""

    def __init__(self, runner: asyncio.Runner, path: Path, home: Path, name: str) -> None:
        self._runner = runner
        self._path = path
        self._store = _open_store(path, home)
        account = self._wait(self._store.open(name))
        if isinstance(account, Refused):
            raise MailboxFault(account.text)
        self._account: AccountStore = account
        mailbox = self._wait(account.select("INBOX"))
        if isinstance(mailbox, Refused):
            raise MailboxFault(mailbox.text)
        self._mailbox: Mailbox = mailbox
        self._recent = self._wait(mailbox.take_recent())
        self.rows: list[MessageSummary] = self._wait(self._all_rows())
        self._envelopes: dict[int, MessageEnvelope] = {}
        self._deleted: set[int] = set()
        self._read: set[int] = set()
        self._current = 0
        self._page = 0

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    async def _all_rows(self) -> list[MessageSummary]:
        return [row async for page in self._mailbox.summaries() for row in page]

    async def _header(self, row: MessageSummary) -> bytes:
        async for page in self._mailbox.headers([row.uid]):
            for _, header in page:
                return header
        return b""

    def _envelope(self, index: int) -> MessageEnvelope:
        found = self._envelopes.get(index)
        if found is None:
            found = self._envelopes[index] = envelope_of(self._wait(self._header(self.rows[index])))
        return found

    def _content(self, index: int) -> bytes:
        async def get() -> bytes:
            contents = await self._mailbox.contents([self.rows[index].uid])
            for content in contents.values():
                return await content.read()
            return b""

        return self._wait(get())

    def _line(self, index: int) -> str:
        row = self.rows[index]
        seen = "\\Seen" in row.flags or index in self._read
        mark = " " if seen else ("N" if row.uid >= self._recent else "U")
        envelope = self._envelope(index)
        who = typed_address(envelope.from_[0]) if envelope.from_ else ""
        when = time.strftime("%a %b %e %H:%M", time.localtime(row.internal_date))
        lines = self._content(index).count(b"\n") if row.size < 1 << 20 else 0
        pointer = ">" if index == self._current else " "
        subject = readable(envelope.subject or b"")
        return f"{pointer}{mark}{index + 1:3d} {who[:20]:<20}  {when:16.16} {lines:4d}/{row.size:<5d} {subject[:25]}"

    def headers(self, first: int = 0) -> None:
        """One page of the list."""
        for index in range(first, min(first + PAGE, len(self.rows))):
            if index not in self._deleted:
                print(self._line(index))

    def talk(self, *, show_headers: bool) -> int:
        """The dialogue, until quit or exit."""
        unread = [i for i, row in enumerate(self.rows) if "\\Seen" not in row.flags]
        new = [i for i in unread if self.rows[i].uid >= self._recent]
        self._current = unread[0] if unread else 0
        count = len(self.rows)
        states = (f" {len(new)} new" if new else "") + (
            f" {len(unread) - len(new)} unread" if len(unread) > len(new) else ""
        )
        print("Mail (Posthouse).  Type ? for help.")
        print(f'"{self._path}": {count} message{"" if count == 1 else "s"}{states}')
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
            if word[:1].isdigit() or word in ("$", "*"):
                word, rest = "print", line
            elif len(word) > 1 and word[0].isalpha() and word[1:].isdigit():  # d3
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
                if self._page >= len(self.rows):
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
                self._wait(self._close())
                return 0
            case _:
                print(f'Unknown command: "{word}"')
        return None

    def _next(self, *, first: bool) -> None:
        index = self._current if first else self._current + 1
        while index < len(self.rows) and index in self._deleted:
            index += 1
        if index >= len(self.rows):
            print("At EOF")
            return
        self._print(index)

    def _list(self, text: str, *, deleted: bool = False) -> list[int]:
        """A message list as indexes; the current message when there is no text."""
        found: list[int] = []
        last = len(self.rows)
        for word in text.split() or [str(self._current + 1)]:
            if word == "*":
                found += range(last)
                continue
            start, dash, end = word.replace("$", str(last)).partition("-")
            if not start.isdigit() or (dash and not end.isdigit()):
                print(f'"{word}": no message list')
                return []
            numbers = range(int(start), int(end if dash else start) + 1)
            if any(number < 1 or number > last for number in numbers):
                print(f"{word}: Invalid message number")
                return []
            found += [number - 1 for number in numbers]
        return [index for index in dict.fromkeys(found) if deleted or index not in self._deleted]

    def _print(self, index: int, *, everything: bool = False) -> None:
        self._current = index
        self._read.add(index)
        content = self._content(index)
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
            with open(path, "ab") as file:
                for index in self._list(head):
                    content = self._content(index).replace(b"\r\n", b"\n")
                    if bare:
                        file.write(content.partition(b"\n\n")[2])
                        continue
                    envelope = self._envelope(index)
                    sender = typed_address(envelope.from_[0]) if envelope.from_ else ""
                    file.write(from_line(sender, self.rows[index].internal_date))
                    file.write((b"\n" + content).replace(b"\nFrom ", b"\n>From ")[1:].rstrip(b"\n") + b"\n\n")
        except OSError as error:
            print(f"{path}: {error.strerror}")
            return
        print(f'"{path}" [{"Appended" if exists else "New file"}]')

    def _reply(self, index: int, *, everybody: bool) -> None:
        envelope = self._envelope(index)
        to = [typed_address(address) for address in envelope.reply_to]
        if everybody:
            to += [typed_address(address) for address in (*envelope.to, *envelope.cc)]
        subject = readable(envelope.subject or b"")
        if not subject.lower().startswith("re:"):
            subject = f"Re: {subject}"
        message_id = readable(envelope.message_id or b"")
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
        uids = [self.rows[index].uid for index in self._deleted]
        seen = [self.rows[index].uid for index in self._read - self._deleted]

        async def apply() -> None:
            if seen:
                await self._mailbox.store_flags(seen, "add", frozenset({"\\Seen"}))
            if uids:
                await self._mailbox.remove(uids)
            await self._close()

        self._wait(apply())
        left = len(self.rows) - len(uids)
        print(f"Held {left} message{'' if left == 1 else 's'} in {self._path}")
        return 0

    async def _close(self) -> None:
        await self._mailbox.close()
        await self._account.close()
        await self._store.close()


PAGE = 20
"""Lines of the list that are shown at once."""


def typed_address(address: MessageAddress) -> str:
    """local_part@domain as one would type it; "" for the ends of a group."""
    if address.local_part is None or address.domain is None:
        return ""
    return printable((address.local_part + b"@" + address.domain).decode("utf-8", "replace"))


def page(text: str) -> None:
    """Through $PAGER when it is long and there is a terminal."""
    if sys.stdout.isatty() and text.count("\n") > 40:
        import pydoc

        pydoc.pager(text)
    else:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def _open_store(path: Path, home: Path) -> MailStore:
    if path.is_dir():
        from posthouse.mailbox.maildir.store import maildir_store

        return maildir_store(lambda _account: path)
    from posthouse.mailbox.mbox.store import mbox_store

    return mbox_store(lambda _account: (path, home / ".posthouse"))
