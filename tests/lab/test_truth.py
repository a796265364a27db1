"""Every utterance of the caller is judged in exactly one turn, or left out and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.turn.scenario import CALL, Scenario, Script, utterance

from voicelat.audio import wav
from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.audio.vad import EnergyVad, SpeechSegmenter, VoiceDetector
from voicelat.lab.labels import LabelledTurn, Labels
from voicelat.lab.truth import MIN_PAUSE_MS, Truth, cut_off_ms, derived, labelled
from voicelat.providers.local import available
from voicelat.providers.local.vad import SileroVad
from voicelat.turn import effects as do
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.trace import Trace, TraceHeader, TraceStep

Span = tuple[int, int]
NOTICED_MS = 45
"""How long after an edge the detector tells it."""


def heard(*spans: Span) -> list[TraceStep]:
    """The steps of a caller who spoke there, with a recogniser's words between."""
    steps: list[TraceStep] = []
    for start_ms, stop_ms in spans:
        steps += [
            TraceStep(at_ms=start_ms + NOTICED_MS, event=on.SpeechStarted(start_ms)),
            TraceStep(at_ms=stop_ms + NOTICED_MS, event=on.Partial("so")),
            TraceStep(at_ms=stop_ms + NOTICED_MS, event=on.SpeechStopped(stop_ms)),
            TraceStep(at_ms=stop_ms + NOTICED_MS, event=on.Final("so it is")),
        ]
    return steps


def told(truth: Truth, steps: list[TraceStep]) -> list[str]:
    """Each turn as ``begin: end of speech kind, ...``, in ms."""

    def at_ms(index: int) -> int:
        event = steps[index].event
        assert isinstance(event, on.SpeechStarted | on.SpeechStopped)
        return event.at_ms

    return [
        f"{at_ms(turn.first_step)}: "
        + ", ".join(f"{at_ms(pause.stop_step)} {pause.kind}" for pause in turn.pauses)
        for turn in truth.turns
    ]


def who_spoke_next(
    *caller: Span, agent: list[Span], duration_ms: int = 20_000
) -> tuple[list[str], dict[str, int]]:
    """Turns and what was left out, derived."""
    steps = heard(*caller)
    truth = derived(steps, agent, duration_ms)
    check(truth, steps)
    return told(truth, steps), truth.left_out


def by_labels(*caller: Span, turns: list[Span]) -> tuple[list[str], dict[str, int]]:
    """Turns and what was left out, labelled."""
    steps = heard(*caller)
    truth = labelled(steps, Labels(1, [LabelledTurn(*turn) for turn in turns]))
    check(truth, steps)
    return told(truth, steps), truth.left_out


_NO_UTTERANCE = ("not detected", "voice while speaking", "silence while silent")


def check(truth: Truth, steps: list[TraceStep]) -> None:
    """What holds for every truth, however it came about."""
    starts = [i for i, step in enumerate(steps) if isinstance(step.event, on.SpeechStarted)]
    before = -1
    judged = 0
    for turn in truth.turns:
        assert turn.first_step in starts
        assert turn.first_step > before
        *holds, shift = turn.pauses
        assert not shift.hold
        assert shift.start_step is None
        assert all(pause.hold and pause.start_step == pause.until_step for pause in holds)
        edge = turn.first_step
        for pause in turn.pauses:
            assert isinstance(steps[pause.stop_step].event, on.SpeechStopped)
            assert edge < pause.stop_step < pause.until_step
            behind = [start for start in starts if start > pause.stop_step]
            assert pause.until_step == (behind[0] if behind else len(steps))
            edge = pause.until_step
        before = turn.pauses[-1].stop_step
        judged += len(turn.pauses)
    left_out = sum(n for why, n in truth.left_out.items() if why not in _NO_UTTERANCE)
    assert judged + left_out == utterances(steps)
    assert all(count > 0 for count in truth.left_out.values())


