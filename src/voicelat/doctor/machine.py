"""What the machine does to a call process: its disk, its imports, its logs, its threads."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from voicelat.doctor.catalog import fault, ok, skipped
from voicelat.doctor.result import CheckResult
from voicelat.doctor.services import roles, uses
from voicelat.engine.logs import LogQueue
from voicelat.metrics.durations import duration
from voicelat.settings import Settings

__all__ = [
    "Imports",
    "cold_imports",
    "grpc",
    "handler_p99_ms",
    "imports_of",
    "judged_imports",
    "log_handler",
    "packages",
    "thread_pool",
    "turns_file",
    "uvloop",
]

_SLOW_LOG_MS: Final = 1.0
_RECORDS: Final = 2000
_SLOW_SYNC_MS: Final = 50.0
"""A hundred times what a local disk takes."""
_SLOW_IMPORT_MS: Final = 10_000.0
_SLOW_THREAD_MS: Final = 20.0
"""One frame."""
_SLOW_GC_MS: Final = 50.0
_HEAVY: Final = frozenset(
    ("agents", "dask", "distributed", "gevent", "locust", "pandas", "plotly", "tensorflow", "torch")
)
_OF_ROLE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "stt": {
        "local": ("voicelat.providers.local.stt",),
        "openai": ("voicelat.providers.openai_stt", "openai"),
        "google": ("voicelat.providers.google_stt", "grpc.aio", "google.cloud.speech_v1.types"),
    },
    "llm": {"openai": ("voicelat.providers.openai_llm", "openai")},
    "tts": {
        "local": ("voicelat.providers.local.tts",),
        "openai": ("voicelat.providers.openai_tts", "openai"),
        "google": (
            "voicelat.providers.google_tts",
            "grpc.aio",
            "google.cloud.texttospeech_v1.types",
        ),
    },
    "fallback": {"openai": ("voicelat.providers.openai_file_stt", "openai")},
}


# -- logs -------------------------------------------------------------------------------------


def handler_p99_ms(
    handler: logging.Handler,
    *,
    queued: bool,
    records: int = _RECORDS,
    timer: Callable[[], float] = time.perf_counter,
) -> float:
    """How long ``handler`` keeps the caller of one log line, at P99; ``queued``: with the queue
    of `start_async_logs` before it."""
    logger = logging.Logger("voicelat.doctor.probe")
    logger.addHandler(handler)
    queue = LogQueue(logger, flush_ms=250, queue_size=records)
    if queued:
        queue.start()
    took: list[float] = []
    try:
        for number in range(records):
            begun_s = timer()
            logger.info("call %s turn %d: %s", "CA0", number, "what a caller may have said")
            took.append((timer() - begun_s) * 1000)
    finally:
        queue.stop()
    return sorted(took)[math.ceil(records * 0.99) - 1]


def log_handler(settings: Settings) -> Iterator[CheckResult]:
    """The handlers the server would have, on a file of their own."""
    with tempfile.TemporaryFile("w", encoding="utf-8") as sink:
        handler = logging.StreamHandler(sink)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        p99_ms = handler_p99_ms(handler, queued=settings.async_log_queue)
    yield judged_handler(p99_ms)


def judged_handler(p99_ms: float) -> CheckResult:
    """Whether that is long."""
    evidence = f"{p99_ms:.3f} ms at P99 of {_RECORDS} records, on a file"
    if p99_ms > _SLOW_LOG_MS:
        return fault("log-handler", f"a log record costs its caller {p99_ms:.1f} ms", evidence)
    return ok("log-handler", "logging costs calls nothing", evidence)


# -- the disk ---------------------------------------------------------------------------------


def turns_file(settings: Settings) -> Iterator[CheckResult]:
    """Write and sync a little file beside it."""
    if settings.turns_file is None:
        yield fault("turns-file", "no turn is recorded: TURNS_FILE is empty", "TURNS_FILE=")
        return
    path = Path(settings.turns_file).expanduser()
    try:
        if path.exists():
            with path.open("ab"):
                pass
        took = sync_ms(path.absolute().parent)
    except OSError as error:
        yield fault("turns-file", f"{path} cannot be written", error.strerror or str(error))
        return
    yield judged_disk(path, took)


def sync_ms(folder: Path, tries: int = 20, timer: Callable[[], float] = time.perf_counter) -> float:
    """Write a line and fsync, P50. Raises OSError."""
    took: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".voicelat-doctor-") as file:
        for _ in range(tries):
            begun_s = timer()
            file.write(b"x" * 2000 + b"\n")
            file.flush()
            os.fsync(file.fileno())
            took.append((timer() - begun_s) * 1000)
    return sorted(took)[len(took) // 2]


def judged_disk(path: Path, p50_ms: float) -> CheckResult:
    """Whether that is long."""
    evidence = f"write and fsync beside {path}: {p50_ms:.2f} ms, P50 of 20"
    if p50_ms > _SLOW_SYNC_MS:
        return fault("turns-file", f"the disk of {path} is slow", evidence)
    return ok("turns-file", "turns can be written", evidence)


# -- imports ----------------------------------------------------------------------------------


class Imports(NamedTuple):
    """What importing came to."""

    total_ms: float
    by_package: dict[str, float]
    """Top-level package -> its own time and that of what it imports first."""
    objects: int
    collect_ms: float
    """A full collection, behind them."""
    frozen_ms: float
    """The same after gc.freeze()."""


def modules_of(settings: Settings) -> list[str]:
    """What ``voicelat serve`` imports, by the time it is warm."""
    found = ["voicelat.serve.server", "voicelat.settings.wiring"]
    for role, name in roles(settings).items():
        kind = name.split(":")[0]
        ours = _OF_ROLE[role].get(kind)
        if ours is not None:
            found += ours
        elif ":" in name and kind != "simulated":
            found.append(kind)
    return list(dict.fromkeys(found))


_PROGRAM: Final = """
import gc, importlib, json, sys, time
for name in {modules!r}: importlib.import_module(name)
def collect():
    begun = time.perf_counter(); gc.collect(); return (time.perf_counter() - begun) * 1000
