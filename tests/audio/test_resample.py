from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.audio.mulaw import Pcm
from voicelat.audio.resample import LiveResampler, to_8k

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000]


def tone(hz: float, rate: int, duration_ms: int = 500) -> Pcm:
    t = np.arange(rate * duration_ms // 1000) / rate
    return (10_000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def gain_db(after: Pcm, before: Pcm) -> float:
    loudness = [np.sqrt(np.mean(np.square(pcm.astype(float)))) for pcm in (after, before)]
    return float(20 * np.log10((loudness[0] + 1e-9) / loudness[1]))


def streamed(pcm: Pcm, rate: int, chunk: int) -> Pcm:
    live = LiveResampler(rate)
    ready = [live.push(pcm[at : at + chunk]) for at in range(0, len(pcm), chunk)]
    return np.concatenate([*ready, live.flush()])


@pytest.mark.parametrize("rate", RATES)
def test_a_whole_buffer_keeps_its_duration_and_loudness(rate: int) -> None:
    pcm = to_8k(tone(440, rate), rate)
    assert pcm.dtype == np.int16
    assert abs(len(pcm) - 4000) <= 1
    assert gain_db(pcm, tone(440, rate)) == pytest.approx(0, abs=0.2)


def test_an_empty_buffer_stays_empty() -> None:
    assert to_8k(np.empty(0, np.int16), 16000).size == 0


@pytest.mark.parametrize("rate", RATES)
def test_a_live_stream_never_holds_back_more_than_2_ms(rate: int) -> None:
    live = LiveResampler(rate)
    chunk = rate // 50
    pcm = tone(440, rate)
    given_out = 0
    for at in range(0, len(pcm), chunk):
        given_out += len(live.push(pcm[at : at + chunk]))
        taken_in = min(at + chunk, len(pcm)) * 8000 / rate
        assert taken_in - given_out <= 16


@pytest.mark.parametrize("rate", RATES)
def test_a_live_stream_is_at_most_2_ms_late(rate: int) -> None:
    pcm = tone(440, rate)
    pcm[: len(pcm) // 2] = 0
    onset = int(np.flatnonzero(np.abs(streamed(pcm, rate, rate // 50)) > 1000)[0])
    assert 2000 - 16 <= onset <= 2000 + 16


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 48000])
def test_a_live_stream_keeps_the_voice_band_and_folds_nothing_into_it(rate: int) -> None:
    assert gain_db(streamed(tone(1000, rate), rate, 333), tone(1000, rate)) > -0.5
    assert gain_db(streamed(tone(3000, rate), rate, 333), tone(3000, rate)) > -1
    assert gain_db(streamed(tone(6000, rate), rate, 333), tone(6000, rate)) < -40


@pytest.mark.parametrize("rate", [11025, 24000, 44100])
def test_the_same_audio_gives_the_same_samples(rate: int) -> None:
    assert to_8k(tone(440, rate), rate).tobytes() == to_8k(tone(440, rate), rate).tobytes()
    twice = [streamed(tone(440, rate), rate, 500).tobytes() for _ in range(2)]
    assert twice[0] == twice[1]
    assert not to_8k(np.zeros(rate, np.int16), rate).any()


@settings(deadline=None)
@given(st.sampled_from(RATES), st.integers(1, 3000))
def test_chunk_size_does_not_change_the_stream(rate: int, chunk: int) -> None:
    pcm = tone(700, rate, 100)
    whole, cut = streamed(pcm, rate, len(pcm)), streamed(pcm, rate, chunk)
    assert abs(len(whole) - len(cut)) <= 1
    n = min(len(whole), len(cut))
    assert np.abs(whole[:n].astype(int) - cut[:n]).max() <= 2


def test_full_scale_does_not_wrap_around() -> None:
    step = np.full(4800, 32767, np.int16)
    step[:2400] = -32768
    after = streamed(step, 24000, 480)[50:1550]
    assert np.count_nonzero(np.diff(after > 0)) == 1


@pytest.mark.parametrize("rate", [16000, 24000])
def test_flush_gives_the_last_sound(rate: int) -> None:
    pcm = np.zeros(rate // 10, np.int16)
    pcm[-8:] = 10_000
    after = streamed(pcm, rate, len(pcm))
    loudest = int(np.argmax(np.abs(after.astype(int))))
    assert 800 <= loudest <= 816


def test_a_live_stream_can_go_up_too() -> None:
    live = LiveResampler(8000, 16000)
    pcm = np.concatenate([live.push(tone(440, 8000)), live.flush()])
    assert abs(len(pcm) - 8000) <= 2
    assert gain_db(pcm, tone(440, 8000)) == pytest.approx(0, abs=0.2)
