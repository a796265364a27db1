"""A trace holds what entered the machine and what left it, and replays to the byte."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.turn.scenario import CALL, Scenario, utterance

from voicelat.errors import InvalidFile
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.endpointing import Fixed, Patience, Pause
from voicelat.turn.machine import TurnMachine
from voicelat.turn.trace import Difference, Trace, TraceHeader, TraceStep, encode_line, replay

CONFIG = TurnConfig(speak_gate_ms=0)


class Taped(Scenario):
    """A scenario that keeps a trace of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[TraceStep] = []

    def feed(self, at_ms: int, event: on.Event) -> list[do.Effect]:
        effects = super().feed(at_ms, event)
        self.steps.append(TraceStep(at_ms=at_ms, event=event, effects=effects))
        return effects


@pytest.fixture
def trace() -> Trace:
    """Two answered turns and an interruption, in Hebrew too."""
    call = Taped()
    call.play(*utterance(0, 1000, "what time", 1080)).answered(1300, 'At "nine".')
    call.play(*utterance(4000, 5000, "תודה רבה", 5080)).sound(5300, "בבקשה")
    call.play(*utterance(5900, 7000, "wait", 7080)).answered(7400)
    call.feed(9000, on.StreamStopped())
    assert len(call.records) == 3
    header = TraceHeader(call=CALL, turn=CONFIG, voicelat="0.1.0")
    return Trace(header, call.steps)


def written(trace: Trace) -> list[bytes]:
    return [encode_line(trace.header), *(encode_line(step) for step in trace.steps)]


def test_a_trace_is_read_as_it_was_written(trace: Trace) -> None:
    assert Trace.decode(written(trace), "a.trace.jsonl") == trace


def test_a_replay_gives_the_same_effects(trace: Trace) -> None:
    assert replay(trace) is None
    assert replay(Trace.decode(written(trace), "a.trace.jsonl")) is None


def test_lines_are_whole_and_name_their_kind(trace: Trace) -> None:
    lines = written(trace)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    header = msgspec.json.decode(lines[0])
    assert header["schema"] == 1
    assert header["turn"]["hangover_ms"] == 160
    assert set(msgspec.json.decode(lines[1])) == {"at_ms", "event", "effects"}


@pytest.mark.parametrize(
    "changed",
    [{"hangover_ms": 200}, {"speak_gate_ms": 400}, {"onset_ms": 400}, {"speculate": False}],
)
def test_another_setting_gives_a_difference_at_the_step_it_shows_first(
    trace: Trace, changed: dict[str, Any]
) -> None:
    turn = dataclasses.replace(trace.header.turn, **changed)
    header = msgspec.structs.replace(trace.header, turn=turn)
    found = replay(Trace(header, trace.steps))
    assert isinstance(found, Difference)
    step = trace.steps[found.step]
    assert (found.at_ms, found.recorded) == (step.at_ms, step.effects)
    assert found.replayed != found.recorded
    # Up to there the two calls are one.
    machine = TurnMachine(header.turn, CALL)
    for before in trace.steps[: found.step]:
        assert machine.handle(before.event, before.at_ms) == before.effects


class Patient:
    """Waits a little longer than is set."""

    def judge(self, pause: Pause) -> Patience:
        return Patience(times=1.1)

    def resumed(self, pause_ms: int) -> None:
        pass


def test_another_policy_gives_a_difference_too(trace: Trace) -> None:
    assert replay(trace, Fixed()) is None
    assert replay(trace, Patient()) is not None


def test_a_changed_effect_is_found(trace: Trace) -> None:
    number = next(n for n, step in enumerate(trace.steps) if step.effects)
    trace.steps[number] = msgspec.structs.replace(trace.steps[number], effects=[])
    found = replay(trace)
    assert found is not None
    assert (found.step, found.recorded) == (number, [])


def test_steps_without_effects_are_not_compared(trace: Trace) -> None:
    bare = [msgspec.structs.replace(step, effects=None) for step in trace.steps]
    header = msgspec.structs.replace(trace.header, turn=TurnConfig(hangover_ms=500))
    assert replay(Trace(header, bare)) is None


def test_a_torn_last_line_is_left_out_and_told(trace: Trace) -> None:
    lines = written(trace)
    for cut in (1, 10, len(lines[-1]) - 1):
        read = Trace.decode([*lines[:-1], lines[-1][:cut]], "a")
        assert read.torn
        assert read.steps == trace.steps[:-1]
        assert replay(read) is None


def test_empty_lines_do_not_matter(trace: Trace) -> None:
    lines = written(trace)
    assert Trace.decode([lines[0], b"\n", *lines[1:], b"  \n"], "a") == trace


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b"[]\n",
        b"null\n",
        b"\xff\n",
        b'{"at_ms":1}\n',
        b'{"at_ms":"x","event":null}\n',
        b'{"at_ms":1,"event":{"type":"dance"}}\n',
    ],
)
def test_a_broken_line_is_an_invalid_file_that_names_it(trace: Trace, line: bytes) -> None:
    lines = written(trace)
    lines[2] = line
    with pytest.raises(InvalidFile, match=r"^a\.jsonl: line 4 is not a trace line: ") as caught:
        Trace.decode([lines[0], b"\n", *lines[1:]], "a.jsonl")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lines", [[], [b"\n", b""]])
def test_an_empty_file_is_an_invalid_file(lines: list[bytes]) -> None:
    with pytest.raises(InvalidFile, match="empty"):
        Trace.decode(lines, "a")


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_another_schema_is_refused(trace: Trace, schema: object) -> None:
    header = {**msgspec.to_builtins(trace.header), "schema": schema}
    with pytest.raises(InvalidFile, match="line 1"):
        Trace.decode([msgspec.json.encode(header) + b"\n"], "a")


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_are_a_trace_or_an_invalid_file(lines: list[bytes]) -> None:
    try:
        Trace.decode(lines, "a")
    except InvalidFile as error:
        assert "\n" not in str(error)
