"""postsuper on mail whose server has it all and has not answered, beside Postfix: log, mailq and what is delivered."""

import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.interop.held_server import HeldServer, held_server
from tests.interop.pair import Side, pair
from tests.system.machine import eventually

MAIN_CF = """
transport_maps = texthash:@folder@/etc/transport
virtual_alias_maps = hash:@folder@/etc/virtual
header_checks = regexp:@folder@/etc/checks
recipient_canonical_maps = hash:@folder@/etc/canonical
smtp_connection_cache_on_demand = no
relay_domains = far.test
"""
FILES = {
    "etc/transport": "",
    "etc/virtual": "",
    "etc/canonical": "",
    "etc/checks": "/^X-Mark: (.*)/ REPLACE X-Mark: $1+\n",
}

SENT, LATER, NEVER = "250 2.0.0 Ok", "450 4.2.0 later", "550 5.1.1 no such user"


@dataclass(frozen=True, slots=True)
class Held:
    """One side and its server."""

    side: Side
    server: HeldServer

    def send(self, *recipients: str) -> str:
        """A message that its server has, and does not answer for; its queue id."""
        before = len(self.server.got)
        with smtplib.SMTP("127.0.0.1", self.side.smtp) as smtp:
            smtp.sendmail("s@pair.test", recipients, "Subject: x\r\nX-Mark: old\r\n\r\nbody\r\n")
        self.server.wait_for(before + 1)
        (row,) = self.side.queue()
        return str(row["queue_id"])

    def postsuper(self, option: str, queue_id: str) -> str:
        """What it says."""
        ran = self.side.run("postsuper", option, queue_id)
        assert ran.status == 0, ran
        return ran.err.replace(queue_id, "ID")

    def queue(self) -> list[tuple[object, list[tuple[str, str]]]]:
        """As mailq has it; what Postfix keeps without recipients is left out."""
        found = []
        for row in self.side.queue():
            recipients: list[dict[str, str]] = row["recipients"]  # type: ignore[assignment]  # of JSON
            if recipients:
                found.append((row["queue_name"], [(r["address"], r.get("delay_reason", "")) for r in recipients]))
        return found

    def answer(self, ended: str) -> None:
        """Let the server answer, and wait until the log has that line."""
        self.server.let_go()
        eventually(lambda: re.search(ended, self.side.text()), f"{ended}: {self.side.text()[-2000:]}")

    def lines(self, after: int) -> list[str]:
        """The log, without what the two word differently on purpose (docs/differences.md), sorted: who is first in it
        is a matter of microseconds."""
        self.side.told(after)
        lines = [line.replace(str(self.server.port), "@held@") for line in self.side.lines(after=after)]
        own = re.compile(
            r"postfix/(smtpd|postfix-script|master|local|scache|anvil)\b|warning: qmgr_active_done|: removed$"
            r"|has changed -- restarting"
        )
        return sorted(re.sub(r"size=\d+", "size=N", line) for line in lines if not own.search(line))

    def clear(self) -> None:
        """Nothing is left, and the log has said so: a line that comes late would be the next one's."""
        told = self.side.text().count(": Deleted: ")
        self.side.run("postsuper", "-d", "ALL")
        eventually(lambda: self.side.text().count(": Deleted: ") > told, "what postsuper says")
        eventually(lambda: not self.side.queue(), f"an empty queue: {self.side.queue()}")


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Held, Held]]:
    with held_server() as one, held_server() as other, pair(MAIN_CF, files=FILES) as (postfix, posthouse):
        found = Held(postfix, one), Held(posthouse, other)
        for held in found:
            row = f"far.test smtp:[127.0.0.1]:{held.server.port}\n"
            (held.side.folder / "etc" / "transport").write_text(row)
            for name in ("virtual", "canonical"):
                held.side.do("postmap", f"hash:{held.side.folder}/etc/{name}")
            held.side.reload()
        yield found


def _play(held: Held, options: str, answer: str) -> dict[str, object]:
    held.clear()
    held.server.hold(answer)
    after, before = len(held.side.text()), len(held.server.got)
    queue_id = held.send("a@far.test", "b@far.test")
    said = [held.postsuper(f"-{option}", queue_id) for option in options]
    during = held.queue()
    held.answer(rf"{queue_id}: to=<b@far\.test>.* status=")
    if answer == NEVER:
        held.answer(rf"{queue_id}: sender non-delivery notification: \w+")
    eventually(
        lambda: not any(row["queue_name"] == "active" for row in held.side.queue()),
        f"it settles: {held.side.queue()}: {held.side.text()[-3000:]}",
    )
    return {
        "said": said,
        "during": during,
        "afterwards": held.queue(),
        "log": held.lines(after),
        "delivered": held.server.got[before:],
    }


@pytest.mark.parametrize("answer", [SENT, LATER, NEVER], ids=["sent", "later", "never"])
@pytest.mark.parametrize("options", ["h", "hH", "d", "hd"])
def test_what_is_asked_of_mail_in_flight_is_done_as_by_postfix(
    both: tuple[Held, Held], options: str, answer: str
) -> None:
    postfix, posthouse = (_play(held, options, answer) for held in both)
    assert postfix == posthouse


@pytest.mark.parametrize("answer", [SENT, NEVER], ids=["sent", "never"])
def test_mail_requeued_in_flight_that_comes_to_its_end_does_not_come_again(
    both: tuple[Held, Held], answer: str
) -> None:
    postfix, posthouse = (_play(held, "r", answer) for held in both)
    assert postfix == posthouse


def test_mail_requeued_in_flight_and_deferred_comes_in_anew_as_by_postfix(both: tuple[Held, Held]) -> None:
    found = []
    for held in both:
        if held.side.name == "postfix":
            held.side.run("postkick", "public", "pickup", "W")  # what the tests before have left there
        held.clear()
        held.server.hold(LATER)
        after, before = len(held.side.text()), len(held.server.got)
        queue_id = held.send("a@far.test", "b@far.test")
        for name, row in (("virtual", "a@far.test c@far.test\n"), ("canonical", "b@far.test B2@far.test\n")):
            path = held.side.folder / "etc" / name
            path.write_text(row)
            held.side.do("postmap", f"hash:{path}")
        during = held.queue()
        held.postsuper("-r", queue_id)
        held.answer(rf"{queue_id}: to=<b@far\.test>.* status=deferred")
        if held.side.name == "postfix":
            held.side.run("postkick", "public", "pickup", "W")
        eventually(lambda side=held.side: not side.queue(), f"it goes: {held.side.text()[-2000:]}")  # type: ignore[misc]
        content = re.sub(r"from userid \d+", "from userid N", held.side.calm(held.server.contents[-1]))
        found.append((during, held.lines(after), held.server.got[before:], content))
    postfix, posthouse = found
    assert postfix == posthouse
    assert posthouse[2] == [["a@far.test", "b@far.test"], ["B2@far.test", "c@far.test"]]
    assert "X-Mark: old++\r\n" in posthouse[3]
