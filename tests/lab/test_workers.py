"""Where the heavy work is done: on this machine or a cluster, and what happens when one is lost."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

import msgspec
import pytest
from tests.lab.sweep.traces import made_up_calls

from voicelat.errors import ConnectError, MissingExtra, UsageError
from voicelat.lab import workers as module
from voicelat.lab.latency import from_profile
from voicelat.lab.sweep import run
from voicelat.lab.sweep.grid import Grid
from voicelat.lab.sweep.run import SweepPlan, run_sweep
from voicelat.lab.workers import workers

PLAN = SweepPlan(
    latency=from_profile("google-openai-google"),
    grid=Grid(hangover=(80, 160, 400, 800), speak_gate=(0, 500, 1000), silence=(400, 800, 1600)),
)
CALLS = made_up_calls(20)


# -- processes --------------------------------------------------------------------------------


def test_work_is_done_in_other_processes() -> None:
    with workers() as executor:
        assert executor.submit(os.getpid).result() != os.getpid()


def test_a_process_that_is_killed_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match="a process was killed") as error, workers() as executor:
        executor.submit(os._exit, 1).result()
    assert "\n" not in str(error.value)


def test_what_goes_wrong_in_a_task_goes_on_to_whoever_asked() -> None:
    with pytest.raises(ZeroDivisionError), workers() as executor:
        executor.submit(divmod, 1, 0).result()


def test_work_that_was_stopped_is_not_begun_any_more() -> None:
    with pytest.raises(KeyboardInterrupt), workers() as executor:
        futures = [executor.submit(sum, range(100_000)) for _ in range(500)]
        raise KeyboardInterrupt
    assert any(future.cancelled() for future in futures)


# -- a cluster --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "tcp://", "http://10.0.0.5:8786", "שלום", "tcp://host:port", "a b:1"],
)
def test_what_is_no_address_is_refused_before_anything_is_tried(address: str) -> None:
    with pytest.raises(UsageError, match="give HOST:PORT, like tcp://"), workers(address):
        pass


def test_without_dask_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"pip install 'voicelat\[cluster\]'"):  # noqa: SIM117
        with workers("tcp://127.0.0.1:8786"):
            pass


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dask logs every worker that is lost, and our tests lose them on purpose."""
    pytest.importorskip("distributed")
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    monkeypatch.setattr(module, "_CONNECT_S", 2)
    yield
    logger.setLevel(level)


@pytest.mark.usefixtures("_quiet")
def test_an_address_where_nobody_listens_could_not_be_connected_to() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but it does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectError, match="no Dask scheduler answers") as error:  # noqa: SIM117
            with workers(address):
                pass
    assert str(error.value).startswith(f"--cluster {address}: ")
    assert "\n" not in str(error.value)


@pytest.fixture
def cluster(_quiet: None) -> Iterator[Any]:
    """Two worker processes and a scheduler on this machine."""
    from distributed import LocalCluster

    local: Any = LocalCluster  # type: ignore[no-untyped-call, unused-ignore]
    with local(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs=logging.CRITICAL + 1,
    ) as made:
        yield made


@pytest.fixture
def _spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is to do, others do it, in many tasks."""
    monkeypatch.setattr(run, "_INLINE", 0)
    monkeypatch.setattr(run, "_CHUNK", 4)


@pytest.mark.usefixtures("_spread")
def test_a_worker_killed_in_the_middle_of_a_sweep_changes_nothing(cluster: Any) -> None:
    here = run_sweep(CALLS, PLAN)
    doomed = next(iter(cluster.workers.values())).pid
    told: list[tuple[int, int]] = []

    def kill_at_the_first(done: int, count: int) -> None:
        if not told:
            os.kill(doomed, signal.SIGKILL)
        told.append((done, count))

    with workers(cluster.scheduler_address) as executor:
        there = run_sweep(CALLS, PLAN, executor, kill_at_the_first)
    assert msgspec.json.encode(there) == msgspec.json.encode(here)
    settings = len(PLAN.grid.settings())
    assert told[-1] == (settings, settings)
    assert told[0][0] <= settings // 10, "the worker was killed when all was done already"


def test_a_cluster_lost_on_the_way_is_told_in_one_line(cluster: Any) -> None:
    def lose(executor: Executor) -> None:
        never = executor.submit(sum, range(10**12))
        cluster.close()
        never.result()

    address = cluster.scheduler_address
    with pytest.raises(ConnectError, match="was lost on the way"), workers(address) as executor:
        lose(executor)


def test_work_that_kills_its_workers_is_told_in_one_line(cluster: Any) -> None:
    cluster.scheduler.allowed_failures = 0
    address = cluster.scheduler_address
    with pytest.raises(ConnectError, match="its workers were killed"), workers(address) as executor:
        executor.submit(os._exit, 1).result()
