"""Templates of queries and results: %s, %u, %d and their like.

    %s  the key (in a result template: the value found)      %S  always the key
    %u  its local part, or all of it when it has no @        %U  the key's
    %d  its domain                                           %D  the key's
    %1 … %9  the labels of the key's domain, from the right  %%  a percent sign

A key that lacks what a template of the table needs (a domain, enough labels, a local part before its @) is not asked
for, and a value that lacks it is left out.

Standards: mysql_table(5), "query" and "result_format".
"""

from collections.abc import Callable, Sequence

from posthouse.tables.table import TableError
from posthouse.tables.warning import warn

PLACES = "sudSUD123456789"


def parse_template(source: str, text: str, what: str) -> list[tuple[str, str]]:
    """Pairs of fixed text and the letter after it, "" at the end. Raises TableError."""
    parts: list[tuple[str, str]] = []
    fixed = ""
    position = 0
    while (percent := text.find("%", position)) >= 0:
        fixed += text[position:percent]
        letter = text[percent + 1 : percent + 2]
        position = percent + 2
        if letter == "%":
            fixed += "%"
        elif letter and letter in PLACES:
            parts.append((fixed, letter))
            fixed = ""
        else:
            raise TableError(f"db_common_parse: {source}: Invalid {what} template: {text}")
    parts.append((fixed + text[position:], ""))
    return parts


class Templates:
    """All templates of one table: what one of them needs, the key must have for all."""

    __slots__ = (
        *("_key_domain", "_key_local", "_labels", "_name", "_queries", "_result", "_value_domain", "_value_local"),
        "dynamic",
    )

    def __init__(self, name: str, source: str, queries: Sequence[str], result: str = "%s") -> None:
        """`name`: type:source, for warnings. Raises TableError."""
        self._name = name
        self._queries = [parse_template(source, text, "query") for text in queries]
        self._result = parse_template(source, result, "result")
        asked = {letter for parts in self._queries for _, letter in parts}
        given = {letter for _, letter in self._result}
        labels = {int(letter) for letter in asked | given if letter.isdigit()}
        self._labels = max(labels, default=0)
        self._key_domain = bool(labels) or "d" in asked or "D" in asked | given
        self._key_local = "u" in asked or "U" in asked | given
        self._value_domain = "d" in given
        self._value_local = "u" in given
        self.dynamic = [any(letter for _, letter in parts) for parts in self._queries]
        """Which of the queries depend on the key."""

    def query(self, key: str, quote: Callable[[str], str], number: int = 0) -> str | None:
        """The query for a key, or None when it is not to be asked."""
        if not key:
            warn(f'table "{self._name}": empty query string -- ignored')
            return None
        labels = self._labels_of(key)
        return None if labels is None else _fill(self._queries[number], key, key, labels, quote)

    def result(self, value: str | None, key: str) -> str | None:
        """What a value becomes, or None when it is to be left out."""
        if value is None:
            return None
        if not value:
            warn(f'table "{self._name}": empty lookup result for: "{key}" -- ignored')
            return None
        local, at, domain = value.rpartition("@")
        if (self._value_domain and not domain) or (self._value_local and at and not local):
            return None
        if self._value_domain and not at:
            return None
        labels = self._labels_of(key)
        return None if labels is None else _fill(self._result, value, key, labels, str)

    def _labels_of(self, key: str) -> list[str] | None:
        """The labels of the key's domain, last first; None when the key lacks something."""
        local, at, domain = key.rpartition("@")
        if self._key_domain and not (at and domain):
            return None
        if self._key_local and at and not local:
            return None
        if not self._labels:
            return []
        labels = [label for label in domain.split(".") if label]
        return labels[::-1] if len(labels) >= self._labels else None


def _fill(
    parts: Sequence[tuple[str, str]], value: str, key: str, labels: Sequence[str], quote: Callable[[str], str]
) -> str:
    out: list[str] = []
    for fixed, letter in parts:
        out.append(fixed)
        if not letter:
            continue
        if letter.isdigit():
            out.append(quote(labels[int(letter) - 1]))
            continue
        text = key if letter.isupper() else value
        local, at, domain = text.rpartition("@")
        piece = {"s": text, "u": local if at else text, "d": domain}[letter.lower()]
        out.append(quote(piece))
    return "".join(out)
