"""Files of Postfix's queue, made by hand: records as Postfix 3.7 was seen to write them."""

from pathlib import Path


def record(kind: str, data: bytes | str = b"") -> bytes:
    """One record."""
    raw = data.encode() if isinstance(data, str) else data
    length, head = len(raw), bytearray(kind.encode())
    while True:
        low = length & 0x7F
        length >>= 7
        head.append(low | (0x80 if length else 0))
        if not length:
            return bytes(head) + raw


def content(data: bytes) -> bytes:
    """Lines as N records, long ones in L records of 2048 bytes before."""
    out = []
    for line in data.split(b"\r\n")[:-1]:
        while len(line) > 2048:
            out.append(record("L", line[:2048]))
            line = line[2048:]
        out.append(record("N", line))
    return b"".join(out)


def queue_file(
    text: bytes,
    sender: str = "s@x.test",
    recipients: tuple[str, ...] = ("a@dead.test",),
    done: tuple[str, ...] = (),
    *,
    extra: tuple[bytes, ...] = (),
    found: bytes = b"",
    time: str = "1795505891 836512",
    smtputf8: int = 0,
) -> bytes:
    """A whole file. `extra` are records behind the sender, `found` those between X and E."""
    envelope = [record("T", time), record("A", f"create_time={time.split()[0]}"), record("A", "rewrite_context=local")]
    envelope += [record("S", sender), *extra]
    for recipient in (*done, *recipients):
        envelope += [record("A", f"dsn_orig_rcpt=rfc822;{recipient}"), record("O", recipient)]
        envelope.append(record("D" if recipient in done else "R", recipient))
    lines = content(text)
    numbers = (len(lines), 97 + sum(map(len, envelope)) + 2, len(recipients), 0, len(lines), smtputf8)
    size = record("C", " ".join(f"{number:>15}" for number in numbers))
    return b"".join([size, *envelope, record("M"), lines, record("X"), found, record("E")])


def drop_file(text: bytes, sender: str = "joe", recipients: tuple[str, ...] = ("bob",)) -> bytes:
    """A file of the maildrop, as postdrop writes it."""
    envelope = [record("T", "1795505891 836512"), record("A", "rewrite_context=local"), record("F", "Joe Full")]
    envelope += [record("S", sender), *(record("R", recipient) for recipient in recipients)]
    return b"".join([*envelope, record("M"), content(text), record("X"), record("E")])


def defer_log(recipient: str, reason: str, offset: int = -1) -> bytes:
    """A block of a defer log."""
    place = f"offset={offset}\n" if offset >= 0 else ""
    block = f"recipient={recipient}\n{place}status=4.4.1\naction=delayed\nreason={reason}\n\n"
    return f"\n<{recipient}>: {reason}\n{block}".encode()


def put(spool: Path, queue: str, name: str, data: bytes, mode: int = 0o700) -> Path:
    """A file in a spool, deferred and defer hashed as by default."""
    folder = spool / queue / (name[0] if queue in ("deferred", "defer") else "")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    path.chmod(mode)
    return path
