"""What postconf of Postfix 3.7.11 said about ten stacks, as it was recorded, said by ours."""

import io
import re
import sys

import pytest

from posthouse.commands import postconf
from tests.golden.stacks.stack import FOLDER, LISTINGS, NAMES, listings, written


def ours(argv: list[str]) -> tuple[int, bytes, bytes]:
    """Our postconf, in this process."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        status = postconf.main(argv[1:])
        out.flush()
        err.flush()
    finally:
        sys.stdout, sys.stderr = before
    written, said = out.buffer, err.buffer
    assert isinstance(written, io.BytesIO)
    assert isinstance(said, io.BytesIO)
    return status, re.sub(rb"(/postconf) \d+ &", rb"\1 PID &", written.getvalue()), said.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_is_listed_as_postfix_lists_it(name: str) -> None:
    with written(name) as folder:
        assert (FOLDER / name / LISTINGS).read_text() == listings(folder, ours)
