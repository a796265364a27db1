from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.audio.mulaw import RATE, Pcm, encode
from voicelat.audio.vad import EnergyVad
from voicelat.audio.wav import Recording, read
from voicelat.errors import InvalidFile, UsageError
from voicelat.lab.recordings import (
    Source,
    caller_side,
    channels,
    find,
    read_trace,
    voice_spans,
)
from voicelat.metrics.record import CallInfo
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.effects import ClearPlayout
from voicelat.turn.trace import Listening, Trace, TraceHeader, TraceStep, encode_line

HEADER = TraceHeader(call=CallInfo(call_id="CA1"), turn=TurnConfig(), voicelat="0")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def side(*voiced_s: tuple[float, float], noise: float = 0.0, of_s: float = 20.0) -> Pcm:
    """A channel with voice at these times, and line noise of a linear amplitude."""
    rng = np.random.default_rng(len(voiced_s))
    audio = rng.normal(0.0, noise, int(of_s * RATE)) if noise else np.zeros(int(of_s * RATE))
    for begin_s, end_s in voiced_s:
        span = slice(int(begin_s * RATE), int(end_s * RATE))
        audio[span] += rng.normal(0.0, 3000.0, len(audio[span]))
    return audio.clip(-32768, 32767).astype(np.int16)


def recording(*sides: Pcm) -> Recording:
    return Recording(RATE, sides)


GREETING = side((0.5, 3.0), (8.0, 9.0))
ANSWER = side((4.0, 6.0), (10.0, 14.0), noise=12.0)


# -- the files --------------------------------------------------------------------------------


def test_a_folder_gives_all_calls_below_it_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a/c.WAV", "a/d.trace.jsonl", "a/notes.txt", "turns.jsonl")
    found = find([str(tmp_path)])
    assert [source.name for source in found] == ["c", "d", "b"]
    assert found[0] == Source("c", recording=tmp_path / "a/c.WAV")
    assert found[1] == Source("d", trace=tmp_path / "a/d.trace.jsonl")
    assert [source.path.name for source in found] == ["c.WAV", "d.trace.jsonl", "b.wav"]


@pytest.mark.parametrize("given", ["call.wav", "call.trace.jsonl", "", "call.*"])
def test_a_recording_and_its_trace_are_one_call_however_named(tmp_path: Path, given: str) -> None:
    touch(tmp_path, "call.wav", "call.trace.jsonl")
    both = Source("call", tmp_path / "call.wav", tmp_path / "call.trace.jsonl")
    assert find([str(tmp_path / given)]) == [both]


def test_what_is_given_twice_is_one_call(tmp_path: Path) -> None:
    touch(tmp_path, "call.wav")
    (tmp_path / "link").symlink_to(tmp_path)
    paths = [tmp_path / "call.wav", tmp_path, tmp_path / "link" / "call.wav"]
    assert len(find([str(path) for path in paths])) == 1


def test_quoted_patterns_work_folders_and_two_stars_too(tmp_path: Path) -> None:
    touch(tmp_path, "x1/a.wav", "x2/deep/b.wav", "y/c.wav", "x1/a.txt")
    assert [source.name for source in find([f"{tmp_path}/x*"])] == ["a", "b"]
    assert [source.name for source in find([f"{tmp_path}/**/*.wav"])] == ["a", "b", "c"]


def test_calls_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "may/1.wav", "june/1.wav", "june/2.wav")
    assert [source.name for source in find([str(tmp_path)])] == ["june/1", "2", "may/1"]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "._a.wav", ".cache/b.trace.jsonl")
    assert [source.name for source in find([str(tmp_path)])] == ["a"]
    assert [source.name for source in find([str(tmp_path / ".cache")])] == ["b"]


