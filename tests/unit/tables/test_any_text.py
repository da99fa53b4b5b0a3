"""Every reader of the room, on any text: a value or a warning, never a fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.tables.alias_text import alias_entries
from posthouse.tables.build import Build
from posthouse.tables.cidr import BadNetwork, parse_address, parse_cidr, parse_network
from posthouse.tables.fold import fold_key, key_bytes, key_text
from posthouse.tables.keyed_file import open_keyed_file
from posthouse.tables.message_text import message_keys
from posthouse.tables.source_text import Entry
from posthouse.tables.tcp import encode
from posthouse.tables.words import split_words, strip_braces

BYTES = st.binary(max_size=120).map(key_text)


@given(BYTES)
def test_aliases(text: str) -> None:
    said: list[str] = []
    for entry in alias_entries(text.split("\n"), "f", said.append):
        assert "\n" not in entry.key


@given(BYTES)
def test_cidr_files(text: str) -> None:
    parse_cidr(text.split("\n"), "f")


@given(st.text(alphabet="0123456789abcdef.:/[]! ", max_size=40))
def test_networks(text: str) -> None:
    parse_address(text)
    try:
        network = parse_network(text)
    except BadNetwork:
        return
    assert network.prefix & ~network.mask == 0


@given(BYTES, st.booleans(), st.booleans(), st.booleans())
def test_messages(text: str, header: bool, body: bool, mime: bool) -> None:
    lines = text.splitlines(keepends=True)
    keys = list(message_keys(lines, header=header, body=body, mime=mime))
    if header and body:
        # An empty line is put in wherever one is missing between header and body.
        assert sum(key.count("\n") + 1 for key in keys if key) <= len(lines)


@given(BYTES)
def test_words_and_braces(text: str) -> None:
    for word in split_words(text):
        strip_braces(word)


@given(st.binary(max_size=60))
def test_keys_keep_their_bytes(data: bytes) -> None:
    assert key_bytes(key_text(data)) == data
    assert encode(key_text(data)).isascii()
    fold_key(key_text(data))


@pytest.mark.parametrize(("key", "folded"), [("ABC", "abc"), ("Straße", "strasse"), ("ÉCOLE", "école"), ("ſ", "s")])
def test_folding_is_unicodes(key: str, folded: str) -> None:
    assert fold_key(key) == folded


def test_without_smtputf8_only_ascii_is_folded() -> None:
    assert fold_key("ÉCOLE", unicode=False) == "École"


def test_without_berkeley_db_a_hash_file_is_made_all_the_same(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("posthouse.tables.berkeley_db.available", lambda: False)
    path = str(tmp_path / "t")
    build = Build("hash", path)
    build.add(Entry("a", "1", 1))
    build.write(None)
    assert build.file == path + ".db"
    again = Build("hash", path)
    again.load()
    again.add(Entry("b", "2", 1))
    again.write(None)
    assert dict(open_keyed_file("hash", "hash", path).items()) == {"a": "1", "b": "2"}
