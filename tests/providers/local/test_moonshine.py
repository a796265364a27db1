from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import ProviderError
from voicelat.providers.local.inference import Stopper
from voicelat.providers.local.moonshine import Moonshine, loop_length, read_tokenizer
from voicelat.providers.local.pool import Rank, RankedPool

Recording = Callable[[str], bytes]


def _packed(pieces: list[bytes]) -> bytes:
    packed = b""
    for piece in pieces:
        size = len(piece)
        packed += bytes([size] if size < 128 else [size % 128 + 128, size // 128]) + piece
    return packed


@given(st.lists(st.binary(max_size=300)))
def test_a_tokenizer_file_gives_its_pieces_back(pieces: list[bytes]) -> None:
    assert read_tokenizer(_packed(pieces)) == pieces


@given(st.binary(max_size=60))
def test_any_bytes_are_a_tokenizer_or_one_clear_error(raw: bytes) -> None:
    try:
        pieces = read_tokenizer(raw)
    except ProviderError as error:
        assert error.advice == "give_up"
    else:
        assert sum(map(len, pieces)) < len(raw) or not raw


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sphinx_goforward.wav", "Go forward ten meters."),
        ("gdf_mountain_view.wav", "Mountain view."),
        ("asterisk_en_vm-newuser.wav", "mail"),
    ],
)
def test_it_reads_telephone_speech(
    moonshine: Moonshine, recording: Recording, name: str, words: str
) -> None:
    heard = moonshine.transcribe(recording(name))
    assert heard is not None
    assert words.lower() in heard.text.lower()


def test_more_than_nine_seconds_are_one_segment(moonshine: Moonshine, recording: Recording) -> None:
    # At 384 encoder frames (9.2 s) a mask of the wrong length breaks the decoder.
    heard = moonshine.transcribe(recording("asterisk_en_demo-moreinfo.wav")[: 14 * 8000])
    assert heard is not None
    assert heard.text.startswith("Asterisk is an open source")
    assert len(heard.text.split()) > 20


@pytest.mark.parametrize("size", [0, 1, 79, 80, 800])
def test_audio_too_short_for_a_word_is_no_error(moonshine: Moonshine, size: int) -> None:
    assert moonshine.transcribe(bytes([0xFF]) * size) is not None


def test_a_right_draft_changes_nothing(moonshine: Moonshine, recording: Recording) -> None:
    speech = recording("sphinx_4kb_0870.wav")
    plain = moonshine.transcribe(speech)
    assert plain is not None
    assert moonshine.transcribe(speech, plain.tokens) == plain
    assert moonshine.transcribe(speech, plain.tokens[:9]) == plain


def test_a_wrong_draft_is_corrected(moonshine: Moonshine, recording: Recording) -> None:
    speech = recording("sphinx_4kb_0870.wav")
    plain = moonshine.transcribe(speech)
    assert plain is not None
    assert moonshine.transcribe(speech, (*plain.tokens[:5], 7000, 8000)) == plain


def test_noise_gives_no_flood_of_words(moonshine: Moonshine, recording: Recording) -> None:
    heard = moonshine.transcribe(recording("hold_music.wav")[: 10 * 8000])
    assert heard is not None
    assert len(heard.tokens) <= 10 * 6.5 + 3


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.lists(st.integers(10, 19)))
def test_a_decoder_in_a_loop_is_cut_back_to_one_round(period: list[int], before: list[int]) -> None:
    tokens = before + period * 12
    assert loop_length(before) == 0 or len(before) >= 12
    cut = tokens[: -loop_length(tokens)]
    assert len(cut) < len(tokens)
    assert cut == tokens[: len(cut)]


def test_digits_said_five_times_are_no_loop() -> None:
    zero_comma = [4, 5]
    assert loop_length([1, 2, 3, *zero_comma * 5]) == 0
    assert loop_length([1, 2, 3, *zero_comma * 6]) == 10


def test_it_stops_at_the_next_token(
    moonshine: Moonshine, recording: Recording, pool: RankedPool
) -> None:
    stopper, first_token, stopped = Stopper(), Event(), Event()

    def at_a_token() -> bool:
        first_token.set()
        stopped.wait(timeout=30)
        return False

    speech = recording("sphinx_4kb_0870.wav")
    job = pool.submit(Rank.NOW, lambda: moonshine.transcribe(speech, (), stopper, at_a_token))
    assert first_token.wait(timeout=30)
    stopper.stop()
    stopped.set()
    assert job.result(timeout=30) is None


def test_it_gives_way_when_asked(moonshine: Moonshine, recording: Recording) -> None:
    assert moonshine.transcribe(recording("gdf_today.wav"), give_way=lambda: True) is None