def utterances(steps: list[TraceStep]) -> int:
    """Pieces of speech with at least `MIN_PAUSE_MS` of silence between them."""
    count = 0
    speaking, latest_ms = False, 0
    for step in steps:
        match step.event:
            case on.SpeechStarted(at_ms=at_ms) if not speaking:
                speaking = True
                if not count or at_ms - latest_ms >= MIN_PAUSE_MS:
                    count, latest_ms = count + 1, at_ms + 1
            case on.SpeechStopped(at_ms=at_ms) if speaking:
                speaking = False
                latest_ms = max(latest_ms, at_ms)
    return count


# -- who spoke next ---------------------------------------------------------------------------


def test_a_pause_is_a_hold_when_the_caller_goes_on_and_a_shift_when_the_agent_speaks() -> None:
    turns, left_out = who_spoke_next(
        (1000, 2000), (2500, 3000), (7000, 8000), agent=[(3500, 6000), (9000, 12_000)]
    )
    assert turns == ["1000: 2000 hold, 3000 shift", "7000: 8000 shift"]
    assert left_out == {}


def test_a_silence_too_short_for_a_pause_stays_inside_the_speech() -> None:
    assert who_spoke_next((1000, 2000), (2099, 3000), agent=[])[0] == ["1000: 3000 shift"]
    assert who_spoke_next((1000, 2000), (2100, 3000), agent=[])[0] == [
        "1000: 2000 hold, 3000 shift"
    ]


@pytest.mark.parametrize(
    ("voice", "kind"),
    [
        ([(2200, 2599)], "hold"),
        ([(2200, 2600)], "shift"),
        ([(2200, 2400), (2600, 2800)], "shift"),
        ([(2200, 2400), (2600, 2799)], "hold"),  # the gap is no voice
        ([(2200, 2400), (2700, 2900)], "hold"),  # two short ones, not one long
        ([(2200, 2450), (2300, 2599)], "hold"),  # the same voice told twice
        ([(2200, 2450), (2300, 2600)], "shift"),
        ([(2600, 2800), (2200, 2400)], "shift"),  # in any order
    ],
)
def test_a_mhm_of_the_agent_takes_no_floor(voice: list[Span], kind: str) -> None:
    ((turn, *_), _) = who_spoke_next((1000, 2000), (4000, 5000), agent=voice)
    assert turn.split(", ")[0] == f"1000: 2000 {kind}"


def test_an_agent_who_begins_a_little_early_takes_the_floor() -> None:
    turns, _ = who_spoke_next((1000, 2000), (4000, 5000), agent=[(1800, 2200)])
    assert turns == ["1000: 2000 shift", "4000: 5000 shift"]


def test_an_agent_who_falls_silent_with_the_caller_does_not() -> None:
    turns, _ = who_spoke_next((1000, 2000), (4000, 5000), agent=[(1200, 2190)])
    assert turns == ["1000: 2000 hold, 5000 shift"]


def test_a_caller_who_goes_on_at_once_over_the_agent_was_not_over() -> None:
    turns, _ = who_spoke_next((1000, 2000), (2600, 5000), agent=[(2300, 4000)])
    assert turns == ["1000: 2000 hold, 5000 shift"]


def test_speech_wholly_inside_the_agents_talk_is_no_turn() -> None:
    turns, left_out = who_spoke_next(
        (500, 800), (4000, 5000), (7000, 7300), (8000, 9000), agent=[(0, 3000), (6000, 9000)]
    )
    assert turns == ["4000: 5000 shift"]
    assert left_out == {"while the agent spoke": 3}


def test_breath_in_the_agents_talk_does_not_break_it() -> None:
    _, left_out = who_spoke_next((1100, 1300), agent=[(0, 1000), (1299, 3000)])
    assert left_out == {"while the agent spoke": 1}
    turns, _ = who_spoke_next((1100, 1280), agent=[(0, 1000), (1300, 3000)])
    assert turns == ["1100: 1280 shift"]


def test_a_caller_who_begins_over_the_agent_and_goes_on_has_a_turn() -> None:
    turns, left_out = who_spoke_next((2000, 2300), (2800, 5000), agent=[(0, 3000), (6000, 8000)])
    assert turns == ["2800: 5000 shift"]
    assert left_out == {"while the agent spoke": 1}


