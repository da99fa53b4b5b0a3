"""Our manual pages are found while the machine is taken over, and not afterwards."""

from pathlib import Path

from posthouse.commands.takeover_manual import own_pages
from posthouse.commands.takeover_steps import Step, make, undo


def _pages(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_pages_are_linked_and_the_links_go_again(tmp_path: Path) -> None:
    ours, system = tmp_path / "share" / "man", tmp_path / "system"
    _pages(ours, "postconf.1", "mail.1", "access.5", "imapd.8")
    _pages(system, "access.5", "ls.1")
    step = Step("pages", str(system), own_pages(f"{tmp_path}/bin"))
    assert step.value == str(ours)
    for _ in range(2):
        make(step)
        found = {str(path.relative_to(system)): path.read_text() for path in system.rglob("*.?")}
        assert found == {
            "man1/ls.1": "ls.1",
            "man1/postconf.1": "postconf.1",
            "man5/access.5": "access.5",
            "man8/imapd.8": "imapd.8",
        }
        assert (system / "man1/postconf.1").is_symlink() and not (system / "man5/access.5").is_symlink()
    for _ in range(2):
        undo(step)
        assert {str(path.relative_to(system)) for path in system.rglob("*")} == {
            *("man1", "man1/ls.1", "man5", "man5/access.5")
        }


def test_an_installation_without_pages_has_none(tmp_path: Path) -> None:
    assert own_pages(f"{tmp_path}/bin") == ""
