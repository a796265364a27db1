"""What simulated callers say: sentences in the local voice, or recordings of real people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voicelat.audio.level import audible_span
from voicelat.audio.mulaw import BYTES_PER_MS, encode
from voicelat.audio.vad import SpeechSegmenter, VoiceDetector
from voicelat.audio.wav import read
from voicelat.errors import InvalidFile, UsageError
from voicelat.providers import local, registry
from voicelat.providers.registry import ProviderOptions

__all__ = ["BUILT_IN", "Recordings", "Utterance", "built_in", "speak"]

JOIN_MS: Final = 700
"""Recordings are cut into utterances at pauses longer than this."""

LONGEST_MS: Final = 15_000
SHORTEST_MS: Final = 300
_MARGIN_MS: Final = 60


BUILT_IN: Final = (
    "What time do you open on Saturday?",
    "I need to move my appointment to next week.",
    "How much does it cost?",
    "Is it possible to come in on Tuesday morning, or would Wednesday be better?",
    "Where are you located?",
    "Yes, that works for me.",
    "Can you send me a confirmation, please?",
    "I have a question about my last bill.",
)
"""Short and long, questions and answers, as callers to a business have them."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing a caller says: raw mu-law at 8 kHz, and its words ("" if unknown)."""

    audio: bytes
    text: str = ""


async def built_in() -> list[Utterance]:
    """`BUILT_IN`, spoken."""
    return [Utterance(audio, text) for text, audio in (await speak(BUILT_IN)).items()]


async def speak(texts: Iterable[str]) -> dict[str, bytes]:
    """Each text in the local voice where that runs, else as a murmur of the same length; silence
    around it cut off. A murmur is noise in the rhythm of words: Silero hears no speech in it."""
    name = "local" if local.available() is None else "simulated:instant"
    tts = registry.text_to_speech(name, ProviderOptions())
    await tts.warm()
    audio: dict[str, bytes] = {}
    for text in texts:
        spoken = b"".join([chunk async for chunk in tts.speak(text, "en-US")])
        begin, end = audible_span(spoken) or (0, 0)
        audio[text] = spoken[begin:end]
    await tts.aclose()
    return audio


@dataclass(frozen=True, slots=True)
class Recordings:
    """Utterances cut from recordings, and what could not be used."""

    utterances: tuple[bytes, ...]
    files: int
    broken: tuple[str, ...]
    """One line per file that is no WAV."""
    silent: int
    """Files without any speech."""

    @classmethod
    def load(cls, folder: Path, detector: Callable[[], VoiceDetector]) -> Recordings:
        """Cut every WAV in ``folder`` into utterances, the first channel (the caller's) only.

        Raises UsageError when there is no folder, or nothing in it that can be said.
        """
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder of WAV files")
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".wav")
        utterances: list[bytes] = []
        broken: list[str] = []
        silent = 0
        for file in files:
            try:
                audio = encode(read(file).channels[0])
            except InvalidFile as error:
                broken.append(str(error))
                continue
            found = _cut(audio, detector())
            silent += not found
            utterances += found
        if not utterances:
            why = f"; {broken[0]}" if broken else ""
            looked = f"{len(files)} looked at{why}"
            raise UsageError(f"{folder} has no WAV file with speech in it ({looked})")
        return cls(tuple(utterances), len(files), tuple(broken), silent)

    def share(self, calls: int, turns: int) -> list[list[bytes]]:
        """``turns`` utterances for each of ``calls`` calls, spread evenly over all of them."""
        wanted = calls * turns
        count = len(self.utterances)
        picked = [self.utterances[n * count // wanted % count] for n in range(wanted)]
        return [picked[call::calls] for call in range(calls)]


def _cut(audio: bytes, detector: VoiceDetector) -> list[bytes]:
    """The stretches of speech in ``audio``, pauses up to `JOIN_MS` inside them."""
    segmenter = SpeechSegmenter(detector)
    length_ms = len(audio) // BYTES_PER_MS
    edges = segmenter.push(audio, 0) + segmenter.flush(length_ms)
    spans: list[list[int]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if spans and start.at_ms - spans[-1][1] < JOIN_MS:
            joined_ms = stop.at_ms - spans[-1][0]
            if joined_ms <= LONGEST_MS:
                spans[-1][1] = stop.at_ms
                continue
        spans.append([start.at_ms, stop.at_ms])
    return [
        audio[max(0, begin - _MARGIN_MS) * BYTES_PER_MS : (end + _MARGIN_MS) * BYTES_PER_MS]
        for begin, end in spans
        if SHORTEST_MS <= end - begin <= LONGEST_MS
    ]