def test_a_backchannel_does_not_end_the_agents_hold_of_the_floor() -> None:
    turns, left_out = who_spoke_next((1000, 2000), (2300, 2500), (9000, 9900), agent=[(2150, 8000)])
    assert turns == ["1000: 2000 shift", "9000: 9900 shift"]
    assert left_out == {"while the agent spoke": 1}


def test_a_hold_takes_along_what_was_said_in_it_over_the_agent() -> None:
    turns, left_out = who_spoke_next(
        (1000, 8000), (8100, 8150), (8260, 13_000), agent=[(8010, 12_000)]
    )
    assert turns == ["1000: 8000 hold, 8150 hold, 13000 shift"]
    assert left_out == {}


def test_the_last_word_is_a_shift_when_its_silence_was_heard() -> None:
    assert who_spoke_next((1000, 2000), agent=[], duration_ms=3000)[0] == ["1000: 2000 shift"]
    assert who_spoke_next((1000, 2000), agent=[(2100, 2500)], duration_ms=2500)[0] == [
        "1000: 2000 shift"
    ]


def test_a_turn_whose_end_the_recording_does_not_hold_is_left_out_whole() -> None:
    turns, left_out = who_spoke_next(
        (1000, 2000), (4000, 5000), (5500, 6000), agent=[(2500, 3500)], duration_ms=6999
    )
    assert turns == ["1000: 2000 shift"]
    assert left_out == {"cut off by the end of the recording": 2}


def test_speech_that_never_stops_has_no_end_to_judge() -> None:
    steps = heard((1000, 2000), (4000, 5000))[:-2]
    truth = derived(steps, [(2500, 3500)], 60_000)
    check(truth, steps)
    assert told(truth, steps) == ["1000: 2000 shift"]
    assert truth.left_out == {"cut off by the end of the recording": 1}


def test_one_channel_without_labels_tells_nothing() -> None:
    steps = heard((1000, 2000), (2500, 3000))
    assert derived(steps, None, 9000) == Truth(
        (), "derived", {"no labels and no second channel": 2}
    )
    assert derived([], None, 9000).left_out == {}


def test_a_call_without_the_callers_voice_has_no_turns() -> None:
    assert derived([], [(0, 5000)], 9000) == Truth((), "derived", {})


def test_an_edge_that_changes_nothing_is_counted() -> None:
    stop, start = on.SpeechStopped, on.SpeechStarted
    events: list[on.Event] = [stop(5), start(10), start(300), stop(900), stop(950)]
    steps = [TraceStep(at_ms=1000, event=event) for event in events]
    truth = derived(steps, [], 9000)
    check(truth, steps)
    assert told(truth, steps) == ["10: 900 shift"]
    assert truth.left_out == {"voice while speaking": 1, "silence while silent": 2}


def test_a_voice_that_began_before_the_call_clock_did_keeps_its_pauses() -> None:
    assert who_spoke_next((-300, -110), (-10, 900), agent=[])[0] == ["-300: -110 hold, 900 shift"]


# -- our own agent's mistakes -----------------------------------------------------------------


def cut_off() -> Trace:
    """A live call in which the agent spoke 300 ms into a pause and the caller went on at once."""
    steps: list[TraceStep] = []

    class Taped(Scenario):
        def feed(self, at_ms: int, event: on.Event) -> list[do.Effect]:
            effects = super().feed(at_ms, event)
            steps.append(TraceStep(at_ms=at_ms, event=event, effects=effects))
            return effects

    call = Taped()
    first: Script = utterance(0, 1000, "my number is", 1080)
    call.play(*first).sound(1300, "Thank you!", audio_ms=3000)
    call.play(*utterance(1450, 1900, "six four nine", 1950)).answered(2400)
    call.feed(9000, on.StreamStopped())
    assert [record.cutoff for record in call.records] == [True, False]
    return Trace(TraceHeader(call=CALL, turn=TurnConfig(), voicelat="0"), steps)


