"""Listen once: many recordings, each heard one time and kept.

What ears hear does not depend on the settings of the turn machine, so one listening serves
thousands of simulations, and `Cache` keeps it for the next time. Ears that compute in this
process work as fast as they can in several processes; a network recogniser listens in real
time, to many recordings at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import cache as once_a_process
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from voicelat.audio import wav
from voicelat.errors import InvalidFile, ProviderError, UsageError
from voicelat.lab.hearing import Ears, EarsPlan, listen
from voicelat.lab.pace import paced_runner
from voicelat.lab.recordings import Channels, Source, channels, read_trace, voice_spans
from voicelat.lab.workers import process_pool
from voicelat.metrics.record import SCHEMA
from voicelat.providers import registry
from voicelat.turn.trace import Listening, Trace, encode_line

__all__ = [
    "Broken",
    "Cache",
    "Ears",
    "EarsPlan",
    "Heard",
    "Listened",
    "listen",
    "listen_all",
]

RULES: Final = 1
"""Raised when the same ears hear the same recording otherwise: what was kept is void then."""

AT_ONCE: Final = 16
"""Recordings a network recogniser hears at a time. A choice: well below what vendors allow a
customer without asking, and a few Mbit/s of nothing but 64 kbit/s streams."""


@dataclass(frozen=True, slots=True)
class Listened:
    """A call that can be simulated."""

    source: Source
    trace: Trace
    """Of a recording: the caller's side. Else as it was recorded: see `caller_side`."""
    listening: Listening | None
    """What is known of the recording. None: there is only a live trace."""
    cached: bool
    audio_ms: int
    """How long the call is."""
    took_s: float
    """Wall time."""
    notes: tuple[str, ...] = ()
    """What the user should know, a line each."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A call that could not be read, or not be heard to its end."""

    source: Source
    why: str
    """One line that names the file or the provider."""


Heard: TypeAlias = Listened | Broken
_OnDone: TypeAlias = Callable[[int, Heard], None]


# -- keeping ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cache:
    """Listenings in a folder, one trace file each, by everything that decides what is heard."""

    folder: Path

    def key(self, plan: EarsPlan, sides: Channels) -> str:
        """Names the listening of this audio by these ears."""
        ears = asdict(plan)
        # A key opens the door to the ears and changes nothing about them.
        ears["options"].pop("openai_api_key")
        digest = hashlib.sha256(msgspec.json.encode([SCHEMA, RULES, ears], order="sorted"))
        for side in (sides.caller, sides.agent):
            digest.update(b"-" if side is None else len(side).to_bytes(8, "big") + side)
        return digest.hexdigest()

    def get(self, key: str) -> Trace | None:
        """None when it was never kept, or is damaged."""
        path = self._path(key)
        try:
            whole = path.read_bytes().endswith(_END)
            trace = read_trace(path)
        except (OSError, InvalidFile):
            return None
        return trace if whole and trace.header.listening is not None else None

    def put(self, key: str, trace: Trace) -> None:
        """Keep it: whole, or not at all. Raises OSError."""
        self.folder.mkdir(0o700, parents=True, exist_ok=True)  # what callers said is theirs
        handle, name = tempfile.mkstemp(suffix=".part", dir=self.folder)
        part = Path(name)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123 - it is open already
                file.write(encode_line(trace.header))
                file.writelines(map(encode_line, trace.steps))
                file.write(_END)
            part.replace(self._path(key))
        finally:
            part.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.trace.jsonl"


_END: Final = b"\n\n"
"""An empty line ends a kept trace, so that one cut off between two lines shows."""


# -- one call ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """One call to be listened to, for any process."""

    source: Source
    plan: EarsPlan
    caller: int | None
    cache: Cache | None


@dataclass(frozen=True, slots=True)
class _Unheard:
    """A recording that nobody has listened to yet."""

    sides: Channels
    key: str


