"""``pytest tests/providers/contract --live`` asks the real services too, where there are keys."""

from __future__ import annotations

from typing import Final

import pytest

_FIGURES: Final = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="run the contract suite at real services")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "live: asks a real service; needs --live and its key")
    config.stash[_FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--live", default=False):
        return
    live = [item for item in items if item.get_closest_marker("live")]
    config.hook.pytest_deselected(items=live)
    items[:] = [item for item in items if not item.get_closest_marker("live")]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> list[str]:
    """Lines to show behind the results: what was measured."""
    return request.config.stash[_FIGURES]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if lines := config.stash[_FIGURES]:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
