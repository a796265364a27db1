from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.fakes import tone

from voicelat.audio.mulaw import silence
from voicelat.audio.vad import EnergyVad, VoiceEdge
from voicelat.engine.ear import Ear, MediaClock

FRAME = 160


def _hear(
    ear: Ear, audio: bytes, *, media_ms: int = 0, lag_ms: int = 0, size: int = FRAME
) -> list[VoiceEdge]:
    """Frames that each arrive ``lag_ms`` after their last sample was said."""
    edges: list[VoiceEdge] = []
    for at in range(0, len(audio), size):
        begin_ms = media_ms + at // 8
        frame = audio[at : at + size]
        edges += ear.hear(frame, begin_ms, begin_ms + len(frame) // 8 + lag_ms)[1]
    return edges


@pytest.mark.parametrize("lag_ms", [0, 70, 5000])
def test_media_time_is_call_time_less_the_delay_of_the_line(lag_ms: int) -> None:
    clock = MediaClock()
    assert [clock.to_call(at, 20, at + 20 + lag_ms) for at in (0, 20, 40)] == [
        lag_ms,
        lag_ms + 20,
        lag_ms + 40,
    ]


@given(st.lists(st.integers(0, 400), max_size=50))
def test_jitter_does_not_move_the_audio(jitters_ms: list[int]) -> None:
    clock = MediaClock()
    clock.to_call(0, 20, 20)
    for n, jitter_ms in enumerate(jitters_ms, start=1):
        assert clock.to_call(n * 20, 20, n * 20 + 20 + jitter_ms) == n * 20


def test_audio_that_waited_for_us_arrives_at_once_and_keeps_its_time() -> None:
    clock = MediaClock()
    assert clock.to_call(0, 20, 20) == 0
    assert [clock.to_call(at, 20, 500) for at in (20, 40, 60)] == [20, 40, 60]


def test_a_line_that_turns_out_faster_is_approached_without_a_jump() -> None:
    clock = MediaClock()
    clock.to_call(0, 20, 120)
    begins = [clock.to_call(n * 20, 20, n * 20 + 20) for n in range(1, 200)]
    assert begins[0] == 20 + 99
    assert begins[-1] == 199 * 20
    assert all(19 <= b - a <= 20 for a, b in pairwise(begins))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 300)), min_size=1, max_size=60))
def test_audio_is_never_placed_before_audio_that_came_earlier(
    messages: list[tuple[int, int]],
) -> None:
    clock = MediaClock()
    media_ms, last_ms = 0, None
    for length_ms, lag_ms in messages:
        at_ms = clock.to_call(media_ms, length_ms, media_ms + length_ms + lag_ms)
        if last_ms is not None:
            assert at_ms >= last_ms - 1
        media_ms += length_ms
        last_ms = at_ms + length_ms


@pytest.mark.parametrize("size", [160, 80, 1600, 137])
def test_edges_lie_at_the_sound_itself_whatever_the_message_size(size: int) -> None:
    audio = silence(500) + tone(400) + silence(500)
    edges = _hear(Ear(EnergyVad()), audio, lag_ms=100, size=size)
    assert [edge.active for edge in edges] == [True, False]
    start, stop = edges
    assert abs(start.at_ms - 600) <= 20
    assert abs(stop.at_ms - 1000) <= 20


def test_without_timestamps_audio_follows_the_audio_before() -> None:
    ear = Ear(EnergyVad())
    begins = [ear.hear(silence(20), None, now_ms)[0] for now_ms in (20, 40, 60, 95)]
    assert begins == [0, 20, 40, 60]


def test_a_timestamp_that_cannot_be_is_counted_and_its_audio_follows_the_last() -> None:
    ear = Ear(EnergyVad())
    begins = [ear.hear(silence(20), at, 20 * n)[0] for n, at in enumerate((0, 10**7, 40), start=1)]
    assert begins == [0, 20, 40]
    assert ear.implausible == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), min_size=1, max_size=60))
def test_no_edge_is_later_than_now(messages: list[tuple[bool, int]]) -> None:
    ear = Ear(EnergyVad())
    for n, (voiced, jitter_ms) in enumerate(messages):
        now_ms = n * 20 + 20 + jitter_ms
        _, edges = ear.hear(tone(20) if voiced else silence(20), n * 20, now_ms)
        assert all(edge.at_ms <= now_ms for edge in edges)


def test_our_own_echo_is_silence_to_the_detector() -> None:
    ear = Ear(EnergyVad())
    ear.echo.sent(0, tone(1000, amplitude=8000))
    echo = tone(400, amplitude=500)  # 24 dB down
    assert _hear(ear, silence(200) + echo + silence(200)) == []
    assert ear.echo_ms == 400, "what cannot be heard is no echo"


def test_a_caller_who_speaks_over_the_echo_is_heard() -> None:
    ear = Ear(EnergyVad())
    ear.echo.sent(0, tone(1000, amplitude=8000))
    edges = _hear(ear, silence(200) + tone(400, amplitude=6000))
    assert [edge.active for edge in edges] == [True]


def test_a_voice_that_has_proved_to_be_one_keeps_its_quiet_sounds() -> None:
    ear = Ear(EnergyVad())
    ear.echo.sent(0, tone(1000, amplitude=8000))
    loud, quiet = tone(200, amplitude=6000), tone(300, amplitude=500)
    edges = _hear(ear, silence(200) + loud + quiet + silence(200))
    assert [edge.active for edge in edges] == [True, False]
    assert abs(edges[1].at_ms - 700) <= 20, "the quiet end of the voice belongs to it"


def test_a_caller_who_has_taken_the_floor_is_heard_however_quiet() -> None:
    ear = Ear(EnergyVad())
    ear.echo.sent(0, tone(5000, amplitude=8000))
    ear.echo.forget()
    quiet = tone(400, amplitude=500)
    assert len(_hear(ear, silence(200) + quiet)) == 1
