"""Every SMTP transcript, whole, byte by byte, cut at random, and over a socket."""

import asyncio
import datetime
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.config.read import read_configuration
from posthouse.envelope.envelope import Notify
from posthouse.envelope.verdict import Evidence
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.intake.transaction import Refused
from posthouse.journal.journal import MemoryJournal
from posthouse.net.connection import TcpStream
from posthouse.net.pair import stream_pair
from posthouse.net.tcp import connect, start_server
from posthouse.net.tls import KeyPair, client_context, server_context
from posthouse.session.smtp.listener import SmtpListener
from posthouse.session.smtp.open_service import open_smtp_service
from posthouse.session.smtp.service import SmtpService
from posthouse.testkit.smtp_parts import MemoryAuthenticator, MemoryIntake, MemoryStages
from posthouse.testkit.transcript import CUTS, check_log, parse_transcript, play

FOLDER = Path(__file__).parents[2] / "transcripts" / "smtp"
TRANSCRIPTS = {path.stem: parse_transcript(path.read_text()) for path in sorted(FOLDER.glob("*.txt"))}


@pytest.fixture(scope="session")
def key_pair() -> KeyPair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example")])
    start = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start)
    certificate = builder.not_valid_after(start + datetime.timedelta(days=36500)).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(certificate.public_bytes(pem), private)


Build = Callable[[str], SmtpService]


