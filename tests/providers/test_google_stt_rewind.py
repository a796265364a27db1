from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.providers.google_stt_rewind import Place, Rewind, Seam, Told, Voices
from voicelat.providers.protocols import Transcript

_BEFORE = (Place("meters", 8000, 12_000),)
"""The last word that was final, 1000 to 1500 ms."""


def placed(text: str, begin: int) -> list[Place]:
    """The words of ``text``, 300 ms each."""
    size = 300 * BYTES_PER_MS
    words = text.split()
    return [Place(w, begin + n * size, begin + (n + 1) * size) for n, w in enumerate(words)]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.integers(0, 500))
def test_what_is_kept_is_found_again_at_its_position(chunks: list[bytes], before: int) -> None:
    rewind, whole = Rewind(), b"".join(chunks)
    for chunk in chunks:
        rewind.append(chunk)
    before = min(before, len(whole))
    rewind.forget(before)
    rewind.forget(before - 10)
    assert (rewind.begin, rewind.end) == (before, len(whole))
    assert rewind.read(before, rewind.end) == whole[before:]


def test_a_repeated_word_is_dropped_from_a_partial_by_its_text() -> None:
    seam = Seam(_BEFORE)
    assert seam.partial("Meters, please.") == "please."
    assert seam.partial("meters") == ""
    assert seam.partial("please") == "please"


def test_a_word_that_was_said_twice_is_dropped_once() -> None:
    assert Seam(_BEFORE).partial("meters meters") == "meters"


def test_a_repeated_word_is_dropped_from_a_final_by_its_time() -> None:
    seam = Seam(_BEFORE)
    heard = [Place("metres", 8100, 11_900), *placed("please", 14_000)]
    assert seam.final("metres please", heard, 20_000) == "please"


def test_the_same_word_said_again_is_kept_because_of_its_time() -> None:
    assert Seam(_BEFORE).final("meters", placed("meters", 14_000), 20_000) == "meters"


def test_without_times_a_final_is_compared_word_for_word() -> None:
    assert Seam(_BEFORE).final("meters please", [], 20_000) == "please"


@pytest.mark.parametrize(("end", "then"), [(12_000, "meters"), (11_000, "")])
def test_a_seam_is_used_up_by_a_final_that_reaches_behind_it(end: int, then: str) -> None:
    seam = Seam(_BEFORE)
    assert seam.final("meters", [], end) == ""
    assert seam.partial("meters") == then


def test_part_of_the_seam_alone_is_a_repeat_too() -> None:
    seam = Seam((*placed("ten", 4000), *_BEFORE))
    assert seam.partial("ten") == ""
    assert seam.partial("ten meters please") == "please"
    assert seam.partial("ten feet") == "ten feet"


def test_voices_are_forgotten_up_to_where_the_recogniser_is_done() -> None:
    voices = Voices()
    voices.start(1000)
    voices.start(1500)
    voices.stop(9000)
    voices.start(20_000)
    assert (voices.earliest, voices.active) == (1000, True)
    voices.settle(8000)
    assert voices.earliest == 8000
    voices.settle(9000)
    assert voices.earliest == 20_000
    voices.settle(25_000)
    assert voices.earliest == 25_000, "it still goes on"


def test_the_late_end_of_a_voice_is_no_new_voice() -> None:
    voices = Voices()
    voices.start(0)
    voices.stop(10_000)
    assert not voices.behind(8000, 20_000)
    assert voices.behind(6000, 20_000)
    voices.start(15_000)
    assert voices.behind(8000, 20_000)


def test_partials_behind_what_was_told_already_are_not_told() -> None:
    told = Told()
    assert told.take_partial("one two", 8000) == Transcript("one two", final=False)
    assert told.take_partial("one", 4000) is None
    assert told.take_partial("one two", 9000) is None
    assert told.take_partial("one two three", 9500) == Transcript("one two three", final=False)
    assert told.open


def test_a_final_closes_what_was_told() -> None:
    told = Told()
    told.take_partial("one", 8000)
    places = tuple(placed("one", 4000))
    assert told.take_final("one", 9000, places, 0.5) == Transcript("one", True, 0.5)
    assert not told.open
    assert (told.settled, told.last) == (9000, places)


def test_an_empty_final_is_told_only_to_take_a_partial_back() -> None:
    told = Told()
    assert told.take_final("", 4000, (), None) is None
    told.take_partial("uh", 6000)
    assert told.take_final("", 8000, (), None) == Transcript("", final=True)


def test_a_partial_without_its_final_becomes_one() -> None:
    told = Told()
    told.take_partial("one", None)
    assert told.close(9000) == Transcript("one", final=True)
    assert told.close(10_000) == Transcript("", final=True)


def test_a_final_for_what_was_final_already_is_not_told() -> None:
    told = Told()
    told.take_final("one", 9000, (), None)
    assert told.take_final("another turn's", 9000, (), 0.9) is None
    assert told.take_final("an older turn's", 4000, (), 0.9) is None
    assert told.take_final("two", 9008, (), None) == Transcript("two", final=True)
