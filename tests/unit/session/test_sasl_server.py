"""AUTH where somebody else runs the mechanisms."""

from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.config.error import ConfigError
from posthouse.config.read import read_configuration
from posthouse.host.log import MemorySink, ProcessLog
from posthouse.journal.journal import MemoryJournal
from posthouse.session.smtp.open_service import open_smtp_service
from posthouse.session.smtp.seams import (
    AuthenticationRefused,
    AuthenticationRetry,
    Challenge,
    LoggedIn,
    Mechanism,
    SaslStep,
)
from posthouse.session.smtp.security_options import allowed
from posthouse.session.smtp.service import SmtpService
from posthouse.testkit.smtp_parts import MemoryIntake, MemoryStages

MECHANISMS = (
    Mechanism("PLAIN", frozenset({"plaintext"})),
    Mechanism("LOGIN", frozenset({"plaintext"})),
    Mechanism("CRAM-MD5", frozenset({"dictionary", "active"})),
    Mechanism("ANONYMOUS", frozenset({"anonymous"})),
    Mechanism("SCRAM-SHA-1", frozenset({"mutual-auth"})),
    Mechanism("EXTERNAL"),
)


class MemorySaslServer:
    """Says what it was given to say."""

    def __init__(self, *mechanisms: Mechanism) -> None:
        self.offered = mechanisms
        self.asked = 0

    async def mechanisms(self) -> tuple[Mechanism, ...]:
        self.asked += 1
        return self.offered

    def exchange(
        self, mechanism: str, *, server: tuple[str, int], client: tuple[str, str], tls: bool
    ) -> "MemorySaslExchange":
        return MemorySaslExchange()


class MemorySaslExchange:
    async def begin(self, initial: str | None) -> SaslStep:
        return Challenge("PDE=") if initial is None else await self.go_on(initial)

    async def go_on(self, response: str) -> SaslStep:
        if response == "TEMP":
            raise AuthenticationRetry("later", "joe")
        return LoggedIn("joe") if response == "R09PRA==" else AuthenticationRefused("", "joe")

    def cancel(self) -> None:
        pass


Build = Callable[..., SmtpService]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def make(main_cf: str = "", server: MemorySaslServer | None = None) -> SmtpService:
        (tmp_path / "main.cf").write_text(
            "compatibility_level = 3.6\nmyhostname = mail.example\nsmtpd_sasl_auth_enable = yes\n" + main_cf
        )
        return open_smtp_service(
            read_configuration(str(tmp_path)),
            stages=MemoryStages(),
            intake=MemoryIntake(),
            log=ProcessLog(MemorySink(), "postfix/smtpd"),
            journal=MemoryJournal(),
            name="smtp",
            sasl_server=server or MemorySaslServer(*MECHANISMS),
        )

    return make


@pytest.mark.parametrize(
    ("main_cf", "names"),
    [  # as Postfix 3.7.11 announced them
        ("", "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1"),
        ("smtpd_sasl_security_options = noplaintext, noanonymous\n", "CRAM-MD5 SCRAM-SHA-1"),
        ("smtpd_sasl_security_options = noactive\n", "PLAIN LOGIN ANONYMOUS SCRAM-SHA-1"),
        ("smtpd_sasl_security_options = mutual_auth\n", "SCRAM-SHA-1"),
        ("smtpd_sasl_security_options = mutual_auth, forward_secrecy\n", ""),
        ("smtpd_sasl_mechanism_filter = plain, cram-md5\n", "PLAIN CRAM-MD5"),
    ],
)
async def test_which_mechanisms_are_offered(build: Build, main_cf: str, names: str) -> None:
    service = build(main_cf)
    await service.learn_mechanisms()
    assert " ".join(service.usable_mechanisms(tls=False)) == names
    assert service.auth_offered(tls=False) is bool(names)


async def test_tls_has_options_of_its_own(build: Build) -> None:
    service = build("smtpd_sasl_security_options = noplaintext\nsmtpd_sasl_tls_security_options = noanonymous\n")
    await service.learn_mechanisms()
    assert "PLAIN" not in service.usable_mechanisms(tls=False)
    assert "PLAIN" in service.usable_mechanisms(tls=True)


async def test_a_server_that_never_answered_is_taken_to_run_plain_and_login(build: Build) -> None:
    service = build("", MemorySaslServer())
    await service.learn_mechanisms()
    assert service.usable_mechanisms(tls=False) == ("PLAIN", "LOGIN")


async def test_without_auth_nobody_is_asked(build: Build) -> None:
    server = MemorySaslServer(*MECHANISMS)
    await build("smtpd_sasl_auth_enable = no\n", server).learn_mechanisms()
    assert server.asked == 0


def test_an_option_that_does_not_exist_is_refused(build: Build) -> None:
    with pytest.raises(ConfigError, match='unknown smtpd_sasl_security_options value "noplain" in "noplain"'):
        build("smtpd_sasl_security_options = noplain\n")


def test_case_does_not_matter_to_options() -> None:
    assert not allowed({"plaintext"}, ("NoPlainText",))
