"""pipe(8): the words of a command line, and what the service's line may say."""

import pytest

from posthouse.config.error import ConfigError
from posthouse.envelope.content import Content, MemoryBody
from posthouse.envelope.envelope import LOCAL_CLIENT, Recipient
from posthouse.envelope.outcome import Fate
from posthouse.envelope.request import DeliveryRequest, QueuedRecipient
from posthouse.transport.hands import Errand, Report
from posthouse.transport.pipe import BadMacro, PipeAgent, PipeHands, PipeSettings, parse_pipe, pipe_identity

SETTINGS = PipeSettings(
    export_environment=(),
    import_environment=(),
    recipient_delimiter="+",
    queue_directory="/",
    mail_owner="postfix",
    default_privs="nobody",
)


def errand(*names: str, **more: object) -> Errand:
    return Errand(
        operation="pipe",
        service="pip",
        names=names,
        queue_id="ABC",
        sender="ann@v.example.com",
        recipient=names[0],
        original_recipient="",
        arrival_time=0.0,
        size=10,
        nexthop="pip.example",
        **more,  # type: ignore[arg-type]
    )


def hands() -> PipeHands:
    return PipeHands(SETTINGS, lambda: 0.0, lambda level, text: None, "/etc/postfix/master.cf")


def words(line: str, *names: str) -> list[str]:
    command = parse_pipe(line.split(), 1, 10)
    return hands().words(command, errand(*names))


def test_a_word_with_a_recipient_macro_stands_once_for_each_recipient() -> None:
    found = words(
        "flags=q user=nobody argv=/x -f ${sender} -- ${recipient} ${user} ${nexthop}", "a@p.test", "b c@p.test"
    )
    assert found == ["/x", "-f", "ann@v.example.com", "--", "a@p.test", '"b c"@p.test', "a", "b c", "pip.example"]


def test_flags_h_and_u_fold_domain_and_user() -> None:
    assert ["/x", "tony+Ext@p.test".lower()] == words("flags=hu user=nobody argv=/x ${recipient}", "Tony+Ext@P.Test")


def test_double_dollar_is_a_dollar() -> None:
    assert words("user=nobody argv=/x lit-$$x", "a@p.test") == ["/x", "lit-$x"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("user=nobody", "missing argv= command-line attribute"),
        ("argv=/x", "missing user= command-line attribute"),
        ("user=nobody colour=red argv=/x", "unknown attribute name: colour=red"),
        ("user=nobody size=abc argv=/x", "get_service_attr: bad size= value: abc"),
        ("flags=Z user=nobody argv=/x", "unknown flag: Z (ignored)"),
    ],
)
def test_a_bad_line_says_what_is_wrong(line: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_pipe(line.split(), 7, 10)
    assert said == str(error.value)


def test_root_is_no_user_for_a_command() -> None:
    with pytest.raises(ConfigError) as error:
        pipe_identity(parse_pipe(["user=root", "argv=/x"], 3, 10))
    assert "root privileges" in str(error.value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("${envid}", 'file /etc/postfix/master.cf: service pip: unknown macro name: "envid"'),
        ("${user?x}", 'file /etc/postfix/master.cf: service pip: unknown macro name: "user?x"'),
        ("${sender", 'truncated macro reference: "${sender"'),
        ("a$", 'empty macro name: "a$"'),
    ],
)
def test_a_macro_that_is_none_is_told_of(word: str, said: str) -> None:
    with pytest.raises(BadMacro) as bad:
        words(f"user=nobody argv=/x {word}", "a@p.test")
    assert said == str(bad.value)


class NoHands:
    async def run(self, errand: Errand, content: Content) -> Report:
        raise AssertionError("a probe runs no command")


async def test_a_probe_names_the_command_and_runs_nothing() -> None:
    request = DeliveryRequest(
        "ABC",
        0.0,
        "s@x.test",
        tuple(QueuedRecipient(i, Recipient(address)) for i, address in enumerate(("a@p.test", "b@p.test"))),
        "pip",
        "p.test",
        Content(b"", MemoryBody(b"")),
        LOCAL_CLIENT,
        trace_only=True,
    )
    outcomes = await PipeAgent("pip", NoHands(), "/bin/cat").deliver(request)
    assert [(o.index, o.fate, o.dsn.reason, o.relay) for o in outcomes] == [
        (0, Fate.DELIVERED, "delivers to command: /bin/cat", "pip"),
        (1, Fate.DELIVERED, "delivers to command: /bin/cat", "pip"),
    ]
