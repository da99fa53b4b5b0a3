from posthouse.config.catalog.legacy_names import LEGACY_NAMES
from posthouse.config.catalog.parameters import ADDED_FAMILIES, PARAMETERS, POSTFIX_PARAMETERS
from posthouse.config.configuration import COMPUTED, Configuration
from posthouse.config.expand import references

SAMPLE = Configuration("/etc/postfix", {"myhostname": "mail.example.com", "mynetworks": "127.0.0.0/8"})


def test_postfix_has_829_built_in_parameters() -> None:
    assert len(POSTFIX_PARAMETERS) == 829


def test_no_name_is_in_two_families() -> None:
    assert len(PARAMETERS) == len(POSTFIX_PARAMETERS) + sum(
        1 for parameter in PARAMETERS.values() if parameter.family in ADDED_FAMILIES
    )


def test_every_default_is_what_its_kind_says() -> None:
    for parameter in PARAMETERS.values():
        if parameter.name in COMPUTED:
            continue
        if parameter.kind == "bool":
            SAMPLE.boolean(parameter.name)
        elif parameter.kind == "int":
            SAMPLE.integer(parameter.name)
        elif parameter.kind == "time":
            SAMPLE.seconds(parameter.name)
        elif parameter.kind == "string":
            assert len(SAMPLE.value(parameter.name)) >= parameter.minimum
        else:
            assert parameter.kind == "raw"


def test_defaults_mention_only_known_names() -> None:
    for parameter in PARAMETERS.values():
        if parameter.kind != "raw":
            names, wrong = references(parameter.default)
            assert wrong == []
            assert set(names) <= PARAMETERS.keys() | LEGACY_NAMES
