"""From a scenario to calls: what each caller says and when, and what the line does to it.

Everything is drawn from (seed, number of the call), so that a run can be repeated, and no two
calls are alike.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from voicelat.audio.mulaw import RATE, encode
from voicelat.caller import (
    BargeIn,
    CallSetup,
    HangUp,
    Pause,
    Say,
    Script,
    Silence,
    Step,
    WaitForReply,
)
from voicelat.errors import UsageError
from voicelat.loadtest.scenario import Line, Range, Scenario
from voicelat.loadtest.utterances import Utterance

__all__ = ["Cast", "Casting", "noise"]

_LAST_WORDS_MS: Final = 300
"""Between the end of the last reply and the caller's hanging up."""
_PATTERN: Final = 3001
"""Packets after which the line repeats itself: a minute, and a prime number of them."""
_NOISE_S: Final = 10


class Casting(NamedTuple):
    """One call, ready to be placed."""

    script: Script
    setup: CallSetup


class Cast:
    """The callers of a load test. Raises UsageError without anything to say."""

    def __init__(self, utterances: Sequence[Utterance], scenario: Scenario, seed: int = 0) -> None:
        if not utterances:
            raise UsageError("the callers have nothing to say: no utterances")
        self._utterances = utterances
        self._scenario = scenario
        self._seed = seed
        level = scenario.line.noise_db
        self._noise = b"" if level is None else noise(level, seed)

    def call(self, number: int, turns: int | None = None) -> Casting:
        """Call ``number`` with ``turns`` questions (None: as the scenario says). The same number
        gives the same call."""
        rng = random.Random(f"{self._seed}/{number}")
        questions = self._scenario.talk.questions if turns is None else turns
        setup = CallSetup(noise=self._noise, arrivals=_arrivals(self._scenario.line, rng))
        return Casting(self._script(questions, rng), setup)

    def _script(self, questions: int, rng: random.Random) -> list[Step]:
        talk, patience = self._scenario.talk, self._scenario.patience
        wait = WaitForReply(patience.reply_ms, patience.quiet_ms)
        steps: list[Step] = []
        if patience.greeting_ms:
            steps.append(WaitForReply(patience.greeting_ms, patience.quiet_ms))
        last = rng.randrange(questions) if rng.random() < talk.hang_ups else None
        for number in range(questions):
            said = rng.choice(self._utterances)
            if number == last:
                steps += [Silence(_draw(talk.think_ms, rng)), Say(_broken_off(said, rng))]
                return [*steps, HangUp(abrupt=rng.random() < talk.abrupt)]
            if number and rng.random() < talk.barge_ins:
                steps[-1] = BargeIn(
                    said.audio, _draw(talk.barge_after_ms, rng), said.text, patience.reply_ms
                )
            else:
                if rng.random() < talk.silences:
                    steps.append(Silence(_draw(talk.silence_ms, rng)))
                steps.append(Silence(_draw(talk.think_ms, rng)))
                paused = rng.random() < talk.pauses
                steps += _with_pause(said, _draw(talk.pause_ms, rng), rng) if paused else _say(said)
            steps.append(wait)
        return [*steps, Silence(_LAST_WORDS_MS)]


def _say(said: Utterance) -> list[Step]:
    return [Say(said.audio, said.text)]


def _with_pause(said: Utterance, pause_ms: int, rng: random.Random) -> list[Step]:
    """Somewhere in the middle half."""
    at = int(len(said.audio) * rng.uniform(0.25, 0.75))
    return [Say(said.audio[:at], said.text), Pause(pause_ms), Say(said.audio[at:])]


def _broken_off(said: Utterance, rng: random.Random) -> bytes:
    return said.audio[: int(len(said.audio) * rng.uniform(0.3, 0.8))]


def _draw(limits: Range, rng: random.Random) -> int:
    return rng.randint(*limits)


def _arrivals(line: Line, rng: random.Random) -> tuple[int | None, ...]:
    if not line.jitter_ms and not line.loss:
        return ()
    return tuple(
        None if rng.random() < line.loss else rng.randint(0, line.jitter_ms)
        for _ in range(_PATTERN)
    )


def noise(level_db: float, seed: int = 0) -> bytes:
    """Ten seconds of white noise at this level in dBFS, as mu-law, to be repeated."""
    rng = np.random.default_rng(seed)
    rms = 32768 * 10 ** (level_db / 20)
    samples = rng.normal(0.0, rms, _NOISE_S * RATE)
    return encode(samples.clip(-32768, 32767).astype(np.int16))