collect(); loose = collect(); objects = len(gc.get_objects()); gc.freeze(); frozen = collect()
json.dump({{"objects": objects, "collect_ms": loose, "frozen_ms": frozen}}, sys.stdout)
"""
_LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)")


async def imports_of(modules: Iterable[str]) -> Imports | str:
    """Import them in a process of its own; why not, where that fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-c", _PROGRAM.format(modules=list(modules))),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    told = err.decode("utf-8", "replace")
    if process.returncode != 0:
        last = [line for line in told.splitlines() if line.strip()][-1:]
        return last[0].strip() if last else f"exit code {process.returncode}"
    after = json.loads(out)
    return read_importtime(told, after["objects"], after["collect_ms"], after["frozen_ms"])


def read_importtime(told: str, objects: int, collect_ms: float, frozen_ms: float) -> Imports:
    """Python's own account: a line per module, its own time and that with what it imports."""
    total_us = 0
    packages: dict[str, float] = {}
    for line in told.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        total_us += int(found[1])
        package = found[4].partition(".")[0]
        packages[package] = max(packages.get(package, 0.0), int(found[2]) / 1000)
    return Imports(total_us / 1000, packages, objects, collect_ms, frozen_ms)


async def cold_imports(settings: Settings) -> list[CheckResult]:
    """The imports, and the collections behind them."""
    found = await imports_of(modules_of(settings))
    if isinstance(found, str):
        why = f"the imports of the call process fail: {found}"
        return [fault("cold-imports", why, "python -X importtime"), skipped("gc-pause", why)]
    return [judged_imports(found), judged_collections(found)]


def judged_imports(found: Imports) -> CheckResult:
    """Whether something is imported that has no place there, or all of it takes long."""
    heavy = sorted(_HEAVY & found.by_package.keys())
    ours = {name: ms for name, ms in found.by_package.items() if name != "voicelat"}
    worst = max(ours, key=lambda name: ours[name], default="")
    evidence = f"{duration(found.total_ms)} in all"
    if worst:
        evidence += f", the worst {worst} with {duration(ours[worst])}"
    if heavy:
        what = f"the process that carries calls imports {', '.join(heavy)}"
        return fault("cold-imports", what, evidence)
    if found.total_ms > _SLOW_IMPORT_MS:
        what = f"a restart answers nobody for {duration(found.total_ms)}"
        return fault("cold-imports", what, evidence)
    return ok("cold-imports", "nothing is imported that has no place in calls", evidence)


