"""What a phrase in hand costs, and what it saves.

    python benchmarks/tts_cache.py [--json] [--calls 200] [--questions 12]

Three figures, all in this process and without a network:

- ``lookup``: finding a phrase by its text, in microseconds (best round).
- ``greeting``: from Twilio's ``start`` to the first frame of a greeting in hand: the whole call is
  set up in between.
- ``reply``: from the model's first word, a phrase in hand, to the reply's first frame on the line,
  in a call with a caller who speaks in real time, while the rest of the reply is synthesised.

Beside them, where the local voice is installed, what the same phrase takes when it is synthesised.

Target: 5 ms from a hit to the first frame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncGenerator
from statistics import median
from typing import Any

import numpy as np

from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.caller import Caller, CallerEvent, Opened, Say, Silence, Step, Tick, WaitForReply
from voicelat.clock import CallClock
from voicelat.engine import EngineConfig, Stack, TurnConfig, TurnLoop
from voicelat.engine.phrases import stock_phrases
from voicelat.errors import MissingExtra
from voicelat.providers import registry
from voicelat.providers.protocols import Prompt, TextToSpeech

OPENING = "Sure,"
REST = " that is no trouble at all."
GREETING = "Hello, how can I help you?"
TARGET_MS = 5.0
ROUNDS = 20_000


class OpensWithAPhrase:
    """A model that notes when it said its first word."""

    name = "opens with a phrase"

    def __init__(self) -> None:
        self.said_s: list[float] = []

    async def warm(self) -> None:
        """Nothing to load."""

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """See `LanguageModel`."""
        self.said_s.append(time.perf_counter())
        yield OPENING
        yield REST

    async def aclose(self) -> None:
        """Nothing to free."""


class Line:
    """A transport in memory with a scripted caller, that notes when each first frame came."""

    def __init__(self, *steps: Step) -> None:
        self._caller = Caller(steps)
        self._clock = CallClock()
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._last_s = 0.0
        self.first_frames_s: list[float] = []
        """The first frame behind each second without one."""
        self.started_s: float | None = None
        """When Twilio's ``start`` was handed over."""

    async def talk(self) -> None:
        """Hold the caller's end of the call."""
        self._feed(Opened())
        while not self._caller.done:
            deadline_ms = self._caller.deadline_ms
            assert deadline_ms is not None
            await asyncio.sleep(max(0, deadline_ms - self._clock.now_ms()) / 1000)
            self._feed(Tick())

    async def receive(self) -> str | None:
        """See `Transport`."""
        text = await self._inbox.get()
        if self.started_s is None and text is not None and '"start"' in text:
            self.started_s = time.perf_counter()
        return text

    async def send(self, text: str) -> None:
        """See `Transport`."""
        now_s = time.perf_counter()
        if '"media"' in text:
            if now_s - self._last_s > 0.4:
                self.first_frames_s.append(now_s)
            self._last_s = now_s
        self._feed(text)

    async def close(self) -> None:
        """See `Transport`."""
        self._inbox.put_nowait(None)

    def _feed(self, event: CallerEvent) -> None:
        for output in self._caller.handle(event, self._clock.now_ms()):
            self._inbox.put_nowait(output if isinstance(output, str) else None)


def speech() -> bytes:
    """600 ms of noise at the level of speech."""
    samples = np.random.default_rng(1).normal(0.0, 3000.0, 600 * BYTES_PER_MS)
    return encode(samples.astype(np.int16))


async def opened(tts: TextToSpeech, model: OpensWithAPhrase, greeting: str) -> TurnLoop:
    """A loop on a warm stack with instant ears and the energy detector."""
    stack = Stack(registry.speech_to_text("simulated:instant"), model, tts)
    loop = TurnLoop(
        stack,
        turn=TurnConfig(speak_gate_ms=0, speculate=False),
        engine=EngineConfig(greeting=greeting),
    )
    await stack.warm([*loop.phrases, *stock_phrases("en-US")])
    return loop


