"""OpenAI's voice without OpenAI: what we add between its first byte and the caller's first sound.

    python benchmarks/openai_tts.py [--json] [--live]

A server on loopback answers like the vendor's: raw 24 kHz PCM in chunks of 20 ms, the first of
them silent for a part. Printed are the wait from the request to the first audible byte on a cold
and on a kept connection, what of it is ours (from the write of the vendor's first audible chunk),
how much audio the conversion to 8 kHz mu-law holds back, how late its filter is, and what it
costs. ``--live`` asks the real service instead for one number: request to first audible byte. It
needs OPENAI_API_KEY.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from statistics import median, quantiles
from typing import Any

import numpy as np

from voicelat.audio.level import first_audible
from voicelat.audio.mulaw import BYTES_PER_MS, decode
from voicelat.providers.openai_tts import OpenAiTts, PcmToMulaw

RATE = 24_000
CHUNK_MS = 20
ROUNDS = 100
TEXT = "We are open from eight to six."


def pcm(silent_ms: int, ms: int) -> bytes:
    """Silence, then a voice-like tone."""
    tone = 6000 * np.sin(2 * np.pi * 220 * np.arange(ms * RATE // 1000) / RATE + 0.5)
    return bytes(silent_ms * RATE // 1000 * 2) + tone.astype("<i2").tobytes()


class Vendor:
    """Answers every request with the same second of audio, as fast as it is taken."""

    def __init__(self) -> None:
        audio = pcm(CHUNK_MS // 2, 1000)
        size = CHUNK_MS * RATE // 1000 * 2
        self.chunks = [audio[at : at + size] for at in range(0, len(audio), size)]
        self.written_s = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
                lengths = {name.lower(): value for name, value in fields.items()}
                await reader.readexactly(int(lengths.get("content-length", 0)))
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
                    writer.write(b"Content-Type: application/json\r\n\r\n{}")
                    continue
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\n")
                writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
                self.written_s = time.perf_counter()
                for chunk in self.chunks:
                    writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()


async def first_sound(voice: OpenAiTts) -> tuple[float, float]:
    """Milliseconds from the request to the first audible byte, and when that was in seconds."""
    begin = time.perf_counter()
    heard = 0.0
    async for chunk in voice.speak(TEXT, "en-US"):
        if not heard and first_audible(chunk) is not None:
            heard = time.perf_counter()
    return (heard - begin) * 1000, heard


async def loopback() -> dict[str, float]:
    vendor = Vendor()
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    cold = []
    for _ in range(10):
        voice = OpenAiTts(base_url=url)
        cold.append((await first_sound(voice))[0])
        await voice.aclose()
    voice = OpenAiTts(base_url=url)
    await voice.warm()
    kept, ours = [], []
    for _ in range(ROUNDS):
        waited_ms, heard = await first_sound(voice)
        kept.append(waited_ms)
        ours.append((heard - vendor.written_s) * 1000)
    await voice.aclose()
    server.close()
    return {
        "first_sound_cold_ms": median(cold),
        "first_sound_kept_ms": median(kept),
        "ours_p50_ms": median(ours),
        "ours_p95_ms": quantiles(ours, n=20)[-1],
    }


def conversion() -> dict[str, float]:
    """How much audio is held back behind each chunk, and what a second of it costs."""
    audio = pcm(0, 10_000)
    size = CHUNK_MS * RATE // 1000 * 2 + 1  # odd: every other chunk ends within a sample
    held = 0.0
    best = float("inf")
    for _ in range(5):
        stream, given, begin = PcmToMulaw(RATE), 0, time.perf_counter()
        for at in range(0, len(audio), size):
            given += len(stream.push(audio[at : at + size]))
            fed_ms = min(at + size, len(audio)) / 2 / RATE * 1000
            held = max(held, fed_ms - given / BYTES_PER_MS)
        best = min(best, time.perf_counter() - begin)
    click = np.zeros(RATE // 10, "<i2")
    click[RATE // 20] = 32_000
    stream = PcmToMulaw(RATE)
    heard = decode(stream.push(click.tobytes()) + stream.flush())
    late = int(np.abs(heard.astype(int)).argmax()) / BYTES_PER_MS - 50
    return {
        "held_back_ms": held,
        "filter_late_ms": late,
        "us_per_20_ms": best / 10 * 1e6 * CHUNK_MS / 1000,
    }


async def live() -> dict[str, float]:
    voice = OpenAiTts(api_key=os.environ.get("OPENAI_API_KEY"))
    await voice.warm()
    waits = [(await first_sound(voice))[0] for _ in range(10)]
    await voice.aclose()
    return {"live_first_sound_p50_ms": median(waits), "live_first_sound_max_ms": max(waits)}


def main() -> None:
    parser = argparse.ArgumentParser(description="OpenAI's voice: what we add to it.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--live", action="store_true", help="ask the real service")
    options = parser.parse_args()
    if options.live and not os.environ.get("OPENAI_API_KEY"):
        parser.error("set OPENAI_API_KEY")
    result: dict[str, Any] = asyncio.run(live() if options.live else loopback())
    if not options.live:
        result |= conversion()
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:26} {value:8.2f}")


if __name__ == "__main__":
    main()
