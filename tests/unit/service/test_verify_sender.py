from posthouse.service.verify import probe_sender


def test_the_sender_of_probes() -> None:
    assert probe_sender("<>", 3600, 0.0) == ""
    assert probe_sender("", 0, 0.0) == ""
    assert probe_sender("double-bounce", 0, 5e9) == "double-bounce"


def test_with_a_ttl_the_local_part_changes_with_time() -> None:
    assert probe_sender("double-bounce@example.com", 100, 3100.0) == "double-bounce10@example.com"
    assert probe_sender("double-bounce", 100, 3199.0) == "double-bounce10"
    assert probe_sender("double-bounce", 100, 3200.0) == "double-bounce11"
