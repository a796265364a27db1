"""Random calls for the sweep: voices, words, finals and hints in any order there may be."""

from __future__ import annotations

from hypothesis import strategies as st

from voicelat.lab.calls import JudgedCall
from voicelat.lab.truth import TruePause, TrueTurn, Truth
from voicelat.turn import events as on
from voicelat.turn.endpointing import AS_SET, Patience, Pause
from voicelat.turn.trace import TraceStep

__all__ = ["Moody", "calls"]

WORDS = ["", "...", "I", "I want", "I want a table", "I want the table", "and", "Yes?", "שלום"]


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
def calls(draw: st.DrawFn) -> JudgedCall:
    """One to three turns of one to three pauses, unjudged gaps among them."""
    steps: list[TraceStep] = []
    turns: list[TrueTurn] = []
    now_ms = 0

    def say(event: on.Event) -> None:
        steps.append(TraceStep(at_ms=now_ms, event=event))

    for _ in range(draw(st.integers(1, 3))):
        pauses: list[TruePause] = []
        first = len(steps)
        parts = draw(st.integers(1, 3))
        for part in range(parts):
            now_ms += draw(st.integers(1, 500))
            began = len(steps)
            say(on.SpeechStarted(now_ms - draw(st.integers(0, 1))))
            for _ in range(draw(st.integers(0, 2))):
                now_ms += draw(st.integers(0, 300))
                say(_spoken(draw))
            now_ms += draw(st.integers(1, 400))
            stop = len(steps)
            say(
                on.SpeechStopped(
                    now_ms - draw(st.integers(0, min(90, now_ms - steps[began].at_ms)))
                )
            )
            last = part == parts - 1
            judged = last or draw(st.booleans())
            for _ in range(draw(st.integers(0, 4))):
                now_ms += draw(st.one_of(st.integers(0, 120), st.integers(0, 6000)))
                say(_spoken(draw))
            if judged:
                resume = None if last else len(steps)
                pauses.append(TruePause(stop, resume, len(steps), hold=not last))
        turns.append(TrueTurn(first, tuple(pauses)))
    return JudgedCall("CA1", steps, Truth(tuple(turns), "labels", {}))
