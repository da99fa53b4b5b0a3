import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.config.error import ConfigError
from posthouse.host.clock import VirtualClock
from posthouse.policy.restrictions.verify import ProbeResult, ProbeStatus
from posthouse.schedule.verify import IN_PROGRESS, Known, NoMemory, Verification, VerifySettings
from posthouse.schedule.verify_memory import FileMemory, encode_known, open_memory, parse_known

GOOD = ProbeResult(ProbeStatus.DELIVERABLE, "250 2.1.5 Ok")
BAD = ProbeResult(ProbeStatus.UNDELIVERABLE, "host x said: 550 5.1.1 unknown")
LATER = ProbeResult(ProbeStatus.DEFERRED, "Connection refused")
DAY = 86400


class Remote:
    """Where probes go: answers in turn, the last for ever."""

    def __init__(self, *answers: ProbeResult) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, address: str) -> ProbeResult:
        self.asked.append(address)
        await self.open.wait()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def verification(remote: Remote, clock: VirtualClock, **changes: object) -> Verification:
    found = Verification(VerifySettings(**changes), remote.send, clock)  # type: ignore[arg-type]  # fields by name
    found.start()
    return found


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_unknown_address_waits_for_its_probe_and_is_known_then() -> None:
    remote = Remote(GOOD)
    checks = verification(remote, VirtualClock())
    assert await checks.probe("Joe@Example.COM", 6) == GOOD
    assert await checks.probe("joe@example.com", 6) == GOOD
    assert remote.asked == ["Joe@Example.COM"]


async def test_questions_about_one_address_share_a_probe() -> None:
    remote = Remote(BAD)
    checks = verification(remote, VirtualClock())
    assert await asyncio.gather(*(checks.probe("a@b.example", 6) for _ in range(5))) == [BAD] * 5
    assert len(remote.asked) == 1


async def test_without_patience_a_probe_is_in_progress_and_its_answer_comes_later() -> None:
    remote = Remote(GOOD)
    checks = verification(remote, VirtualClock())
    assert await checks.probe("a@b.example", 0) == IN_PROGRESS
    await turn()
    assert await checks.probe("a@b.example", 0) == GOOD


async def test_a_failed_probe_does_not_touch_a_good_address_until_it_expires() -> None:
    remote, clock = Remote(GOOD, LATER), VirtualClock()
    checks = verification(remote, clock)
    assert await checks.probe("a@b.example", 6) == GOOD
    clock.advance(8 * DAY)
    assert await checks.probe("a@b.example", 6) == GOOD
    await turn()
    assert len(remote.asked) == 2
    assert await checks.probe("a@b.example", 6) == GOOD
    assert len(remote.asked) == 2  # the probe is younger than PROBE_TTL
    clock.advance(24 * DAY)
    assert await checks.probe("a@b.example", 6) == LATER


async def test_a_bad_address_is_probed_again_after_the_refresh_time() -> None:
    remote, clock = Remote(BAD, GOOD), VirtualClock()
    checks = verification(remote, clock)
    assert await checks.probe("a@b.example", 6) == BAD
    clock.advance(10801)
    assert await checks.probe("a@b.example", 6) == BAD
    await turn()
    assert await checks.probe("a@b.example", 6) == GOOD


async def test_without_a_negative_cache_a_bad_answer_is_not_kept() -> None:
    remote = Remote(BAD)
    checks = verification(remote, VirtualClock(), address_verify_negative_cache=False)
    assert await checks.probe("a@b.example", 6) == BAD
    assert await checks.probe("a@b.example", 6) == BAD
    assert len(remote.asked) == 2


async def test_past_the_limit_no_probe_sets_out() -> None:
    remote = Remote(GOOD)
    remote.open.clear()
    checks = verification(remote, VirtualClock(), address_verify_pending_request_limit=1)
    assert await checks.probe("a@b.example", 0) == IN_PROGRESS
    assert await checks.probe("c@b.example", 6) == IN_PROGRESS
    await turn()
    assert remote.asked == ["a@b.example"]
    await checks.stop()


async def test_what_is_known_outlives_the_process(tmp_path: Path) -> None:
    warnings: list[str] = []
    clock = VirtualClock()
    for expected in (1, 0):
        remote = Remote(BAD)
        memory = open_memory(f"proxy:btree:{tmp_path}/verify_cache", warnings.append)
        checks = Verification(VerifySettings(), remote.send, clock, memory)
        checks.start()
        assert await checks.probe("a@b.example", 6) == BAD
        assert len(remote.asked) == expected
    assert not warnings
    assert (tmp_path / "verify_cache.posthouse").exists()


def test_expired_entries_leave_the_file(tmp_path: Path) -> None:
    path, clock = str(tmp_path / "cache"), VirtualClock()
    old = Known(ProbeStatus.UNDELIVERABLE, "x", clock.now() - 4 * DAY, 0.0)
    new = Known(ProbeStatus.DELIVERABLE, "y", clock.now(), 0.0)
    with open(path, "wb") as file:
        file.write(encode_known("old@x", old) + encode_known("new@x", old) + encode_known("new@x", new) + b"torn")
    Verification(VerifySettings(), Remote(GOOD).send, clock, FileMemory(path, lambda text: None)).start()
    with open(path, "rb") as file:
        assert file.read() == encode_known("new@x", new)


def test_a_file_that_cannot_be_kept_is_warned_about_and_done_without(tmp_path: Path) -> None:
    warnings: list[str] = []
    memory = FileMemory(str(tmp_path / "no/cache"), warnings.append)
    assert memory.load() == {}
    memory.add("a", Known(ProbeStatus.DELIVERABLE, "", 0.0, 0.0))
    assert len(warnings) == 1


def test_which_maps_are_kept(tmp_path: Path) -> None:
    def warn(text: str) -> None:
        raise AssertionError(text)

    say: Callable[[str], None] = warn
    assert isinstance(open_memory("", say), NoMemory)
    with pytest.raises(ConfigError, match="need type:/absolute/path"):
        open_memory("memcache", say)


@given(st.text(), st.sampled_from([ProbeStatus.DELIVERABLE, ProbeStatus.DEFERRED]), st.text(), st.integers(0, 2**40))
def test_an_entry_comes_back_as_it_was(address: str, status: ProbeStatus, text: str, moment: int) -> None:
    known = Known(status, text, float(moment), 0.0)
    assert parse_known(encode_known(address, known)) == (address, known)


@given(st.binary())
def test_any_bytes_are_an_entry_or_none(data: bytes) -> None:
    parse_known(data)
