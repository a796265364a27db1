"""Runs the demo: the server, the callers, the turns as they come, the result."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from voicelat.caller import CallResult, Heard, Script
from voicelat.demo.server import running_server
from voicelat.demo.utterances import CONVERSATIONS, recorded_script, written_script
from voicelat.errors import ConnectError, UsageError
from voicelat.loadtest.interrupt import until_interrupted
from voicelat.loadtest.line import place_call
from voicelat.loadtest.rows import caller_side
from voicelat.loadtest.utterances import Recordings, speak
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.summary import CallerSide, summarise
from voicelat.metrics.targets import Gate, Target
from voicelat.metrics.turnsfile import read_turns
from voicelat.providers import local, registry
from voicelat.report import ReportResult, judged
from voicelat.report.watch import Follower

__all__ = ["DemoPlan", "DemoResult", "LiveTurn", "run_demo"]

_SAME_MS: Final = 250
"""A caller's question and a server's turn are the same when their ends are this close."""
_POLL_S: Final = 0.1
_TURNS_FILE: Final = "turns.jsonl"
_SPEECH_SETTINGS: Final = ("STT_PROVIDER", "LLM_PROVIDER", "TTS_PROVIDER")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What to show."""

    calls: int = 3
    callers: int = 3
    """Calls at once."""
    turns: int = 5
    """Questions per call, with ``utterances``."""
    utterances: Path | None = None
    """A folder of WAV files to speak instead of the written conversation."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """For the server, beside its environment."""
    providers: Mapping[str, str] = field(default_factory=dict)
    """STT_PROVIDER, LLM_PROVIDER, TTS_PROVIDER and VAD in force."""
    targets: Sequence[Target] = ()
    gates: Sequence[Gate] = ()
    out: Path | None = None
    """Where turns, recordings and traces stay. None: nowhere."""


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """A turn as the server recorded it, and what its caller measured."""

    record: TurnRecord
    heard_ms: int | None
    """Last voiced sample said -> first voiced sample heard; None when the caller heard none."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The report, and what is worth knowing about how it came about."""

    report: ReportResult
    calls: tuple[CallResult, ...]
    failed: tuple[str, ...]
    """Calls that could not be placed, one line each."""
    interrupted: bool
    """Ctrl-C: this is what was measured so far."""

    @property
    def complaints(self) -> Iterator[str]:
        """What makes these numbers worth less, one line each."""
        yield from self.failed
        late = [call.call_sid for call in self.calls if not call.trusted]
        if late:
            yield (
                f"{len(late)} of {len(self.calls)} callers could not keep their own time on this "
                "machine: do not trust what they measured; try fewer --callers"
            )
        for call in self.calls:
            for fault, count in call.violations.items():
                yield f"{call.call_sid}: the server broke the protocol: {fault} x{count}"


async def run_demo(
    plan: DemoPlan,
    *,
    on_note: Callable[[str], None],
    on_turn: Callable[[LiveTurn], None],
) -> DemoResult:
    """Hold the calls of ``plan``; notes and turns are told as they come.

    Raises UsageError for a folder without speech, ConnectError when the server does not start.
    """
    providers = _speech_that_runs_here(plan.providers, on_note)
    scripts = await _scripts(plan, providers, on_note)
    with _folder(plan.out) as folder:
        turns_file = folder / _TURNS_FILE
        settings = {
            **plan.settings,
            **providers,
            "TURNS_FILE": str(turns_file),
            "RECORD_DIR": "" if plan.out is None else str(folder / "calls"),
            # Our callers are not Twilio and sign nothing; the server is on loopback.
            "TWILIO_AUTH_TOKEN": "",
            "PUBLIC_BASE_URL": "",
            "MAX_CALLS": str(plan.callers),
        }
        async with running_server(folder, settings) as url:
            at_once = min(plan.callers, plan.calls)
            on_note(f"server at {url}; calls: {plan.calls}, at once: {at_once}")
            calls = _Calls(f"{url.replace('http', 'ws', 1)}/media", plan.callers)
            show = asyncio.create_task(_show(turns_file, calls, on_turn))
            interrupted = await until_interrupted(calls.place(scripts))
        await show
        records = read_turns([turns_file]).records if turns_file.exists() else []
    summary = summarise(records, plan.targets, caller=calls.sides)
    return DemoResult(
        judged(summary, plan.gates), tuple(calls.results), tuple(calls.failed), interrupted
    )


