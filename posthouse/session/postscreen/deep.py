"""The tests behind the greeting, in a small SMTP server that takes no mail.

Every recipient is refused, with 450 where the client failed nothing: it cannot be handed over any more once it has said
something, and shall come again. Commands are read one by one: pipelining is not offered. Passes are given at the first
RCPT; a test may still fail behind it.

Standards: RFC 5321 section 4; not RFC 2920 (PIPELINING).
"""

import re

from posthouse.session.postscreen.action import Act
from posthouse.session.postscreen.dialogue import Dialogue
from posthouse.session.postscreen.ends import Dropped
from posthouse.session.postscreen.trials import BARE_NEWLINE, DEEP, NON_SMTP, PIPELINING
from posthouse.session.postscreen.verbs import BYE, UNSERVED, VERBS
from posthouse.session.postscreen.visit import Visit
from posthouse.tables.table import TableRetry
from posthouse.wire.escape import escaped
from posthouse.wire.smtp.reply import Reply

_FIELD = re.compile(r"[!-9;-~]+:")
"""RFC 5322 section 2.2: what begins a header field."""
SHOWN = 100
"""Bytes of a command, or of what was sent ahead, that are logged."""

NOT_RECOGNIZED = Reply(502, "5.5.2", "Error: command not recognized")
STARTTLS_FIRST = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
DROPPED = Reply(521, "5.5.1", "Protocol error")
ENFORCED = Reply(550, "5.5.1", "Protocol error")
GOODBYE = Reply(521, "5.7.0", "Error: I can break rules, too. Goodbye.")


async def deep_tests(visit: Visit) -> None:
    """To the session's end: raises Dropped or HungUp."""
    if visit.noforward:
        # Something failed already: the others are run as well, for the log tells more then.
        visit.due |= DEEP
    session = Dialogue(visit)
    try:
        while True:
            line, bare = await session.line()
            if bare and _runs(visit, BARE_NEWLINE):
                shown = escaped(line[:SHOWN])
                _fail(visit, BARE_NEWLINE, f"BARE NEWLINE from {visit.where_from} after {shown}", shown, DROPPED)
            await _command(session, line.decode("utf-8", "surrogateescape"))
    finally:
        if session.tls:
            visit.log.program("tlsproxy").info(f"DISCONNECT {visit.where_from}")


async def turn_away(visit: Visit, reply: Reply) -> None:
    """The rest of the greeting, and the reply to whatever the client says: raises Dropped or HungUp."""
    line, _ = await Dialogue(visit).line()
    raise Dropped(BYE if line.strip().upper() == b"QUIT" else reply)


def _runs(visit: Visit, test: int) -> bool:
    return test in visit.due and test not in visit.skipped


def _fail(visit: Visit, test: int, log: str, what: str, drop: Reply) -> None:
    """A deep test is failed: at most once in a session."""
    visit.log.info(log)
    visit.skipped.add(test)
    action = visit.service.actions.deep[test]
    name = ("pipelining", "non_smtp_command", "bare_newline")[test - PIPELINING]
    evidence = visit.evidence_of(f"postscreen_{name}_action", what)
    visit.record("screened", f"{name}: {action.value}", evidence)
    if action is Act.IGNORE:
        visit.passes(test, visit.service.tests.shortest_ttl)
        return
    visit.failed.add(test)
    if action is Act.DROP:
        raise Dropped(drop, evidence)
    visit.enforce(ENFORCED, evidence)


async def _command(session: Dialogue, line: str) -> None:
    visit = session.visit
    service = visit.service
    line = await _filtered(visit, line)
    word, _, rest = line.lstrip(" ").partition(" ")  # a tab parts nothing
    argument = rest.lstrip(" ")
    name = word.upper() if word.isascii() else word
    verb = VERBS.get(name)
    shown = "".join([c if c.isprintable() else "?" for c in word])
    if verb is None and name not in UNSERVED and _runs(visit, NON_SMTP) and await _foreign(visit, word):
        rest = escaped(rest.encode("utf-8", "surrogateescape")[:SHOWN])
        log = f"NON-SMTP COMMAND from {visit.where_from} after {session.where}: {shown[:SHOWN]} {rest}"
        _fail(visit, NON_SMTP, log, f"{shown} {rest}", GOODBYE)
    if session.ahead == b"" and visit.stream.buffered():
        await session.read()
    if session.ahead and not (verb is not None and verb.payload) and _runs(visit, PIPELINING):
        ahead = escaped(session.ahead[:SHOWN])
        log = f"COMMAND PIPELINING from {visit.where_from} after {shown[:SHOWN]}: {ahead}"
        _fail(visit, PIPELINING, log, f"after {shown}: {ahead}", DROPPED)
    if name == "RCPT":
        for test in visit.due & DEEP - visit.failed - visit.passed:
            visit.passes(test, service.tests.ttl[test])
    session.count += 1
    if session.count > service.settings.postscreen_command_count_limit and name != "QUIT":
        visit.log.info(f"COMMAND COUNT LIMIT from {visit.where_from} after {session.where}")
        session.too_much()
    session.where = name if verb is not None or name in UNSERVED else "UNIMPLEMENTED"
    if verb is None:
        await visit.send(NOT_RECOGNIZED)
    elif service.settings.tls_required and not session.tls and not verb.plain:
        await visit.send(STARTTLS_FIRST)
    else:
        await verb.answer(session, argument)


async def _filtered(visit: Visit, line: str) -> str:
    """postscreen_command_filter."""
    service = visit.service
    try:
        other = await service.command_filter(line)
    except TableRetry:
        visit.log.warning(f'{service.command_filter_name} lookup error for "{line[:SHOWN]}"')
        return line
    if not other:
        return line
    old, new = line[:SHOWN], other[:SHOWN]
    visit.log.info(f'{visit.where_from}: replacing command "{old}" with "{new}"')
    return other


async def _foreign(visit: Visit, word: str) -> bool:
    """Whether it is a command of another protocol, or a header field."""
    if _FIELD.match(word):
        return True
    if not word.isprintable() and any("\udc80" <= c <= "\udcff" for c in word):
        return True  # no UTF-8: Postfix finds it in every list of words
    try:
        return bool(word) and await visit.service.forbidden(word) is not None
    except TableRetry:
        return False
