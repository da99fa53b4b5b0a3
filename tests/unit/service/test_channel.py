"""What the master and a child say to each other."""

import os

from posthouse.service.channel import FATAL, LOG, MESSAGE_LIMIT, READY, Channel, Message


def test_messages_keep_their_ends() -> None:
    ours, theirs = Channel.pair()
    assert theirs.send(READY)
    assert theirs.send(FATAL + b"no")
    assert [ours.receive(), ours.receive()] == [Message(READY), Message(b"fatal no")]
    ours.close()
    theirs.close()


def test_a_descriptor_comes_along() -> None:
    ours, theirs = Channel.pair()
    reader, writer = os.pipe()
    assert ours.send(LOG, writer)
    message = theirs.receive()
    assert message is not None
    assert (message.data, message.descriptor is None) == (LOG, False)
    os.write(message.descriptor, b"line")
    assert os.read(reader, 10) == b"line"
    for descriptor in (reader, writer, message.descriptor):
        os.close(descriptor)
    ours.close()
    theirs.close()


def test_a_long_text_is_cut() -> None:
    ours, theirs = Channel.pair()
    theirs.send(FATAL + b"x" * 3 * MESSAGE_LIMIT)
    message = ours.receive()
    assert message is not None
    assert len(message.data) == MESSAGE_LIMIT
    ours.close()
    theirs.close()


def test_either_end_learns_that_the_other_is_gone() -> None:
    ours, theirs = Channel.pair()
    theirs.close()
    assert ours.receive() is None
    assert not ours.send(READY)
    ours.close()