def _begin(job: _Job) -> Listened | _Unheard:
    """What can be said without listening, or what is to be listened to. Raises InvalidFile."""
    began_s = time.perf_counter()
    if job.source.trace is not None:
        return _recorded(job, job.source.trace, began_s)
    sides = _sides(job.source.path, job.caller)
    cache = job.cache or Cache(Path())
    key = cache.key(job.plan, sides)
    kept = None if job.cache is None else cache.get(key)
    if kept is None:
        return _Unheard(sides, key)
    return _listened(job.source, _named(kept, job.source.name, sides), began_s, cached=True)


def _sides(recording: Path, caller: int | None) -> Channels:
    read = wav.read(recording)
    if not read.duration_ms:
        raise InvalidFile(recording, "is empty")
    return channels(read, caller, recording)


def _recorded(job: _Job, path: Path, began_s: float) -> Listened:
    """A call whose trace is there already."""
    trace = read_trace(path)
    listening = trace.header.listening
    if listening is None and job.source.recording is not None:
        sides = _sides(job.source.recording, 0 if job.caller is None else job.caller)
        detector = registry.detector(job.plan.vad)()
        listening = Listening(
            recording=job.source.name,
            duration_ms=sides.duration_ms,
            caller_channel=sides.caller_channel,
            channels_by="recorded with its trace" if job.caller is None else sides.by,
            agent_voice=None if sides.agent is None else voice_spans(sides.agent, detector),
            ears={**_stt_of(trace), "vad": job.plan.vad},
        )
    notes = ("the last line of its trace was cut off",) if trace.torn else ()
    return _listened(job.source, trace, began_s, listening=listening, notes=notes)


def _stt_of(trace: Trace) -> dict[str, str]:
    """Empty when the call did not tell."""
    return {role: name for role, name in trace.header.call.providers.items() if role == "stt"}


def _listened(
    source: Source,
    trace: Trace,
    began_s: float,
    *,
    listening: Listening | None = None,
    cached: bool = False,
    notes: tuple[str, ...] = (),
) -> Listened:
    listening = listening or trace.header.listening
    last_ms = trace.steps[-1].at_ms if trace.steps else 0
    audio_ms = last_ms if listening is None else listening.duration_ms
    took_s = time.perf_counter() - began_s
    return Listened(source, trace, listening, cached, audio_ms, took_s, notes)


def _named(kept: Trace, name: str, sides: Channels) -> Trace:
    """A kept trace under today's name of the recording: its audio is what it is known by."""
    assert kept.header.listening is not None
    set_to = msgspec.structs.replace
    listening = set_to(
        kept.header.listening,
        recording=name,
        caller_channel=sides.caller_channel,
        channels_by=sides.by,
    )
    call = set_to(kept.header.call, call_id=name)
    return set_to(kept, header=set_to(kept.header, call=call, listening=listening))


# -- many calls -------------------------------------------------------------------------------


def listen_all(
    sources: Sequence[Source],
    plan: EarsPlan,
    *,
    caller: int | None = None,
    cache: Cache | None = None,
    processes: int | None = None,
    on_done: Callable[[Heard], None] | None = None,
) -> list[Heard]:
    """Every call listened to, or why it could not be, in the order of ``sources``.

    ``caller``: the caller's channel, where it is not to be guessed. ``cache`` None keeps
    nothing. ``processes``: for ears that compute here, None for one a core. ``on_done`` is
    called for each as soon as it is there, in any order. Ears that take more than one process
    start them with "spawn", so a script that calls this needs its ``__main__`` guard. After
    Ctrl-C whatever was done is in the cache. Not to be called from an event loop.

    Raises UsageError for ears that do not exist, MissingExtra for a package that is missing.
    """
    ears = Ears.of(plan) if any(source.recording for source in sources) else None
    jobs = [_Job(source, plan, caller, cache) for source in sources]
    heard: dict[int, Heard] = {}

    def done(number: int, result: Heard) -> None:
        heard[number] = result
        if on_done is not None:
            on_done(result)

    waiting = []
    for number, job in enumerate(jobs):
        known = _known(job)
        if known is None:
            waiting.append(number)
        else:
            done(number, known)
    if waiting and ears is not None:
        todo = {number: jobs[number] for number in waiting}
        wanted = min(processes or os.cpu_count() or 1, len(todo))
        if not ears.compute_here:
            asyncio.run(_in_real_time(todo, ears, done))
        elif wanted == 1:
            _one_by_one(todo, ears, done)
        else:
            _in_processes(todo, wanted, done)
    return [heard[number] for number in range(len(jobs))]


