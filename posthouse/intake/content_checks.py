"""header_checks, mime_header_checks, nested_header_checks and body_checks: what a matching line does.

A check gives a Finding; the caller drops, replaces or prepends lines, and the rest is kept in
a Decision for the whole message. One log line per action, in cleanup's words.

Standards: Postfix's header_checks(5). RFC 3463 section 3.8 (5.7.1).
"""

import re
from dataclasses import dataclass, field

from posthouse.envelope.verdict import Evidence
from posthouse.host.log import ProcessLog
from posthouse.tables.maps import Maps

TEXT_SHOWN = 200
"""Characters of the matching line in the log."""
TEXT_SHOWN_LEAVING = 60
"""The same for what the SMTP client checks."""

MIME_FIELDS = frozenset(
    {
        b"content-description",
        b"content-disposition",
        b"content-id",
        b"content-transfer-encoding",
        b"content-type",
        b"mime-version",
    }
)
"""Fields that mime_header_checks looks at wherever they stand, instead of header_checks and nested_header_checks."""

WHOLE = frozenset({"REJECT", "DISCARD", "HOLD", "FILTER", "REDIRECT", "BCC", "PASS"})
"""Actions on the message as a whole."""

_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_HEADER = re.compile(r"[!-9;-~]+[ \t]*:")


@dataclass(frozen=True, slots=True)
class Finding:
    """What becomes of the line itself."""

    keep: bool = True
    before: str = ""
    """A line (field) to put in front."""
    instead: str = ""
    """A line (field) to put in its place."""


KEEP = Finding()


@dataclass(slots=True)
class Decision:
    """What the checks want done with the whole message."""

    reject: tuple[str, str] | None = None
    """(status, text)."""
    discard: bool = False
    hold: bool = False
    redirect: str = ""
    content_filter: str = ""
    bcc: list[str] = field(default_factory=list)
    done: bool = False
    """REJECT, DISCARD, REDIRECT or PASS: no further line is looked at."""
    evidence: list[Evidence] = field(default_factory=list)
    lines: list[tuple[str, str | None]] = field(default_factory=list)
    """What to log, in two parts: "hold: header X-Y: z", and the action's argument; who it came from goes between.
    None: the first part is the whole line."""


class ContentChecks:
    """One parameter's checks."""

    def __init__(self, parameter: str, origin: str, maps: Maps, log: ProcessLog) -> None:
        self.parameter = parameter
        self._milter = parameter == "milter_header_checks"
        self._leaving = parameter.startswith(("smtp_", "lmtp_"))
        """Whether the message is on its way out: then nothing can become of it as a whole."""
        self._shown = TEXT_SHOWN_LEAVING if self._leaving else TEXT_SHOWN
        self._origin = origin
        self._maps = maps
        self._log = log
        self._body = parameter.endswith("body_checks")
        self._context = "body" if self._body else "header"

    async def check(self, text: str, decision: Decision) -> Finding:
        """Look a line (or a whole field, LF between its lines) up and note what follows. Raises TableRetry."""
        row = await self._maps.lookup(text)
        if row is None:
            return KEEP
        word, _, argument = row.value.strip().partition(" ")
        word, argument = word.upper(), argument.strip()
        fact = f"{row.table}: {row.key} -> {row.value}"
        decision.evidence.append(Evidence(self.parameter, self._origin, word, fact))

        def note(action: str, detail: str = argument) -> None:
            decision.lines.append((f"{action}: {self._context} {text[: self._shown]}", detail))

        if self._leaving and word in WHOLE:
            self._warn(f"unsupported command in {self.parameter} map: {row.value}")
        elif word == "REJECT":
            found = _STATUS.match(argument)
            status = found.group(1) if found else "5.7.1"
            detail = (argument[found.end() :] if found else argument) or "message content rejected"
            decision.reject, decision.done = (status, detail), True
            note("reject", f"{status} {detail}")
        elif word == "DISCARD":
            decision.discard = decision.done = True
            note("discard")
        elif word == "HOLD":
            if not decision.hold and not decision.discard:
                decision.hold = True
                note("hold")
        elif word == "FILTER":
            if not argument:
                self._warn(f"missing FILTER action argument in {self.parameter} map")
            elif ":" not in argument:
                self._warn(f"bad FILTER command {argument} in {self.parameter} -- need transport:destination")
            else:
                decision.content_filter = argument
                note("filter")
        elif word == "REDIRECT":
            if "@" not in argument:
                self._warn(f'bad REDIRECT target "{argument}" in {self.parameter} map -- need user@domain')
            else:
                decision.redirect, decision.done = argument, True
                note("redirect")
        elif word == "BCC":
            if "@" not in argument:
                self._warn(f'bad BCC address "{argument}" in {self.parameter} map -- need user@domain')
            else:
                decision.bcc.append(argument)
                note("bcc")
        elif word in ("PREPEND", "REPLACE"):
            if self._insertable(word, argument):
                note(word.lower())
                if word == "PREPEND" and self._milter:
                    self._warn("the milter_header/body_checks prepend action is not implemented")
                    return KEEP
                return Finding(before=argument) if word == "PREPEND" else Finding(keep=False, instead=argument)
        elif word == "WARN":
            note("warning")
        elif word == "INFO":
            note("info")
        elif word == "PASS" and not self._milter:
            decision.done = True
            note("pass")
        elif word == "STRIP":
            note("strip")
            return Finding(keep=False)
        elif word == "IGNORE":
            return Finding(keep=False)
        elif word not in ("DUNNO", "OK"):
            kind = "unsupported" if self._milter or self._leaving else "unknown"
            self._warn(f"{kind} command in {self.parameter} map: {row.value}")
        return KEEP

    def _insertable(self, word: str, argument: str) -> bool:
        if not argument:
            self._warn(f"{word} action without text in {self.parameter} map")
            return False
        if not self._body and not _HEADER.match(argument):
            text = f'bad {word} header text "{argument}" in {self.parameter} map -- need "headername: headervalue"'
            self._warn(text)
            return False
        return True

    def _warn(self, text: str) -> None:
        self._log.warning(text)
