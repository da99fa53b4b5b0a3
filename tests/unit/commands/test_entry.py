"""Run apart: what is tried here is what a fresh interpreter has imported."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _run(code: str) -> str:
    start = f"import sys; sys.path[:0] = [{str(ROOT)!r}]\nfrom posthouse.commands import entry\n"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", start + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


LATE = "entry._import_late(short=True)\n"


def test_collections_comes_late_and_whole() -> None:
    said = _run(
        LATE + "from collections.abc import Mapping\n"
        "import collections.abc\n"
        "print(type(sys.modules['collections']).__name__)\n"
        "from collections import OrderedDict, deque\n"
        "import collections, typing\n"
        "print(type(sys.modules['collections']).__name__, collections.abc.Mapping is Mapping, deque([1]))\n"
        "print(typing.Mapping[str, int], issubclass(OrderedDict, Mapping))\n"
    )
    assert said.splitlines() == ["Late", "module True deque([1])", "typing.Mapping[str, int] True"]


def test_re_comes_with_the_first_pattern() -> None:
    said = _run(LATE + "import re\nprint('enum' in sys.modules, bool(re.match('a+', 'aa')), 'enum' in sys.modules)")
    assert said.split() == ["False", "True", "True"]


def test_an_import_that_fails_tells_so() -> None:
    said = _run(
        LATE + "try:\n from re import no_such_name\nexcept ImportError as error: print(error.name)\n"
        "try:\n from dataclasses import no_such_name\nexcept ImportError: print('none')"
    )
    assert said.split() == ["re", "none"]


HEAVY = "{'re', 'enum', 'typing', 'json', 'socket', 'asyncio', 'inspect', 'functools', 'contextlib'}"


def test_the_commands_of_scripts_start_without_what_costs_most() -> None:
    for name in ("postconf", "postqueue", "postmap", "mailq"):
        said = _run(f"{LATE}import posthouse.commands.{name}\nprint({HEAVY} & {{n for n in sys.modules if "
                    "type(sys.modules[n]).__name__ != 'Late'})")  # fmt: skip
        assert said.strip() == "set()", (name, said)


def test_a_query_in_a_table_needs_none_of_it_either(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = a.example\n")
    (tmp_path / "table").write_text("key value\n")
    said = _run(
        f"{LATE}from posthouse.commands.postmap import main\n"
        f"main(['-c', {str(tmp_path)!r}, '-q', 'key', 'texthash:{tmp_path}/table'])\nsys.stdout.flush()\n"
        f"print({HEAVY} & {{n for n in sys.modules if type(sys.modules[n]).__name__ != 'Late'}})"
    )
    assert said.splitlines() == ["value", "set()"]
