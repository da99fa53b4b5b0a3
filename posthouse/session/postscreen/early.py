"""The tests before the greeting: does the client speak first, and what do the DNS lists say of it.

Both run at once, for postscreen_greet_wait in all. A client that passes by its DNS score (postscreen_dnsbl_
allowlist_threshold) is spared the rest of the waiting and every other test.

Standards: RFC 5321 sections 3.1 (the client waits for the greeting) and 4.2.1 (greetings of several lines).
"""

import asyncio

from posthouse.net.stream import StreamClosed, StreamTimeout
from posthouse.session.postscreen.action import Act
from posthouse.session.postscreen.dnsbl import ClientScore, Score
from posthouse.session.postscreen.ends import Dropped, HungUp
from posthouse.session.postscreen.trials import DNSBL, PREGREET, TESTS
from posthouse.session.postscreen.visit import Visit
from posthouse.wire.escape import escaped
from posthouse.wire.smtp.reply import Reply

PEEK_LIMIT = 1023
"""Bytes of early talk that are counted and logged, as Postfix looks at."""
SHOWN = 100
"""Characters of it in the log line."""
PROTOCOL_ERROR_DROP = Reply(521, "5.5.1", "Protocol error")
PROTOCOL_ERROR = Reply(550, "5.5.1", "Protocol error")


async def early_tests(visit: Visit) -> None:
    """Run what is due of them. Raises Dropped, HungUp."""
    service = visit.service
    visit.begin("tests before SMTP handshake")
    if PREGREET in visit.due:
        visit.teased = True
        visit.stream.send(f"220-{service.settings.postscreen_greet_banner}\r\n".encode("utf-8", "surrogateescape"))
    asked = service.scores.begin(visit.client.host) if DNSBL in visit.due and service.scores is not None else None
    stayed = False
    try:
        score = await _wait(visit, asked)
        stayed = True
        _judge_pregreet(visit)
        if score is not None:
            await _judge_score(visit, score)
    finally:
        if asked is not None:
            asked.release(give_up=not stayed)


async def _wait(visit: Visit, asked: ClientScore | None) -> Score | None:
    """Until the waiting time is over, or nothing is left to wait for."""
    service = visit.service
    patience = float(service.now_patience.postscreen_greet_wait)
    if PREGREET not in visit.due:
        if asked is not None:
            await _answers(asked, patience)
            return _scored(visit, asked)
        return None
    if asked is None:
        await _first_word(visit, patience)
        return None
    score: Score | None = None
    spare = service.settings.postscreen_dnsbl_allowlist_threshold < 0
    if spare:
        # Only then can the score end the waiting before its time.
        listening = asyncio.get_running_loop().create_task(_first_word(visit, patience))
        answers = asyncio.get_running_loop().create_task(asked.done.wait())
        try:
            await asyncio.wait((listening, answers), return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                score = _scored(visit, asked)
                if PREGREET not in visit.passed:
                    await listening
            else:
                listening.result()
        finally:
            listening.cancel()
            answers.cancel()
            await asyncio.gather(listening, answers, return_exceptions=True)
    else:
        await _first_word(visit, patience)
    if score is None and PREGREET in visit.failed:
        await _answers(asked, patience - visit.elapsed)
    return score or _scored(visit, asked)


async def _answers(asked: ClientScore, patience: float) -> None:
    """Until all lists have answered, but no longer than that."""
    try:
        async with asyncio.timeout(max(0.0, patience)):
            await asked.done.wait()
    except TimeoutError:
        pass


async def _first_word(visit: Visit, patience: float) -> None:
    """Listen; nothing may come."""
    try:
        data = await visit.stream.read(patience)
    except StreamTimeout:
        return
    except StreamClosed:
        raise HungUp from None
    if not data:
        raise HungUp
    visit.stream.unread(data)
    seen = data[:PEEK_LIMIT]
    text = escaped(seen)[:SHOWN]
    visit.log.info(f"PREGREET {len(seen)} after {visit.elapsed_text()} from {visit.where_from}: {text}")
    visit.failed.add(PREGREET)
    evidence = visit.evidence_of("postscreen_greet_action", f"spoke before the greeting: {text}")
    action = visit.service.actions.greet
    visit.record("screened", f"pregreet: {action.value}", evidence)
    if action is Act.DROP:
        raise Dropped(PROTOCOL_ERROR_DROP, evidence)
    if action is Act.ENFORCE:
        visit.enforce(PROTOCOL_ERROR, evidence)


def _judge_pregreet(visit: Visit) -> None:
    if PREGREET not in visit.due:
        return
    if PREGREET in visit.failed:
        if visit.service.actions.greet is Act.IGNORE:
            visit.failed.discard(PREGREET)  # no pass either: the test is repeated the next time
    elif PREGREET not in visit.passed:
        visit.passes(PREGREET, visit.service.settings.postscreen_greet_ttl)


def _ttl(visit: Visit, score: Score) -> int:
    settings = visit.service.settings
    return max(min(score.ttl, settings.postscreen_dnsbl_max_ttl), settings.postscreen_dnsbl_min_ttl)


def _scored(visit: Visit, asked: ClientScore) -> Score:
    """The score as it stands; a good one stands for all other tests."""
    score = asked.now()
    settings = visit.service.settings
    threshold = settings.postscreen_dnsbl_allowlist_threshold
    trusted = score.total <= threshold < 0 and score.total < settings.postscreen_dnsbl_threshold
    if trusted and not visit.refused:
        until = int(visit.service.clock()) + _ttl(visit, score)
        for test in TESTS:
            if test != DNSBL:
                if test in visit.due:
                    visit.passed.add(test)
                # Tests that are switched off as well: switched on, they shall not catch clients that are trusted.
                visit.known.until[test] = max(visit.known.until[test], until)
    return score


async def _judge_score(visit: Visit, score: Score) -> None:
    service = visit.service
    if score.total < service.settings.postscreen_dnsbl_threshold:
        visit.passes(DNSBL, _ttl(visit, score))
        return
    visit.log.info(f"DNSBL rank {score.total} for {visit.where_from}")
    action = service.actions.dnsbl
    evidence = visit.evidence_of("postscreen_dnsbl_sites", f"rank {score.total}: {'; '.join(score.evidence)}")
    visit.record("screened", f"dnsbl rank {score.total}: {action.value}", evidence)
    if action is Act.IGNORE:
        return
    visit.failed.add(DNSBL)
    assert service.scores is not None
    name = await service.scores.shown(score.name)
    text = f"Service unavailable; client [{visit.client.host}] blocked using {name}"
    if action is Act.DROP:
        raise Dropped(Reply(521, "5.7.1", text), evidence)
    visit.enforce(Reply(550, "5.7.1", text), evidence)
