"""Streams over sockets and in memory."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from posthouse.net.connection import READ_HIGH, TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.stream import StreamClosed, StreamTimeout, TlsFailed
from posthouse.net.tcp import connect, connect_unix, start_server
from posthouse.net.tls import (
    CIPHER_LISTS,
    KeyPair,
    TlsUnusable,
    cipher_list,
    client_context,
    protocol_range,
    server_context,
)


def make_pair(name: str = "mail.example") -> KeyPair:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return make_pair()


async def test_what_one_end_writes_the_other_reads() -> None:
    near, far = stream_pair()
    near.write(b"one")
    near.write(b"two")
    assert await far.read(5) == b"onetwo"
    assert near.local == far.peer


async def test_a_read_past_its_deadline_times_out_and_the_stream_goes_on() -> None:
    near, far = stream_pair()
    with pytest.raises(StreamTimeout):
        await far.read(0.01)
    near.write(b"x")
    assert await far.read(5) == b"x"


async def test_a_shorter_deadline_after_a_longer_one_holds() -> None:
    near, far = stream_pair()
    near.write(b"x")
    assert await far.read(100) == b"x"
    near.write(b"y")
    assert await far.read(100) == b"y"
    async with asyncio.timeout(5):
        with pytest.raises(StreamTimeout):
            await far.read(0.01)


async def test_an_orderly_end_is_an_empty_read() -> None:
    near, far = stream_pair()
    near.write(b"bye")
    near.close()
    assert await far.read(5) == b"bye"
    assert await far.read(5) == b""


async def test_reading_stops_above_the_bound_and_nothing_is_lost() -> None:
    near, far = stream_pair()
    for _ in range(8):
        near.write(b"x" * READ_HIGH)
        await asyncio.sleep(0)
    near.close()
    total = 0
    while data := await far.read(5):
        total += len(data)
    assert total == 8 * READ_HIGH


async def test_tls_in_place_drops_plaintext_read_ahead(pair: KeyPair) -> None:
    near, far = stream_pair()
    near.write(b"STARTTLS\r\n")
    assert await far.read(5) == b"STARTTLS\r\n"
    near.write(b"MAIL FROM:<injected>\r\n")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert far.buffered()
    server = asyncio.create_task(far.start_tls(server_context([pair]), server_side=True, timeout=5))
    info = await near.start_tls(client_context(), server_side=False, server_name="mail.example", timeout=5)
    agreed = await server
    assert info.protocol == "TLSv1.3"
    assert agreed.server_name == "mail.example"
    near.write(b"EHLO\r\n")
    assert await far.read(5) == b"EHLO\r\n"
    far.write(b"250 ok\r\n")
    assert await near.read(5) == b"250 ok\r\n"
    near.close()
    assert await far.read(5) == b""


async def test_implicit_tls_keeps_a_handshake_that_came_early(pair: KeyPair) -> None:
    near, far = stream_pair()
    client = asyncio.create_task(near.start_tls(client_context(), server_side=False, timeout=5))
    for _ in range(4):
        await asyncio.sleep(0)
    assert far.buffered()
    await far.start_tls(server_context([pair]), server_side=True, timeout=5)
    await client


async def test_a_certificate_that_is_not_trusted_fails_verification(pair: KeyPair) -> None:
    near, far = stream_pair()
    server = asyncio.create_task(far.start_tls(server_context([pair]), server_side=True, timeout=5))
    with pytest.raises(TlsFailed, match="certificate verification failed"):
        await near.start_tls(client_context(verify=True), server_side=False, server_name="x", timeout=5)
    near.close()
    with pytest.raises(TlsFailed):
        await server


async def test_a_trusted_certificate_verifies_with_its_name(pair: KeyPair, tmp_path: Path) -> None:
    assert isinstance(pair.certificate, bytes)
    (tmp_path / "ca.pem").write_bytes(pair.certificate)
    context = client_context(verify=True, check_hostname=True, ca_file=str(tmp_path / "ca.pem"))
    near, far = stream_pair()
    server = asyncio.create_task(far.start_tls(server_context([pair]), server_side=True, timeout=5))
    info = await near.start_tls(context, server_side=False, server_name="mail.example", timeout=5)
    await server
    assert info.verified


async def test_plain_text_instead_of_a_handshake_fails_cleanly(pair: KeyPair) -> None:
    near, far = stream_pair()
    near.write(b"EHLO this is no TLS at all\r\n")
    with pytest.raises(TlsFailed):
        await far.start_tls(server_context([pair]), server_side=True, timeout=5)


async def serve(sock: socket.socket, limit: int = 10) -> None:
    async def echo(stream: TcpStream) -> None:
        while data := await stream.read(5):
            stream.write(data)

    listener = await start_server(sock, echo, limit=limit)
    host, port = sock.getsockname()[:2]
    streams = [await connect(host, port, timeout=5) for _ in range(3)]
    for number, stream in enumerate(streams[:limit]):
        stream.write(b"%d" % number)
        assert await stream.read(5) == b"%d" % number
    if limit < 3:
        streams[2].write(b"waits")
        with pytest.raises(StreamTimeout):
            await streams[2].read(0.02)
        streams[0].close()
        assert await streams[2].read(5) == b"waits"
    for stream in streams:
        stream.close()
    listener.close()
    assert await listener.wait(5)


@pytest.mark.parametrize("limit", [10, 2])
async def test_a_listener_serves_and_holds_its_limit(limit: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        await serve(sock, limit)


async def test_unix_sockets_tell_who_calls(tmp_path: Path) -> None:
    seen = []

    async def on_stream(stream: TcpStream) -> None:
        seen.append(stream.peer_credentials())
        stream.write(b"hello")

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        listener = await start_server(sock, on_stream)
        stream = await connect_unix(str(tmp_path / "s"), timeout=5)
        assert await stream.read(5) == b"hello"
        assert await stream.read(5) == b""
        stream.close()
        listener.close()
        await listener.wait(5)
    assert seen == [(os.getpid(), os.getuid(), os.getgid())]


async def test_a_reset_connection_raises_closed() -> None:
    got: asyncio.Future[TcpStream] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def on_stream(stream: TcpStream) -> None:
        got.set_result(stream)
        await done.wait()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = await start_server(sock, on_stream)
        client = socket.create_connection(sock.getsockname())
        stream = await got
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        with pytest.raises(StreamClosed):
            await stream.read(5)
        done.set()
        listener.close()
        await listener.wait(5)


def test_uvloop_carries_the_same_listener() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            await serve(sock, 2)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (">=TLSv1.2", ("TLSv1_2", "TLSv1_3")),
        ("!SSLv2, !SSLv3, !TLSv1", ("TLSv1_1", "TLSv1_3")),
        ("TLSv1.2 TLSv1.3", ("TLSv1_2", "TLSv1_3")),
        (">=TLSv1, <=TLSv1.1", ("TLSv1", "TLSv1_1")),
        ("", ("SSLv3", "TLSv1_3")),
    ],
)
def test_protocol_words_give_a_range(words: str, expected: tuple[str, str]) -> None:
    assert expected == tuple(version.name for version in protocol_range(words))


@pytest.mark.parametrize("words", ["TLSv9", ">>TLSv1", "<=SSLv3 >=TLSv1"])
def test_protocol_words_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(TlsUnusable):
        protocol_range(words)


def test_excluded_ciphers_follow_the_grade() -> None:
    assert CIPHER_LISTS["high"] + ":!aNULL:!RC4" == cipher_list("high", ["aNULL", "RC4"])
    with pytest.raises(TlsUnusable):
        cipher_list("best")


def test_a_key_that_does_not_fit_is_refused(pair: KeyPair) -> None:
    with pytest.raises(TlsUnusable, match="cannot get certificate"):
        server_context([KeyPair(pair.certificate, make_pair().key)])
    with pytest.raises(TlsUnusable, match="No such file"):
        server_context([KeyPair("/nonexistent/cert.pem", "/nonexistent/key.pem")])