def judged_collections(found: Imports) -> CheckResult:
    """Whether collections stay long once what lives for ever is frozen."""
    evidence = (
        f"{found.objects} objects: {found.collect_ms:.0f} ms a full collection, "
        f"{found.frozen_ms:.1f} ms after gc.freeze()"
    )
    if found.frozen_ms > _SLOW_GC_MS:
        return fault("gc-pause", "a full collection stops all calls", evidence)
    return ok("gc-pause", "the server freezes what it has loaded", evidence)


# -- threads and packages ---------------------------------------------------------------------


async def thread_pool(_settings: Settings) -> list[CheckResult]:
    """How long a thread of the default pool is waited for."""
    took: list[float] = []
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(int)
    for _ in range(200):
        begun_s = loop.time()
        await asyncio.to_thread(int)
        took.append((loop.time() - begun_s) * 1000)
    return [judged_threads(sorted(took)[197])]


def judged_threads(p99_ms: float) -> CheckResult:
    """Whether that is long."""
    size = min(32, (os.cpu_count() or 1) + 4)
    evidence = f"{p99_ms:.2f} ms at P99 of 200; the pool has {size} threads"
    if p99_ms > _SLOW_THREAD_MS:
        return fault("thread-pool", f"a thread is waited for {duration(p99_ms)}", evidence)
    return ok("thread-pool", "a thread is there at once", evidence)


def packages(settings: Settings) -> Iterator[CheckResult]:
    """What is installed against what voicelat asks for: itself, and for the providers in use."""
    if find_spec("packaging") is None:
        yield skipped("packages", "versions cannot be compared: pip install packaging")
        return
    extras = {name.split(":")[0] for name in roles(settings).values()}
    yield judged_packages(requires("voicelat") or [], extras, _installed)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def judged_packages(
    asked: Iterable[str], extras: Iterable[str], installed: Callable[[str], str | None]
) -> CheckResult:
    """Requirements (PEP 508) against the versions there are; those of other extras are nobody's
    business."""
    from packaging.requirements import Requirement

    in_use = ("", *extras)
    known = 0
    wrong: list[str] = []
    for text in asked:
        need = Requirement(text)
        there = installed(need.name)
        marker = need.marker
        if marker is not None and not any(marker.evaluate({"extra": one}) for one in in_use):
            continue
        if there is None:
            continue  # whoever needs it says so, with the command
        known += 1
        if not need.specifier.contains(there, prereleases=True):
            wrong.append(f"{need.name} {there} (needs {need.specifier})")
    if wrong:
        return fault("packages", "versions voicelat was not tested with", ", ".join(wrong))
    return ok("packages", "the versions are those voicelat was tested with", f"{known} packages")


def uvloop(_settings: Settings) -> Iterator[CheckResult]:
    """Whether it is there."""
    if sys.platform == "win32" or sys.implementation.name != "cpython":
        yield skipped("uvloop", "there is no uvloop for this Python")
    elif find_spec("uvloop") is None:
        yield fault("uvloop", "calls run on the slower event loop", "uvloop is not installed")
    else:
        yield ok("uvloop", "calls run on uvloop")


def grpc(settings: Settings) -> Iterator[CheckResult]:
    """Its version, and what the environment asks of it."""
    if not uses(settings, "google"):
        yield skipped("grpc", "no provider uses gRPC")
        return
    there = _installed("grpcio")
    loud = [
        f"{name}={os.environ[name]}"
        for name in ("GRPC_TRACE", "GRPC_VERBOSITY")
        if os.environ.get(name, "").lower() not in ("", "none", "error", "info")
    ]
    if there is None:
        yield fault("grpc", "gRPC is not installed", "grpcio is missing")
    elif loud:
        yield fault("grpc", "gRPC prints what it does", " ".join(loud))
    else:
        yield ok("grpc", "gRPC is quiet", f"grpcio {there}")
