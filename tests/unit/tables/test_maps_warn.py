"""In whose name tables warn, and how often."""

import pytest

from posthouse.config.configuration import Configuration
from posthouse.tables.maps import open_maps
from posthouse.tables.match_list import open_match_list
from posthouse.tables.table import TableRetry
from posthouse.tables.warning import send_warnings_to, speaking

GONE = "hash:/nonexistent/t"
UNAVAILABLE = f"{GONE} is unavailable. open database /nonexistent/t.db: No such file or directory"


async def test_what_is_opened_for_a_service_warns_in_its_name_each_time() -> None:
    process: list[str] = []
    service: list[str] = []
    before = send_warnings_to(process.append)
    try:
        with speaking(service.append):
            maps = open_maps(GONE, Configuration("/etc", {}), "x_maps")
        assert service == [UNAVAILABLE]
        for _ in range(2):
            with pytest.raises(TableRetry):
                await maps.lookup("k")
        assert service[1:] == [UNAVAILABLE, f'{GONE} lookup error for "k"'] * 2
        assert process == []
    finally:
        send_warnings_to(before)


def test_a_service_that_listens_for_errors_hears_once_why_a_table_cannot_be_opened() -> None:
    warnings: list[str] = []
    errors: list[str] = []
    with speaking(warnings.append, errors.append):
        open_maps(GONE, Configuration("/etc", {}), "x_maps")
    assert (warnings, errors) == ([], ["open database /nonexistent/t.db: No such file or directory"])


async def test_what_is_opened_for_nobody_warns_where_the_process_does() -> None:
    process: list[str] = []
    maps = open_maps(GONE, Configuration("/etc", {}), "x_maps")
    before = send_warnings_to(process.append)
    try:
        with pytest.raises(TableRetry):
            await maps.lookup("k")
    finally:
        send_warnings_to(before)
    assert process == [UNAVAILABLE, f'{GONE} lookup error for "k"']


async def test_a_match_list_keeps_its_speaker() -> None:
    service: list[str] = []
    with speaking(service.append):
        domains = open_match_list(GONE, Configuration("/etc", {}), "x_domains")
    service.clear()
    with pytest.raises(TableRetry):
        await domains.matches("d.test")
    assert service == [UNAVAILABLE, f"x_domains: {GONE}: table lookup problem"]
