"""Pages that are made from the source say what the source says now. `./dev pages` makes them anew."""

from tools import catalog, readme, reference
from tools.meanings import meaning


def test_the_rows_that_commands_load_are_those_of_the_families() -> None:
    assert not catalog.stale(), "./dev pages makes them anew"


def test_the_reference_is_what_the_catalog_says() -> None:
    assert reference.stale() == [], "./dev pages makes them anew"


def test_every_parameter_has_a_row() -> None:
    from posthouse.config.catalog.parameters import PARAMETERS

    text = "".join(reference.pages().values())
    assert [name for name in PARAMETERS if f"| `{name}` |" not in text] == []


def test_every_parameter_is_explained_in_a_sentence() -> None:
    from posthouse.config.catalog.parameters import PARAMETERS

    assert [name for name in PARAMETERS if not meaning(name).endswith(".")] == []


def test_the_readme_has_the_figures_of_today() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text) == text, "./dev pages fills them in"


def test_only_what_stands_between_markers_is_filled_in() -> None:
    text = "a <!-- parameters -->?<!-- /parameters --> b\n<!-- rfcs --><!-- /rfcs -->\n"
    filled = readme.filled(text)
    assert filled.startswith(
        f"a <!-- parameters -->{readme.parameters()}<!-- /parameters --> b\n<!-- rfcs -->\n| state"
    )
    assert readme.filled(filled) == filled
