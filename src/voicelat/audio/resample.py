"""Changing the sample rate, with soxr.

Whole buffers use its HQ filter. Live streams use QQ (cubic interpolation): soxr's filters LQ
and up hold back 15-40 ms from a 24 kHz stream and give their first audio after 60-160 ms
(measured with soxr 1.1 and 20 ms chunks), which a caller would wait for in every reply. QQ holds
back less than 1 ms but lets everything above 4 kHz fold back into the voice, so going down it
stands behind a short low-pass of our own, 1.5 ms late.

Everything runs in float32: given int16, soxr dithers with a seed from the time of day, and the
same recording would be a different one every time.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from voicelat.audio.mulaw import RATE, Pcm

__all__ = ["LiveResampler", "to_8k"]

Floats: TypeAlias = NDArray[np.float32]

_LAG_S: Final = 0.0015
"""Half the low-pass's length: 1.5 ms each side makes a transition of about 1.1 kHz."""


def to_8k(pcm: Pcm, rate: int) -> Pcm:
    """The whole of a mono buffer at ``rate`` Hz, at 8 kHz. Same length in time."""
    if rate == RATE or not pcm.size:
        return pcm
    return _rounded(soxr.resample(pcm.astype(np.float32), rate, RATE, quality="HQ"))


class LiveResampler:
    """A mono stream from ``rate_in`` to ``rate_out`` Hz, chunk by chunk, at most 2 ms late.

    One object per stream. `flush` ends it; push nothing after.
    """

    __slots__ = ("_lowpass", "_stream")

    def __init__(self, rate_in: int, rate_out: int = RATE) -> None:
        self._lowpass = _LowPass(rate_in, rate_out) if rate_in > rate_out else None
        self._stream = (
            None
            if rate_in == rate_out
            else soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="QQ")
        )

    def push(self, pcm: Pcm) -> Pcm:
        """Take samples, give those that are ready."""
        return self._resampled(pcm, last=False)

    def flush(self) -> Pcm:
        """The last 2 ms, still held back."""
        held = 0 if self._lowpass is None else self._lowpass.lag
        return self._resampled(np.zeros(held, np.int16), last=True)

    def _resampled(self, pcm: Pcm, last: bool) -> Pcm:
        if self._stream is None:
            return pcm
        audio = pcm.astype(np.float32)
        if self._lowpass is not None and audio.size:
            audio = self._lowpass.push(audio)
        return _rounded(self._stream.resample_chunk(audio, last=last))


class _LowPass:
    """A windowed-sinc filter below half of ``rate_out``, run chunk by chunk."""

    __slots__ = ("_before", "_taps", "lag")

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self.lag = round(rate_in * _LAG_S)
        cutoff = 0.9 * rate_out / rate_in
        taps = np.sinc(cutoff * np.arange(-self.lag, self.lag + 1)) * np.hamming(2 * self.lag + 1)
        self._taps: Floats = (taps / taps.sum()).astype(np.float32)
        self._before: Floats = np.zeros(2 * self.lag, np.float32)

    def push(self, audio: Floats) -> Floats:
        """As many samples as went in, ``lag`` samples late."""
        audio = np.concatenate((self._before, audio))
        self._before = audio[-2 * self.lag :]
        return np.convolve(audio, self._taps, "valid")


def _rounded(audio: Floats) -> Pcm:
    """Nearest int16, saturating."""
    return audio.round().clip(-32768, 32767).astype(np.int16)
