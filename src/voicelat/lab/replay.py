"""``voicelat replay``: recorded calls through the machine again, as they were or otherwise.

*Verbatim* feeds a live trace whole and asserts every effect, byte for byte: the proof that a
recorded call can be studied at a desk. *Counterfactual* feeds the caller's side alone, under
other settings, with replies that take what a latency model says, because recorded replies
belong to the recorded settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from voicelat.errors import ClockWentBack, InvalidFile, UsageError
from voicelat.lab.difference import first_difference, told
from voicelat.lab.latency import ReplyLatency
from voicelat.lab.recordings import Source, read_trace
from voicelat.lab.simulate import simulate
from voicelat.lab.workers import process_pool
from voicelat.metrics.record import CallInfo, TurnRecord
from voicelat.metrics.summary import summarise
from voicelat.metrics.targets import DEFAULT_TARGETS, Gate, Target
from voicelat.metrics.turnsfile import encode
from voicelat.report import ReportResult, judged
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import EndpointPolicy
from voicelat.turn.policies import policy as policy_of
from voicelat.turn.trace import Difference, Trace, TraceHeader, replay

__all__ = [
    "BIAS",
    "Different",
    "ReplayResult",
    "VerbatimResult",
    "counterfactual",
    "settings_of",
    "verbatim",
    "write_turns",
]

BIAS: Final = (
    "What callers did next depends on the replies they heard then; transcripts keep the timing "
    "they were recorded with, and asking the recogniser for its final cannot hurry them."
)
"""What a counterfactual replay cannot know, in one sentence."""

SettingValue = str | int | float | bool

_STEPS_WORTH_PROCESSES: Final = 150_000
"""Some 24 h of calls, two seconds of work: to start a process and send it calls takes one."""


# -- verbatim ---------------------------------------------------------------------------------


class Different(msgspec.Struct, frozen=True, kw_only=True):
    """The first step of one trace that went another way than recorded."""

    file: str
    call_id: str
    step: int
    """Index of the step, from 0: line ``step + 2`` of the file."""
    at_ms: int
    event: str
    """What entered the machine, in one line."""
    says: str
    """The first difference, in words."""
    recorded: list[str]
    """The effects of this step as they were recorded, one line each."""
    replayed: list[str]
    """The same as they are now."""
    voicelat: str
    """The version that recorded it."""


class VerbatimResult(msgspec.Struct, kw_only=True):
    """What a verbatim replay found; its JSON keys are the field names, and ``ok``."""

    schema: Literal[1] = 1
    traces: int = 0
    """Traces compared to their end, or to their first difference."""
    steps: int = 0
    """Steps with recorded effects in them."""
    different: list[Different] = []
    torn: list[str] = []
    """Files that break off in their last line: compared up to there."""
    without_effects: list[str] = []
    """Files with nothing to compare: recordings alone, and traces of the caller's side only."""
    broken: list[str] = []
    """One line per file that is no trace, or cannot have come from a machine."""
    interrupted: bool = False
    """Ctrl-C: this is what was compared so far."""

    @property
    def ok(self) -> bool:
        """Whether something was compared, all of it is the same, and no file is broken."""
        return self.traces > 0 and not self.different and not self.broken

    @property
    def lines(self) -> Iterator[str]:
        """The result in words: what differs, what could not be compared, the count."""
        for found in self.different:
            yield f"{found.file}: step {found.step} at {found.at_ms} ms ({found.event}):"
            yield f"  {found.says}"
            yield from (f"  recorded  {line}" for line in found.recorded or ["no effect"])
            yield from (f"  replayed  {line}" for line in found.replayed or ["no effect"])
        yield from (f"broken: {line}" for line in self.broken)
        yield from (f"{file}: its last line breaks off; compared up to there" for file in self.torn)
        yield from (
            f"{file}: nothing to compare, the machine's effects were not recorded"
            for file in self.without_effects
        )
        same = self.traces - len(self.different)
        yield f"{same} of {self.traces} traces the same, byte for byte ({self.steps} steps)"

    def to_json(self) -> bytes:
        """One JSON object."""
        return msgspec.json.encode({"ok": self.ok, **msgspec.to_builtins(self)})


