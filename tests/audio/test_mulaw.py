from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio import mulaw

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(
    ("code", "sample"),
    [
        (0x00, -32124),
        (0x80, 32124),
        (0xFF, 0),
        (0x7F, 0),
        (0xFE, 8),
        (0x7E, -8),
        (0xF0, 120),
        (0xEF, 132),
        (0x0F, -16764),
        (0x8F, 16764),
    ],
)
def test_codes_decode_to_the_levels_of_g711(code: int, sample: int) -> None:
    assert mulaw.decode(bytes((code,))).tolist() == [sample]


def test_every_code_survives_the_round_trip_and_minus_zero_becomes_zero() -> None:
    again = mulaw.encode(mulaw.decode(EVERY_CODE))
    assert again == EVERY_CODE.replace(b"\x7f", b"\xff")


def test_every_sample_becomes_a_level_within_half_a_step() -> None:
    coded = mulaw.decode(mulaw.encode(EVERY_SAMPLE)).astype(int)
    lost_bits = 4
    half_step = np.abs(coded) / 32 + lost_bits
    clipped = np.abs(EVERY_SAMPLE.astype(int)) > 32124
    assert np.all((np.abs(coded - EVERY_SAMPLE) <= half_step + lost_bits) | clipped)
    assert np.all(np.diff(coded) >= 0)


def test_tables_equal_the_standard_librarys() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="left the library in Python 3.13")
    assert mulaw.decode(EVERY_CODE).tobytes() == audioop.ulaw2lin(EVERY_CODE, 2)
    assert mulaw.encode(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE.tobytes(), 2)


@given(st.binary(max_size=2000))
def test_any_bytes_decode_to_as_many_samples(audio: bytes) -> None:
    pcm = mulaw.decode(audio)
    assert pcm.dtype == np.int16
    assert pcm.shape == (len(audio),)
    assert mulaw.decode(mulaw.encode(pcm)).tolist() == pcm.tolist()


def test_strided_samples_encode_like_their_copy() -> None:
    stereo = np.array([[0, 1000], [5, -1000]], np.int16)
    assert mulaw.encode(stereo[:, 1]) == mulaw.encode(stereo[:, 1].copy())


def test_silence_lasts_as_long_as_asked_and_decodes_to_zero() -> None:
    quiet = mulaw.silence(25)
    assert mulaw.duration_ms(quiet) == 25
    assert not mulaw.decode(quiet).any()


def test_duration_rounds_down() -> None:
    assert [mulaw.duration_ms(b"x" * n) for n in (0, 7, 8, 161)] == [0, 0, 1, 20]
