"""Twilio's buffer. Times are samples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicelat.caller.playout import Mouthpiece, Playout

TONE = b"\x80" * 160
HUSH = b"\xff" * 160


def test_audio_is_played_in_order_from_when_it_arrives() -> None:
    playout = Playout()
    playout.append(TONE, 80)
    playout.append(TONE, 100)
    assert playout.end == 80 + 320
    assert playout.advance(80) == ([], [])
    assert playout.advance(1000) == ([(80, 240), (240, 400)], [])


def test_only_what_can_be_heard_is_told_and_only_as_far_as_it_was_played() -> None:
    playout = Playout()
    playout.append(HUSH + TONE + HUSH, 0)
    assert playout.advance(160) == ([], [])
    assert playout.advance(200) == ([(160, 200)], [])
    assert playout.advance(480) == ([(160, 320)], [])
    assert playout.advance(480) == ([], [])


def test_a_mark_comes_back_when_all_before_it_was_played() -> None:
    playout = Playout()
    playout.mark("at once", 8)
    playout.append(TONE, 8)
    playout.mark("a", 8)
    playout.append(TONE, 8)
    playout.mark("b", 8)
    assert playout.next_mark == 8
    assert playout.advance(8)[1] == ["at once"]
    assert playout.next_mark == 168
    assert playout.advance(167)[1] == []
    assert playout.advance(168)[1] == ["a"]
    assert playout.advance(9999)[1] == ["b"]
    assert playout.next_mark is None


def test_clear_empties_the_buffer_and_sends_back_every_mark() -> None:
    playout = Playout()
    playout.append(TONE * 5, 0)
    playout.mark("a", 0)
    playout.append(TONE, 0)
    playout.mark("b", 0)
    assert playout.advance(100) == ([(0, 100)], [])
    assert playout.clear(100) == ["a", "b"]
    assert playout.end == 100
    assert playout.advance(9999) == ([], [])
    playout.append(TONE, 200)
    assert playout.advance(9999) == ([(200, 360)], [])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.one_of(st.binary(min_size=1, max_size=700), st.text(max_size=3), st.none()),
        )
    )
)
def test_no_mark_is_lost_or_comes_twice(moves: list[tuple[int, bytes | str | None]]) -> None:
    """bytes: audio, str: a mark, None: a clear."""
    playout, now = Playout(), 0
    sent: list[str] = []
    back: list[str] = []
    for wait, move in moves:
        now += wait
        back += playout.advance(now)[1]
        if isinstance(move, bytes):
            playout.append(move, now)
        elif isinstance(move, str):
            playout.mark(move, now)
            sent.append(move)
        else:
            back += playout.clear(now)
            assert back == sent
    back += playout.advance(max(now, playout.end))[1]
    assert back == sent


def test_the_microphone_hears_noise_wherever_nobody_speaks() -> None:
    mouth = Mouthpiece(noise=bytes(range(10)))
    assert mouth.take(4) == bytes([0, 1, 2, 3])
    mouth.say((b"ab", 3, b"c"))
    assert mouth.busy
    assert mouth.take(4) == b"ab" + bytes([6, 7])
    assert mouth.take(4) == bytes([8]) + b"c" + bytes([0, 1])
    assert not mouth.busy
    assert mouth.take(25) == bytes([*range(2, 10), *range(10), *range(7)])


def test_without_noise_there_is_digital_silence() -> None:
    assert Mouthpiece().take(160) == HUSH
