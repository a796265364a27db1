"""What one inbound frame costs the event loop: the path of a call, with both voice detectors.

    python benchmarks/frame_path.py [--json]

Each figure is the best of several rounds over a minute of audio, voice and silence by turns, in
microseconds per message of 20 ms. ``codec`` is decoding, order checks, mu-law and framing;
``whole`` is what `Call.receive` does with the message up to the turn machine: decoding, order
checks, voice detection and feeding the recogniser.

Targets: codec 15 us, whole 100 us.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from voicelat.audio import mulaw
from voicelat.audio.framing import FRAME_BYTES, FRAME_MS, Framer
from voicelat.audio.vad import VoiceDetector
from voicelat.engine.ear import Ear
from voicelat.engine.listener import Listener
from voicelat.errors import MissingExtra
from voicelat.providers import registry
from voicelat.twilio.inbox import Inbox
from voicelat.twilio.messages import Media, Start
from voicelat.twilio.mirror import encode_inbound

SID = "MZ18ad3ab5a668481ce02b83e7395059f0"
FRAMES = 3000
ROUNDS = 5
TARGETS = {"codec": 15, "whole, energy": 100, "whole, silero": 100}


def stream() -> list[str]:
    """A minute of a caller's messages: a second of noise, a second of silence, and so on."""
    rng = np.random.default_rng(1)
    pcm = rng.normal(0.0, 3000.0, FRAMES * FRAME_BYTES)
    loud = np.arange(len(pcm)) // mulaw.RATE % 2 == 0
    audio = mulaw.encode((pcm * loud).clip(-32768, 32767).astype(np.int16))
    frames = [audio[n * FRAME_BYTES : (n + 1) * FRAME_BYTES] for n in range(FRAMES)]
    return [
        encode_inbound(Media(SID, frame, "inbound", n + 2, n + 1, n * FRAME_MS))
        for n, frame in enumerate(frames)
    ]


def media(texts: list[str]) -> Iterator[Media]:
    """The messages, through the inbox of a fresh call."""
    inbox = Inbox()
    inbox.receive(encode_inbound(Start(SID, 1)))
    for text in texts:
        message = inbox.receive(text)
        assert isinstance(message, Media)
        yield message


def codec(texts: list[str]) -> None:
    """Text to samples and whole frames."""
    framer = Framer()
    for message in media(texts):
        for frame in framer.push(message.payload):
            mulaw.decode(frame)


async def whole(texts: list[str], make_detector: Callable[[], VoiceDetector]) -> float:
    """Seconds for the path of a call, recogniser included."""
    stt = registry.speech_to_text("simulated:instant", registry.ProviderOptions())
    listener = Listener(stt, "en-US", lambda _transcript: None)
    listening = asyncio.create_task(listener.run())
    await asyncio.sleep(0)  # its stream is open
    ear = Ear(make_detector())
    start_s = time.perf_counter()
    for n, message in enumerate(media(texts), 1):
        _, seen = ear.hear(message.payload, message.timestamp_ms, n * FRAME_MS)
        listener.feed(message.payload)
        for edge in seen:
            listener.voice(edge.active)
    took_s = time.perf_counter() - start_s
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return took_s


def timed(call: Callable[[], None]) -> float:
    """Seconds it takes."""
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s


def measure() -> dict[str, float]:
    """Microseconds per message, best of the rounds: the others were disturbed."""
    texts = stream()
    figures = {"codec": min(timed(lambda: codec(texts)) for _ in range(ROUNDS))}
    detectors: tuple[Literal["energy", "silero"], ...] = ("energy", "silero")
    for name in detectors:
        try:
            make = registry.detector(name)
            figures[f"whole, {name}"] = min(asyncio.run(whole(texts, make)) for _ in range(ROUNDS))
        except MissingExtra:
            continue
    return {name: round(took_s / FRAMES * 1e6, 2) for name, took_s in figures.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        rows = {name: {"us": us, "target_us": TARGETS[name]} for name, us in figures.items()}
        print(json.dumps(rows))
        return
    print(f"{'us per inbound frame':24}{'best':>8}{'target':>8}")
    for name, us in figures.items():
        print(f"{name:24}{us:8.1f}{TARGETS[name]:8}")


if __name__ == "__main__":
    main()
