"""A hash: table is asked by the keeper's threads side by side."""

import threading
from pathlib import Path

import pytest

from posthouse.tables.berkeley_db import BerkeleyDb, available

THREADS, ROUNDS, KEYS = 4, 4000, 64


@pytest.mark.skipif(not available(), reason="libdb-5.3 is not installed")
@pytest.mark.parametrize("kind", ["hash", "btree"])
def test_threads_never_get_each_others_values(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "t.db")
    rows = {f"key{number}".encode(): f"{number}-".encode() * (1 + number % 40) for number in range(KEYS)}
    made = BerkeleyDb(path, create=kind, writable=True)
    for key, value in rows.items():
        made.put(key, value)
    made.close()
    table = BerkeleyDb(path)
    wrong: list[bytes] = []

    def ask(start: int) -> None:
        keys = list(rows)
        for turn in range(ROUNDS):
            key = keys[(start + turn) % KEYS]
            if table.get(key) != rows[key]:
                wrong.append(key)

    threads = [threading.Thread(target=ask, args=(number * 17,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.close()
    assert wrong == []
