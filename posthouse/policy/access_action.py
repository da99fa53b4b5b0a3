"""What the right side of an access(5) table, or a policy server's action=, does.

OK, RELAY, digits alone      permit
DUNNO                        go on
REJECT [d.s.n] [text]        refuse with access_map_reject_code
DEFER [d.s.n] [text]         refuse with access_map_defer_code
4NN or 5NN [d.s.n] [text]    refuse with that code
DEFER_IF_PERMIT, DEFER_IF_REJECT [text]
HOLD, DISCARD, WARN, INFO [text]   FILTER transport:destination   REDIRECT address
PREPEND field: text          BCC address
anything else                a list of restrictions
"""

import re
from collections.abc import Callable, Sequence

from posthouse.envelope.verdict import DUNNO, Verdict
from posthouse.policy.facts import Facts, LogEvent, Subject
from posthouse.policy.restriction import Restriction, evaluate
from posthouse.policy.settings import CheckSettings

RECURSION_LIMIT = 100
"""Lists within lists, as Postfix bounds them: a table row may name the check that asks the table."""

OF_THE_QUEUE = frozenset({"HOLD", "DISCARD", "FILTER", "REDIRECT", "BCC"})
"""Actions on a message that is queued here: a filter before the queue takes it on, and knows nothing of them."""

# RFC 3463 section 2: status-code = class "." subject "." detail
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_CODE = re.compile(r"[45]\d\d")
_FIELD = re.compile(rb"[!-9;-~]+:")

ParseList = Callable[[str, str], Sequence[Restriction]]
"""Parses a value as restriction list; the second argument names the table for diagnostics."""


class AccessActions:
    """Carries actions out."""

    def __init__(self, settings: CheckSettings, parse_list: ParseList, warn: Callable[[str], None]) -> None:
        self._settings = settings
        self._parse_list = parse_list
        self._warn = warn

    async def act(self, value: str, table: str, key: str, facts: Facts, subject: Subject, *, fact: str) -> Verdict:
        """What the value says. `fact` is the evidence."""
        word, _, text = value.strip().partition(" ")
        text = text.strip()
        action = word.upper()
        named = f"<{subject.name}>: {subject.reply_class}"
        if action in ("OK", "RELAY") or (value.isascii() and value.strip().isdigit()):
            return facts.permit(fact)
        if action == "DUNNO":
            return DUNNO
        if action == "REJECT" or action == "DEFER":
            code = self._settings.access_map_reject_code if action == "REJECT" else self._settings.access_map_defer_code
            status, text = split_status(text, f"{code // 100}.7.1", subject.reply_class, facts.log)
            return facts.refuse(code, status, f"{named} rejected: {text or 'Access denied'}", fact)
        if _CODE.fullmatch(word):
            status, text = split_status(text, f"{word[0]}.7.1", subject.reply_class, facts.log)
            return facts.refuse(int(word), status, f"{named} rejected: {text or 'Access denied'}", fact)
        if action == "DEFER_IF_PERMIT" or action == "DEFER_IF_REJECT":
            status, text = split_status(text, "4.7.1", subject.reply_class, facts.log)
            text = f"{named} rejected: {text or 'Service unavailable'}"
            if action == "DEFER_IF_PERMIT":
                return facts.defer_if_permit(self._settings.access_map_defer_code, status, text, fact)
            return facts.defer_if_reject(self._settings.access_map_defer_code, status, text, fact)
        if not word:
            self._warn(f"access table {table} entry {value} has empty value")  # so says Postfix
            return facts.permit(fact)
        if action in OF_THE_QUEUE and self._settings.smtpd_proxy_filter:
            self._warn(f"access table {table}: with smtpd_proxy_filter specified, action {action} is unavailable")
            return DUNNO
        handled = self._handle(action, text, named, table, key, facts, fact)
        if handled is not None:
            return handled
        return await self._list(value, table, key, facts, subject)

    def _handle(
        self, action: str, text: str, named: str, table: str, key: str, facts: Facts, fact: str
    ) -> Verdict | None:
        """The actions that mark the message; None when it is none of them."""
        if action in ("WARN", "INFO"):
            facts.log(action.lower(), facts.stage, text)
        elif action == "HOLD":
            if facts.handling.hold:
                return DUNNO  # once is enough, in the log too
            if not facts.warn_only:
                facts.handle(hold=f"{named} {text or 'triggers HOLD action'}")
            facts.log("hold", facts.stage, f"{named} {text or 'triggers HOLD action'}")
        elif action == "DISCARD":
            facts.log("discard", facts.stage, f"{named} {text or 'triggers DISCARD action'}")
            facts.handle(discard=f"{named} {text or 'triggers DISCARD action'}")
            return facts.permit(fact)
        elif action == "FILTER":
            if not text:
                self._warn(f'access table {table} entry "{key}" has FILTER entry without value')
            elif ":" not in text:
                self._warn(f'access table {table} entry "{key}" requires transport:destination')
            else:
                facts.log("filter", facts.stage, f"{named} triggers FILTER {text}")
                facts.handle(content_filter=text)
        elif action == "REDIRECT":
            if "@" not in text:
                self._warn(f'access table {table} entry "{key}" requires user@domain target')
            else:
                facts.log("redirect", facts.stage, f"{named} triggers REDIRECT {text}")
                facts.handle(redirect=text)
        elif action == "BCC":
            if "@" not in text:
                self._warn(f'access table {table} entry "{key}" requires user@domain target')
            else:
                facts.log("bcc", facts.stage, f"{named} triggers BCC {text}")
                facts.handle(bcc=(*facts.handling.bcc, text))
        elif action == "PREPEND":
            line = text.encode("utf-8", "surrogateescape")
            if facts.stage == "END-OF-MESSAGE":
                self._warn(f"access table {table}: action PREPEND must be used before END-OF-MESSAGE")
            elif not _FIELD.match(line):
                self._warn(f'access table {table} entry "{key}" requires header: text')
            else:
                facts.handle(prepend=(*facts.handling.prepend, line))
        else:
            return None
        return DUNNO

    async def _list(self, value: str, table: str, key: str, facts: Facts, subject: Subject) -> Verdict:
        """A value that is a restriction list."""
        if facts.depth >= RECURSION_LIMIT:
            self._warn(f"access table {table} entry {key} causes unreasonable recursion")
            return facts.server_error("unreasonable recursion")
        facts.depth += 1
        try:
            return await evaluate(self._parse_list(value, table), facts, subject)
        finally:
            facts.depth -= 1


# RFC 3463 section 3.2: which of the X.1.Y codes fit a sender and a recipient; what does not is mapped as Postfix does.
_SENDER = {"0": "0", "1": "7", "2": "8", "3": "7", "4": "7", "6": "7", "7": "7", "8": "8"}
_RECIPIENT = {"7": "3", "8": "2", **{str(n): str(n) for n in range(7)}}


def split_status(text: str, default: str, reply_class: str = "", log: LogEvent | None = None) -> tuple[str, str]:
    """(status, text) of "5.7.1 text"; the default when there is no status in front."""
    match = _STATUS.match(text)
    if match is None:
        return default, text
    status = match[1]
    kind, subject, detail = status.split(".")
    if subject == "1" and reply_class:
        if reply_class == "Sender address":
            status = f"{kind}.1.{_SENDER.get(detail, '0')}"
        elif reply_class == "Recipient address":
            status = f"{kind}.1.{_RECIPIENT.get(detail, '0')}"
        else:
            status = f"{kind}.0.0"
        if log is not None and status != match[1]:
            log("", "", f"mapping DSN status {match[1]} into {reply_class} status {status}")
    return status, text[match.end() :]