def test_a_pause_in_which_our_agent_cut_the_caller_off_is_a_hold_whoever_spoke_next() -> None:
    trace = cut_off()
    agent = [(1300, 1920), (2400, 3400)]  # it was silent only 470 ms after the caller went on
    fooled = derived(trace.steps, agent, 9000)
    assert told(fooled, trace.steps) == ["0: 1000 shift"]
    assert fooled.left_out == {"while the agent spoke": 1}

    assert cut_off_ms(trace) == (1000,)
    truth = derived(trace.steps, agent, 9000, cut_off_ms(trace))
    check(truth, trace.steps)
    assert told(truth, trace.steps) == ["0: 1000 hold, 1900 shift"]


def test_a_trace_without_effects_knows_of_no_cutoff() -> None:
    header = TraceHeader(call=CALL, turn=TurnConfig(), voicelat="0")
    assert cut_off_ms(Trace(header, heard((0, 100)))) == ()


# -- labels -----------------------------------------------------------------------------------


def test_the_pause_at_a_labelled_end_is_the_shift_and_those_before_it_are_holds() -> None:
    turns, left_out = by_labels(
        (1030, 2000), (2500, 2980), (7000, 8000), turns=[(1000, 3000), (7000, 8000)]
    )
    assert turns == ["1030: 2000 hold, 2980 shift", "7000: 8000 shift"]
    assert left_out == {}


def test_labels_count_even_when_nobody_speaks_next() -> None:
    turns, _ = by_labels((0, 1000), (1200, 2000), (2300, 3000), turns=[(0, 1000), (1200, 3000)])
    assert turns == ["0: 1000 shift", "1200: 2000 hold, 3000 shift"]


@pytest.mark.parametrize("end_ms", [2800, 3200])
def test_labels_and_detector_may_differ_a_little(end_ms: int) -> None:
    assert by_labels((1000, 3000), turns=[(900, end_ms)])[0] == ["1000: 3000 shift"]


def test_a_labelled_end_long_after_the_detector_heard_silence_lies_in_its_pause() -> None:
    assert by_labels((1000, 2000), turns=[(1000, 5000)])[0] == ["1000: 2000 shift"]


def test_speech_that_runs_on_over_the_labelled_end_has_no_shift() -> None:
    turns, left_out = by_labels((1000, 2000), (2500, 3201), turns=[(900, 3000)])
    assert turns == []
    assert left_out == {"no pause at the labelled end": 2}


def test_speech_across_two_turns_ends_the_one_that_has_most_of_it() -> None:
    turns, left_out = by_labels((0, 1000), (1500, 6000), turns=[(0, 2000), (2100, 6000)])
    assert turns == ["1500: 6000 shift"]
    assert left_out == {"no pause at the labelled end": 1}


def test_speech_in_no_labelled_turn_is_left_out() -> None:
    turns, left_out = by_labels((0, 500), (1000, 2000), (4000, 4300), turns=[(1000, 2000)])
    assert turns == ["1000: 2000 shift"]
    assert left_out == {"no label": 2}


def test_an_edge_inside_a_labelled_turn_is_not_yet_speech_of_it() -> None:
    turns, left_out = by_labels((0, 1150), (1300, 2000), turns=[(1000, 2000)])
    assert turns == ["1300: 2000 shift"]
    assert left_out == {"no label": 1}


def test_a_short_word_is_found_in_longer_sound() -> None:
    assert by_labels((800, 1380), turns=[(1000, 1180)])[0] == ["800: 1380 shift"]


def test_speech_that_began_long_before_the_labelled_turn_is_of_it_where_it_goes_on() -> None:
    turns, left_out = by_labels((1000, 4000), (4500, 8000), turns=[(3500, 8000)])
    assert turns == ["1000: 4000 hold, 8000 shift"]
    assert left_out == {}


def test_a_labelled_turn_that_the_detector_missed_is_counted() -> None:
    turns, left_out = by_labels((0, 1000), turns=[(0, 1000), (5000, 6000)])
    assert turns == ["0: 1000 shift"]
    assert left_out == {"not detected": 1}


def test_a_labelled_turn_that_was_not_heard_out_is_left_out() -> None:
    steps = heard((0, 1000), (1500, 2000))[:-2]
    truth = labelled(steps, Labels(1, [LabelledTurn(0, 2000)]))
    check(truth, steps)
    assert truth == Truth((), "labels", {"cut off by the end of the recording": 2})


