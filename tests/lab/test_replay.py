"""Recorded calls go through the machine again: the same way, or as other settings would have it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.fakes import tone
from tests.engine.phone import Desk, Phone
from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.audio.mulaw import silence
from voicelat.caller import BargeIn, Say, Silence, WaitForReply
from voicelat.engine.config import EngineConfig
from voicelat.engine.recording import TapeDeck
from voicelat.engine.turn_loop import TurnLoop
from voicelat.errors import UsageError
from voicelat.lab import latency, replay
from voicelat.lab.recordings import Source, find
from voicelat.lab.replay import BIAS, counterfactual, settings_of, verbatim, write_turns
from voicelat.metrics.record import CallInfo
from voicelat.metrics.targets import parse_gate
from voicelat.metrics.turnsfile import encode, read_turns
from voicelat.settings import load
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.machine import TurnMachine
from voicelat.turn.policies import PolicyName, policy
from voicelat.turn.trace import Listening, Trace, TraceHeader, TraceStep, encode_line

QUICK = latency.constant(300)
MADE = "simulated:constant"


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """The trace of a real call: a question, one with a pause in it, and an interruption."""
    folder = tmp_path / "calls"
    _hold_a_call(folder)
    (trace,) = folder.glob("*.trace.jsonl")
    return trace


@virtual_time
async def _hold_a_call(folder: Path) -> None:
    deck = TapeDeck(folder)
    loop = TurnLoop(Desk().stack, engine=EngineConfig(greeting=""), tape=deck.tape, clock=LoopClock)
    with_pause = tone(600) + silence(300) + tone(600)
    steps = Silence(200), Say(tone(600)), WaitForReply(), Say(with_pause)
    phone = Phone(*steps, BargeIn(tone(600), after_ms=150), WaitForReply())
    call = asyncio.create_task(phone.talk())
    await loop.run(phone)
    await call
    deck.close()


def source(trace: Path) -> Source:
    return Source(trace.name.removesuffix(".trace.jsonl"), trace=trace)


def lines_of(trace: Path) -> list[bytes]:
    return trace.read_bytes().splitlines(keepends=True)


def changed(line: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    row = json.loads(line)
    change(row)
    return json.dumps(row).encode() + b"\n"


# -- verbatim ---------------------------------------------------------------------------------


def test_a_live_call_goes_the_same_way_again(live: Path) -> None:
    result = verbatim(find([str(live.parent)]))
    assert result.ok
    assert (result.traces, result.different, result.torn, result.broken) == (1, [], [], [])
    assert result.steps == len(lines_of(live)) - 1
    assert list(result.lines) == [
        f"1 of 1 traces the same, byte for byte ({result.steps} steps)",
    ]


def test_a_planted_difference_is_named_by_file_step_time_and_field(live: Path) -> None:
    lines = lines_of(live)
    number = next(n for n, line in enumerate(lines) if b'"start_reply"' in line)

    def plant(row: dict[str, Any]) -> None:
        (effect,) = (e for e in row["effects"] if e["type"] == "start_reply")
        effect["text"] = "another text"

    lines[number] = changed(lines[number], plant)
    live.write_bytes(b"".join(lines))
    result = verbatim([source(live)])
    assert not result.ok
    (found,) = result.different
    assert (found.file, found.step) == (str(live), number - 1)
    assert found.at_ms == json.loads(lines[number])["at_ms"]
    assert "text was 'another text', and is " in found.says
    said = list(result.lines)
    assert said[0].startswith(f"{live}: step {number - 1} at {found.at_ms} ms (")
    assert said[-1].startswith("0 of 1 traces the same")
    assert any(line.startswith("  recorded  start_reply(") for line in said)
    assert max(len(line) for line in said[1:]) < 300


def test_another_setting_in_the_header_is_a_difference(live: Path) -> None:
    header, *rest = lines_of(live)
    header = changed(header, lambda row: row["turn"].update(hangover_ms=300))
    live.write_bytes(b"".join([header, *rest]))
    assert len(verbatim([source(live)]).different) == 1


def test_a_torn_trace_is_compared_up_to_the_tear_and_told(live: Path) -> None:
    live.write_bytes(live.read_bytes()[:-20])
    result = verbatim([source(live)])
    assert result.ok
    assert result.torn == [str(live)]
    assert next(result.lines) == f"{live}: its last line breaks off; compared up to there"


def test_a_trace_without_effects_is_told_and_proves_nothing(live: Path, tmp_path: Path) -> None:
    header, *rest = lines_of(live)
    bare = [changed(line, lambda row: row.pop("effects")) for line in rest]
    live.write_bytes(b"".join([header, *bare]))
    recording = Source("a", recording=tmp_path / "a.wav")
    result = verbatim([source(live), recording])
    assert result.without_effects == [str(live), str(tmp_path / "a.wav")]
    assert not result.ok
    assert list(result.lines)[-1].startswith("0 of 0 traces")


def under_policy(live: Path, name: PolicyName) -> Path:
    """The same call, recorded under a policy: its effects are this machine's own."""
    trace = Trace.decode(lines_of(live), live)
    call = msgspec.structs.replace(trace.header.call, settings={"EOU_POLICY": name})
    header = msgspec.structs.replace(trace.header, call=call)
    machine = TurnMachine(header.turn, call, policy(name))
    steps = [
        TraceStep(at_ms=s.at_ms, event=s.event, effects=machine.handle(s.event, s.at_ms))
        for s in trace.steps
    ]
    live.write_bytes(b"".join([encode_line(header), *map(encode_line, steps)]))
    return live


