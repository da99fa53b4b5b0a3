"""The commands as scripts of our own, for `pip install`: [tool.posthouse.scripts] in pyproject.toml, name = "module".

pip's own scripts for [project.scripts] import more than some commands do in all. pip puts the interpreter's path into
the first line of these.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SCRIPT = """\
#!python
import sys

from posthouse.commands.entry import run

sys.exit(run({name!r}))
"""


class Scripts(BuildHookInterface):
    """Adds them to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write each script where the build may write, and name it."""
        folder = Path(self.directory) / "scripts"
        folder.mkdir(parents=True, exist_ok=True)
        for name, module in self.metadata.config["tool"]["posthouse"]["scripts"].items():
            path = folder / name
            path.write_text(SCRIPT.format(name=module), encoding="utf-8")
            path.chmod(0o755)
            build_data["shared_scripts"][str(path)] = name