def test_without_labelled_turns_all_speech_is_left_out() -> None:
    assert by_labels((0, 1000), turns=[]) == ([], {"no label": 1})


# -- any layout -------------------------------------------------------------------------------

_GAPS = st.sampled_from([1, 50, 99, 100, 150, 299, 300, 400, 700, 1000, 3000])
_VOICE = st.sampled_from([1, 30, 150, 399, 400, 600, 2000])


def _laid_out(gaps_and_voice: list[tuple[int, int]]) -> list[Span]:
    spans, at_ms = [], 0
    for gap_ms, voice_ms in gaps_and_voice:
        spans.append((at_ms + gap_ms, at_ms + gap_ms + voice_ms))
        at_ms += gap_ms + voice_ms
    return spans


layouts = st.lists(st.tuples(_GAPS, _VOICE), max_size=14).map(_laid_out)
wild_steps = st.lists(
    st.builds(on.SpeechStarted, st.integers(-100, 3000))
    | st.builds(on.SpeechStopped, st.integers(-100, 3000))
    | st.just(on.Partial("x")),
    max_size=12,
).map(lambda events: [TraceStep(at_ms=3000, event=event) for event in events])


@given(layouts, layouts, st.integers(0, 2000), st.booleans(), st.data())
def test_any_two_voices_give_whole_turns(
    caller: list[Span], agent: list[Span], more_ms: int, torn: bool, data: st.DataObject
) -> None:
    steps = heard(*caller)
    if torn and steps:
        steps = steps[:-2]
    cut = data.draw(st.lists(st.sampled_from([stop for _, stop in caller] or [0]), max_size=3))
    duration_ms = (caller[-1][1] if caller else 0) + more_ms
    truth = derived(steps, agent, duration_ms, cut)
    check(truth, steps)
    for turn in truth.turns:
        shift = steps[turn.pauses[-1].stop_step].event
        behind = steps[turn.pauses[-1].stop_step + 1 :]
        assert isinstance(shift, on.SpeechStopped)
        # A shift that the caller talked into was one our agent did not regret.
        if any(isinstance(step.event, on.SpeechStarted) for step in behind):
            assert shift.at_ms not in cut


@given(layouts, layouts, st.booleans())
def test_any_labels_give_whole_turns(caller: list[Span], turns: list[Span], torn: bool) -> None:
    steps = heard(*caller)
    if torn and steps:
        steps = steps[:-2]
    truth = labelled(steps, Labels(1, [LabelledTurn(*turn) for turn in turns]))
    check(truth, steps)
    ends = sum(n for why, n in truth.left_out.items() if why == "not detected")
    assert len(truth.turns) + ends <= len(turns)


@given(wild_steps, layouts)
def test_edges_in_any_disorder_do_no_harm(steps: list[TraceStep], spans: list[Span]) -> None:
    for truth in (
        derived(steps, spans, 3000, [500]),
        labelled(steps, Labels(1, [LabelledTurn(*span) for span in spans])),
    ):
        check(truth, steps)


@given(layouts)
def test_labels_at_the_detectors_own_edges_give_back_its_turns(caller: list[Span]) -> None:
    apart = [span for i, span in enumerate(caller) if not i or span[0] - caller[i - 1][1] >= 100]
    truth = labelled(heard(*apart), Labels(1, [LabelledTurn(*span) for span in apart]))
    assert len(truth.turns) == len(apart)
    assert all(len(turn.pauses) == 1 for turn in truth.turns)
    assert truth.left_out == {}


# -- a real call ------------------------------------------------------------------------------


def edges(mulaw: bytes, detector: VoiceDetector) -> list[TraceStep]:
    """What a live ear would tell of a channel."""
    segmenter = SpeechSegmenter(detector)
    steps: list[TraceStep] = []
    frame = 20 * BYTES_PER_MS
    for begin in range(0, len(mulaw), frame):
        at_ms = begin // BYTES_PER_MS
        for edge in segmenter.push(mulaw[begin : begin + frame], at_ms):
            kind = on.SpeechStarted if edge.active else on.SpeechStopped
            steps.append(TraceStep(at_ms=at_ms + 20, event=kind(edge.at_ms)))
    return steps


