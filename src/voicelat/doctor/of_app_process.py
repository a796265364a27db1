"""Checks of the process that carries the calls: imports, patches, server, logs, loop, memory."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.of_app_evidence import Evidence, p99, some
from voicelat.doctor.probe.seen import Gunicorn, HandlerTimes, Stall
from voicelat.doctor.result import CheckResult

__all__ = ["PROCESS_CHECKS", "gunicorn_faults"]

IMPORT_MS: Final = 5000
COLD_MS: Final = 20
HEAVY: Final = ("agents", "pandas", "locust", "distributed", "dask", "torch", "tensorflow")
RECORD_MS: Final = 1.0
FEW_RECORDS: Final = 30
SLOW_RECORDS: Final = 3
"""So many beyond `RECORD_MS`, too: with few records P99 is the slowest one, which a busy machine
can be to blame for."""
LINES_PER_S: Final = 20
STALL_MS: Final = 50
ONE_STALL_MS: Final = 150
BLOCKING_MS: Final = 15
GC_MS: Final = 50
POOL_MS: Final = 50
NO_EVENTLET: Final = (26, 0)
_UNGREENED: Final = re.compile(r"(\d+) RLock\(s\) were not greened")


def import_time(evidence: Evidence) -> CheckResult:
    ms = evidence.seen.import_ms
    own = set(evidence.seen.modules)
    worst = sorted(
        ((cost, name) for name, cost in evidence.imports_ms.items() if name in own), reverse=True
    )[:3]
    figure = f"{ms / 1000:.1f} s; " + ", ".join(f"{name} {cost:.0f} ms" for cost, name in worst)
    if ms > IMPORT_MS:
        return fault("import-time", "the application takes long to import", figure)
    return ok("import-time", "the application imports soon enough", figure)


def heavy_imports(evidence: Evidence) -> CheckResult:
    loaded = [name for name in HEAVY if name in evidence.seen.modules]
    if not loaded:
        return ok("heavy-imports", "none of them is loaded", f"looked for {', '.join(HEAVY)}")
    costs = [f"{name} ({evidence.imports_ms.get(name, 0):.0f} ms to import)" for name in loaded]
    what = f"{', '.join(loaded)} in the process that carries calls"
    return fault("heavy-imports", what, ", ".join(costs))


def imports_in_calls(evidence: Evidence) -> CheckResult:
    begun = {spot.what for spot in evidence.during(evidence.seen.imports)}
    costs = {name: evidence.imports_ms[name] for name in begun if name in evidence.imports_ms}
    # A package's cost holds that of its modules: the roots are counted, each once.
    roots = {n: ms for n, ms in costs.items() if n.rpartition(".")[0] not in costs}
    worst = sorted(roots, key=lambda name: -roots[name])
    figure = ", ".join(f"{name} {roots[name]:.0f} ms" for name in worst[:3])
    if worst and roots[worst[0]] >= COLD_MS:
        return fault("imports-in-calls", f"{len(costs)} modules were imported during calls", figure)
    what = f"{len(costs)} modules were imported during calls" if costs else "none during calls"
    return ok("imports-in-calls", what, figure)


# -- green servers -------------------------------------------------------------------------------


def patch_order(evidence: Evidence) -> CheckResult:
    green = evidence.seen.green
    if green.by is None:
        return ok("patch-order", "nothing is monkey-patched")
    if green.loaded_before:
        names = ", ".join(green.loaded_before)
        what = f"{len(green.loaded_before)} modules were imported before {green.by} patched"
        return fault("patch-order", what, names)
    deprecated = " (its authors call it deprecated: plan for gthread or gevent)"
    note = deprecated if green.by == "eventlet" else ""
    return ok("patch-order", f"patched by {green.by} {green.version} before the rest{note}")


def ungreened_locks(evidence: Evidence) -> CheckResult:
    if evidence.seen.green.by != "eventlet":
        return ok("ungreened-locks", "eventlet patches nothing here")
    match = _UNGREENED.search(evidence.printed)
    if match is None:
        return ok("ungreened-locks", "eventlet replaced every lock it found")
    return fault("ungreened-locks", f"{match[1]} locks stayed blocking ones", match[0])


def greendns(evidence: Evidence) -> CheckResult:
    green = evidence.seen.green
    if green.by != "eventlet":
        return ok("greendns", "eventlet patches nothing here")
    if (green.greendns or "no").lower() == "no":
        shown = "not set" if green.greendns is None else f"{green.greendns!r}"
        return fault("greendns", "eventlet resolves names itself", f"it was {shown} at the import")
    return ok("greendns", "names are resolved by the system")


def green_grpc(evidence: Evidence) -> CheckResult:
    green = evidence.seen.green
    if green.by is None or not green.grpc:
        return ok("green-grpc", "gRPC and patches do not meet here")
    if green.by == "gevent" and green.grpc_ready:
        return ok("green-grpc", "gRPC was told of gevent: init_gevent() was called")
    return fault(
        "green-grpc",
        f"gRPC is loaded in a process that {green.by} has patched",
        "grpc._cython.cygrpc is among the loaded modules"
        + ("" if green.by == "eventlet" else ", and init_gevent() was not called"),
    )


# -- the server ----------------------------------------------------------------------------------


def gunicorn_faults(gunicorn: Gunicorn, calls: int) -> list[str]:
    """What is wrong with a configuration for so many calls at a time."""
    found: list[str] = []
    version = tuple(int(part) for part in re.findall(r"\d+", gunicorn.version)[:2])
    if gunicorn.worker == "sync":
        found.append(
            f"worker class sync: one call at a time, killed after timeout={gunicorn.timeout_s} s"
        )
    if gunicorn.worker == "eventlet" and version >= NO_EVENTLET:
        found.append(f"gunicorn {gunicorn.version} has no eventlet worker and does not start")
    room = gunicorn.threads * gunicorn.workers
    # One more for the webhook of the next call.
    if gunicorn.worker == "gthread" and room <= calls:
        found.append(
            f"{gunicorn.workers} x {gunicorn.threads} threads for {calls} calls at a time, "
            "and a webhook"
        )
    if gunicorn.preload and gunicorn.grpc_before_fork:
        found.append("preload_app is on, and gRPC was loaded before the fork")
    return found


def gunicorn_worker(evidence: Evidence) -> CheckResult:
    gunicorn = evidence.seen.gunicorn
    if gunicorn is None:
        return skipped("gunicorn-worker", f"not under gunicorn: served by {_server(evidence)}")
    figure = (
        f"gunicorn {gunicorn.version} -k {gunicorn.worker}, {gunicorn.workers} x "
        f"{gunicorn.threads} threads, from {evidence.command.source}"
    )
    found = gunicorn_faults(gunicorn, evidence.calls)
    if found:
        return fault("gunicorn-worker", "; ".join(found), figure)
    return ok("gunicorn-worker", f"it carries {evidence.calls} calls at a time", figure)


def _server(evidence: Evidence) -> str:
    source = evidence.command.source
    return evidence.serving.server + (f" (from {source})" if source else ", as nothing names one")


def debug_mode(evidence: Evidence) -> CheckResult:
    found = list(evidence.seen.debug)
    command = evidence.command
    found += [f"{switch} in {command.source}" for switch in command.debug]
    gunicorn = evidence.seen.gunicorn
    if gunicorn is not None and gunicorn.reload and not command.debug:
        found.append(f"reload is on in gunicorn's configuration ({command.source})")
    if found:
        return fault("debug-mode", "switches for developing are on", some(found))
    return ok("debug-mode", "no switch for developing is on")


def access_log(evidence: Evidence) -> CheckResult:
    found = list(evidence.seen.access_logs)
    gunicorn = evidence.seen.gunicorn
    if gunicorn is not None and gunicorn.access_log:
        found = [line for line in found if not line.startswith("gunicorn")]
        found.append(f"gunicorn's access log is on ({evidence.command.source})")
    if found:
        return fault("access-log", "access logs are written at once", some(found))
    return ok("access-log", "no access log is written at once")


# -- logs ----------------------------------------------------------------------------------------


def log_handler(evidence: Evidence) -> CheckResult:
    enough = [one for one in evidence.seen.handlers if len(one.ms) >= FEW_RECORDS]
    if not enough:
        if not evidence.seen.handlers:
            return ok("slow-log-handler", "the application has no log handler that takes INFO")
        return skipped("slow-log-handler", f"no handler had {FEW_RECORDS} records to time")
    slow = [one for one in enough if _is_slow(one)]
    if slow:
        return fault("slow-log-handler", "logging takes long", "; ".join(map(_figure, slow)))
    slowest = max(enough, key=lambda one: p99(one.ms) or 0)
    return ok("slow-log-handler", "logging is quick", _figure(slowest))


def _is_slow(one: HandlerTimes) -> bool:
    return (p99(one.ms) or 0) > RECORD_MS and sum(ms > RECORD_MS for ms in one.ms) >= SLOW_RECORDS


def _figure(one: HandlerTimes) -> str:
    marked = f", {one.marked} of them the doctor's own" if one.marked else ""
    return f"{one.what}: P99 {p99(one.ms):.2f} ms of {len(one.ms)} records{marked}"


def log_flood(evidence: Evidence) -> CheckResult:
    lines = sum(at in evidence.placed.all for at in evidence.seen.records)
    rate = lines / evidence.placed.call_s if evidence.placed.call_s else 0.0
    figure = f"{lines} records in {evidence.placed.call_s:.0f} s of calls"
    if rate > LINES_PER_S:
        return fault("log-flood", f"{rate:.0f} log records a second of call", figure)
    if evidence.reading.printing:
        places = some(evidence.reading.printing)
        return fault("log-flood", "a line for each message of the socket", f"in source: {places}")
    return ok("log-flood", f"{rate:.1f} log records a second of call", figure)


# -- the loop ------------------------------------------------------------------------------------


def loop_lag(evidence: Evidence) -> CheckResult:
    late = [ms for at, ms in evidence.seen.beats if at in evidence.placed.all]
    if not late:
        return skipped("loop-lag", "no beat was heard during calls: the loop never came round")
    beat = evidence.seen.beat_of
    figure = f"{beat}: late P99 {p99(late):.0f} ms, worst {max(late):.0f} ms, {len(late)} beats"
    blamed: dict[str, list[Stall]] = defaultdict(list)
    for stall in evidence.during(evidence.seen.stalls):
        if stall.where:
            blamed[stall.where].append(stall)
    # The same place twice, or once for long: one look of a busy machine blames nobody.
    guilty = {
        where: stalls
        for where, stalls in blamed.items()
        if len(stalls) > 1 or stalls[0].ms >= ONE_STALL_MS
    }
    if guilty:
        places = [
            f"{where} ({len(stalls)} x, up to {max(stall.ms for stall in stalls):.0f} ms)"
            for where, stalls in sorted(guilty.items(), key=lambda item: -len(item[1]))
        ]
        return fault("loop-lag", f"it stood still at {places[0]}", f"{figure}; {some(places)}")
    return ok("loop-lag", "nothing made it stand still", figure)


def blocking_call(evidence: Evidence) -> CheckResult:
    if evidence.seen.beat_of == "threads":
        return ok("blocking-call", "every call has a thread of its own: it may block")
    spots = evidence.during(evidence.seen.blocking)
    long = [spot for spot in spots if (spot.ms or 0) >= BLOCKING_MS]
    if not long:
        return ok("blocking-call", "none of the calls watched for was made on the loop")
    worst: dict[str, float] = {}
    for spot in long:
        key = f"{spot.what} at {spot.where}"
        worst[key] = max(worst.get(key, 0), spot.ms or 0)
    lines = [f"{key} ({ms:.0f} ms)" for key, ms in sorted(worst.items(), key=lambda i: -i[1])]
    return fault("blocking-call", f"{len(long)} calls blocked the loop", some(lines))


def gc_pause(evidence: Evidence) -> CheckResult:
    pauses = [spot.ms or 0 for spot in evidence.during(evidence.seen.collections)]
    worst = max(pauses, default=0.0)
    figure = f"longest {worst:.1f} ms, {evidence.seen.objects:,} objects"
    if worst > GC_MS:
        return fault("gc-in-calls", "a garbage collection stopped the process", figure)
    return ok("gc-in-calls", "no collection is felt", figure)


def thread_pool(evidence: Evidence) -> CheckResult:
    if evidence.seen.beat_of != "asyncio":
        return skipped("pool-wait", f"{evidence.seen.beat_of} has no default pool")
    waits = [spot.ms or 0 for spot in evidence.during(evidence.seen.pool_waits)]
    if not waits:
        return fault(
            "pool-wait",
            "no thread of the default pool was ever free",
            f"{evidence.seen.pool_size} threads, {evidence.calls} calls",
        )
    figure = (
        f"{evidence.seen.pool_size} threads for {evidence.calls} calls; a no-op waited up to "
        f"{max(waits):.1f} ms"
    )
    if sum(ms > POOL_MS for ms in waits) > 1:
        return fault("pool-wait", "work waits for a thread of the default pool", figure)
    return ok("pool-wait", "work finds a thread at once", figure)


PROCESS_CHECKS: Final = (
    import_time,
    heavy_imports,
    imports_in_calls,
    patch_order,
    ungreened_locks,
    greendns,
    green_grpc,
    gunicorn_worker,
    debug_mode,
    access_log,
    log_handler,
    log_flood,
    loop_lag,
    blocking_call,
    gc_pause,
    thread_pool,
)
