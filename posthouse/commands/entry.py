"""Where every command starts: `postconf = "posthouse.commands.entry:postconf"` in pyproject.toml.

A command is a module of this room with `main(arguments: list[str]) -> int`. Before it is
imported, the environment's PYTHON* variables lose their effect: a mail command is run from
cron, from web servers and from users' shells, and must not load what those point at.

Scripts call commands dozens of times in a row, so the start is kept short: what the standard
library imports without need comes late, garbage is not looked for among modules, and a
command that leaves nothing behind ends without taking the interpreter down piece by piece.
"""

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
    """A module that is imported when something of it is asked for.

    dataclasses imports inspect (10 ms of a command's 40) for the sake of classes without a docstring.
    """

    def __getattr__(self, name: str) -> object:
        sys.modules.pop(self.__name__, None)
        real = __import__(self.__name__)
        self.__dict__.update(real.__dict__)
        self.__class__ = ModuleType  # type: ignore[assignment]  # from now on like any other module
        return getattr(real, name)


def run(name: str) -> int:
    """Run the command of this name with the process's arguments; returns its exit status."""
    if not sys.flags.isolated and any(os.environ.get(variable) for variable in LEADING):
        os.execv(sys.executable, [sys.executable, "-I", *sys.argv])
    sys.modules.setdefault("inspect", Late("inspect"))
    gc.disable()
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


def __getattr__(name: str) -> object:
    """The entry function of a command, by its name."""
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda: run(name)