def test_a_name_with_brackets_is_a_name_when_it_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "call [1].wav")
    assert [source.name for source in find([str(tmp_path / "call [1].wav")])] == ["call [1]"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("missing.wav", "there is no file or folder"),
        ("*.mp3", "nothing matches"),
        ("notes.txt", "neither *.wav nor *.trace.jsonl"),
        ("empty", "no *.wav and no *.trace.jsonl"),
        ("n*.txt", "no *.wav and no *.trace.jsonl"),
    ],
)
def test_what_cannot_be_found_is_said_in_a_line(tmp_path: Path, given: str, says: str) -> None:
    touch(tmp_path, "notes.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as told:
        find([str(tmp_path / given)])
    assert says in str(told.value)
    assert given in str(told.value)
    assert "\n" not in str(told.value)


def test_no_path_at_all_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        find([])


# -- the channels -----------------------------------------------------------------------------


def test_a_mono_recording_is_all_caller() -> None:
    sides = channels(recording(ANSWER))
    assert (sides.caller, sides.agent) == (encode(ANSWER), None)
    assert (sides.caller_channel, sides.by) == (0, "mono")
    assert sides.duration_ms == 20_000


@pytest.mark.parametrize("caller", [0, 1])
def test_who_knows_the_channel_is_believed(caller: int) -> None:
    pair = (GREETING, ANSWER)
    sides = channels(recording(*pair), caller)
    assert (sides.caller, sides.agent) == (encode(pair[caller]), encode(pair[1 - caller]))
    assert (sides.caller_channel, sides.by) == (caller, "told")


@pytest.mark.parametrize("caller", [-1, 1])
def test_a_channel_that_is_not_there_is_refused(caller: int) -> None:
    with pytest.raises(InvalidFile, match=r"^x\.wav: has 1 channel, so"):
        channels(recording(ANSWER), caller, "x.wav")


def test_of_more_than_two_channels_somebody_must_say_which() -> None:
    three = recording(GREETING, ANSWER, GREETING)
    with pytest.raises(InvalidFile, match=r"^x\.wav: has 3 channels; say which"):
        channels(three, None, "x.wav")
    sides = channels(three, 1)
    assert (sides.caller, sides.agent, sides.by) == (encode(ANSWER), None, "told")


def test_channel_0_is_the_callers_where_nothing_speaks_against_it() -> None:
    sides = channels(recording(ANSWER, GREETING))
    assert sides.caller_channel == 0
    assert sides.by == "channel 0: channel 1 speaks first, channel 1 is muted between sentences"


def test_two_things_together_say_that_the_channels_are_swapped() -> None:
    sides = channels(recording(GREETING, ANSWER))
    assert (sides.caller, sides.agent) == (encode(ANSWER), encode(GREETING))
    assert sides.caller_channel == 1
    assert sides.by == "channel 1: the other speaks first, and is muted between sentences"


def test_a_caller_who_speaks_first_to_a_bot_without_greeting_stays_the_caller() -> None:
    caller = side((0.5, 4.0), (10.0, 12.0), noise=12.0)
    agent = side((5.0, 9.0))
    sides = channels(recording(caller, agent))
    assert sides.caller == encode(caller)
    assert "though not surely: channel 0 speaks first, channel 1 is muted" in sides.by


def test_a_short_hello_is_no_greeting() -> None:
    caller = side((0.5, 1.0), (6.0, 9.0))
    agent = side((2.0, 5.0), (10.0, 14.0), noise=12.0)
    sides = channels(recording(caller, agent))
    assert sides.caller == encode(caller)
    assert "speaks first" not in sides.by


def test_a_caller_who_says_nothing_is_still_the_caller() -> None:
    nobody = side(noise=12.0)
    sides = channels(recording(nobody, GREETING))
    assert sides.caller == encode(nobody)
    assert sides.by == "channel 0 by convention, though it is silent"
    assert channels(recording(ANSWER, nobody)).by == "channel 1 is silent"
    assert channels(recording(nobody, nobody)).by.endswith("both are silent")


def test_an_echo_is_called_an_echo() -> None:
    echo = np.roll(GREETING // 8, 200 * 8)
    assert "echo (200 ms) of channel 1" in channels(recording(echo, GREETING)).by
    assert "1 echoes it" in channels(recording(GREETING, echo)).by


def test_two_channels_with_the_same_sound_are_mono() -> None:
    sides = channels(recording(ANSWER, ANSWER))
    assert (sides.agent, sides.by) == (None, "mono: both channels are the same")


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_two_channels_have_a_caller(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 4000))
    loud = data.draw(st.tuples(*[st.sampled_from([0, 1, 300, 32767])] * 2))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pair = [(rng.uniform(-level, level, length)).astype(np.int16) for level in loud]
    sides = channels(recording(*pair))
    assert sides.caller == encode(pair[sides.caller_channel])
    assert sides.by


def test_a_real_call_has_its_caller_found_also_when_swapped(speech_data: Path) -> None:
    call = read(speech_data / "lca_auto_repairs_40_2ch.wav")
    as_recorded = channels(call)
    swapped = channels(Recording(call.rate, call.channels[::-1]))
    assert (as_recorded.caller_channel, swapped.caller_channel) == (0, 1)
    assert as_recorded.caller == swapped.caller
    assert as_recorded.agent == swapped.agent


def test_voice_spans_are_where_the_voice_is() -> None:
    spans = voice_spans(encode(ANSWER), EnergyVad())
    assert len(spans) == 2
    for (begin_ms, end_ms), (begin_s, end_s) in zip(spans, [(4, 6), (10, 14)], strict=True):
        assert begin_ms == pytest.approx(begin_s * 1000, abs=20)
        assert end_ms == pytest.approx(end_s * 1000, abs=20)


# -- traces -----------------------------------------------------------------------------------


def test_a_trace_whose_time_goes_back_is_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.trace.jsonl"
    steps = [TraceStep(at_ms=at_ms, event=on.Tick()) for at_ms in (20, 40, 30)]
    path.write_bytes(encode_line(HEADER) + b"".join(map(encode_line, steps)))
    with pytest.raises(InvalidFile, match="goes back in time, from 40 to 30 ms"):
        read_trace(path)


def test_a_trace_that_is_not_there_is_an_invalid_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_trace(tmp_path / "a.trace.jsonl")


def test_the_callers_side_is_what_a_simulation_needs() -> None:
    kept: list[on.Event] = [
        on.SpeechStarted(0),
        on.Partial("a"),
        on.SpeechStopped(400),
        on.EndpointHint(0.5),
        on.Final("a b"),
        on.Dtmf("1"),
        on.StreamStopped(),
    ]
    left_out: list[on.Event] = [
        on.Tick(),
        on.MarkEchoed("m"),
        on.ReplyTextStarted(1, 1),
        on.AudioSent(1, 1),
        on.ReplyFinished(1, 1),
    ]
    steps = [
        TraceStep(at_ms=20 * n, event=event, effects=[ClearPlayout(1)])
        for n, event in enumerate([*left_out, *kept, *left_out])
    ]
    trace = caller_side(Trace(HEADER, steps))
    assert [step.event for step in trace.steps] == kept
    assert [step.at_ms for step in trace.steps] == [20 * n for n in range(5, 12)]
    assert all(step.effects is None for step in trace.steps)
    assert trace.header == HEADER


def test_the_callers_side_can_be_told_where_the_agent_spoke() -> None:
    listening = Listening(
        recording="a",
        duration_ms=1000,
        caller_channel=0,
        channels_by="told",
        agent_voice=[(0, 500)],
        ears={},
    )
    trace = caller_side(Trace(HEADER, []), listening)
    assert trace.header.listening == listening
    assert trace.header.call == HEADER.call
