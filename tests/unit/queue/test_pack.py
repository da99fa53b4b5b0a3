from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import Client, Envelope, Notify, Recipient, Trace
from posthouse.envelope.outcome import Dsn
from posthouse.queue.pack import (
    TRACED,
    CorruptRow,
    flags_of,
    pack_message,
    pack_outcome,
    unpack_message,
    unpack_outcome,
)
from posthouse.queue.store import Failure, QueuedMessage, RecipientState, State, StoredRecipient

# What a client sent may be no UTF-8: it lives in text as surrogates (PEP 383).
wire_text = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
recipients = st.builds(
    Recipient, wire_text, wire_text, st.sampled_from([Notify.NONE, Notify.NEVER, Notify.SUCCESS]), wire_text
)
dsns = st.builds(Dsn, wire_text, wire_text, wire_text, wire_text, wire_text, wire_text, wire_text)


failed = st.lists(st.builds(Failure, wire_text, dsns, wire_text), max_size=2)


@st.composite
def messages(draw: st.DrawFn) -> QueuedMessage:
    who = tuple(draw(st.lists(recipients, max_size=4)))
    stored = tuple(
        StoredRecipient(i, r, RecipientState.DONE, draw(dsns), draw(wire_text), True, tuple(draw(failed)))
        if draw(st.booleans())
        else StoredRecipient(i, r)
        for i, r in enumerate(who)
    )
    client = draw(st.one_of(st.just(Client()), st.builds(Client, *([wire_text] * 9))))
    envelope = Envelope(draw(wire_text), who, client, draw(st.booleans()), "HDRS", draw(wire_text), draw(st.booleans()))
    envelope = replace(envelope, trace=draw(st.sampled_from(Trace)))
    return QueuedMessage(
        "0123456789",
        draw(st.floats(0, 4e9)),
        envelope,
        stored,
        draw(st.integers(0, 1 << 40)),
        State.DEFERRED,
        12.5,
        draw(wire_text),
        draw(wire_text),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.integers(0, 100)),
    )


@given(messages())
def test_a_message_comes_back_as_it_was(message: QueuedMessage) -> None:
    outcomes = {
        r.index: unpack_outcome(r.index, pack_outcome(r)) for r in message.recipients if r.state is RecipientState.DONE
    }
    again = unpack_message(
        message.queue_id, pack_message(message), outcomes, message.state, message.next_attempt, flags_of(message)
    )
    assert message == again
    traced = unpack_message(message.queue_id, pack_message(message), {}, State.DEFERRED, 0.0, TRACED)
    assert traced.envelope.trace is Trace.NONE


@given(st.binary(max_size=100))
def test_any_bytes_are_a_row_or_corrupt(data: bytes) -> None:
    for read in (
        lambda: unpack_message("0123456789", data, {}, State.INCOMING, 0.0, 0),
        lambda: unpack_outcome(0, data),
    ):
        try:
            read()
        except CorruptRow:
            pass


def test_bytes_of_another_form_are_corrupt() -> None:
    with pytest.raises(CorruptRow):
        unpack_outcome(0, b"\2rest")