def _known(job: _Job) -> Heard | None:
    """What is known without ears, and quickly: bare traces, what was kept, what is broken."""
    bare = job.source.recording is None
    if not bare and (job.cache is None or job.source.trace is not None):
        return None
    try:
        begun = _begin(job)
    except UsageError as error:
        return Broken(job.source, str(error))
    return begun if isinstance(begun, Listened) else None


class _Desk:
    """Where an event loop listens, to one recording after the other or to many at once."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._warming: asyncio.Task[None] | None = None

    async def hear(self, job: _Job) -> Heard:
        """One call, as far as it can be heard."""
        began_s = time.perf_counter()
        try:
            begun = await asyncio.to_thread(_begin, job)
            if isinstance(begun, Listened):
                return begun
            await self._warm()
            ears = self._ears.for_one(int(begun.key[:8], 16))
            trace = await listen(job.source.name, begun.sides, ears)
        except (UsageError, ProviderError) as error:
            return Broken(job.source, str(error))
        notes: tuple[str, ...] = ()
        if job.cache is not None:
            try:
                await asyncio.to_thread(job.cache.put, begun.key, trace)
            except OSError as error:
                notes = (f"not kept in {job.cache.folder}: {error.strerror}",)
        return _listened(job.source, trace, began_s, notes=notes)

    async def close(self) -> None:
        await self._ears.aclose()

    async def _warm(self) -> None:
        """Once for all. What it raises, everybody hears."""
        if self._warming is None:
            self._warming = asyncio.create_task(self._ears.warm())
        await asyncio.shield(self._warming)


def _one_by_one(todo: dict[int, _Job], ears: Ears, done: _OnDone) -> None:
    desk = _Desk(ears)
    with paced_runner(ears.computing) as runner:
        try:
            for number, job in todo.items():
                done(number, runner.run(desk.hear(job)))
        finally:
            runner.run(desk.close())


async def _in_real_time(todo: dict[int, _Job], ears: Ears, done: _OnDone) -> None:
    desk = _Desk(ears)
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, job: _Job) -> None:
        async with free:
            done(number, await desk.hear(job))

    try:
        async with asyncio.TaskGroup() as group:
            for number, job in todo.items():
                group.create_task(one(number, job))
    finally:
        await desk.close()


def _in_processes(todo: dict[int, _Job], processes: int, done: _OnDone) -> None:
    others = set(multiprocessing.active_children())
    pool = process_pool(processes)
    try:
        futures = {pool.submit(_in_this_process, job): number for number, job in todo.items()}
        for future in as_completed(futures):
            number = futures[future]
            try:
                result = future.result()
            except BrokenProcessPool:
                why = "a listening process died (no memory?); run it again for what is left"
                result = Broken(todo[number].source, f"{todo[number].source.path}: {why}")
            done(number, result)
    except KeyboardInterrupt:
        # What is being heard cannot be kept half, and may take a minute to its end.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@once_a_process
def _own(plan: EarsPlan) -> tuple[_Desk, asyncio.Runner]:
    """The desk of a process in a pool, its models loaded once."""
    ears = Ears.of(plan)
    return _Desk(ears), paced_runner(ears.computing)


def _in_this_process(job: _Job) -> Heard:
    desk, runner = _own(job.plan)
    return runner.run(desk.hear(job))
