"""From what was heard to calls that can be judged, or played again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voicelat.audio.mulaw import BYTES_PER_MS, RATE
from voicelat.errors import UsageError
from voicelat.lab.calls import judgeable, judged_calls, spoken_calls, traces_of
from voicelat.lab.listen import Broken, Heard, Listened
from voicelat.lab.recordings import Source
from voicelat.lab.truth import NOBODY_KNOWS
from voicelat.metrics.record import CallInfo
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.trace import Listening, Trace, TraceHeader, TraceStep

SPOKEN_MS = [(500, 1500), (2100, 3000), (6000, 7000)]
"""A question with a pause in it, and another behind the agent's answer."""
AGENT_MS = [(3600, 5200), (7600, 9000)]
LENGTH_MS = 10_000


def heard(
    source: Source,
    agent_voice: list[tuple[int, int]] | None = AGENT_MS,
    *,
    recorded: bool = True,
    notes: tuple[str, ...] = (),
) -> Listened:
    """A call that was listened to. ``recorded`` False: there is only a live trace."""
    steps = []
    for begin_ms, end_ms in SPOKEN_MS:
        steps.append(TraceStep(at_ms=begin_ms + 40, event=on.SpeechStarted(begin_ms)))
        steps.append(TraceStep(at_ms=end_ms + 60, event=on.SpeechStopped(end_ms), effects=[]))
    steps.insert(2, TraceStep(at_ms=1600, event=on.ReplyTextStarted(1, 1)))
    listening = Listening(
        recording=source.name,
        duration_ms=LENGTH_MS,
        caller_channel=0,
        channels_by="told",
        agent_voice=agent_voice,
        ears={},
    )
    header = TraceHeader(
        call=CallInfo(call_id=source.name),
        turn=TurnConfig(),
        voicelat="1",
        listening=listening if recorded else None,
    )
    return Listened(
        source=source,
        trace=Trace(header, steps),
        listening=header.listening,
        cached=False,
        audio_ms=LENGTH_MS,
        took_s=0.0,
        notes=notes,
    )


def recording(folder: Path, name: str = "a", channels: int = 2) -> Source:
    """A WAV file in which the caller's channel counts its milliseconds."""
    path = folder / f"{name}.wav"
    sound = np.zeros((LENGTH_MS * BYTES_PER_MS, channels), np.int16)
    sound[:, 0] = np.arange(len(sound)) // BYTES_PER_MS
    soundfile.write(path, sound, RATE, "PCM_16")
    return Source(name, recording=path)


def label(path: Path, *turns: tuple[int, int]) -> Path:
    rows = [{"start_ms": begin, "end_ms": end} for begin, end in turns]
    path.write_text(json.dumps({"schema": 1, "turns": rows}))
    return path


# -- truth ------------------------------------------------------------------------------------


def test_without_labels_who_spoke_next_says_where_turns_ended(tmp_path: Path) -> None:
    calls = judged_calls([heard(recording(tmp_path))])
    (call,) = calls.judged
    assert (call.call_id, call.truth.by) == ("a", "derived")
    assert [len(turn.pauses) for turn in call.truth.turns] == [2, 1]
    assert not calls.broken
    assert not calls.notes


def test_labels_beside_a_recording_go_before_who_spoke_next(tmp_path: Path) -> None:
    label(tmp_path / "a.labels.json", (500, 1500), (2100, 3000), (6000, 7000))
    (call,) = judged_calls([heard(recording(tmp_path))]).judged
    assert call.truth.by == "labels"
    assert [len(turn.pauses) for turn in call.truth.turns] == [1, 1, 1]


def test_labels_in_a_folder_of_their_own_are_the_only_ones(tmp_path: Path) -> None:
    label(tmp_path / "a.labels.json", (500, 1500))
    folder = tmp_path / "labels"
    folder.mkdir()
    source = recording(tmp_path)
    assert judged_calls([heard(source)], folder).judged[0].truth.by == "derived"
    label(folder / "a.labels.json", (500, 3000))
    (call,) = judged_calls([heard(source)], folder).judged
    assert (call.truth.by, len(call.truth.turns)) == ("labels", 1)


def test_a_labels_file_that_is_none_costs_its_call_and_says_so(tmp_path: Path) -> None:
    broken, good = recording(tmp_path, "a"), recording(tmp_path, "b")
    (tmp_path / "a.labels.json").write_text('{"schema": 1, "turns": [{"start_ms": 9}]}')
    calls = judged_calls([heard(broken), heard(good)])
    assert [call.call_id for call in calls.judged] == ["b"]
    (line,) = calls.broken
    assert line.startswith(f"{tmp_path / 'a.labels.json'}: not labels: ")
    assert "\n" not in line


