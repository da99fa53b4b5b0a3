"""The house style, as far as a program can tell: names, docstrings, imports, and nothing of one machine in any file."""

import ast
import gc
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FORBIDDEN_WORDS = frozenset(
    {"manager", "handler", "handlers", "helper", "helpers", "util", "utils", "common", "misc", "base", "engine"}
    | {"processor"}
)
FORBIDDEN_IMPORTS = frozenset({"sqlite3", "email"})

# Spelled in pieces, so that this file is none of those that it finds.
MACHINE_PATHS = re.compile(r"(?<![\w.~$}-])/(?:wo" r"rk/|ro" r"ot\b)")
INDEX_ADDRESSES = re.compile(
    r"https?://[^\s\"'>]*(?:/simple\b|arti" r"factory|nex" r"us/repo|py" r"pi\.(?!org/project))"
)
SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIV" r"ATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|xox[bp]-\w{10}")


@cache
def sources() -> dict[Path, tuple[str, ast.Module]]:
    """The program's modules: path below the repository to text and tree."""
    found = {}
    gc.disable()  # millions of nodes, none of which is garbage: looking through them takes longer than making them
    try:
        for path in sorted((ROOT / "posthouse").rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found[path.relative_to(ROOT)] = (text, ast.parse(text))
    finally:
        gc.freeze()
        gc.enable()
    return found


@cache
def tracked() -> tuple[Path, ...]:
    """Files under version control, or (in a copy without it) the files that would be."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        return tuple(ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file())
    return tuple(
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    )


def imported(tree: ast.AST) -> set[str]:
    """The modules that the statements of a tree import, wherever they stand."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_every_module_says_what_it_is() -> None:
    assert [str(path) for path, (_, tree) in sources().items() if not ast.get_docstring(tree)] == []


def test_an_empty_room_is_only_its_docstring() -> None:
    full = [str(p) for p, (_, tree) in sources().items() if p.name == "__init__.py" and len(tree.body) > 1]
    assert full in ([], ["posthouse/__init__.py"])  # the version stands there


def test_no_second_sqlite_and_no_email_parser() -> None:
    found = {
        str(path): modules
        for path, (_, tree) in sources().items()
        if (modules := {name for name in imported(tree) if name.partition(".")[0] in FORBIDDEN_IMPORTS})
    }
    assert found == {}


def test_no_file_is_named_for_nothing_in_particular() -> None:
    assert [str(path) for path in sources() if FORBIDDEN_WORDS & set(path.stem.split("_"))] == []
    classes = {
        node.name
        for _, tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and FORBIDDEN_WORDS & {word.lower() for word in re.findall("[A-Z][a-z]+", node.name)}
    }
    assert classes == set()


def test_modules_of_a_room_import_each_other_in_one_direction() -> None:
    """No cycle among the imports that run when a module loads."""
    names = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): tree for path, (_, tree) in sources().items()
    }
    below = {name: {other for other in _imported_at_load(tree) if other in names} for name, tree in names.items()}
    done: set[str] = set()
    cycles: list[list[str]] = []

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            cycles.append([*trail[trail.index(name) :], name])
        elif name not in done:
            for other in sorted(below[name]):
                visit(other, [*trail, name])
            done.add(name)

    for name in below:
        visit(name, [])
    assert cycles == []


def _imported_at_load(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_a_broad_except_stands_in_service_and_the_writers_thread_only() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "BLE" in rules["select"]
    allowed = {pattern for pattern, ignored in rules["per-file-ignores"].items() if "BLE" in ignored}
    assert allowed == {"posthouse/service/**", "posthouse/queue/writer.py"}
    excused = [str(path) for path, (text, _) in sources().items() if re.search(r"noqa: .*BLE", text)]
    assert excused == []


def test_every_type_ignore_has_a_code() -> None:
    assert [str(path) for path, (text, _) in sources().items() if re.search(r"#\s*type: ignore(?!\[)", text)] == []


def test_no_file_holds_a_path_of_one_machine_an_index_or_a_secret() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for pattern in (MACHINE_PATHS, INDEX_ADDRESSES, SECRETS):
            found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []
