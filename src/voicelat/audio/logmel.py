"""Whisper's log-mel spectrogram: what its encoder, and every model built on that, takes for sound.

Written from the definition, in NumPy: 25 ms Hann windows every 10 ms, 80 triangular bands of
equal area on Slaney's mel scale (Auditory Toolbox, 1998), decimal logarithm of the power, the
loudest 80 dB of it, brought to about -1..1. A model that was trained on these numbers is wrong
about any others, so every oddity is kept: the window is periodic, the edges are mirrored, and the
frame behind the last sample is left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voicelat.audio.resample import Floats

__all__ = ["HOP", "MELS", "RATE", "log_mel"]

RATE: Final = 16000
"""Hz of the samples it is defined for."""
HOP: Final = 160
"""Samples from one frame to the next."""
MELS: Final = 80

_WINDOW: Final = 400
_FLOOR: Final = 1e-10
_RANGE: Final = 8.0
"""Powers of ten below the loudest: less is raised to it."""

_LOG_FROM_HZ: Final = 1000.0
_LOG_FROM_MEL: Final = 15.0
_LOG_STEP: Final = np.log(6.4) / 27.0
"""Slaney's scale: 200/3 Hz a mel up to 1000 Hz, above it 27 mels to every factor of 6.4."""


def log_mel(samples: Floats) -> Floats:
    """The spectrogram of samples at `RATE`, shape ``(n,)``: shape ``(MELS, n // HOP)``.

    Values span at most 2. Takes 1.4 ms for 8 s. Raises ValueError for less than a window or a
    part of a hop.
    """
    if samples.size < _WINDOW or samples.size % HOP:
        raise ValueError(f"{samples.size} samples: must be a multiple of {HOP} from {_WINDOW} on")
    mirrored = np.pad(samples.astype(np.float64), _WINDOW // 2, mode="reflect")
    frames = sliding_window_view(mirrored, _WINDOW)[: samples.size : HOP]
    power = np.abs(np.fft.rfft(frames * _HANN)) ** 2
    log = np.log10(np.maximum(power @ _BANDS, _FLOOR))
    log = np.maximum(log, log.max() - _RANGE)
    levels: Floats = ((log + 4.0) / 4.0).T.astype(np.float32)
    return levels


def _bands() -> NDArray[np.float64]:
    """The weight of each frequency in each band, shape ``(201, MELS)``."""
    top_mel = _LOG_FROM_MEL + np.log(RATE / 2 / _LOG_FROM_HZ) / _LOG_STEP
    mels = np.linspace(0.0, top_mel, MELS + 2)
    curved = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mels - _LOG_FROM_MEL))
    corners = np.where(mels < _LOG_FROM_MEL, mels * 200.0 / 3.0, curved)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    hz = np.arange(_WINDOW // 2 + 1)[:, np.newaxis] * (RATE / _WINDOW)
    triangles = np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre))
    bands: NDArray[np.float64] = np.maximum(triangles, 0.0) * 2.0 / (high - low)
    return bands


_HANN: Final = np.hanning(_WINDOW + 1)[:-1]
_BANDS: Final = _bands()
