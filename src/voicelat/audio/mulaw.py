"""G.711 mu-law by table look-up.

The tables are built once at import from the formulas of ITU-T G.711 (as in Sun's public-domain
``g711.c``): 14-bit magnitudes, bias 33, eight segments of sixteen steps, all bits inverted.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BYTES_PER_MS",
    "LINEAR",
    "RATE",
    "SILENCE",
    "Pcm",
    "decode",
    "duration_ms",
    "encode",
    "silence",
]

Pcm: TypeAlias = NDArray[np.int16]
"""Linear samples, shape ``(n,)``, full scale +-32768."""

RATE: Final = 8000
BYTES_PER_MS: Final = RATE // 1000
SILENCE: Final = 0xFF
"""The code of +0. Its twin 0x7F (-0) decodes to 0 too and is never written."""

_BIAS: Final = 33
_CLIP: Final = 8158


def _decode_table() -> Pcm:
    code = ~np.arange(256, dtype=np.uint8)
    segment = ((code >> 4) & 7).astype(np.int32)
    step = (code & 15).astype(np.int32)
    magnitude = (((step << 1) + _BIAS) << segment) - _BIAS
    return np.where(code & 0x80, -magnitude << 2, magnitude << 2).astype(np.int16)


def _encode_table() -> NDArray[np.uint8]:
    """Indexed by the sample's bits read as uint16."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32) >> 2
    magnitude = np.minimum(np.abs(sample), _CLIP) + _BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 5
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 15)
    table: NDArray[np.uint8] = np.where(sample < 0, 0x7F ^ code, 0xFF ^ code).astype(np.uint8)
    return table


LINEAR: Final = _decode_table()
"""Code -> int16 sample, shape ``(256,)``."""
_CODE: Final = _encode_table()
LINEAR.flags.writeable = False
_CODE.flags.writeable = False


def decode(mulaw: bytes) -> Pcm:
    """One int16 sample a byte."""
    return LINEAR[np.frombuffer(mulaw, np.uint8)]


def encode(pcm: Pcm) -> bytes:
    """One byte a sample. As in G.711, the two lowest bits do not count."""
    return _CODE[pcm.view(np.uint16)].tobytes()


def silence(duration_ms: int) -> bytes:
    """That much digital silence."""
    return bytes((SILENCE,)) * (duration_ms * BYTES_PER_MS)


def duration_ms(mulaw: bytes) -> int:
    """How long it plays, in whole milliseconds, rounded down."""
    return len(mulaw) // BYTES_PER_MS
