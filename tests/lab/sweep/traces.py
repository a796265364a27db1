"""Calls for the sweep: with exactly known pauses, made up by a seed, and by hypothesis with voices,
words, finals and hints in any order there may be."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from voicelat.lab.calls import JudgedCall
from voicelat.lab.truth import TruePause, TrueTurn, Truth
from voicelat.turn import events as on
from voicelat.turn.endpointing import AS_SET, Patience, Pause
from voicelat.turn.trace import TraceStep

__all__ = ["NOTICED_MS", "Moody", "calls", "made_up_calls", "spoken_call"]

WORDS = ["", "...", "I", "I want", "I want a table", "I want the table", "and", "Yes?", "שלום"]


NOTICED_MS = 60
"""How long after its acoustic instant an edge enters the machine of a `spoken_call`."""


def spoken_call(
    call_id: str, turns: Sequence[Sequence[int]], *, final_ms: int = 150, voice_ms: int = 700
) -> JudgedCall:
    """A call whose every turn has exactly these holds, in ms from sound to sound. Each stretch of
    voice has one partial in it, and its final comes ``final_ms`` behind it, if nobody speaks."""
    steps: list[TraceStep] = []
    true: list[TrueTurn] = []
    at_ms = 500
    for number, holds_ms in enumerate(turns):
        first, stops = len(steps), []
        for part, pause_ms in enumerate([*holds_ms, 4000]):
            end_ms = at_ms + voice_ms
            text = f"word {number}" + " and more" * part
            events: list[tuple[int, on.Event]] = [
                (at_ms + NOTICED_MS, on.SpeechStarted(at_ms)),
                (at_ms + voice_ms // 2, on.Partial(text)),
                (end_ms + NOTICED_MS, on.SpeechStopped(end_ms)),
            ]
            if final_ms <= pause_ms:
                events.append((end_ms + final_ms, on.Final(text)))
            stops.append(len(steps) + 2)
            steps += [TraceStep(at_ms=when, event=event) for when, event in events]
            at_ms = end_ms + pause_ms
        starts = [stop - 2 for stop in stops[1:]]
        pauses = [
            TruePause(stop, start, start, hold=True)
            for stop, start in zip(stops, starts, strict=False)
        ]
        true.append(TrueTurn(first, (*pauses, TruePause(stops[-1], None, len(steps), hold=False))))
    return JudgedCall(call_id, steps, Truth(tuple(true), "labels", {}))


def made_up_calls(count: int, *, turns: int = 8, seed: int = 1) -> list[JudgedCall]:
    """Calls of callers who pause once a turn on average, each in a way of their own."""
    rng = random.Random(seed)
    calls = []
    for number in range(count):
        slow = rng.uniform(0.6, 1.5)
        holds_ms = [
            [round(slow * rng.uniform(150, 900)) for _ in range(rng.choice([0, 0, 1, 1, 3]))]
            for _ in range(turns)
        ]
        lag_ms = rng.choice([80, 150, 300])
        calls.append(spoken_call(f"call {number}", holds_ms, final_ms=lag_ms))
    return calls


class Moody:
    """A policy that uses everything it can: text, final, hint, voice, and the caller's past."""

    def __init__(self) -> None:
        self._longest_ms = 0

    def judge(self, pause: Pause) -> Patience:
        if pause.hint is not None:
            return Patience(times=round(1.7 - 1.3 * pause.hint, 3))
        if pause.text.endswith("and"):
            return Patience(1.5, self._longest_ms, speculate=False)
        if pause.final and pause.voiced_ms % 2:
            return Patience(times=0.5)
        return Patience(least_ms=self._longest_ms // 4) if pause.text else AS_SET

    def resumed(self, pause_ms: int) -> None:
        self._longest_ms = max(self._longest_ms, pause_ms)


def _spoken(draw: st.DrawFn) -> on.Event:
    kind = draw(st.sampled_from(["partial", "partial", "final", "hint"]))
    if kind == "hint":
        return on.EndpointHint(draw(st.sampled_from([0.0, 0.3, 0.9, 1.0])))
    text = draw(st.sampled_from(WORDS))
    return on.Final(text) if kind == "final" else on.Partial(text)


@st.composite
def calls(draw: st.DrawFn, tick_ms: int = 1) -> JudgedCall:
    """One to three turns of one to three pauses, unjudged gaps among them. All times are whole
    ticks: a long one makes things happen at the same time, as they do where frames have one."""
    steps: list[TraceStep] = []
    turns: list[TrueTurn] = []
    now_ms = 0

    def say(event: on.Event) -> None:
        steps.append(TraceStep(at_ms=now_ms, event=event))

    def ms(low: int, high: int) -> int:
        return tick_ms * draw(st.integers(low, high // tick_ms))

    for _ in range(draw(st.integers(1, 3))):
        pauses: list[TruePause] = []
        first = len(steps)
        parts = draw(st.integers(1, 3))
        for part in range(parts):
            now_ms += ms(1, 500)
            began = len(steps)
            say(on.SpeechStarted(now_ms - ms(0, 1)))
            for _ in range(draw(st.integers(0, 2))):
                now_ms += ms(0, 300)
                say(_spoken(draw))
            now_ms += ms(1, 400)
            stop = len(steps)
            say(on.SpeechStopped(now_ms - ms(0, min(90, now_ms - steps[began].at_ms))))
            last = part == parts - 1
            judged = last or draw(st.booleans())
            for _ in range(draw(st.integers(0, 4))):
                soon = draw(st.booleans())
                now_ms += ms(0, 120 if soon else 6000)
                say(_spoken(draw))
            if judged:
                resume = None if last else len(steps)
                pauses.append(TruePause(stop, resume, len(steps), hold=not last))
        turns.append(TrueTurn(first, tuple(pauses)))
    return JudgedCall("CA1", steps, Truth(tuple(turns), "labels", {}))