def spans(steps: list[TraceStep]) -> list[Span]:
    starts = [step.event.at_ms for step in steps if isinstance(step.event, on.SpeechStarted)]
    stops = [step.event.at_ms for step in steps if isinstance(step.event, on.SpeechStopped)]
    return list(zip(starts, stops, strict=False))


def ends(truth: Truth, steps: list[TraceStep], *, hold: bool) -> list[int]:
    """Where the speech before the holds, or the shifts, ended."""
    found: list[int] = []
    for turn in truth.turns:
        for pause in turn.pauses:
            event = steps[pause.stop_step].event
            assert isinstance(event, on.SpeechStopped)
            if pause.hold is hold:
                found.append(event.at_ms)
    return found


def detector(name: str) -> Callable[[], VoiceDetector]:
    if name == "energy":
        return EnergyVad
    if missing := available():
        pytest.skip(missing)
    return SileroVad


def near(at_ms: int, others: list[int], tolerance_ms: int = 250) -> bool:
    """Whether one of the others is about there."""
    return any(abs(at_ms - other) <= tolerance_ms for other in others)


# The energy detector also hears breath and clicks behind two of the ends.
@pytest.mark.parametrize(("name", "tolerance_ms"), [("energy", 500), ("silero", 250)])
def test_who_spoke_next_in_a_real_call(speech_data: Path, name: str, tolerance_ms: int) -> None:
    recording = wav.read(speech_data / "lca_auto_repairs_40_2ch.wav")
    caller, agent = (edges(encode(channel), detector(name)()) for channel in recording.channels)
    truth = derived(caller, spans(agent), recording.duration_ms)
    check(truth, caller)
    shifts = ends(truth, caller, hold=False)
    manifest = json.loads((speech_data / "manifest.json").read_text(encoding="utf-8"))
    (call,) = [f for f in manifest["files"] if f["file"] == "lca_auto_repairs_40_2ch.wav"]
    # Turns of another detector, by silences of 200 ms, who spoke next, in seconds.
    events = [e for e in call["turn_boundaries"]["events"] if e["who"] == "caller"]
    theirs = {
        kind: [round(e["end"] * 1000) for e in events if e["kind"] == kind]
        for kind in ("hold", "shift")
    }
    assert len(shifts) == len(theirs["shift"])
    assert all(near(at_ms, shifts, tolerance_ms) for at_ms in theirs["shift"])
    assert not any(near(at_ms, shifts) for at_ms in theirs["hold"])
    # A pause of 200 ms to one detector may be none of 100 ms to another.
    holds = ends(truth, caller, hold=True)
    found = sum(near(at_ms, holds, tolerance_ms) for at_ms in theirs["hold"])
    assert found >= 0.9 * len(theirs["hold"])


@pytest.mark.parametrize("name", ["energy", "silero"])
def test_the_pauses_of_digit_strings_are_holds_and_their_ends_shifts(
    speech_data: Path, name: str
) -> None:
    manifest = json.loads((speech_data / "manifest.json").read_text(encoding="utf-8"))
    # The speakers whose files end with sound, so that the construction knows where it ends.
    speakers = ("fsdd_george_", "fsdd_nicolas_")
    files = [f for f in manifest["files"] if f["file"].startswith(speakers)][::2]
    assert files
    for file in files:
        recording = wav.read(speech_data / file["file"])
        steps = edges(encode(recording.channels[0]), detector(name)())
        spoken = [(round(a * 1000), round(b * 1000)) for a, b in file["turn_boundaries"]["speech"]]
        truth = labelled(steps, Labels(1, [LabelledTurn(spoken[0][0], spoken[-1][1])]))
        check(truth, steps)
        assert len(truth.turns) == 1, file["file"]
        assert near(ends(truth, steps, hold=False)[0], [spoken[-1][1]])
        holds = partial(near, others=ends(truth, steps, hold=True))
        assert all(map(holds, [stop_ms for _, stop_ms in spoken[:-1]])), file["file"]
