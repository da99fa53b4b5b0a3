import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.tables.warning import send_warnings_to


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What the tables warn about."""
    said: list[str] = []
    before = send_warnings_to(said.append)
    yield said
    send_warnings_to(before)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a file; gives its path. The time of change differs from any before."""
    count = [0]

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        count[0] += 1
        os.utime(path, (1_700_000_000 + count[0], 1_700_000_000 + count[0]))
        return str(path)

    return write
