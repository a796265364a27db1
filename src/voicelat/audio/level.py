"""How loud audio is, and where in it there is something to hear.

Levels are in dBFS: 20 log10 of the RMS over 32768, so a full-scale square wave is 0 and a
full-scale sine -3. "Audible" is decided in blocks of 4 ms, the resolution of every offset here:
it divides both a 20 ms frame and the 32 ms window of the Silero detector.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voicelat.audio.mulaw import BYTES_PER_MS, LINEAR

__all__ = [
    "AUDIBLE_DBFS",
    "BLOCK_MS",
    "audible_span",
    "first_audible",
    "is_audible",
    "last_audible",
    "level_dbfs",
]

AUDIBLE_DBFS: Final = -50.0
"""A block louder than this can be heard. Between comfort noise (about -60 dBFS, whose 4 ms
blocks scatter by up to 5 dB) and the loud parts of quiet telephone speech (-40 dBFS)."""

BLOCK_MS: Final = 4
_BLOCK: Final = BLOCK_MS * BYTES_PER_MS

_SAMPLE: Final[NDArray[np.float32]] = LINEAR.astype(np.float32) / np.float32(32768)
_POWER: Final[NDArray[np.float32]] = _SAMPLE * _SAMPLE
_SUM: Final[NDArray[np.float32]] = np.ones(_BLOCK, np.float32)


def level_dbfs(mulaw: bytes) -> float:
    """The level of all of it; ``-inf`` for digital silence or no audio at all."""
    if not mulaw:
        return -math.inf
    samples = _SAMPLE.take(np.frombuffer(mulaw, np.uint8))
    mean = float(samples.dot(samples)) / len(mulaw)
    return 10 * math.log10(mean) if mean > 0 else -math.inf


def audible_span(mulaw: bytes, threshold_dbfs: float = AUDIBLE_DBFS) -> tuple[int, int] | None:
    """Byte offsets ``(begin, end)`` from the first audible block to behind the last one.

    None when no block is louder than ``threshold_dbfs``. A last block shorter than 4 ms is
    judged by what there is of it.
    """
    size = len(mulaw)
    power = _POWER.take(np.frombuffer(mulaw, np.uint8))
    limit = 10.0 ** (threshold_dbfs / 10) * _BLOCK
    whole = size - size % _BLOCK
    loud = (power[:whole].reshape(-1, _BLOCK).dot(_SUM) > limit).tobytes()
    if whole < size:
        rest = float(power[whole:].sum()) * _BLOCK / (size - whole)
        loud += b"\x01" if rest > limit else b"\x00"
    first = loud.find(1)
    if first < 0:
        return None
    return first * _BLOCK, min(size, (loud.rfind(1) + 1) * _BLOCK)


def first_audible(mulaw: bytes) -> int | None:
    """Byte offset of the first audible block; None when there is none."""
    span = audible_span(mulaw)
    return None if span is None else span[0]


def last_audible(mulaw: bytes) -> int | None:
    """Byte offset just behind the last audible block; None when there is none."""
    span = audible_span(mulaw)
    return None if span is None else span[1]


def is_audible(mulaw: bytes) -> bool:
    """Whether any 4 ms of it can be heard."""
    return audible_span(mulaw) is not None
