"""A message of ours, written as Postfix's file and read again, is the same message."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from posthouse.envelope.envelope import LOCAL_CLIENT, Client, Envelope, Notify, Recipient, Trace
from posthouse.envelope.outcome import Dsn
from posthouse.queue.exported import drop_file_of, logs_of, queue_file_of
from posthouse.queue.imported import Logs, imported_message, split_content
from posthouse.queue.store import QueuedMessage, RecipientState, State, StoredRecipient, wants_notice
from posthouse.wire.bounce_log import parse_bounce_log
from posthouse.wire.intake import Submission
from posthouse.wire.queue_file import content_pieces, parse_queue_file
from posthouse.wire.xtext import encode_xtext

HEADER = b"Received: from x\r\nMessage-Id: <m@x.test>\r\n"

# What a client sent may be no UTF-8; line ends and NUL cannot come in an address.
words = st.binary(max_size=9).map(lambda data: data.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape"))
some = words.filter(bool)
lines = words.map(lambda text: " ".join(text.split()))
notifies = st.sampled_from([Notify.NONE, Notify.NEVER, Notify.FAILURE | Notify.DELAY, Notify.SUCCESS])
originals = st.one_of(
    st.just(""), st.builds(lambda text: "rfc822;" + encode_xtext(text), st.text("ab@+=ö", min_size=1))
)
pending_dsns = st.one_of(
    st.none(),
    st.builds(Dsn, st.just("4.4.1"), lines, st.just(""), st.just("X-Postfix"), lines, st.just("dns")),
)
clients = st.one_of(
    st.just(LOCAL_CLIENT),
    st.builds(Client, some, some, words, some, words, st.sampled_from(["SMTP", "ESMTP"]), words, words, words),
)


@st.composite
def messages(draw: st.DrawFn) -> QueuedMessage:
    client = draw(clients)
    stored = []
    for index in range(draw(st.integers(1, 4))):
        orcpt = draw(originals.filter(bool) if client.protocol else originals)
        recipient = Recipient(draw(words), draw(words), draw(notifies), orcpt)
        if draw(st.booleans()):
            stored.append(StoredRecipient(index, recipient, dsn=draw(pending_dsns)))
        else:
            done = Dsn("2.0.0", "ok", draw(st.sampled_from(["failed", "relayed"])))
            stored.append(StoredRecipient(index, recipient, RecipientState.DONE, done, reported=draw(st.booleans())))
    stored.sort(key=lambda one: one.state is RecipientState.PENDING)
    stored = [replace(one, index=index) for index, one in enumerate(stored)]
    envelope = Envelope(
        draw(words),
        tuple(one.recipient for one in stored),
        client,
        draw(st.booleans()),
        draw(st.sampled_from(["", "FULL", "HDRS"])),
        encode_xtext(draw(st.text("ab+ö", max_size=5))),
        draw(st.booleans()),
        draw(st.sampled_from(["", "7BIT", "8BITMIME"])),
        draw(st.sampled_from(["", "+="])),
        draw(st.sampled_from(Trace)),
    )
    state = draw(st.sampled_from([State.INCOMING, State.DEFERRED, State.HOLD]))
    return QueuedMessage(
        "4E2F623E293",
        draw(st.integers(0, 4 * 10**15)) / 1_000_000,
        envelope,
        tuple(stored),
        0,
        state,
        1234.0 if state is State.DEFERRED else 0.0,
        "<m@x.test>",
        draw(st.sampled_from(["", "smtp:[127.0.0.1]:10025"])),
        draw(st.booleans()),
        draw(st.booleans()),
        1,
    )


QUEUES = {State.INCOMING: "incoming", State.DEFERRED: "deferred", State.HOLD: "hold"}


def back(message: QueuedMessage, body: bytes) -> tuple[QueuedMessage, bytes]:
    """Written and imported again: the message and its content."""
    data = queue_file_of(message, HEADER, body)
    logs = {name: tuple(parse_bounce_log(log)) for name, log in logs_of(message, data).items()}
    read = parse_queue_file(data)
    header, rest = split_content(content_pieces(data, read))
    given = Logs(logs.get("defer", ()), logs.get("bounce", ()), logs.get("trace", ()))
    mode = 0o710 if message.force_expired else 0o700
    queue = QUEUES[message.state]
    return imported_message(message.queue_id, queue, read, mode, 1234.0, given, header), header + b"\r\n" + b"".join(
        rest
    )


def told(stored: StoredRecipient) -> StoredRecipient:
    """What Postfix's files can say of a recipient: of one that is done only what is owed, and NEVER is never owed."""
    if stored.state is RecipientState.PENDING:
        return stored
    if wants_notice(stored) and not (
        stored.recipient.notify in (Notify.NEVER, Notify.SUCCESS) and stored.dsn and stored.dsn.action == "failed"
    ):
        return stored
    return replace(stored, dsn=None, reported=True)


