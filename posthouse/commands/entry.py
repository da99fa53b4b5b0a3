"""Where every command starts: `postconf = "posthouse.commands.entry:postconf"` in pyproject.toml.

A command is a module of this room with `main(arguments: list[str]) -> int`. Before it is
imported, the environment's PYTHON* variables lose their effect: a mail command is run from
cron, from web servers and from users' shells, and must not load what those point at.
"""

import os
import sys

LEADING = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONUSERBASE")
"""Variables that change which code is loaded; others (PYTHONDONTWRITEBYTECODE) do no harm."""


def run(name: str) -> int:
    """Run the command of this name with the process's arguments; returns its exit status."""
    if not sys.flags.isolated and any(os.environ.get(variable) for variable in LEADING):
        os.execv(sys.executable, [sys.executable, "-I", *sys.argv])
    module = __import__(f"posthouse.commands.{name.replace('-', '_')}", fromlist=["main"])
    try:
        status: int = module.main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def __getattr__(name: str) -> object:
    """The entry function of a command, by its name."""
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda: run(name)