def test_a_folder_of_labels_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    absent, source = tmp_path / "absent", recording(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        judged_calls([heard(source)], absent)
    with pytest.raises(UsageError, match="no such folder"):
        judgeable([source], absent)


def test_calls_that_could_not_be_heard_are_told_and_the_others_judged(tmp_path: Path) -> None:
    source = recording(tmp_path)
    calls = judged_calls([Broken(Source("x"), "x.wav: is empty"), heard(source, notes=("torn",))])
    assert (calls.broken, calls.notes) == (["x.wav: is empty"], ["torn"])
    assert len(calls.judged) == 1


def test_a_call_where_nobody_knows_who_spoke_next_has_no_turn_and_counts_why(
    tmp_path: Path,
) -> None:
    bare = Source("live", trace=tmp_path / "live.trace.jsonl")
    for one in (heard(recording(tmp_path), agent_voice=None), heard(bare, recorded=False)):
        (call,) = judged_calls([one]).judged
        assert not call.truth.turns
        assert call.truth.left_out == {NOBODY_KNOWS: 3}


def test_what_the_agent_of_the_time_did_is_not_among_the_steps(tmp_path: Path) -> None:
    (call,) = judged_calls([heard(recording(tmp_path))]).judged
    assert len(call.steps) == 2 * len(SPOKEN_MS)
    assert all(step.effects is None for step in call.steps)
    for turn in call.truth.turns:
        assert isinstance(call.steps[turn.first_step].event, on.SpeechStarted)
        for pause in turn.pauses:
            assert isinstance(call.steps[pause.stop_step].event, on.SpeechStopped)


def test_traces_are_the_callers_side_and_broken_calls_a_line_each(tmp_path: Path) -> None:
    broken = Broken(Source("x"), "x.wav: is empty")
    traces, lines = traces_of([heard(recording(tmp_path)), broken])
    assert lines == ["x.wav: is empty"]
    assert [trace.header.call.call_id for trace in traces] == ["a"]
    assert len(traces[0].steps) == 2 * len(SPOKEN_MS)


def test_no_turn_in_any_call_is_bad_usage_that_says_what_was_there_instead(
    tmp_path: Path,
) -> None:
    some = judged_calls([heard(recording(tmp_path))])
    some.must_have_turns()
    none = judged_calls(
        [heard(recording(tmp_path), None), Broken(Source("x"), "x.wav: is empty")],
    )
    with pytest.raises(UsageError) as error:
        none.must_have_turns()
    assert str(error.value).startswith("no turn to judge by: give recordings with two channels")
    assert f"3 {NOBODY_KNOWS}" in str(error.value)
    assert "x.wav: is empty" in str(error.value)
    with pytest.raises(UsageError, match="no turn to judge by"):
        judged_calls([]).must_have_turns()


# -- what need not be listened to -------------------------------------------------------------


def test_one_channel_without_labels_is_not_worth_listening_to(tmp_path: Path) -> None:
    mono, labelled = recording(tmp_path, "mono", 1), recording(tmp_path, "labelled", 1)
    label(tmp_path / "labelled.labels.json", (500, 3000))
    both = recording(tmp_path, "both")
    live = Source("live", trace=tmp_path / "live.trace.jsonl")
    assert judgeable([mono, labelled, both, live]) == [labelled, both, live]


def test_what_is_no_recording_is_left_for_the_reader_to_complain_of(tmp_path: Path) -> None:
    path = tmp_path / "b.wav"
    path.write_bytes(b"not a WAV")
    broken, gone = Source("b", recording=path), Source("c", recording=tmp_path / "c.wav")
    assert judgeable([broken, gone]) == [broken, gone]


# -- what callers say again -------------------------------------------------------------------


def test_a_caller_says_every_turn_with_its_pauses_and_nothing_else(tmp_path: Path) -> None:
    calls, left = spoken_calls([heard(recording(tmp_path))], None, 0)
    assert left == []
    (call,) = calls
    assert call.name == "a"
    lengths_ms = [len(piece) // BYTES_PER_MS for piece in call.turns]
    # From a little before its first sound to its last.
    assert lengths_ms == [60 + 3000 - 500, 60 + 7000 - 6000]


def test_a_call_that_gives_nothing_to_say_is_told_and_why(tmp_path: Path) -> None:
    trace = tmp_path / "live.trace.jsonl"
    some: list[Heard] = [
        Broken(Source("x"), "x.wav: is empty"),
        heard(Source("live", trace=trace)),
        heard(recording(tmp_path), agent_voice=None),
    ]
    calls, left = spoken_calls(some, None, 0)
    assert calls == []
    assert left == [
        "x.wav: is empty",
        f"{trace}: a trace alone has no audio to play",
        f"{tmp_path / 'a.wav'}: no true turn in it ({NOBODY_KNOWS})",
    ]