def owes_success(stored: StoredRecipient) -> bool:
    return wants_notice(stored) and stored.dsn is not None and stored.dsn.action != "failed"


@given(messages(), st.binary(max_size=40))
def test_a_message_comes_back_as_it_was(message: QueuedMessage, body: bytes) -> None:
    body = body.replace(b"\r", b"").replace(b"\n", b"\r\n")
    found, content = back(message, body)
    expected = replace(message, recipients=tuple(told(stored) for stored in message.recipients))
    if message.envelope.trace is Trace.NONE and any(owes_success(one) for one in message.recipients):
        expected = replace(expected, envelope=replace(expected.envelope, trace=Trace.RECORD))
    assert found == expected
    assert content.removesuffix(b"\r\n") == (HEADER + b"\r\n" + body).removesuffix(b"\r\n")


def message(*recipients: StoredRecipient, **more: object) -> QueuedMessage:
    envelope = Envelope("s@x.test", tuple(one.recipient for one in recipients))
    made = QueuedMessage("4E2F623E293", 1795505891.836512, envelope, recipients, 7)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of it


def test_long_lines_are_cut_and_joined_again() -> None:
    body = b"x" * 5000 + b"\r\n" + b"y" * 2048 + b"\r\n.\r\n"
    assert back(message(StoredRecipient(0, Recipient("a@x.test"))), body)[1] == HEADER + b"\r\n" + body


def test_the_first_record_tells_where_the_content_is() -> None:
    data = queue_file_of(message(StoredRecipient(0, Recipient("a@x.test"))), HEADER, b"body\r\n")
    assert data[:2] == b"C_"
    numbers = data[2:97].split()
    assert (numbers[0], int(numbers[1])) == (b"7", parse_queue_file(data).content_offset)


def test_a_delivered_recipient_owes_no_notice_and_is_done() -> None:
    done = StoredRecipient(0, Recipient("a@x.test"), RecipientState.DONE, Dsn("2.0.0", "ok", "relayed"))
    waits = StoredRecipient(1, Recipient("b@x.test"), dsn=Dsn("4.4.1", "connect to x: refused"))
    one = message(done, waits, state=State.DEFERRED)
    data = queue_file_of(one, HEADER, b"")
    assert [recipient.done for recipient in parse_queue_file(data).recipients] == [True, False]
    assert list(logs_of(one, data)) == ["defer"]


def test_a_bounce_that_is_owed_stands_in_the_bounce_log_at_the_place_of_its_record() -> None:
    failed = Dsn("5.1.1", "host x said: 550 no", "failed", "smtp", "550 5.1.1 no", "dns", "x")
    one = message(StoredRecipient(0, Recipient("a b@x.test", "o@x.test"), RecipientState.DONE, failed))
    data = queue_file_of(one, HEADER, b"")
    offset = parse_queue_file(data).recipients[0].offset
    assert data[offset : offset + 1] == b"D"
    assert logs_of(one, data)["bounce"].decode() == (
        f'\n<"a b"@x.test>: host x said: 550 no\nrecipient="a b"@x.test\noriginal_recipient=o@x.test\noffset={offset}\n'
        "status=5.1.1\naction=failed\ndiag_type=smtp\ndiag_text=550 5.1.1 no\nmta_type=dns\nmta_mname=x\n"
        "reason=host x said: 550 no\n\n"
    )


def test_the_warning_that_is_to_come_is_written_down() -> None:
    one = message(StoredRecipient(0, Recipient("a@x.test")))
    assert b"W\x0f     1795509491" in queue_file_of(one, HEADER, b"", 3600)
    assert b"W" not in queue_file_of(one, HEADER, b"")
    assert b"W\x0f             -1" in queue_file_of(replace(one, delay_warned=True), HEADER, b"", 3600)


submissions = st.builds(
    Submission,
    words,
    st.lists(st.builds(Recipient, words, st.just(""), notifies, originals), min_size=1, max_size=3).map(tuple),
    st.just("pickup"),
    words,
    st.booleans(),
    st.sampled_from(["", "7BIT", "8BITMIME"]),
    st.sampled_from(["", "FULL", "HDRS"]),
    st.text("ab+ö", max_size=5).map(encode_xtext),
    st.sampled_from(["", "+="]),
    st.just(False),
    st.sampled_from(Trace),
)


@given(submissions)
def test_a_submission_comes_back_as_it_was(submission: Submission) -> None:
    data = drop_file_of(submission, b"Subject: t\r\n\r\nbody\r\n", 1795505891.836512)
    read = parse_queue_file(data)
    again = Submission(
        read.sender,
        tuple(one.recipient for one in read.recipients),
        "pickup",
        read.full_name,
        read.local_rewrite,
        read.body,
        read.ret,
        read.envid,
        read.verp,
        False,
        read.trace,
    )
    assert (again, read.queued, read.arrival_time) == (submission, False, 1795505891.836512)
    assert b"".join(content_pieces(data, read)) == b"Subject: t\r\n\r\nbody\r\n"
