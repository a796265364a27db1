"""What the process is accused of, and what a busy machine is not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.doctor.gathered import FIRST_S, SECOND_S, gathered

from voicelat.doctor.of_app_process import (
    blocking_call,
    gc_pause,
    green_grpc,
    gunicorn_faults,
    imports_in_calls,
    log_handler,
    loop_lag,
    patch_order,
    thread_pool,
)
from voicelat.doctor.probe.seen import Green, Gunicorn, HandlerTimes, Seen, Spot, Stall

BEFORE_S = 50.0


def gunicorn(
    worker: str, *, version: str = "25.3.0", threads: int = 1, workers: int = 1
) -> Gunicorn:
    return Gunicorn(
        version=version,
        worker=worker,
        workers=workers,
        threads=threads,
        timeout_s=30,
        preload=False,
        grpc_before_fork=False,
        reload=False,
        access_log=False,
    )


@pytest.mark.parametrize(
    ("configured", "calls", "says"),
    [
        (gunicorn("sync"), 1, "one call at a time, killed after timeout=30 s"),
        (gunicorn("eventlet", version="26.0.0"), 1, "26.0.0 has no eventlet worker"),
        (gunicorn("gthread", threads=8), 8, "1 x 8 threads for 8 calls at a time"),
    ],
)
def test_a_worker_that_cannot_carry_the_calls_is_a_fault(
    configured: Gunicorn, calls: int, says: str
) -> None:
    (found,) = gunicorn_faults(configured, calls)
    assert says in found


@pytest.mark.parametrize(
    "configured",
    [gunicorn("eventlet"), gunicorn("gevent"), gunicorn("gthread", threads=5, workers=2)],
)
def test_a_worker_that_can_is_none(configured: Gunicorn) -> None:
    assert gunicorn_faults(configured, 8) == []


def test_grpc_before_the_fork_is_a_fault_only_with_preloading() -> None:
    preloaded = replace(gunicorn("gevent"), preload=True, grpc_before_fork=True)
    assert gunicorn_faults(preloaded, 1) == [
        "preload_app is on, and gRPC was loaded before the fork"
    ]


def handler(*ms: float) -> HandlerTimes:
    return HandlerTimes(what="Sink", at_s=[FIRST_S] * len(ms), ms=list(ms))


def test_one_slow_record_accuses_no_handler() -> None:
    seen = Seen(handlers=[handler(*[0.01] * 49, 30.0)])
    assert log_handler(gathered(seen)).outcome == "ok"


def test_a_few_records_prove_nothing() -> None:
    assert log_handler(gathered(Seen(handlers=[handler(9.0, 9.0, 9.0)]))).outcome == "skipped"


def test_a_handler_that_is_slow_again_and_again_is_accused_with_its_p99() -> None:
    seen = Seen(handlers=[handler(*[0.01] * 47, 2.0, 3.0, 4.0)])
    found = log_handler(gathered(seen))
    assert (found.outcome, found.evidence) == ("fault", "Sink: P99 4.00 ms of 50 records")


def lagging(*stalls: Stall) -> Seen:
    beats = [(FIRST_S, 1.0), *((stall.at_s, stall.ms) for stall in stalls)]
    return Seen(beat_of="asyncio", beats=beats, stalls=list(stalls))


def test_one_short_stall_blames_nobody() -> None:
    assert loop_lag(gathered(lagging(Stall(FIRST_S, 80, "bot.py:1 f")))).outcome == "ok"


def test_stalls_without_a_place_blame_nobody() -> None:
    seen = lagging(Stall(FIRST_S, 300, ""), Stall(SECOND_S, 300, ""))
    found = loop_lag(gathered(seen))
    assert found.outcome == "ok"
    assert "worst 300 ms" in found.evidence


def test_a_place_that_stops_the_loop_twice_is_blamed() -> None:
    seen = lagging(Stall(FIRST_S, 60, "bot.py:1 f"), Stall(SECOND_S, 70, "bot.py:1 f"))
    assert "bot.py:1 f (2 x, up to 70 ms)" in loop_lag(gathered(seen)).evidence


def test_what_happened_before_the_calls_is_nobodys_business() -> None:
    seen = lagging(Stall(BEFORE_S, 900, "bot.py:1 f"))
    seen.collections = [Spot(BEFORE_S, "2", 400.0)]
    seen.blocking = [Spot(BEFORE_S, "time.sleep", 400.0, "bot.py:1 f")]
    seen.imports = [Spot(BEFORE_S, "numpy")]
    evidence = gathered(seen, imports_ms={"numpy": 300.0})
    for judge in (loop_lag, gc_pause, blocking_call, imports_in_calls):
        assert judge(evidence).outcome == "ok"


def test_a_loop_that_never_came_round_is_not_called_well() -> None:
    assert loop_lag(gathered(Seen(beat_of="asyncio"))).outcome == "skipped"


def test_a_pool_that_never_had_a_thread_is_a_fault() -> None:
    assert thread_pool(gathered(Seen(beat_of="asyncio", pool_size=6))).outcome == "fault"


def test_the_cost_of_a_package_is_not_counted_twice() -> None:
    seen = Seen(imports=[Spot(FIRST_S, "pkg"), Spot(FIRST_S, "pkg.part")])
    found = imports_in_calls(gathered(seen, imports_ms={"pkg": 40.0, "pkg.part": 30.0}))
    assert (found.outcome, found.evidence) == ("fault", "pkg 40 ms")


def test_grpc_and_gevent_meet_well_after_init_gevent() -> None:
    seen = Seen(green=Green(by="gevent", grpc=True, grpc_ready=True))
    assert green_grpc(gathered(seen)).outcome == "ok"
    seen.green.by = "eventlet"
    assert green_grpc(gathered(seen)).outcome == "fault"


def test_a_server_that_patches_first_is_well_and_eventlets_end_is_mentioned() -> None:
    found = patch_order(gathered(Seen(green=Green(by="eventlet", version="0.41.3"))))
    assert found.outcome == "ok"
    assert "deprecated" in found.what
