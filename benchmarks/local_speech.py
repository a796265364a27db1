"""The embedded speech alone: how long it takes, and how often it mishears.

    python benchmarks/local_speech.py [--json] [--data DIR]

Without recordings the ears listen to the embedded voice. With ``--data`` (or ``VOICELAT_DATA``), a
folder with WAV files and a ``manifest.json`` that has their transcripts, the word error rate over
prompts, commands and read speech is printed too. Words are compared without case and punctuation;
"2" for "two" counts as an error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from voicelat.audio.framing import FRAME_BYTES, FRAME_MS
from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.audio.wav import read
from voicelat.providers.local.moonshine import Moonshine
from voicelat.providers.local.stt import MoonshineStt
from voicelat.providers.local.tts import PiperTts
from voicelat.providers.local.vad import SileroVad
from voicelat.turn.transcript import words_of

CLAUSES = ("Sure.", "We are open from eight to six.", "I can book you in for Tuesday morning.")
QUESTIONS = (
    "Are you open?",
    "I would like to book an appointment for Tuesday morning.",
    "I would like to book an appointment for my car on Tuesday morning because the brakes make a "
    "strange noise when I drive down the hill to my house.",
)
KINDS = ("IVR prompt", "short command", "read speech / card commands")


def vad_us(audio: bytes) -> float:
    """Microseconds per 20 ms of audio, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        detector = SileroVad()
        size = detector.window_ms * BYTES_PER_MS
        windows = [audio[at : at + size] for at in range(0, len(audio) - size, size)]
        start = time.perf_counter()
        for window in windows:
            detector.probability(window)
        best = min(
            best, (time.perf_counter() - start) / (len(windows) * detector.window_ms) * FRAME_MS
        )
    return best * 1e6


async def first_chunk_ms(voice: PiperTts, clause: str) -> float:
    """From the request to the first audio, the median of five."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        await anext(voice.speak(clause, "en-US"))
        taken.append((time.perf_counter() - start) * 1000)
    return median(taken)


async def text_ms(ears: MoonshineStt, audio: bytes) -> float:
    """From the end of voice to its text, spoken in real time as in a call."""
    stream = await ears.open("en-US")
    heard: asyncio.Queue[float] = asyncio.Queue()

    async def listen() -> None:
        async for _ in stream:
            heard.put_nowait(time.perf_counter())

    listener = asyncio.create_task(listen())
    stream.voice(True)
    begin = asyncio.get_running_loop().time()
    for n, at in enumerate(range(0, len(audio), FRAME_BYTES)):
        stream.feed(audio[at : at + FRAME_BYTES])
        due = begin + (n + 1) * FRAME_MS / 1000
        await asyncio.sleep(due - asyncio.get_running_loop().time())
    while not heard.empty():
        heard.get_nowait()
    stop = time.perf_counter()
    stream.voice(False)
    taken = await heard.get() - stop
    await stream.aclose()
    await listener
    return taken * 1000


def word_errors(said: tuple[str, ...], heard: tuple[str, ...]) -> int:
    """The fewest words to change, leave out or put in (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for n, word in enumerate(said, 1):
        above, row[0] = row[0], n
        for m, other in enumerate(heard, 1):
            above, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, above + (word != other))
    return row[-1]


def word_error_rate(folder: Path) -> dict[str, Any]:
    """Over every file of the manifest whose transcript can be trusted to be of one voice."""
    ears = Moonshine()
    errors = words = files = 0
    for entry in json.loads((folder / "manifest.json").read_text())["files"]:
        if not entry["kind"].startswith(KINDS) or not entry.get("transcript"):
            continue
        heard = ears.transcribe(encode(read(folder / entry["file"]).channels[0]))
        said = words_of(entry["transcript"])
        errors += word_errors(said, words_of(heard.text if heard else ""))
        words += len(said)
        files += 1
    return {"files": files, "words": words, "errors": errors, "rate": errors / words}


async def measure(folder: Path | None) -> dict[str, Any]:
    voice, ears = PiperTts(), MoonshineStt()
    await voice.warm()
    await ears.warm()
    said = {
        text: b"".join([chunk async for chunk in voice.speak(text, "en-US")]) for text in QUESTIONS
    }
    result: dict[str, Any] = {
        "vad_us_per_20_ms": vad_us(said[QUESTIONS[-1]]),
        "first_audio_ms": {clause: await first_chunk_ms(voice, clause) for clause in CLAUSES},
        "text_after_voice_ms": {
            f"{len(audio) // BYTES_PER_MS / 1000:.1f} s": await text_ms(ears, audio)
            for audio in said.values()
        },
    }
    if folder is not None:
        result["word_errors"] = await asyncio.to_thread(word_error_rate, folder)
    await voice.aclose()
    await ears.aclose()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Embedded speech: speed and word errors.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data", type=Path, default=os.environ.get("VOICELAT_DATA"))
    options = parser.parse_args()
    result = asyncio.run(measure(Path(options.data) if options.data else None))
    if options.json:
        print(json.dumps(result))
        return
    print(f"Silero, per 20 ms of audio      {result['vad_us_per_20_ms']:6.1f} us")
    for clause, taken in result["first_audio_ms"].items():
        print(f"Piper, to the first audio       {taken:6.1f} ms  {clause}")
    for length, taken in result["text_after_voice_ms"].items():
        print(f"Moonshine, end of voice to text {taken:6.1f} ms  of {length}")
    if "word_errors" in result:
        told = result["word_errors"]
        print(
            f"Moonshine, word error rate      {told['rate']:6.1%}     "
            f"{told['errors']} of {told['words']} words in {told['files']} files"
        )
    else:
        print("Moonshine, word error rate      not measured: give recordings with --data")


if __name__ == "__main__":
    main()
