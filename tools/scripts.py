"""The commands in .venv/bin, made to start faster: `./dev setup` runs this after pip.

pip installs the scripts that hatch_build.py makes, and drops an interpreter's options. Without the site module
(-S), which looks through site-packages for things that this program does not need, and isolated from the caller's
environment (-I), a command takes some milliseconds less. An installation with pip's works the same.
"""

import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHEBANG_LIMIT = 120
"""Characters of a first line that every kernel takes; pip writes something else for longer ones, and it stays."""

SCRIPT = """\
#!{python} -IS
import sys

sys.path += {path!r}
from posthouse.commands.entry import run

sys.exit(run({name!r}))
"""


def script(target: str, python: str) -> str:
    """The text of one command's script; the target is as in pyproject.toml: the module in commands/."""
    path = [str(ROOT), sysconfig.get_path("purelib")]
    return SCRIPT.format(python=python, path=path, name=target)


def main() -> int:
    """Write them over pip's."""
    python = sys.executable
    if len(python) > SHEBANG_LIMIT or " " in python:
        return 0
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["posthouse"]["scripts"]
    for name, target in scripts.items():
        path = Path(python).parent / name
        text = script(target, python)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            aside = path.with_name(f".{name}.new")
            aside.write_text(text, encoding="utf-8")
            aside.chmod(0o755)
            aside.rename(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
