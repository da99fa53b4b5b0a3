"""Every mail store against a plain model: whatever is done, it holds what the model holds."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.envelope.content import Content, MemoryBody
from posthouse.mailbox.maildir.store import maildir_store
from posthouse.mailbox.mbox.store import mbox_store
from posthouse.mailbox.native.store import NativeMailStore
from posthouse.mailbox.native.verify import verify_account
from posthouse.mailbox.store import (
    AccountStore,
    Appended,
    Copied,
    Delivered,
    Expunged,
    FlagsStored,
    Mailbox,
    MailStore,
    NewMessage,
    Refused,
)

FLAGS = st.frozensets(
    st.sampled_from(["\\Seen", "\\Flagged", "\\Deleted", "\\Answered", "\\Draft", "one", "two"]), max_size=3
)
NAMES = st.sampled_from(["INBOX", "A", "A/B", "C"])
PICK = st.frozensets(st.integers(0, 5), max_size=3)


@dataclass
class Model:
    """One mailbox as it should be."""

    messages: dict[int, tuple[bytes, frozenset[str]]] = field(default_factory=dict)
    highest: int = 0
    known: dict[int, frozenset[str]] = field(default_factory=dict)
    """What a client knows that asked for changes last at `modseq`."""
    modseq: int = 0


class AgainstModel(RuleBasedStateMachine):
    """The native store; the others below."""

    def make(self, folder: Path) -> MailStore:
        return NativeMailStore(folder)

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mailbox-model"))
        self.loop = asyncio.new_event_loop()
        self.count = 0
        self.models = {"INBOX": Model()}
        self.start()

    def run_(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def start(self) -> None:
        self.store = self.make(self.folder)
        self.account: AccountStore = self.run_(self.store.open("a@x"))
        self.open: dict[str, Mailbox] = {}

    def mailbox(self, name: str) -> Mailbox:
        if name not in self.open:
            self.open[name] = self.run_(self.account.select(name))
        return self.open[name]

    def pick(self, name: str, picks: frozenset[int]) -> list[int]:
        uids = sorted(self.models[name].messages)
        return [uids[each % len(uids)] for each in picks] if uids else []

    def add(self, name: str, uid: int, data: bytes, flags: frozenset[str]) -> None:
        model = self.models[name]
        assert uid > model.highest
        model.highest = uid
        model.messages[uid] = (data, flags)

    @rule(name=NAMES, flags=FLAGS, large=st.booleans())
    def append(self, name: str, flags: frozenset[str], large: bool) -> None:
        if name not in self.models:
            return
        self.count += 1
        data = b"A: %d\r\n\r\n" % self.count + b"From x\r\n" * (10_000 if large else 1)
        writer = self.account.new_content()
        writer.write(data)
        appended = self.run_(self.mailbox(name).append([NewMessage(self.run_(writer.finish()), flags)]))
        assert isinstance(appended, Appended)
        self.add(name, appended.uids[0], data, flags)

    @rule(number=st.integers(1, 3))
    def deliver(self, number: int) -> None:
        contents = []
        for _ in range(number):
            self.count += 1
            contents.append(Content(b"A: %d\r\n" % self.count, MemoryBody(b"x\r\n")))

        async def together() -> list[Any]:
            return await asyncio.gather(*(self.store.deliver("a@x", each) for each in contents))

        for content, delivered in zip(contents, self.run_(together()), strict=True):
            assert isinstance(delivered, Delivered)
            model = self.models["INBOX"]
            model.highest = max(model.highest, delivered.uid)
            assert delivered.uid not in model.messages
            model.messages[delivered.uid] = (content.header + b"\r\nx\r\n", frozenset())

    @rule(name=NAMES, picks=PICK, mode=st.sampled_from(["add", "remove", "replace"]), flags=FLAGS)
    def store_flags(self, name: str, picks: frozenset[int], mode: Any, flags: frozenset[str]) -> None:
        if name not in self.models:
            return
        uids = self.pick(name, picks)
        stored = self.run_(self.mailbox(name).store_flags([*uids, 99_999], mode, flags))
        assert isinstance(stored, FlagsStored)
        messages = self.models[name].messages
        for uid in set(uids):
            data, old = messages[uid]
            messages[uid] = (data, {"add": old | flags, "remove": old - flags, "replace": flags}[mode])
        assert {row.uid: row.flags for row in stored.changed} == {uid: messages[uid][1] for uid in uids}

    @rule(name=NAMES, picks=st.none() | PICK)
    def expunge(self, name: str, picks: frozenset[int] | None) -> None:
        if name not in self.models:
            return
        messages = self.models[name].messages
        uids = None if picks is None else self.pick(name, picks)
        doomed = [uid for uid in sorted(messages) if "\\Deleted" in messages[uid][1] and (uids is None or uid in uids)]
        expunged = self.run_(self.mailbox(name).expunge(uids))
        assert isinstance(expunged, Expunged)
        assert list(expunged.uids) == doomed
        for uid in doomed:
            del messages[uid]

    @rule(name=NAMES, to=NAMES, picks=PICK, move=st.booleans())
    def transfer(self, name: str, to: str, picks: frozenset[int], move: bool) -> None:
        if name not in self.models:
            return
        uids = self.pick(name, picks)
        mailbox = self.mailbox(name)
        copied = self.run_(mailbox.move(uids, to) if move else mailbox.copy(uids, to))
        if to not in self.models:
            assert isinstance(copied, Refused)
            return
        assert isinstance(copied, Copied)
        assert list(copied.source_uids) == sorted(set(uids))
        for uid, new in zip(copied.source_uids, copied.destination_uids, strict=True):
            self.add(to, new, *self.models[name].messages[uid])
        if move:
            for uid in copied.source_uids:
                del self.models[name].messages[uid]

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        made = self.run_(self.account.create(name))
        assert isinstance(made, Refused) == (name in self.models)
        if name == "A/B" and name not in self.models:
            self.models.setdefault("A", Model())
        self.models.setdefault(name, Model())

    @precondition(lambda self: "C" in self.models)
    @rule()
    def delete(self) -> None:
        assert self.run_(self.account.delete("C")) is None
        del self.models["C"]
        self.open.pop("C", None)

    @precondition(lambda self: "A/B" in self.models and "C" not in self.models)
    @rule()
    def rename(self) -> None:
        assert self.run_(self.account.rename("A/B", "C")) is None
        self.models["C"] = self.models.pop("A/B")
        self.open.pop("A/B", None)

    @rule()
    def restart(self) -> None:
        for mailbox in self.open.values():
            self.run_(mailbox.close())
        self.run_(self.store.close())
        self.start()

    @rule(name=NAMES)
    def ask_for_changes(self, name: str) -> None:
        if name not in self.models:
            return
        model = self.models[name]
        changes = self.run_(self.mailbox(name).changes(model.modseq))
        for uid in changes.vanished:
            model.known.pop(uid, None)
        model.known.update({row.uid: row.flags for row in changes.changed})
        model.modseq = changes.highest_modseq
        assert model.known == {uid: flags for uid, (_, flags) in model.messages.items()}

    @invariant()
    def every_mailbox_is_as_the_model_says(self) -> None:
        for name, model in self.models.items():
            found = self.run_(whole(self.mailbox(name)))
            assert found == model.messages
            status = self.run_(self.account.status([name]))[name]
            messages = model.messages.values()
            assert status.messages == len(messages)
            assert status.unseen == sum("\\Seen" not in flags for _, flags in messages)
            assert status.deleted == sum("\\Deleted" in flags for _, flags in messages)
            assert status.size == sum(len(data) for data, _ in messages)
            assert status.uid_next > model.highest
        quota = self.run_(self.account.quota())
        assert quota.messages == sum(len(model.messages) for model in self.models.values())

    def teardown(self) -> None:
        if isinstance(self.store, NativeMailStore):
            assert self.run_(verify_account(self.store, "a@x")).problems == ()
        self.run_(self.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)


async def whole(mailbox: Mailbox) -> dict[int, tuple[bytes, frozenset[str]]]:
    flags = {row.uid: row.flags async for page in mailbox.summaries() for row in page}
    contents = await mailbox.contents(list(flags))
    return {uid: (await contents[uid].read(), flags[uid]) for uid in flags}


class MaildirAgainstModel(AgainstModel):
    def make(self, folder: Path) -> MailStore:
        return maildir_store(lambda _account: folder / "Maildir")


class MboxAgainstModel(AgainstModel):
    """INBOX only."""

    def make(self, folder: Path) -> MailStore:
        return mbox_store(lambda _account: (folder / "spool", folder / "index"))

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        assert isinstance(self.run_(self.account.create(name)), Refused)


LIMITS = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestNative = AgainstModel.TestCase
TestMaildir = MaildirAgainstModel.TestCase
TestMbox = MboxAgainstModel.TestCase
for case in (TestNative, TestMaildir, TestMbox):
    case.settings = LIMITS
del case