@pytest.mark.parametrize("name", ["adaptive", "semantic"])
def test_a_call_is_replayed_under_the_policy_it_was_recorded_under(
    live: Path, name: PolicyName
) -> None:
    assert verbatim([source(under_policy(live, name))]).ok
    header, *rest = lines_of(live)
    header = changed(header, lambda row: row["call"]["settings"].clear())
    live.write_bytes(b"".join([header, *rest]))
    assert verbatim([source(live)]).different, "the call has nothing that tells them apart"


@pytest.mark.parametrize("broken", ["", "\n\n", "not a trace", "[1]\n", '{"schema": 9}\n'])
def test_what_is_no_trace_is_one_line_and_the_others_go_on(
    live: Path, tmp_path: Path, broken: str
) -> None:
    foreign = tmp_path / "foreign.trace.jsonl"
    foreign.write_text(broken)
    result = verbatim([source(foreign), source(tmp_path / "gone.trace.jsonl"), source(live)])
    assert (result.traces, len(result.broken), result.ok) == (1, 2, False)
    assert result.broken[0].startswith(f"{foreign}: ")
    assert all("\n" not in line for line in result.broken)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: row["turn"].update(hangover_ms=-1), "hangover_ms=-1: must be 0 or more"),
        (lambda row: row["call"].update(settings={"EOU_POLICY": "mine"}), "EOU_POLICY='mine'"),
        (lambda row: row["call"].update(settings={"EOU_CONTEXT": 7}), "EOU_CONTEXT=7"),
    ],
)
def test_a_header_no_machine_can_be_made_from_is_broken_and_says_why(
    live: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    header, *rest = lines_of(live)
    live.write_bytes(b"".join([changed(header, change), *rest]))
    (line,) = verbatim([source(live)]).broken
    assert line.startswith(f"{live}: ")
    assert says in line


def test_time_that_goes_back_is_broken(live: Path) -> None:
    lines = lines_of(live)
    lines[-1] = changed(lines[-1], lambda row: row.update(at_ms=0))
    live.write_bytes(b"".join(lines))
    (line,) = verbatim([source(live)]).broken
    assert "back in time" in line


@given(st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutilated_trace_never_ends_the_run(live: Path, data: st.DataObject) -> None:
    whole = live.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    gone = data.draw(st.integers(0, 40))
    hurt = live.with_name("hurt.trace.jsonl")
    hurt.write_bytes(whole[:at] + data.draw(st.binary(max_size=20)) + whole[at + gone :])
    result = verbatim([source(hurt)])
    assert result.traces + len(result.without_effects) + len(result.broken) == 1
    assert all("\n" not in line for line in result.lines)


def test_ctrl_c_keeps_what_was_compared(live: Path) -> None:
    def sources() -> Iterator[Source]:
        yield source(live)
        raise KeyboardInterrupt

    result = verbatim(sources())
    assert result.interrupted
    assert result.traces == 1


def test_the_json_has_the_verdict_and_every_list(live: Path) -> None:
    out = json.loads(verbatim([source(live)]).to_json())
    assert {"schema", "ok", "traces", "steps", "different", "torn", "without_effects"} <= set(out)
    assert (out["schema"], out["ok"], out["broken"]) == (1, True, [])


# -- counterfactual ---------------------------------------------------------------------------


def spoken(call_id: str, turns: int = 3, pause_ms: int = 3000, **header: Any) -> Trace:
    """A caller who asks ``turns`` questions; each has its final 100 ms after its end."""
    steps: list[TraceStep] = []
    at_ms = 500
    for turn in range(turns):
        end_ms = at_ms + 1000
        events: list[tuple[int, on.Event]] = [
            (at_ms + 40, on.SpeechStarted(at_ms)),
            (at_ms + 700, on.Partial(f"question {turn}")),
            (end_ms + 60, on.SpeechStopped(end_ms)),
            (end_ms + 100, on.Final(f"question {turn}")),
        ]
        steps += [TraceStep(at_ms=when, event=event) for when, event in events]
        at_ms = end_ms + pause_ms
    call = CallInfo(call_id=call_id, **header)
    listening = Listening(
        recording=f"{call_id}.wav",
        duration_ms=at_ms,
        caller_channel=0,
        channels_by="mono",
        agent_voice=None,
        ears={"stt": "local", "vad": "silero"},
    )
    return Trace(
        TraceHeader(call=call, turn=TurnConfig(), voicelat="1", listening=listening), steps
    )


def replayed(calls: list[Trace], config: TurnConfig | None = None, **more: Any) -> Any:
    return counterfactual(calls, config or TurnConfig(), None, QUICK, **{"replies": MADE, **more})


def test_a_replay_reports_its_turns_as_any_other_measurement() -> None:
    result = replayed([spoken("a"), spoken("b")], gates=parse_gate("total_p95=600,cutoffs=0"))
    summary = result.report.summary
    assert (summary.calls, summary.turns, summary.measured_at) == (2, 6, "server")
    assert result.report.gate_failures == []
    assert summary.numbers["TOTAL_LATENCY_MS"].p50 == 500, "the speak gate"
    assert [record.call_id for record in result.records] == ["a"] * 3 + ["b"] * 3


def test_a_record_says_it_is_a_replay_whose_replies_were_made_up_and_under_which_settings() -> None:
    config = TurnConfig(hangover_ms=300, min_utt_ms=100)
    result = replayed([spoken("a")], config, settings={"EOU_POLICY": "fixed"})
    for record in result.records:
        assert record.source == "replay"
        assert record.providers == {"stt": "local", "llm": MADE, "tts": MADE}
        assert record.settings["VAD_HANGOVER_MS"] == 300
        assert record.settings["MIN_UTT_SEC"] == 0.1
        assert record.settings["EOU_POLICY"] == "fixed"


def test_the_settings_have_the_names_that_set_them() -> None:
    config = TurnConfig(
        hangover_ms=1,
        debounce_ms=2,
        min_utt_ms=3,
        stt_timeout_ms=4,
        speak_gate_ms=5,
        speculate=False,
        max_speculations=6,
        onset_ms=70,
        reply_timeout_ms=800,
    )
    given_back = load(
        {**{name: str(value) for name, value in settings_of(config).items()}, "GREETING": ""},
        environ={},
    )
    assert given_back.turn() == config


def test_a_longer_hangover_waits_longer() -> None:
    def total_ms(hangover_ms: int) -> float:
        config = TurnConfig(hangover_ms=hangover_ms, speak_gate_ms=0, speculate=False)
        value = replayed([spoken("a")], config).report.summary.numbers["TOTAL_LATENCY_MS"].p50
        assert isinstance(value, int)
        return value

    assert total_ms(500) - total_ms(200) == 300


def test_each_call_has_a_policy_of_its_own() -> None:
    made: list[object] = []

    def make() -> Any:
        made.append(policy("adaptive"))
        return made[-1]

    counterfactual([spoken("a"), spoken("b")], TurnConfig(), make, QUICK, replies=MADE)
    assert len(made) == 2
    assert made[0] is not made[1]


def test_the_same_calls_give_the_same_bytes_in_one_process_or_in_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, "_STEPS_WORTH_PROCESSES", 4)
    calls = [spoken(f"call {n}", turns=2 + n) for n in range(4)]
    drawn = latency.from_profile("google-openai-google", seed=7)

    def lines(processes: int) -> list[bytes]:
        make = partial(policy, "semantic")
        result = counterfactual(calls, TurnConfig(), make, drawn, replies=MADE, processes=processes)
        return [encode(record) for record in result.records]

    assert len(lines(1)) == 2 + 3 + 4 + 5
    assert lines(1) == lines(1) == lines(2)


def test_two_recordings_of_one_name_are_two_calls() -> None:
    result = replayed([spoken("a"), spoken("a"), spoken("a-2")])
    assert result.report.summary.calls == 3
    assert {record.call_id for record in result.records} == {"a", "a-2", "a-2-2"}


def test_calls_without_a_turn_and_calls_that_cannot_be_are_told() -> None:
    backwards = spoken("backwards")
    backwards.steps.append(TraceStep(at_ms=0, event=on.Partial("x")))
    done: list[str] = []
    calls = [spoken("a"), spoken("mute", turns=0), backwards]
    result = replayed(calls, broken=["b.wav: no WAV"], on_done=done.append)
    assert result.silent == ["mute"]
    assert result.broken[0] == "b.wav: no WAV"
    assert result.broken[1].startswith("backwards: not from a machine: ")
    assert done == ["a", "mute", "backwards"]
    assert result.report.summary.calls == 1


def test_ctrl_c_keeps_the_calls_that_were_replayed() -> None:
    def stop(call_id: str) -> None:
        if call_id == "b":
            raise KeyboardInterrupt

    result = replayed([spoken("a"), spoken("b"), spoken("c")], on_done=stop)
    assert result.interrupted
    assert {record.call_id for record in result.records} == {"a", "b"}


def test_a_live_call_is_replayed_by_its_callers_side_alone(live: Path) -> None:
    trace = Trace.decode(lines_of(live), live)
    result = replayed([trace])
    assert len(result.records) == 3
    assert {record.providers.get("stt") for record in result.records} == {
        trace.header.call.providers["stt"]
    }
    assert not any("noted" in record.reply for record in result.records), "the recorded reply"


def test_the_turns_are_written_as_a_file_of_turns_and_never_over_another(tmp_path: Path) -> None:
    result = replayed([spoken("a")])
    write_turns(result.records, tmp_path / "turns.jsonl")
    assert read_turns([tmp_path / "turns.jsonl"]).records == result.records
    with pytest.raises(UsageError, match="exists already"):
        write_turns(result.records, tmp_path / "turns.jsonl")
    with pytest.raises(UsageError, match="cannot be written"):
        write_turns(result.records, tmp_path / "no" / "turns.jsonl")


def test_the_json_is_a_report_that_says_what_it_cannot_know() -> None:
    out = json.loads(replayed([spoken("a")]).to_json())
    assert (out["schema"], out["turns"], out["measured_at"]) == (1, 3, "server")
    assert out["source"] == "replay"
    assert out["bias"] == BIAS
    assert out["latency"] == QUICK.says
    assert (out["silent"], out["broken"], out["interrupted"]) == ([], [], False)