async def greeting_ms(tts: TextToSpeech, calls: int) -> list[float]:
    """One figure per call: ``start`` to first frame."""
    loop = await opened(tts, OpensWithAPhrase(), GREETING)
    taken = []
    for _ in range(calls):
        line = Line(Silence(60))
        await asyncio.gather(loop.run(line), line.talk())
        assert line.started_s is not None
        taken.append((line.first_frames_s[0] - line.started_s) * 1000)
    return taken


async def reply_ms(tts: TextToSpeech, questions: int) -> list[float]:
    """One figure per turn: the model's first word to first frame."""
    model = OpensWithAPhrase()
    loop = await opened(tts, model, "")
    question = speech()
    steps: list[Step] = [Silence(200)]
    for number in range(questions):
        steps += [Say(question), WaitForReply(quiet_ms=500), Silence(7 * number % 20)]
    line = Line(*steps)
    await asyncio.gather(loop.run(line), line.talk())
    assert len(model.said_s) == len(line.first_frames_s) == questions
    return [
        (sent - said) * 1000 for said, sent in zip(model.said_s, line.first_frames_s, strict=True)
    ]


async def lookup_us(tts: TextToSpeech) -> float:
    """Microseconds a hit takes."""
    stack = Stack(registry.speech_to_text("simulated:instant"), OpensWithAPhrase(), tts)
    await stack.warm(stock_phrases("en-US"))
    best = float("inf")
    for _ in range(5):
        start_s = time.perf_counter()
        for _ in range(ROUNDS):
            stack.phrases.lookup(OPENING)
        best = min(best, (time.perf_counter() - start_s) / ROUNDS)
    return best * 1e6


async def synthesis_ms(voice: TextToSpeech, text: str) -> float:
    """From the request to the first audio, the median of eleven."""
    taken = []
    for _ in range(11):
        start_s = time.perf_counter()
        await anext(voice.speak(text, "en-US"))
        taken.append((time.perf_counter() - start_s) * 1000)
    return median(taken)


def local_voice() -> TextToSpeech | None:
    """The embedded voice, None where it is not installed."""
    try:
        from voicelat.providers.local.weights import PIPER

        PIPER["voice"].locate()
        return registry.text_to_speech("local")
    except MissingExtra:
        return None


async def measure(calls: int, questions: int) -> dict[str, Any]:
    """All of it."""
    instant = registry.text_to_speech("simulated:instant")
    result: dict[str, Any] = {"target_ms": TARGET_MS, "lookup_us": await lookup_us(instant)}
    voice = local_voice()
    if voice is not None:
        await voice.warm()
    for name, taken in (
        ("greeting_ms", await greeting_ms(voice or instant, calls)),
        ("reply_ms", await reply_ms(voice or instant, questions)),
    ):
        p50, p95 = np.percentile(taken, [50, 95], method="inverted_cdf")
        result[name] = {"n": len(taken), "p50": p50, "p95": p95, "max": max(taken)}
    if voice is not None:
        result["synthesis_ms"] = {
            "greeting_ms": await synthesis_ms(voice, GREETING),
            "reply_ms": await synthesis_ms(voice, OPENING),
        }
        await voice.aclose()
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--calls", type=int, default=200, help="with a greeting")
    parser.add_argument("--questions", type=int, default=12, help="in one call, in real time")
    options = parser.parse_args()
    result = asyncio.run(measure(options.calls, options.questions))
    if options.json:
        print(json.dumps(result))
        return
    print(f"a lookup that hits: {result['lookup_us']:.1f} us")
    print("hit to first frame, ms    n    P50    P95    max   synthesised   ratio")
    made = result.get("synthesis_ms")
    for name in ("greeting_ms", "reply_ms"):
        row = result[name]
        print(
            f"{name.removesuffix('_ms'):22}{row['n']:5}"
            f"{row['p50']:7.2f}{row['p95']:7.2f}{row['max']:7.2f}",
            end="",
        )
        if made is None:
            print("   no local voice")
        else:
            print(f"{made[name]:14.1f}{made[name] / row['p50']:7.0f}x")
    print(f"target: P95 {TARGET_MS:g} ms")


if __name__ == "__main__":
    main()
