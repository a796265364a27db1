"""Disk, logs, imports and packages: a planted fault each, and none on a good machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.doctor.told import faults

from voicelat.doctor import machine
from voicelat.doctor.machine import Imports, handler_p99_ms
from voicelat.settings import load

STARTED = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   numpy.core
import time:       300 |        400 | numpy
import time:        50 |         50 | {extra}
"""


class Clock:
    """Time that only what is told takes."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Stalling(logging.Handler):
    """Every 50th record takes 20 ms."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._taken = 0

    def emit(self, _record: logging.LogRecord) -> None:
        self._taken += 1
        self._clock.now_s += 0.02 if self._taken % 50 == 0 else 0.000_01


def test_a_handler_that_stalls_now_and_then_is_found_at_its_p99() -> None:
    clock = Clock()
    p99_ms = handler_p99_ms(Stalling(clock), queued=False, timer=clock)
    assert round(p99_ms) == 20
    assert machine.judged_handler(p99_ms).outcome == "fault"


def test_the_queue_before_a_handler_keeps_its_stalls_from_calls() -> None:
    here, there = Clock(), Clock()
    assert handler_p99_ms(Stalling(there), queued=True, timer=here) == 0.0


@pytest.mark.parametrize("queue", ["0", "1"])
def test_a_plain_file_handler_is_not_accused(queue: str) -> None:
    settings = load({"ASYNC_LOG_QUEUE": queue}, environ={})
    if (found := list(machine.log_handler(settings)))[0].outcome == "fault":
        pytest.skip(f"this machine is too busy to measure: {found[0].evidence}")


def test_a_turns_file_that_can_be_written_is_fine(tmp_path: Path) -> None:
    settings = load({"TURNS_FILE": str(tmp_path / "turns.jsonl")}, environ={})
    (result,) = machine.turns_file(settings)
    assert "fsync" in result.evidence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["", "no/such/folder/turns.jsonl", "."])
def test_a_turns_file_that_cannot_be_is_found(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert faults(machine.turns_file(load({"TURNS_FILE": file}, environ={}))) == ["turns-file"]


def test_a_slow_disk_is_found(tmp_path: Path) -> None:
    clock = Clock()

    def ticking() -> float:
        clock.now_s += 0.08
        return clock.now_s

    took_ms = machine.sync_ms(tmp_path, timer=ticking)
    assert machine.judged_disk(tmp_path / "turns.jsonl", took_ms).outcome == "fault"
    assert machine.judged_disk(tmp_path / "turns.jsonl", 0.4).outcome == "ok"


def test_the_account_of_imports_names_the_worst_package() -> None:
    found = machine.read_importtime(STARTED.format(extra="json"), 1000, 5.0, 0.1)
    assert found.total_ms == 0.45
    result = machine.judged_imports(found)
    assert result.outcome == "ok"
    assert "the worst numpy" in result.evidence


@pytest.mark.parametrize("extra", ["agents", "pandas.core", "torch"])
def test_what_has_no_place_in_the_call_process_is_found(extra: str) -> None:
    found = machine.read_importtime(STARTED.format(extra=extra), 1000, 5.0, 0.1)
    result = machine.judged_imports(found)
    assert result.outcome == "fault"
    assert extra.partition(".")[0] in result.what


def test_imports_that_take_too_long_are_found() -> None:
    assert machine.judged_imports(Imports(14_000, {}, 0, 0.0, 0.0)).outcome == "fault"


def test_collections_that_stay_long_are_found_and_frozen_ones_are_not() -> None:
    assert machine.judged_collections(Imports(0, {}, 1_500_000, 374, 374)).outcome == "fault"
    assert machine.judged_collections(Imports(0, {}, 1_500_000, 374, 0.1)).outcome == "ok"


async def test_our_own_call_process_imports_nothing_that_has_no_place_there() -> None:
    results = await machine.cold_imports(load({"STT_PROVIDER": "simulated"}, environ={}))
    assert faults(results) == []


async def test_a_provider_that_cannot_be_imported_is_found() -> None:
    settings = load({"LLM_PROVIDER": "no_such_package:Model"}, environ={})
    results = await machine.cold_imports(settings)
    assert faults(results) == ["cold-imports"]
    assert "no_such_package" in results[0].what


async def test_a_heavy_provider_of_ones_own_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pandas.py").write_text("")
    (tmp_path / "mine.py").write_text("import pandas")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = load({"LLM_PROVIDER": "mine:Model"}, environ={})
    assert faults(await machine.cold_imports(settings)) == ["cold-imports"]


def test_a_version_out_of_range_is_found() -> None:
    asked = ["openai<4,>=3; extra == 'openai'", "rich>=14"]
    versions = {"openai": "2.9", "rich": "14.1"}
    result = machine.judged_packages(asked, {"openai"}, versions.get)
    assert (result.outcome, result.evidence) == ("fault", "openai 2.9 (needs <4,>=3)")


def test_a_package_of_an_extra_that_is_not_in_use_is_nobodys_business() -> None:
    asked = ["openai<4,>=3; extra == 'openai'", "rich>=14"]
    versions = {"openai": "2.9", "rich": "14.1"}
    assert machine.judged_packages(asked, {"local"}, versions.get).outcome == "ok"


@pytest.mark.parametrize(("name", "value"), [("GRPC_TRACE", "all"), ("GRPC_VERBOSITY", "debug")])
def test_grpc_that_prints_everything_is_found(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("grpc")
    settings = load({"STT_PROVIDER": "google"}, environ={})
    monkeypatch.delenv(name, raising=False)
    assert faults(machine.grpc(settings)) == []
    monkeypatch.setenv(name, value)
    assert faults(machine.grpc(settings)) == ["grpc"]


def test_a_pool_that_lets_calls_wait_is_found() -> None:
    assert machine.judged_threads(35.0).outcome == "fault"
    assert machine.judged_threads(0.2).outcome == "ok"
