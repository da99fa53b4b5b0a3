"""python -m bench tables [-n ROWS] [-d FOLDER] [--no-save]: how quick lookup tables are.

rules-regexp, rules-pcre    1,000 rules against header lines that none of them matches, a line
TYPE-open, TYPE-answer      a table of a million rows (unless -n says otherwise): until it is open, and a look-up
                            of a key that is there and of one that is not, in any order
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable

from bench.arguments import read_arguments
from bench.results import Figure, save
from posthouse.tables.keyed_file import SUFFIX, write_keyed_file
from posthouse.tables.open import KEYED, Opening, open_now
from posthouse.tables.table import Table, drive

RULES = 1000
ROUNDS = 5
LOOKUPS = 2000
WORDS = ("invoice", "winner", "casino", "refund", "pharmacy", "bitcoin", "prize", "urgent", "lottery", "cheap")
LINES = (
    "Subject: Minutes of the meeting on Thursday, and what we agreed upon",
    "Received: from mail.example.net (mail.example.net [192.0.2.7]) by mx.example.com (Postfix) with ESMTPS id 4F1C2",
    "Message-ID: <20260101120000.1A2B3C4D@mail.example.net>",
    "X-Mailer: Some Program 12.0.1 (Linux x86_64)",
    "Content-Type: multipart/alternative; boundary=----=_Part_1234_56789.1600000000000",
)


def rules() -> str:
    """Rules as people write them: a field's name and words, anchored or not, with alternatives and classes."""
    lines = []
    for number in range(RULES):
        word = WORDS[number % len(WORDS)]
        lines.append(
            (
                f"/^Subject:.*{word}{number}/ REJECT spam {number}",
                f"/^X-Spam-{word}{number}: *(yes|true)/ REJECT",
                f"/{word}[-_ ]?{number}\\.example\\.(com|net|org)/ REJECT host {number}",
                f"/^From:.*<?{word}{number}@/ DISCARD",
                f'/name="?.*{word}{number}\\.(exe|scr|pif)/ REJECT file',
            )[number % 5]
        )
    return "\n".join(lines) + "\n"


def per_call(ask: Callable[[], object], calls: int) -> float:
    """Microseconds of processor time of one of so many calls, the least of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        ask()
        best = min(best, time.process_time() - start)
    return best / calls * 1e6


def patterns(kind: str, folder: str) -> float:
    """Microseconds of one line against all rules."""
    path = f"{folder}/rules"
    with open(path, "w", encoding="ascii") as file:
        file.write(rules())
    table = open_now(f"{kind}:{path}", Opening())

    def ask() -> None:
        for line in LINES * 20:
            assert drive(table.lookup(line)) is None

    try:
        return per_call(ask, len(LINES) * 20)
    finally:
        table.close()


def keyed(kind: str, folder: str, count: int) -> list[Figure]:
    """Opening, and look-ups."""
    path = f"{folder}/table"
    rows = {b"user%d@example.com" % number: b"box%d" % number for number in range(count)}
    write_keyed_file(kind, path + SUFFIX[kind], rows, nul=kind != "cdb")
    with open(path, "wb"):
        pass  # the source; that it is newer by a moment is no matter
    opened: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        table = open_now(f"{kind}:{path}", Opening(warn_stale=False))
        drive(table.lookup("user1@example.com"))
        opened.append((time.perf_counter() - start) * 1000)
        table.close()
    table = open_now(f"{kind}:{path}", Opening(warn_stale=False))
    chosen = random.Random(1)  # noqa: S311
    keys = [f"user{chosen.randrange(count)}@example.com" for _ in range(LOOKUPS)]
    try:
        there = per_call(lambda: _ask_all(table, keys, True), LOOKUPS)
        missing = per_call(lambda: _ask_all(table, [f"no{key}" for key in keys], False), LOOKUPS)
    finally:
        table.close()
        os.unlink(path + SUFFIX[kind])
    return [
        Figure(f"table-{kind}-open", "posthouse", opened, "ms"),
        Figure(f"table-{kind}-answer", "posthouse", [there], "us"),
        Figure(f"table-{kind}-missing", "posthouse", [missing], "us"),
    ]


def _ask_all(table: Table, keys: list[str], expected: bool) -> None:
    for key in keys:
        assert (drive(table.lookup(key)) is not None) is expected


def main(arguments: list[str]) -> int:
    """Run it."""
    chosen = read_arguments(arguments, "n:d:", __doc__ or "", "no-save")
    if isinstance(chosen, int):
        return chosen
    count, folder, keep = int(chosen.get("-n", 1_000_000)), chosen.get("-d", "/var/tmp"), "--no-save" not in chosen
    figures = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as place:
        for kind in ("regexp", "pcre"):
            figures.append(Figure(f"table-{kind}-1000", "posthouse", [patterns(kind, place)], "us"))
        for kind in KEYED:
            figures += keyed(kind, place, count)
    for figure in figures:
        print(f"{figure.measure:24} {statistics.median(figure.values):10.2f} {figure.unit}", flush=True)
    if keep:
        save(figures, folder)
    return 0
