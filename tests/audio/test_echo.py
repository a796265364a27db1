from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio.echo import ECHO_MARGIN_DB, ECHO_WINDOW_MS, EchoGuard
from voicelat.audio.level import level_dbfs
from voicelat.audio.mulaw import encode, silence


def noise(duration_ms: int, dbfs: float) -> bytes:
    """White noise of that level, as mu-law."""
    samples = np.random.default_rng(7).normal(0, 32768 * 10 ** (dbfs / 20), duration_ms * 8)
    return encode(samples.clip(-32768, 32767).astype(np.int16))


def test_anything_passes_while_we_are_silent() -> None:
    guard = EchoGuard()
    assert guard.passes(0, -90)
    guard.sent(0, silence(1000))
    assert guard.passes(500, -60)


def test_only_what_is_louder_than_an_echo_passes_while_we_speak() -> None:
    guard = EchoGuard()
    agent = noise(500, -20)
    guard.sent(0, agent)
    limit = level_dbfs(agent) - ECHO_MARGIN_DB
    assert not guard.passes(250, limit - 2)
    assert guard.passes(250, limit + 2)


def test_quiet_agents_have_quiet_echoes() -> None:
    guard = EchoGuard()
    guard.sent(0, noise(500, -40))
    assert guard.passes(250, -45)


def test_an_echo_may_come_one_window_late() -> None:
    guard = EchoGuard()
    guard.sent(0, noise(100, -20))
    assert not guard.passes(100 + ECHO_WINDOW_MS - 1, -50)
    assert guard.passes(100 + ECHO_WINDOW_MS, -50)


def test_audio_that_plays_later_makes_no_echo_yet() -> None:
    guard = EchoGuard()
    guard.sent(1000, noise(100, -20))
    assert guard.passes(999, -50)
    assert not guard.passes(1001, -50)


def test_nothing_is_held_back_from_a_caller_who_has_taken_the_floor() -> None:
    guard = EchoGuard()
    guard.sent(0, noise(2000, -20))
    assert not guard.passes(110, -50)
    guard.forget()
    assert guard.passes(110, -50)


def test_the_margin_and_window_can_be_set() -> None:
    guard = EchoGuard(margin_db=30, window_ms=100)
    guard.sent(0, noise(20, -20))
    assert guard.passes(10, -45)
    assert not guard.passes(10, -55)
    assert guard.passes(120, -55)


def test_memory_is_bounded_however_far_ahead_is_sent() -> None:
    guard = EchoGuard()
    second = noise(1000, -20)
    for n in range(300):
        guard.sent(n * 1000, second)
    assert guard.passes(1000, -50), "the oldest is forgotten"
    assert not guard.passes(300_000, -50)


@given(st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=400))), st.floats(-100, 0))
def test_louder_sound_passes_whenever_quieter_does(
    sends: list[tuple[int, bytes]], level: float
) -> None:
    guard = EchoGuard()
    for at_ms, audio in sends:
        guard.sent(at_ms, audio)
    if guard.passes(500, level):
        assert guard.passes(500, level + 1)
