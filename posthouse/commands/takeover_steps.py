"""The steps of a take-over, each of which can be undone, and the record of them.

    divert   a command of the postfix package moves to NAME.of-postfix, for dpkg too; a link to ours takes its place
    replace  the same without dpkg's knowledge: after an update of the package it must be made again
    link     a symbolic link
    file     a text file
    pages    links to our manual pages, in a folder of such

The record is written and synced before a step is made, so that whatever was interrupted can be
undone exactly: undoing a step that was not made, or was made half, does what is right. A command
is there at every moment: its place changes hands by one rename.
"""

import filecmp
import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass, field

from posthouse.commands.takeover_manual import link_pages, unlink_pages
from posthouse.host.durable import make_folder, sync_folder, write_durable

RECORD = "/var/lib/posthouse/takeover.json"

SUFFIX = ".of-postfix"
"""Behind the names of the package's own commands. Not ".postfix": Debian's package deletes postconf.postfix when it is
updated."""

KEPT = ".before-posthouse"
"""Behind the name of a file or link that stood where one of ours goes."""

NEXT = ".posthouse-new"
"""Behind the name of a link that is about to take its place."""


class StepFailed(Exception):
    """A step could not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the machine."""

    kind: str
    path: str
    value: str
    """Where a link points to, or the text of a file."""


@dataclass(slots=True)
class Record:
    """What was done, and what has to be known to undo it."""

    directory: str
    postfix_ran: bool = False
    complete: bool = False
    steps: list[Step] = field(default_factory=list)
    path: str = RECORD

    def save(self) -> None:
        """Write it; durable on return."""
        make_folder(os.path.dirname(self.path), 0o755)
        values = {key: value for key, value in asdict(self).items() if key != "path"}
        write_durable(self.path, json.dumps(values, indent=1).encode() + b"\n", 0o644)

    def remove(self) -> None:
        """Everything is undone."""
        os.unlink(self.path)
        sync_folder(os.path.dirname(self.path))


def read_record(path: str = RECORD) -> Record | None:
    """The record of an earlier take-over. Raises StepFailed when it is damaged."""
    try:
        with open(path, "rb") as file:
            values = json.load(file)
        if not isinstance(values, dict):
            raise ValueError("no record")
        steps = [Step(**step) for step in values.pop("steps")]
        return Record(steps=steps, path=path, **values)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise StepFailed(f"{path} is damaged ({error}): see docs/paths/takeover.md to undo by hand") from error


_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def divert_program() -> str | None:
    """dpkg-divert, on a machine that has it."""
    return shutil.which("dpkg-divert", path=_PATH["PATH"])


def make(step: Step) -> None:
    """Make a step. Twice is once. Raises StepFailed, OSError."""
    match step.kind:
        case "divert":
            _divert(step.path, step.value)
        case "replace":
            _replace(step.path, step.value)
        case "link":
            if not _is_link(step.path, step.value):
                _keep(step.path)
                _place_link(step.path, step.value)
        case "file":
            if not _is_file(step.path, step.value):
                _keep(step.path)
                write_durable(step.path, step.value.encode(), 0o644)
        case "pages":
            link_pages(step.path, step.value)
        case _:
            raise StepFailed(f"unknown step {step.kind}")


def undo(step: Step) -> None:
    """Undo a step, made or not. Raises StepFailed, OSError."""
    _remove(step.path + NEXT)
    match step.kind:
        case "divert":
            _undivert(step.path, step.value)
        case "replace":
            _restore(step.path, step.value)
        case "link":
            if _is_link(step.path, step.value):
                os.unlink(step.path)
            _bring_back(step.path)
        case "file":
            if _is_file(step.path, step.value):
                os.unlink(step.path)
            _bring_back(step.path)
        case "pages":
            unlink_pages(step.path, step.value)
        case _:
            raise StepFailed(f"unknown step {step.kind}")


def _divert(path: str, target: str) -> None:
    aside = path + SUFFIX
    program = divert_program()
    if program is not None:
        _run(program, "--local", "--no-rename", "--divert", aside, "--add", path)
    if not os.path.lexists(aside):
        os.link(path, aside, follow_symlinks=False)
    if not _is_link(path, target):
        _place_link(path, target)


def _replace(path: str, target: str) -> None:
    aside = path + SUFFIX
    if _is_link(path, target):
        return
    if os.path.lexists(path) and not (os.path.lexists(aside) and os.path.samestat(os.lstat(path), os.lstat(aside))):
        _remove(aside + NEXT)
        os.link(path, aside + NEXT, follow_symlinks=False)
        os.rename(aside + NEXT, aside)
    _place_link(path, target)


def _restore(path: str, target: str) -> None:
    aside = path + SUFFIX
    _remove(aside + NEXT)
    if not os.path.lexists(aside):
        if _is_link(path, target):
            os.unlink(path)  # the package was removed meanwhile
    elif _is_link(path, target):
        os.rename(aside, path)
    else:
        os.unlink(aside)  # what stands there is newer, or another name of the same
    sync_folder(os.path.dirname(path))


def _undivert(path: str, target: str) -> None:
    aside = path + SUFFIX
    if not os.path.lexists(aside) and _is_link(path, target):
        os.unlink(path)  # the package was removed meanwhile
        sync_folder(os.path.dirname(path))
    elif os.path.lexists(aside):
        if os.path.lexists(path) and _same(path, aside):
            os.unlink(aside)  # interrupted between the two: rename(2) does nothing with two names of one file
        else:
            os.rename(aside, path)
        sync_folder(os.path.dirname(path))
    program = divert_program()
    if program is not None:
        _run(program, "--local", "--no-rename", "--remove", path)
        _override(path)


def _same(path: str, aside: str) -> bool:
    """Whether two names are of one file, or of two that say the same: an overlay of file systems tears names apart."""
    if os.path.samestat(os.lstat(path), os.lstat(aside)):
        return True
    if os.path.islink(path) or os.path.islink(aside):
        return os.path.islink(path) and _is_link(aside, os.readlink(path))
    return filecmp.cmp(path, aside, shallow=False)


def _override(path: str) -> None:
    """Owner and mode as dpkg-statoverride has them. An update of the package applied them to what stood there: ours."""
    words = ["dpkg-statoverride", "--list", path]
    ran = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, env=_PATH)
    found = ran.stdout.split()
    if ran.returncode == 0 and len(found) == 4 and os.path.isfile(path) and not os.path.islink(path):
        user, group, mode, _ = found
        shutil.chown(path, _number(user), _number(group))
        os.chmod(path, int(mode, 8))


def _number(name: str) -> str | int:
    """dpkg writes an id without a name as #ID."""
    return int(name[1:]) if name.startswith("#") else name


def _place_link(path: str, target: str) -> None:
    temporary = path + NEXT
    _remove(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, path)
    sync_folder(os.path.dirname(path))


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def _is_link(path: str, target: str) -> bool:
    return os.path.islink(path) and os.readlink(path) == target


def _is_file(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return not os.path.islink(path) and file.read() == text
    except (OSError, UnicodeDecodeError):
        return False


def _keep(path: str) -> None:
    make_folder(os.path.dirname(path), 0o755)
    if os.path.lexists(path):
        os.rename(path, path + KEPT)


def _bring_back(path: str) -> None:
    if os.path.lexists(path + KEPT):
        os.rename(path + KEPT, path)
    if os.path.isdir(os.path.dirname(path)):
        sync_folder(os.path.dirname(path))


def _run(*argv: str) -> None:
    ran = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if ran.returncode:
        raise StepFailed(f"{' '.join(argv)}: {(ran.stderr or ran.stdout).strip()}")
