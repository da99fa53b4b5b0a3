"""Where every command starts: a script runs its module by name (tool.posthouse.scripts in pyproject.toml).

A command is a module of this room with `main(arguments: list[str]) -> int`. Before it is
imported, the environment's PYTHON* variables lose their effect: a mail command is run from
cron, from web servers and from users' shells, and must not load what those point at.

Scripts call commands dozens of times in a row, so the start is kept short: what the standard
library imports without need comes late, garbage is not looked for among modules, and a
command that leaves nothing behind ends without taking the interpreter down piece by piece.
"""

import _collections_abc
import gc
import os
import sys
from types import ModuleType

LEADING = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONUSERBASE")
"""Variables that change which code is loaded; others (PYTHONDONTWRITEBYTECODE) do no harm."""

SHORT = frozenset(
    (
        *("mailq", "newaliases", "postalias", "postcat", "postconf", "postdrop", "postkick", "postlog", "postmap"),
        *("postqueue", "postsuper", "qshape", "sendmail"),
    )
)
"""Commands that have no thread, child or finalizer left when they return: they end at once."""


class Late(ModuleType):
    """A module that is imported when something of it is asked for. Its submodules may be given beforehand."""

    def __init__(self, name: str, **submodules: ModuleType) -> None:
        super().__init__(name)
        self._submodules = submodules
        self.__dict__.update(submodules)

    def __getattr__(self, name: str) -> object:
        submodules = self._submodules
        sys.modules.pop(self.__name__, None)
        real = __import__(self.__name__)
        real.__dict__.update(submodules)
        self.__dict__.update(real.__dict__)
        self.__class__ = ModuleType  # type: ignore[assignment]  # from now on like any other module
        return getattr(real, name)


def run(name: str) -> int:
    """Run the command of this name with the process's arguments; returns its exit status."""
    if not sys.flags.isolated and any(os.environ.get(variable) for variable in LEADING):
        os.execv(sys.executable, [sys.executable, "-I", *sys.argv])
    gc.disable()
    _import_late(short=name in SHORT)
    module = __import__(f"posthouse.commands.{name.replace('-', '_')}", fromlist=["main"])
    gc.freeze()
    gc.enable()
    try:
        status: int = module.main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130
    if name in SHORT:
        sys.stderr.flush()
        os._exit(status)
    return status


def _import_late(*, short: bool) -> None:
    """Keep out what the standard library imports for others: see each."""
    # dataclasses imports it (10 ms) for the sake of classes without a docstring.
    sys.modules.setdefault("inspect", Late("inspect"))
    # Named at the top of modules that may never match anything (5 ms).
    sys.modules.setdefault("re", Late("re"))
    if "collections" not in sys.modules:
        # collections.abc, which everybody names in annotations, is _collections_abc: without the rest, 2 ms less.
        sys.modules["collections.abc"] = _collections_abc
        sys.modules["collections"] = Late("collections", abc=_collections_abc)
    if short and "dataclasses" not in sys.modules:
        from posthouse.commands import quick_dataclasses

        sys.modules["dataclasses"] = quick_dataclasses
