from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.engine.intake import LONGEST_REPLY_MS, AudioIntake, text_of, transcript_of
from voicelat.errors import ProviderError
from voicelat.providers.protocols import Transcript


@given(st.text(st.characters()))
def test_any_text_becomes_one_that_can_be_written(text: str) -> None:
    assert len(text_of(text).encode()) >= len(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_that_can_be_written_is_left_alone(text: str) -> None:
    assert text_of(text) == text


@pytest.mark.parametrize("given", [None, b"hello", 5])
def test_what_is_no_text_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="instead of text"):
        text_of(given)
    with pytest.raises(TypeError, match="instead of text"):
        transcript_of(Transcript(given, final=True))  # type: ignore[arg-type]


def test_what_is_no_transcript_is_refused() -> None:
    with pytest.raises(TypeError, match="str instead of a Transcript"):
        transcript_of("hello")  # type: ignore[arg-type]


def test_the_numbers_of_a_library_become_plain_ones() -> None:
    foreign = Transcript("yes", np.bool_(True), np.float32(0.5))  # type: ignore[arg-type]
    plain = transcript_of(foreign)
    assert plain == Transcript("yes", final=True, confidence=0.5)
    assert (type(plain.final), type(plain.confidence)) == (bool, float)


@pytest.mark.parametrize("given", [b"\x01\x02", bytearray(b"\x01\x02"), memoryview(b"\x01\x02")])
def test_audio_is_any_kind_of_bytes(given: object) -> None:
    assert AudioIntake("voice").take(given) == b"\x01\x02"


@pytest.mark.parametrize("given", [None, "abc", np.zeros(8, np.int16)])
def test_what_is_no_audio_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="instead of mu-law bytes"):
        AudioIntake("voice").take(given)


def test_a_voice_that_does_not_end_is_ended() -> None:
    intake = AudioIntake("voice")
    intake.take(bytes(8 * LONGEST_REPLY_MS))
    with pytest.raises(ProviderError, match="more than 300 s"):
        intake.take(b"\xff")