def verbatim(sources: Iterable[Source]) -> VerbatimResult:
    """Put every live trace through the machine again and compare what it does with what it did.

    A trace that cannot be read costs only itself. Steps without recorded effects are fed, and
    not compared.
    """
    result = VerbatimResult()
    try:
        for source in sources:
            try:
                _compare(source, result)
            except InvalidFile as error:
                result.broken.append(str(error))
            except (UsageError, ClockWentBack) as error:
                result.broken.append(f"{source.trace}: {error}")
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def _compare(source: Source, result: VerbatimResult) -> None:
    """Add what became of one call."""
    if source.trace is None:
        result.without_effects.append(str(source.path))
        return
    file = source.trace
    trace = read_trace(file)
    compared = sum(step.effects is not None for step in trace.steps)
    if not compared:
        result.without_effects.append(str(file))
        return
    difference = replay(trace, _policy_in(trace.header))
    result.traces += 1
    result.steps += compared
    if trace.torn:
        result.torn.append(str(file))
    if difference is not None:
        result.different.append(_described(difference, trace, file))


def _policy_in(header: TraceHeader) -> EndpointPolicy:
    """The policy that was in force when the trace was recorded."""
    settings: dict[str, Any] = dict(header.call.settings)
    return policy_of(settings.get("EOU_POLICY", "fixed"), settings.get("EOU_CONTEXT", "open"))


def _described(difference: Difference, trace: Trace, file: Path) -> Different:
    return Different(
        file=str(file),
        call_id=trace.header.call.call_id,
        step=difference.step,
        at_ms=difference.at_ms,
        event=told(trace.steps[difference.step].event),
        says=first_difference(difference.recorded, difference.replayed),
        recorded=[told(effect) for effect in difference.recorded],
        replayed=[told(effect) for effect in difference.replayed],
        voicelat=trace.header.voicelat,
    )


# -- counterfactual ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Calls as they would have been: the report, its turns, and what to know about them."""

    report: ReportResult
    records: list[TurnRecord]
    latency: str
    """What the replies were assumed to take, in one line."""
    silent: list[str]
    """Calls in which no turn was heard."""
    broken: list[str]
    """One line per call that could not be replayed."""
    interrupted: bool = False
    """Ctrl-C: this is what was replayed so far."""
    bias: str = BIAS

    @property
    def complaints(self) -> Iterator[str]:
        """What makes the report worth less, one line each."""
        yield from self.broken
        yield from (f"{call_id}: no turn was heard in it" for call_id in self.silent)

    @property
    def exit_code(self) -> int:
        """Of the command, its gates aside: stopped, a call that could not be used, or fine."""
        return 130 if self.interrupted else 2 if self.broken else 0

    def to_json(self) -> bytes:
        """The report's keys, then how it came about."""
        about = {
            "source": "replay",
            "latency": self.latency,
            "bias": self.bias,
            "silent": self.silent,
            "broken": self.broken,
            "interrupted": self.interrupted,
        }
        return msgspec.json.encode({**msgspec.json.decode(self.report.to_json()), **about})


@dataclass(frozen=True, slots=True)
class _Otherwise:
    """What is the same for every call of one replay. Picklable if its policy and latency are."""

    config: TurnConfig
    policy: Callable[[], EndpointPolicy] | None
    latency: ReplyLatency
    settings: dict[str, SettingValue]
    replies: str


_Replayed = tuple[str, list[TurnRecord] | str]
"""A call's id, and its turns or why there are none."""