class _Calls:
    """The simulated calls: at most ``at_once`` at a time."""

    def __init__(self, url: str, at_once: int) -> None:
        self.url = url
        self.results: list[CallResult] = []
        self.failed: list[str] = []
        self.heard: dict[str, list[Heard]] = {}
        self.done = asyncio.Event()
        self._room = asyncio.Semaphore(at_once)

    @property
    def sides(self) -> list[CallerSide]:
        """What the callers measured."""
        return [caller_side(call.call_sid, call.heard, call) for call in self.results]

    async def place(self, scripts: Sequence[Script]) -> None:
        """Hold all calls."""
        try:
            await asyncio.gather(*(self._place(n, script) for n, script in enumerate(scripts, 1)))
        finally:
            self.done.set()

    async def _place(self, number: int, script: Script) -> None:
        call_sid = f"call-{number}"
        self.heard[call_sid] = []
        async with self._room:
            try:
                result = await place_call(
                    self.url, script, call_sid=call_sid, on_question=self.heard[call_sid].append
                )
            except ConnectError as error:
                self.failed.append(f"{call_sid}: {error}")
            else:
                self.results.append(result)

    def heard_ms(self, record: TurnRecord) -> tuple[bool, int | None]:
        """What the caller measured for this turn; False while it has not said so yet."""
        end_ms = record.stamps.speech_end
        if end_ms is None:
            return True, None
        ends = [h for h in self.heard.get(record.call_id, ()) if h.said_end_ms is not None]
        for heard in ends:
            if abs((heard.said_end_ms or 0) - end_ms) <= _SAME_MS:
                return True, heard.v2v_ms
        # A caller tells its questions in order: one behind this turn means none is for it.
        return any((heard.said_end_ms or 0) > end_ms for heard in ends), None


async def _show(turns_file: Path, calls: _Calls, on_turn: Callable[[LiveTurn], None]) -> None:
    """Tell each turn once its caller has told what it heard, or the calls are over."""
    waiting: list[TurnRecord] = []
    async for record in _follow(turns_file, calls.done):
        if record is not None:
            waiting.append(record)
        for turn in list(waiting):
            known, heard_ms = calls.heard_ms(turn)
            if known:
                waiting.remove(turn)
                on_turn(LiveTurn(turn, heard_ms))
    for turn in waiting:
        on_turn(LiveTurn(turn, None))


async def _follow(path: Path, done: asyncio.Event) -> AsyncIterator[TurnRecord | None]:
    """The records as they are written; None whenever there is nothing new."""
    follower = Follower([path])
    last_look = False
    while not last_look:
        last_look = done.is_set()
        for record in await asyncio.to_thread(follower.read):
            yield record
        yield None
        if not last_look:
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), _POLL_S)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="voicelat-demo-") as made:
            yield Path(made)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write into {out}: {error.strerror}") from None
    if (out / _TURNS_FILE).exists():
        raise UsageError(f"{out} holds the turns of an earlier run: give another --out")
    yield out


def _speech_that_runs_here(
    providers: Mapping[str, str], on_note: Callable[[str], None]
) -> dict[str, str]:
    """The providers asked for, or simulated ones where local speech has no packages."""
    chosen = dict(providers)
    if "local" not in (chosen.get("STT_PROVIDER"), chosen.get("TTS_PROVIDER")):
        return chosen
    missing = local.available()
    if missing is None:
        return chosen
    on_note(f"{missing}; running on simulated speech instead")
    for name in _SPEECH_SETTINGS:
        if chosen.get(name) == "local" and name != "LLM_PROVIDER":
            chosen[name] = "simulated:google-openai-google"
    chosen["VAD"] = "energy"
    return chosen


async def _scripts(
    plan: DemoPlan, providers: Mapping[str, str], on_note: Callable[[str], None]
) -> list[Script]:
    if plan.utterances is not None:
        # What the server's detector takes for speech is what it can answer.
        detector = registry.detector("energy" if providers["VAD"] == "energy" else "silero")
        recordings = await asyncio.to_thread(Recordings.load, plan.utterances, detector)
        on_note(
            f"{len(recordings.utterances)} utterances in {recordings.files} files of "
            f"{plan.utterances} ({recordings.silent} without speech)"
        )
        for line in recordings.broken:
            on_note(f"left out: {line}")
        return [recorded_script(said) for said in recordings.share(plan.calls, plan.turns)]
    return await _written_scripts(plan.calls)


async def _written_scripts(calls: int) -> list[Script]:
    """The written conversations, in the local voice where it runs: every detector hears that."""
    texts = [t for lines in CONVERSATIONS for line in lines for t in (line.text, line.after_pause)]
    audio = await speak(filter(None, texts))
    return [
        written_script(CONVERSATIONS[n % len(CONVERSATIONS)], audio.__getitem__)
        for n in range(calls)
    ]