@pytest.fixture
def build(tmp_path: Path, key_pair: KeyPair) -> Build:
    def make(main_cf: str = "") -> SmtpService:
        (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = mail.example\n" + main_cf)
        configuration = read_configuration(str(tmp_path))
        service = open_smtp_service(
            configuration,
            stages=MemoryStages(),
            intake=MemoryIntake(),
            log=ProcessLog(MemorySink(), "postfix/smtpd"),
            journal=MemoryJournal(),
            name="smtp",
            authenticator=MemoryAuthenticator({"joe": "good"}),
        )
        service.clock = lambda: 1795489996.0
        if service.settings.tls_offered:
            service.tls_context = server_context([key_pair])
        return service

    return make


def log_of(service: SmtpService) -> list[str]:
    sink = service.log._sink
    assert isinstance(sink, MemorySink)
    return [line.partition(": ")[2] for line in sink.lines]


def messages_of(service: SmtpService) -> MemoryIntake:
    assert isinstance(service.intake, MemoryIntake)
    return service.intake


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_transcript_holds_however_its_bytes_are_cut(name: str, cut: str, build: Build) -> None:
    transcript = TRANSCRIPTS[name]
    service = build(transcript.main_cf)
    near, far = stream_pair(client=("127.0.0.1", 40000))
    session = asyncio.create_task(SmtpListener(service).on_stream(far))
    async with asyncio.timeout(20):
        await play(transcript, near, cut=cut, client_tls=client_context())
        await session
    check_log(transcript, log_of(service))


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_transcript_holds_over_a_socket(name: str, build: Build) -> None:
    transcript = TRANSCRIPTS[name]
    service = build(transcript.main_cf)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = await start_server(sock, SmtpListener(service).on_stream)
        stream = await connect("127.0.0.1", sock.getsockname()[1], timeout=5)
        await play(transcript, stream, client_tls=client_context())
        listener.close()
        assert await listener.wait(5)
    check_log(transcript, log_of(service))


async def converse(service: SmtpService, data: bytes, address: str = "127.0.0.1") -> bytes:
    near, far = stream_pair(client=(address, 40000))
    session = asyncio.create_task(SmtpListener(service).on_stream(far))
    near.write(data)
    said = b""
    async with asyncio.timeout(10):
        while part := await near.read(5):
            said += part
        await session
    near.close()
    return said


async def test_content_arrives_without_stuffed_dots_and_with_whole_line_ends(build: Build) -> None:
    service = build("")
    await converse(
        service,
        b"EHLO c\r\nMAIL FROM:<a@b.example> BODY=8BITMIME RET=HDRS ENVID=x+2By SMTPUTF8\r\n"
        b"RCPT TO:<joe@v.example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;joe@x\r\nDATA\r\n"
        b"Subject: t\r\n\r\n..one\r\ntwo\nthree\n..four\r\n..\r\n.\r\nQUIT\r\n",
    )
    (message,) = messages_of(service).messages
    assert message.data == b"Subject: t\r\n\r\n.one\r\ntwo\r\nthree\r\n.four\r\n.\r\n"
    envelope = message.envelope
    assert envelope is not None
    assert (envelope.sender, envelope.body, envelope.ret, envelope.envid) == (
        "a@b.example",
        "8BITMIME",
        "HDRS",
        "x+2By",
    )
    assert envelope.smtputf8
    (recipient,) = envelope.recipients
    assert recipient.notify == Notify.SUCCESS | Notify.DELAY
    assert recipient.orcpt == "rfc822;joe@x"
    assert envelope.client.helo == "c" and envelope.client.protocol == "ESMTP"


async def test_the_received_field_names_the_only_recipient(build: Build) -> None:
    service = build("smtpd_sasl_auth_enable = yes\nsmtpd_sasl_authenticated_header = yes\n")
    await converse(
        service,
        b"EHLO c\r\nAUTH PLAIN AGpvZQBnb29k\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<joe@v.example.com>\r\nDATA\r\n"
        b"a: b\r\n.\r\nQUIT\r\n",
    )
    (message,) = messages_of(service).messages
    head, _, date = message.received.decode().partition("; ")
    assert head == (
        "Received: from c (unknown [127.0.0.1])\r\n\t(Authenticated sender: joe)\r\n\t"
        "by mail.example (Postfix) with ESMTPA id 4XyZ000001\r\n\tfor <joe@v.example.com>"
    )
    assert date.startswith("Tue, 24 Nov 2026 ") and date.endswith(")\r\n")


async def test_what_the_door_refuses_is_refused_in_its_words(build: Build) -> None:
    service = build("")
    said = await converse(
        service,
        b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<joe@v.example.com>\r\nDATA\r\nSubject: refuse me\r\n.\r\nQUIT\r\n",
    )
    assert b"550 5.7.1 message content rejected\r\n221" in said


async def test_a_client_refused_at_connect_hears_it_first(build: Build) -> None:
    said = await converse(build(""), b"EHLO c\r\nQUIT\r\n", address="10.0.0.1")
    assert said == (
        b"554 5.7.1 <unknown[10.0.0.1]>: Client host rejected: Access denied\r\n"
        b"503 5.7.0 Error: access denied for unknown[10.0.0.1]\r\n221 2.0.0 Bye\r\n"
    )


async def test_a_silent_client_times_out(build: Build) -> None:
    service = build("")
    service.settings = replace(service.settings, smtpd_timeout=0)
    near, far = stream_pair()
    await SmtpListener(service).on_stream(far)
    said = b""
    while part := await near.read(5):
        said += part
    assert said == b"220 mail.example ESMTP Postfix\r\n421 4.4.2 mail.example Error: timeout exceeded\r\n"
    assert log_of(service)[-2:] == [
        "timeout after CONNECT from unknown[127.0.0.1]",
        "disconnect from unknown[127.0.0.1] commands=0/0",
    ]


async def test_an_overlong_line_is_cut_and_the_session_goes_on(build: Build) -> None:
    service = build("")
    said = await converse(service, b"NOOP " + b"b" * 5000 + b"\r\nQUIT\r\n")
    assert said.endswith(b"250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n")
    assert "warning: unknown[127.0.0.1]: request longer than 2048: NOOP bbbbbbbbbbbbbbbbbbbbbbbbb..." in log_of(service)


@pytest.mark.parametrize(
    ("setting", "talk", "reply", "warning"),
    [
        (
            "smtpd_client_connection_rate_limit = 1",
            b"QUIT\r\n",
            b"421 4.7.0 mail.example Error: too many connections from 10.1.1.1\r\n",
            "Connection rate limit exceeded: 2 from unknown[10.1.1.1] for service smtp",
        ),
        (
            "smtpd_client_message_rate_limit = 1",
            b"MAIL FROM:<>\r\nQUIT\r\n",
            b"450 4.7.1 Error: too much mail from 10.1.1.1\r\n",
            "Message delivery request rate limit exceeded: 2 from unknown[10.1.1.1] for service smtp",
        ),
        (
            "smtpd_client_recipient_rate_limit = 1",
            b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nQUIT\r\n",
            b"450 4.7.1 Error: too many recipients from 10.1.1.1\r\n",
            "Recipient address rate limit exceeded: 2 from unknown[10.1.1.1] for service smtp",
        ),
        (
            "smtpd_client_auth_rate_limit = 1\nsmtpd_sasl_auth_enable = yes",
            b"AUTH PLAIN AGpvZQBnb29k\r\nQUIT\r\n",
            b"450 4.7.1 Error: too many AUTH commands from 10.1.1.1\r\n",
            "AUTH command rate limit exceeded: 2 from unknown[10.1.1.1] for service smtp",
        ),
    ],
)
async def test_rates_are_limited_per_client(
    setting: str, talk: bytes, reply: bytes, warning: str, build: Build
) -> None:
    service = build(setting + "\n")
    assert reply not in await converse(service, talk, address="10.1.1.1")
    assert reply in await converse(service, talk, address="10.1.1.1")
    assert f"warning: {warning}" in log_of(service)
    assert reply not in await converse(service, talk, address="10.1.1.2")


async def test_errors_past_the_soft_limit_are_slow(build: Build) -> None:
    service = build("smtpd_soft_error_limit = 2\nsmtpd_error_sleep_time = 7\n")
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    service.sleep = sleep
    await converse(service, b"FOO\r\nFOO\r\nFOO\r\nQUIT\r\n")
    assert slept == [7, 7]


async def test_improper_pipelining_is_logged_once(build: Build) -> None:
    service = build("")
    await converse(service, b"EHLO c\r\nNOOP\r\nNOOP\r\nQUIT\r\n")
    lines = [line for line in log_of(service) if line.startswith("improper")]
    assert lines == [r"improper command pipelining after EHLO from unknown[127.0.0.1]: NOOP\r\nNOOP\r\nQUIT\r\n"]


async def test_every_verdict_is_in_the_journal_with_its_evidence(build: Build) -> None:
    service = build("")
    await converse(service, b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<550@x>\r\nRCPT TO:<joe@x>\r\nQUIT\r\n")
    assert isinstance(service.journal, MemoryJournal)
    steps = [(entry.step, entry.recipient, entry.verdict) for entry in service.journal.entries]
    assert steps[-2:] == [
        ("refused", "550@x", "reject: 550 5.1.1 <550@x>: Recipient address rejected: User unknown"),
        ("rcpt", "joe@x", "dunno"),
    ]
    assert service.journal.entries[-2].evidence


async def test_the_client_behind_a_proxy_is_the_client(build: Build) -> None:
    service = build("smtpd_upstream_proxy_protocol = haproxy\n")
    await converse(service, b"PROXY TCP4 10.9.9.9 10.8.8.8 1000 25\r\nEHLO c\r\nQUIT\r\n")
    assert log_of(service)[0] == "connect from unknown[10.9.9.9]"
    said = await converse(service, b"EHLO c\r\nQUIT\r\n")
    assert said == b"421 4.3.0 mail.example Server local error\r\n"
    assert log_of(service)[-3:] == [
        r"warning: haproxy read: short protocol header: EHLO c\r\nQUIT\r\n",
        "connect from unknown[127.0.0.1]",
        "disconnect from unknown[127.0.0.1] commands=0/0",
    ]


async def test_verp_is_for_authorized_clients(build: Build) -> None:
    service = build("smtpd_authorized_verp_clients = 127.0.0.1\n")
    said = await converse(
        service,
        b"EHLO c\r\nMAIL FROM:<> XVERP\r\nMAIL FROM:<a@b> XVERP=xy\r\nMAIL FROM:<a@b> XVERP\r\nRCPT TO:<c@d>\r\n"
        b"DATA\r\nx: y\r\n.\r\nQUIT\r\n",
    )
    assert b"503 5.5.4 Error: XVERP requires non-null sender\r\n" in said
    assert b"501 5.5.4 Error: XVERP needs two characters from -=+\r\n" in said
    (message,) = messages_of(service).messages
    assert message.envelope is not None and message.envelope.verp == "+="
    assert b"555 5.5.4 Unsupported option: XVERP" in await converse(
        service, b"MAIL FROM:<a@b> XVERP\r\nQUIT\r\n", "10.1.1.1"
    )


async def said_until(stream: TcpStream, end: bytes) -> bytes:
    said = b""
    async with asyncio.timeout(10):
        while not said.endswith(end):
            part = await stream.read(5)
            assert part, said
            said += part
    return said


@pytest.mark.parametrize("pieces", [(b"STARTTLS\r\nNOOP\r\nRSE",), (b"STARTTLS\r\n", b"NOOP\r\nRSE")])
async def test_plain_text_behind_starttls_is_never_obeyed(build: Build, pieces: tuple[bytes, ...]) -> None:
    # RFC 3207 section 4.2; CVE-2011-0411: whoever sits between could have put it there.
    service = build("smtpd_tls_security_level = may\n")
    near, far = stream_pair()
    session = asyncio.create_task(SmtpListener(service).on_stream(far))
    near.write(b"EHLO c\r\n")
    await said_until(near, b"250 CHUNKING\r\n")
    for piece in pieces:
        near.write(piece)
    await said_until(near, b"220 2.0.0 Ready to start TLS\r\n")
    await near.start_tls(client_context(), server_side=False, timeout=5)
    near.write(b"T\r\nQUIT\r\n")  # the rest of RSET would be found by a dialogue that kept what came before
    assert await said_until(near, b"Bye\r\n") == b"500 5.5.2 Error: command not recognized\r\n221 2.0.0 Bye\r\n"
    await session
    near.close()


async def test_mail_finds_no_room_in_the_queue(build: Build) -> None:
    service = build("")
    asked: list[int] = []

    async def room(size: int) -> Refused | None:
        asked.append(size)
        short = Evidence(fact="1000 bytes < 1.5*message size limit")
        return Refused(452, "4.3.1", "Insufficient system storage", (short,)) if size > 1000 else None

    service.room = room
    said = await converse(
        service, b"EHLO c\r\nMAIL FROM:<a@b.example> SIZE=1001\r\nRCPT TO:<x@y>\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n"
    )
    assert asked == [1001, 0]
    assert said.splitlines()[-4:] == [
        b"452 4.3.1 Insufficient system storage",
        b"503 5.5.1 Error: need MAIL command",
        b"250 2.1.0 Ok",
        b"221 2.0.0 Bye",
    ]
    assert log_of(service)[2:4] == [
        "NOQUEUE: reject: MAIL from unknown[127.0.0.1]: 452 4.3.1 Insufficient system storage; proto=ESMTP helo=<c>",
        "warning: not enough free space in mail queue: 1000 bytes < 1.5*message size limit",
    ]
    assert messages_of(service).messages == []