def counterfactual(
    calls: Sequence[Trace],
    config: TurnConfig,
    policy: Callable[[], EndpointPolicy] | None,
    latency: ReplyLatency,
    *,
    replies: str,
    settings: Mapping[str, SettingValue] | None = None,
    targets: Sequence[Target] = DEFAULT_TARGETS,
    gates: Iterable[Gate] = (),
    broken: Sequence[str] = (),
    processes: int | None = None,
    on_done: Callable[[str], None] | None = None,
) -> ReplayResult:
    """Put the caller's side of ``calls`` through the machine under other settings.

    ``policy`` makes one policy per call (None: fixed); across processes it must be picklable,
    like ``partial(policies.policy, "semantic")``. ``replies`` names what stands in for model and
    voice, like ``simulated:google-openai-google``. ``settings`` are added to those of ``config``
    in the records, by their environment names. ``broken`` are calls already given up, one line
    each. ``processes``: at most so many, None for one per core; few calls stay in this one.
    ``on_done`` is told each call's id.

    The same input gives the same bytes, whatever the number of processes. The numbers are the
    server's; the residual bias is `BIAS`.
    """
    named = _named(calls)
    setup = _Otherwise(
        config, policy, latency, {**settings_of(config), **(settings or {})}, replies
    )
    records: list[TurnRecord] = []
    silent: list[str] = []
    given_up = list(broken)
    interrupted = False
    try:
        for call_id, turns in _all(named, setup, processes):
            if isinstance(turns, str):
                given_up.append(f"{call_id}: {turns}")
            elif not turns:
                silent.append(call_id)
            else:
                records += turns
            if on_done is not None:
                on_done(call_id)
    except KeyboardInterrupt:
        interrupted = True
    report = judged(summarise(records, targets), gates)
    return ReplayResult(report, records, latency.says, silent, given_up, interrupted)


def write_turns(records: Iterable[TurnRecord], path: Path) -> None:
    """Write a new ``turns.jsonl``. Raises UsageError where there is one."""
    try:
        with path.open("xb") as file:
            file.writelines(encode(record) for record in records)
    except FileExistsError:
        raise UsageError(f"{path} exists already: give another name") from None
    except OSError as error:
        raise UsageError(f"turns cannot be written to {path}: {error.strerror}") from None


def settings_of(config: TurnConfig) -> dict[str, SettingValue]:
    """The settings of ``config`` by their environment names."""
    return {
        "VAD_HANGOVER_MS": config.hangover_ms,
        "STT_PARTIAL_DEBOUNCE_MS": config.debounce_ms,
        "MIN_UTT_SEC": config.min_utt_ms / 1000,
        "STT_TIMEOUT_MS": config.stt_timeout_ms,
        "SPEAK_GATE_MS": config.speak_gate_ms,
        "SPECULATE": config.speculate,
        "SPECULATION_MAX": config.max_speculations,
        "BARGE_IN_ONSET_MS": config.onset_ms,
        "REPLY_TIMEOUT_MS": config.reply_timeout_ms,
    }


def _named(calls: Sequence[Trace]) -> list[tuple[str, Trace]]:
    """Each call with an id of its own: recordings in two folders may share a name."""
    taken: set[str] = set()
    named = []
    for trace in calls:
        base = call_id = trace.header.call.call_id
        number = 1
        while call_id in taken:
            number += 1
            call_id = f"{base}-{number}"
        taken.add(call_id)
        named.append((call_id, trace))
    return named


def _all(
    calls: Sequence[tuple[str, Trace]], setup: _Otherwise, processes: int | None
) -> Iterator[_Replayed]:
    """Every call replayed, in order; here, or in processes where that is quicker."""
    steps = sum(len(trace.steps) for _, trace in calls)
    wanted = min(processes or os.cpu_count() or 1, len(calls), 1 + steps // _STEPS_WORTH_PROCESSES)
    one = partial(_one, setup)
    if wanted <= 1:
        yield from map(one, calls)
        return
    pool = process_pool(wanted)
    try:
        yield from pool.map(one, calls, chunksize=-(-len(calls) // (4 * wanted)))
    finally:
        pool.shutdown(cancel_futures=True)


def _one(setup: _Otherwise, call: tuple[str, Trace]) -> _Replayed:
    call_id, trace = call
    recorded = trace.header.call
    ears = recorded.providers if trace.header.listening is None else trace.header.listening.ears
    info = CallInfo(
        call_id=call_id,
        started_utc=recorded.started_utc,
        source="replay",
        providers={
            **({"stt": ears["stt"]} if "stt" in ears else {}),
            "llm": setup.replies,
            "tts": setup.replies,
        },
        settings=setup.settings,
    )
    policy = None if setup.policy is None else setup.policy()
    try:
        return call_id, simulate(trace, setup.config, setup.latency, policy, info=info)
    except ClockWentBack as error:
        return call_id, f"not from a machine: {error}"
