"""Figures on the terminal and in bench/results.tsv."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

FILE = os.path.join(os.path.dirname(__file__), "results.tsv")
COLUMNS = ("time", "commit", "machine", "file_system", "measure", "subject", "median", "unit", "rounds")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one subject."""

    measure: str
    subject: str
    values: Sequence[float]
    """One per round; none when it failed."""
    unit: str


def _commit() -> str:
    here = os.path.dirname(__file__)
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    model = line.partition(":")[2].strip()
                    break
    except OSError:
        pass
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"


def _file_system(folder: str) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def show(figures: Sequence[Figure]) -> None:
    """Medians, the subjects of one measure together."""
    for figure in sorted(figures, key=lambda f: f.measure):
        if figure.values:
            middle = statistics.median(figure.values)
            spread = f"{min(figure.values):.1f}-{max(figure.values):.1f}"
            print(f"{figure.measure:12} {figure.subject:10} {middle:10.1f} {figure.unit:6} {spread}")
        else:
            print(f"{figure.measure:12} {figure.subject:10} {'failed':>10}")


def save(figures: Sequence[Figure], folder: str) -> None:
    """Append; failed measures are left out."""
    new = not os.path.exists(FILE)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with open(FILE, "a", encoding="utf-8") as file:
        if new:
            file.write("\t".join(COLUMNS) + "\n")
        for figure in figures:
            if figure.values:
                rounds = " ".join(f"{value:.1f}" for value in figure.values)
                row = (
                    stamp, _commit(), _machine(), _file_system(folder), figure.measure, figure.subject,
                    f"{statistics.median(figure.values):.1f}", figure.unit, rounds,
                )  # fmt: skip
                file.write("\t".join(row) + "\n")
