"""From a scenario to calls: what each caller says and when, and what the line does to it.

Everything is drawn from (seed, number of the call), so that a run can be repeated, and no two
calls are alike.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from voicelat.audio.framing import FRAME_BYTES
from voicelat.audio.level import BLOCK_MS, is_audible, level_dbfs
from voicelat.audio.mulaw import BYTES_PER_MS, RATE, encode
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
_FINEST: Final = 8
"""The finest step of mu-law, in linear samples."""
_BESIDE: Final = BLOCK_MS * BYTES_PER_MS


class Casting(NamedTuple):
    """One call, ready to be placed."""

    script: Script
    setup: CallSetup


class _Spoken(NamedTuple):
    """An utterance, and where its caller may stop in it."""

    said: Utterance
    pause_at: int
    """Sample offset of the quietest 20 ms in its middle half: between words, where there are
    several."""
    breaks: tuple[int, ...]
    """Sample offsets with sound on both sides, from its first quarter to before its last fifth."""

    @classmethod
    def of(cls, said: Utterance) -> _Spoken:
        """Looked for once: it takes too long while calls keep their time."""
        audio = said.audio
        places = range(len(audio) // 4, len(audio) * 4 // 5, FRAME_BYTES)
        pause_at = min(
            (at for at in places if at <= len(audio) * 3 // 4),
            key=lambda at: level_dbfs(audio[at : at + FRAME_BYTES]),
            default=len(audio) // 2,
        )
        breaks = tuple(
            at
            for at in places
            if is_audible(audio[max(0, at - _BESIDE) : at]) and is_audible(audio[at : at + _BESIDE])
        )
        return cls(said, pause_at, breaks or (len(audio) // 2,))


class Cast:
    """The callers of a load test. Raises UsageError without anything to say."""

    def __init__(self, utterances: Sequence[Utterance], scenario: Scenario, seed: int = 0) -> None:
        if not utterances:
            raise UsageError("the callers have nothing to say: no utterances")
        self._spoken = [_Spoken.of(said) for said in utterances]
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
            spoken = rng.choice(self._spoken)
            said = spoken.said
            if number == last:
                broken_off = said.audio[: rng.choice(spoken.breaks)]
                steps += [Silence(_draw(talk.think_ms, rng)), Say(broken_off)]
                return [*steps, HangUp(abrupt=rng.random() < talk.abrupt)]
            if number and rng.random() < talk.barge_ins:
                steps[-1] = BargeIn(
                    said.audio, _draw(talk.barge_after_ms, rng), said.text, patience.reply_ms
                )
            else:
                if rng.random() < talk.silences:
                    steps.append(Silence(_draw(talk.silence_ms, rng)))
                steps.append(Silence(_draw(talk.think_ms, rng)))
                if rng.random() < talk.pauses:
                    steps += _with_pause(spoken, _draw(talk.pause_ms, rng))
                else:
                    steps.append(Say(said.audio, said.text))
            steps.append(wait)
        return [*steps, Silence(_LAST_WORDS_MS)]


def _with_pause(spoken: _Spoken, pause_ms: int) -> list[Step]:
    said, at = spoken.said, spoken.pause_at
    return [Say(said.audio[:at], said.text), Pause(pause_ms), Say(said.audio[at:])]


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
    """Ten seconds of white noise at this level in dBFS, as mu-law, to be repeated.

    Exact to 0.5 dB from -70 to -20.
    """
    rng = np.random.default_rng(random.Random(f"{seed}/noise").getrandbits(64))
    rms = 32768 * 10 ** (level_db / 20)
    samples = rng.normal(0.0, rms, _NOISE_S * RATE)
    # To the nearest step: a codec rounds down, which near the finest one shifts the level.
    nearest = (samples / _FINEST).round() * _FINEST
    return encode(nearest.clip(-32768, 32767).astype(np.int16))
