from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio.level import (
    AUDIBLE_DBFS,
    BLOCK_MS,
    audible_span,
    first_audible,
    is_audible,
    last_audible,
    level_dbfs,
)
from voicelat.audio.mulaw import SILENCE, encode, silence

BLOCK = BLOCK_MS * 8


def square(duration_ms: int, dbfs: float) -> bytes:
    """A 1 kHz square wave: every block of it has exactly that level."""
    amplitude = 32767 * 10 ** (dbfs / 20)
    signs = np.where(np.arange(duration_ms * 8) % 8 < 4, 1, -1)
    return encode((signs * amplitude).astype(np.int16))


@pytest.mark.parametrize("dbfs", [-3.0, -20.0, -40.0, -55.0])
def test_a_square_wave_has_the_level_of_its_amplitude(dbfs: float) -> None:
    assert level_dbfs(square(100, dbfs)) == pytest.approx(dbfs, abs=0.5)


def test_silence_and_nothing_have_no_level() -> None:
    assert level_dbfs(silence(20)) == -math.inf
    assert level_dbfs(b"\x7f" * 160) == -math.inf
    assert level_dbfs(b"") == -math.inf


@pytest.mark.parametrize(
    ("dbfs", "audible"), [(-60.0, False), (-52.0, False), (-48.0, True), (-40.0, True)]
)
def test_audible_begins_at_the_documented_level(dbfs: float, audible: bool) -> None:
    assert is_audible(square(20, dbfs)) is audible


def test_silence_is_not_audible() -> None:
    assert not is_audible(b"")
    assert not is_audible(silence(1000))


def test_a_minute_of_comfort_noise_has_no_audible_moment() -> None:
    samples = np.random.default_rng(1).normal(0, 32.768, 60 * 8000).astype(np.int16)
    assert level_dbfs(encode(samples)) == pytest.approx(-60, abs=1)
    assert not is_audible(encode(samples))


@pytest.mark.parametrize("lead_ms", [0, 4, 100, 1000])
def test_first_and_last_audible_are_the_edges_of_the_sound(lead_ms: int) -> None:
    audio = silence(lead_ms) + square(40, -30) + silence(60)
    assert first_audible(audio) == lead_ms * 8
    assert last_audible(audio) == (lead_ms + 40) * 8


def test_a_gap_inside_the_sound_does_not_end_it() -> None:
    audio = square(20, -30) + silence(200) + square(20, -30)
    assert audible_span(audio) == (0, len(audio))


def test_a_short_chunk_is_judged_by_what_there_is() -> None:
    assert first_audible(square(1, -30)) == 0
    assert last_audible(square(1, -30)) == 8
    assert last_audible(silence(20) + square(1, -30)) == 168


def test_a_higher_threshold_hears_less() -> None:
    assert audible_span(square(20, -40), threshold_dbfs=-36) is None


@given(st.binary(max_size=1000))
def test_the_span_holds_all_that_is_loud_and_starts_and_ends_with_it(audio: bytes) -> None:
    span = audible_span(audio)
    blocks = [audio[n : n + BLOCK] for n in range(0, len(audio), BLOCK)]
    loud = [n for n, block in enumerate(blocks) if level_dbfs(block) > AUDIBLE_DBFS]
    if not loud:
        assert span is None
    else:
        assert span == (loud[0] * BLOCK, min(len(audio), (loud[-1] + 1) * BLOCK))
    assert is_audible(audio) == bool(loud)


@given(st.binary(max_size=300), st.integers(0, 10))
def test_leading_silence_moves_the_first_audible_by_its_length(audio: bytes, blocks: int) -> None:
    first = first_audible(audio)
    moved = first_audible(bytes((SILENCE,)) * blocks * BLOCK + audio)
    assert moved == (None if first is None else first + blocks * BLOCK)
