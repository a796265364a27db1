"""The fast spectrogram against a slow one that follows the textbook word by word."""

from __future__ import annotations

import cmath
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.audio.logmel import HOP, MELS, RATE, log_mel

_WINDOW = 400
_BINS = 201


def _mel(hz: float) -> float:
    """Slaney: 15 mels to 1000 Hz, above it 27 to every factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


@cache
def _hz(mel: float) -> float:
    """`_mel` turned round, by halving."""
    low, high = 0.0, RATE / 2 + 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _mel(middle) < mel else (low, middle)
    return low


def _corner(number: int) -> float:
    """In Hz: band ``n`` rises from corner n to n+1 and falls to n+2."""
    return _hz(_mel(RATE / 2) * number / (MELS + 1))


def _weight(band: int, hz: float) -> float:
    low, centre, high = (_corner(band + n) for n in range(3))
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    return max(0.0, min(rising, falling)) * 2 / (high - low)


def _slow_log_mel(samples: list[float]) -> np.ndarray:
    last = len(samples) - 1
    columns = []
    for centre in range(0, len(samples), HOP):
        places = (abs(centre - _WINDOW // 2 + n) for n in range(_WINDOW))
        frame = [samples[last - abs(last - place)] for place in places]
        hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / _WINDOW) for n in range(_WINDOW)]
        power = [
            abs(
                sum(
                    frame[n] * hann[n] * cmath.exp(-2j * math.pi * k * n / _WINDOW)
                    for n in range(_WINDOW)
                )
            )
            ** 2
            for k in range(_BINS)
        ]
        bands = (
            sum(_weight(band, k * RATE / _WINDOW) * power[k] for k in range(_BINS))
            for band in range(MELS)
        )
        columns.append([math.log10(max(1e-10, band)) for band in bands])
    loudest = max(max(column) for column in columns)
    levels = [[(max(level, loudest - 8) + 4) / 4 for level in column] for column in columns]
    return np.array(levels).T


def _tone(hz: float, samples: int = 4 * _WINDOW) -> np.ndarray:
    wave: np.ndarray = np.sin(2 * np.pi * hz / RATE * np.arange(samples))
    return wave.astype(np.float32)


def test_it_is_what_the_textbook_computes() -> None:
    noise = np.random.default_rng(1).normal(0, 1, 5 * HOP).astype(np.float32)
    samples = (noise * np.linspace(0, 1, noise.size) + _tone(440, noise.size)).astype(np.float32)
    slow = _slow_log_mel([float(sample) for sample in samples])
    assert log_mel(samples) == pytest.approx(slow, abs=1e-5)


def test_one_frame_stands_for_every_ten_milliseconds() -> None:
    levels = log_mel(np.zeros(8 * RATE, np.float32))
    assert levels.shape == (MELS, 800)
    assert levels.dtype == np.float32


@pytest.mark.parametrize("hz", [120.0, 440.0, 1000.0, 2500.0, 6000.0])
def test_a_tone_is_loudest_in_its_own_band(hz: float) -> None:
    band = int(log_mel(_tone(hz))[:, 5].argmax())
    assert _corner(band) < hz < _corner(band + 2)


def test_twice_the_level_is_a_quarter_of_the_logarithm_of_four_more() -> None:
    soft, loud = log_mel(_tone(440)), log_mel(2 * _tone(440))
    assert loud.max() - soft.max() == pytest.approx(math.log10(4) / 4, abs=1e-5)


def test_silence_is_the_same_everywhere() -> None:
    assert np.unique(log_mel(np.zeros(3 * HOP, np.float32))).tolist() == [-1.5]


@settings(max_examples=40)
@given(
    st.integers(3, 60),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e-12, 1e-3, 1.0, 1e4]),
    st.floats(-10, 10),
)
def test_any_sound_has_a_finite_spectrogram_of_eighty_decibels(
    hops: int, seed: int, scale: float, offset: float
) -> None:
    noise = np.random.default_rng(seed).normal(offset, 1, hops * HOP) * scale
    levels = log_mel(noise.astype(np.float32))
    assert levels.shape == (MELS, hops)
    assert np.isfinite(levels).all()
    assert levels.max() - levels.min() <= 2 + 1e-6


@pytest.mark.parametrize("samples", [0, 320, 401])
def test_less_than_a_window_and_half_a_hop_are_refused(samples: int) -> None:
    with pytest.raises(ValueError, match=f"{samples} samples"):
        log_mel(np.zeros(samples, np.float32))
