"""``voicelat replay --realtime``: recorded callers speak again, to a server that runs.

What the caller of a recording said is cut at its true turn ends, the pauses inside a turn left
in, and said over a real socket in real time: each turn, then the wait for its reply. So a
server, ours or anybody's, is measured where a caller hears it, on the pauses of real callers.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.caller import CallResult, Heard, Say, Script, Silence, Step, WaitForReply
from voicelat.errors import ConnectError, UsageError
from voicelat.lab.fresh import FreshTurns
from voicelat.lab.truth import Truth
from voicelat.loadtest.interrupt import until_interrupted
from voicelat.loadtest.line import place_call
from voicelat.loadtest.rows import caller_side, turn_records
from voicelat.metrics.record import TurnRecord
from voicelat.metrics.summary import CallerSide, summarise
from voicelat.metrics.targets import DEFAULT_TARGETS, Gate, Target
from voicelat.report import ReportResult, judged
from voicelat.turn import events as on
from voicelat.turn.trace import TraceStep

__all__ = [
    "PlayedCall",
    "RealtimePlan",
    "RealtimeResult",
    "SpokenCall",
    "media_url",
    "play",
    "script_of",
    "until_interrupted",
    "utterances",
]

_LEAD_MS: Final = 60
"""Kept before a turn: a detector hears a first consonant late."""
_LAST_SILENCE_MS: Final = 300


@dataclass(frozen=True, slots=True)
class SpokenCall:
    """What one recorded caller says: mu-law, one piece per turn."""

    name: str
    turns: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimePlan:
    """Whom to call, and how."""

    url: str
    """The media socket (ws:// or wss://); see `media_url`."""
    callers: int = 1
    """Calls at once."""
    greeting_timeout_ms: int = 10_000
    """How long a caller waits for the greeting to be over. 0: the caller speaks first."""
    reply_timeout_ms: int = 20_000
    """A turn without a reply by then is given up, and counted as waited for so long."""
    turns_file: Path | None = None
    """Where the server writes its turns, if it is within reach."""
    written_within_ms: int = 3000
    """How long the server may take to write the last turns: it writes beside the calls."""
    custom_parameters: Mapping[str, str] = field(default_factory=dict)
    """For the ``start`` message: a server may admit calls by a token."""
    targets: Sequence[Target] = DEFAULT_TARGETS
    gates: Sequence[Gate] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedCall:
    """One call as its caller heard it."""

    name: str
    """Of the recording."""
    call_id: str
    """Of this call; the server knows it as the call SID."""
    heard: tuple[Heard, ...]
    """The turns that are closed."""
    result: CallResult | None
    """None: interrupted, or never placed."""

    @property
    def side(self) -> CallerSide:
        """What its caller measured."""
        return caller_side(self.call_id, self.heard, self.result)

    @property
    def records(self) -> list[TurnRecord]:
        """Its turns in the schema of all turns. Only what can be heard is known."""
        return turn_records(self.call_id, self.heard, source="replay")


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeResult:
    """The report, and what makes it worth less."""

    report: ReportResult
    """Measured at the server when its turns are at hand, else at the caller; what the callers
    heard is in it either way."""
    records: list[TurnRecord]
    """The server's turns of these calls; without its file, what the callers heard of them."""
    calls: tuple[PlayedCall, ...]
    failed: tuple[str, ...]
    """Calls that could not be placed, one line each."""
    unread: tuple[str, ...]
    """What the server's turns file does not tell, one line each."""
    interrupted: bool
    """Ctrl-C: this is what was measured so far."""

    @property
    def exit_code(self) -> int:
        """Of the command, its gates aside: stopped, not connected, or fine."""
        return 130 if self.interrupted else 3 if self.failed and not self.calls else 0

    @property
    def complaints(self) -> Iterator[str]:
        """What makes these numbers worth less, one line each."""
        yield from self.failed
        yield from self.unread
        results = [call.result for call in self.calls if call.result is not None]
        late = sum(not result.trusted for result in results)
        if late:
            yield (
                f"{late} of {len(results)} callers could not keep their own time on this machine: "
                "do not trust what they measured; try fewer --callers"
            )
        for call in self.calls:
            if call.result is None:
                continue
            if call.result.ended == "closed":
                yield f"{call.name}: the server hung up in the middle of the call"
            for fault, count in call.result.violations.items():
                yield f"{call.name}: the server broke the protocol: {fault} x{count}"

    def to_json(self) -> bytes:
        """The report's keys, then how it came about."""
        about = {
            "source": "replay",
            "played": [
                {"name": call.name, "call_id": call.call_id, "turns": len(call.heard)}
                for call in self.calls
            ],
            "complaints": list(self.complaints),
            "interrupted": self.interrupted,
        }
        return msgspec.json.encode({**msgspec.json.decode(self.report.to_json()), **about})


def utterances(steps: Sequence[TraceStep], truth: Truth, audio: bytes) -> tuple[bytes, ...]:
    """The caller's channel cut into true turns, each with the pauses in it.

    ``steps`` are the caller's side that ``truth`` points into; ``audio`` is the caller's channel
    in mu-law, on the same clock. A turn ends with its last audible sound, where its caller
    begins to wait.
    """
    cut: list[bytes] = []
    said_ms = 0
    for turn in truth.turns:
        begin_ms = max(said_ms, _instant(steps[turn.first_step]) - _LEAD_MS)
        said_ms = _instant(steps[turn.pauses[-1].stop_step])
        piece = audio[begin_ms * BYTES_PER_MS : said_ms * BYTES_PER_MS]
        if piece:
            cut.append(piece)
    return tuple(cut)


def script_of(call: SpokenCall, plan: RealtimePlan) -> Script:
    """The call as its caller will hold it: every turn, then the wait for its reply."""
    steps: list[Step] = []
    if plan.greeting_timeout_ms:
        steps.append(WaitForReply(plan.greeting_timeout_ms))
    for turn in call.turns:
        steps += [Say(turn), WaitForReply(plan.reply_timeout_ms)]
    return [*steps, Silence(_LAST_SILENCE_MS)]


def media_url(url: str) -> str:
    """The media socket that ``url`` means; a server's base address stands for its ``/media``.

    Raises UsageError for what is no address of a server.
    """
    parts = urlsplit(url)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.netloc:
        raise UsageError(f"{url}: give the media socket, like ws://127.0.0.1:8080/media")
    path = "/media" if parts.path in {"", "/"} else parts.path
    return parts._replace(scheme=schemes[parts.scheme], path=path).geturl()


async def play(
    calls: Sequence[SpokenCall],
    plan: RealtimePlan,
    *,
    on_heard: Callable[[str, Heard], None] | None = None,
) -> RealtimeResult:
    """Hold every call with the server; at most ``plan.callers`` at a time.

    ``on_heard`` is told the recording's name and each turn as it closes. Cancelling gives what
    was measured so far. Raises UsageError for an address or a turns file that cannot work;
    calls that cannot be placed are in ``failed``.
    """
    written = None if plan.turns_file is None else FreshTurns(plan.turns_file)
    calling = _Calls(media_url(plan.url), plan, on_heard or (lambda _name, _heard: None))
    interrupted = await until_interrupted(calling.place(calls))
    played = tuple(calling.played)
    if written is None:
        records = [record for call in played for record in call.records]
        unread: list[str] = []
    else:
        answered = sum(not heard.censored for call in played for heard in call.heard)
        ids = {call.call_id for call in played}
        records, unread = await written.of_calls(ids, answered, plan.written_within_ms)
        known = {record.call_id for record in records}
        missing = [call.name for call in played if call.call_id not in known]
        unread += [f"{name}: {plan.turns_file} has no turn of this call" for name in missing]
    summary = summarise(
        records,
        plan.targets,
        caller=[call.side for call in played],
        measured_at="caller" if written is None else "server",
    )
    return RealtimeResult(
        report=judged(summary, plan.gates),
        records=records,
        calls=played,
        failed=tuple(calling.failed),
        unread=tuple(unread),
        interrupted=interrupted,
    )


class _Calls:
    """The calls to one server, and what became of them, in the order of the recordings."""

    def __init__(
        self, url: str, plan: RealtimePlan, on_heard: Callable[[str, Heard], None]
    ) -> None:
        self.failed: list[str] = []
        self._url = url
        self._plan = plan
        self._on_heard = on_heard
        self._room = asyncio.Semaphore(plan.callers)
        self._run = uuid.uuid4().hex[:8]
        self._played: dict[int, PlayedCall] = {}

    @property
    def played(self) -> list[PlayedCall]:
        """The calls that were held, or begun."""
        return [self._played[number] for number in sorted(self._played)]

    async def place(self, calls: Sequence[SpokenCall]) -> None:
        """Hold all calls."""
        await asyncio.gather(*(self._place(n, call) for n, call in enumerate(calls, 1)))

    async def _place(self, number: int, call: SpokenCall) -> None:
        async with self._room:
            try:
                await self._hold(number, call)
            except ConnectError as error:
                self.failed.append(f"{call.name}: {error}")

    async def _hold(self, number: int, call: SpokenCall) -> None:
        # Unlike every call of an earlier run in the server's file.
        call_id = f"replay-{self._run}-{number}"
        heard: list[Heard] = []
        result: CallResult | None = None

        def note(turn: Heard) -> None:
            heard.append(turn)
            self._on_heard(call.name, turn)

        try:
            result = await place_call(
                self._url,
                script_of(call, self._plan),
                call_sid=call_id,
                custom_parameters=self._plan.custom_parameters,
                on_question=note,
            )
        finally:
            if result is not None or heard:
                self._played[number] = PlayedCall(
                    name=call.name,
                    call_id=call_id,
                    heard=tuple(heard) if result is None else result.heard,
                    result=result,
                )


def _instant(step: TraceStep) -> int:
    assert isinstance(step.event, on.SpeechStarted | on.SpeechStopped)
    return step.event.at_ms
