import pytest

from posthouse.routing.masquerade import Masquerade, MasqueradeSettings
from posthouse.routing.rewrite import Rewriter, RewriteSettings

REWRITER = Rewriter(RewriteSettings("example.com", "example.com", True, True, True, True, "remote.example"))

# As trivial-rewrite of Postfix 3.7.11 with append_dot_mydomain = yes.
FORMS = [
    ("joe", "joe@example.com"),
    ("joe@host", "joe@host.example.com"),
    ("joe@a.b", "joe@a.b"),
    ("joe@a.b.", "joe@a.b"),
    ("joe@a.b..", "joe@a.b.."),
    ("joe@", "joe@"),
    ("joe@[192.0.2.1]", "joe@[192.0.2.1]"),
    ("a%b", "a@b.example.com"),
    ("a%b%c@d.e", "a%b%c@d.e"),
    ("a!b!c", "b!c@a.example.com"),
    ("a!b%c", "b%c@a.example.com"),
    ("@foo", "@foo.example.com"),
    ("", ""),
    ("@", ""),
]


@pytest.mark.parametrize(("address", "expected"), FORMS)
def test_standard_form(address: str, expected: str) -> None:
    assert REWRITER.address(address) == expected


@pytest.mark.parametrize(("address", "expected"), FORMS)
def test_standard_form_is_stable(address: str, expected: str) -> None:
    if not expected.endswith("@"):
        assert REWRITER.address(expected) == expected


def test_headers_of_remote_clients_get_another_domain() -> None:
    assert REWRITER.parts("joe", None, local=False) == ("joe", "remote.example")
    assert REWRITER.parts("joe", "host", local=False) == ("joe", "host.remote.example")


def test_quoted_signs_are_characters() -> None:
    assert REWRITER.parts("a%b!c", None, bang=-1, percent=-1) == ("a%b!c", "example.com")


def test_masquerading_tries_domains_in_order_and_spares_exceptions() -> None:
    masquerade = Masquerade(
        MasqueradeSettings(("!k.sub.example.com", "sub.example.com"), ("root",), ("envelope_sender",))
    )
    assert masquerade.address("joe@h.sub.example.com") == "joe@sub.example.com"
    assert masquerade.address("joe@H.Sub.Example.com") == "joe@Sub.Example.com"
    assert masquerade.address("joe@h.k.sub.example.com") == "joe@h.k.sub.example.com"
    assert masquerade.address("joe@k.sub.example.com") == "joe@k.sub.example.com"
    assert masquerade.address("root@h.sub.example.com") == "root@h.sub.example.com"
    assert masquerade.address("joe@xsub.example.com") == "joe@xsub.example.com"
