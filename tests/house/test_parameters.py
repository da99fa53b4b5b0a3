"""Every parameter of the catalog is in exactly one state: it acts, it has no effect here, or it is missing."""

from posthouse.config.catalog.no_effect import REASONS, SILENT
from posthouse.config.catalog.parameters import PARAMETERS
from posthouse.config.check_files import ABSENT_TYPES, TABLE_TYPES
from posthouse.config.effect import acting_parameters, count_states, state


def test_reasons_are_given_only_for_known_names() -> None:
    assert set() == REASONS.keys() - PARAMETERS.keys()
    assert set() == SILENT - REASONS.keys()


def test_a_parameter_said_to_have_no_effect_is_read_nowhere() -> None:
    assert set() == REASONS.keys() & acting_parameters()


def test_the_three_states_add_up_to_the_catalog() -> None:
    counts = count_states()
    assert len(PARAMETERS) == sum(counts.values())
    assert {"acts", "no effect", "missing"} == counts.keys()


def test_what_everybody_sets_acts() -> None:
    for name in (
        *("mydestination", "inet_interfaces", "myhostname", "mynetworks", "alias_maps", "inet_protocols"),
        *("smtpd_tls_cert_file", "myorigin", "recipient_delimiter", "relayhost", "mailbox_size_limit"),
        *("smtpd_recipient_restrictions", "smtpd_relay_restrictions", "virtual_alias_maps", "message_size_limit"),
    ):
        assert state(name) == "acts", name


def test_the_check_knows_the_table_types_there_are() -> None:
    from posthouse.tables import open as tables

    assert set(tables.TYPES) == TABLE_TYPES
    assert set(tables.KNOWN) == ABSENT_TYPES
