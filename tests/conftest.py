"""What every suite shares: with CI=true a skipped test is a failed run; a busy machine fails no generated example; what
is generated is the same in every run; what goes together under `--dist loadgroup`."""

import os

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# How long an example takes says how busy the machine is; what must be quick is measured by tests of its own. A run that
# must pass looks at the examples of the last one; `--hypothesis-profile=search` looks at new ones.
settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None)
settings.load_profile("house")

# Hypothesis puts constants of the modules that happen to be imported among its values: then every edit of the source,
# and which tests ran before, would change what a seed generates.
providers._get_local_constants = Constants

SLOWEST = ("tests/system/test_takeover.py", "tests/system/t-01-story", "tests/interop/test_postfix_spool.py")
"""What is begun first in a parallel run, the rest follows as it is named."""


class Groups(LoadScopeScheduling):
    """What one process runs in its order: a file, whose servers are shared; all that takes the machine's real ports.

    Elsewhere each test goes where there is room. (xdist's own loadgroup knows no groups under this pytest.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if path.startswith("tests/system/t-"):
            return "ports"
        shared = path.startswith(("tests/system/", "tests/interop/")) and path != "tests/system/test_takeover.py"
        return path if shared or path == "tests/house/test_source.py" else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Under `--dist loadgroup`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long ones first, so that none of them is left at the end."""

    def rank(item: pytest.Item) -> int:
        return next((number for number, start in enumerate(SLOWEST) if item.nodeid.startswith(start)), len(SLOWEST))

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("CI") == "true":
        terminalreporter.write_line(f"CI=true and {len(skipped)} tests were skipped: that is a failure here", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
