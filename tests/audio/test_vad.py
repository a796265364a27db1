from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.audio import mulaw, wav
from voicelat.audio.level import audible_span
from voicelat.audio.mulaw import silence
from voicelat.audio.vad import (
    EnergyVad,
    SpeechSegmenter,
    VadConfig,
    VoiceDetector,
    VoiceEdge,
    Window,
)


class Scripted:
    """A detector that says what it was told to, then 0."""

    def __init__(self, probabilities: list[float], window_ms: int = 20) -> None:
        self.window_ms = window_ms
        self._probabilities = iter(probabilities)

    def probability(self, window: bytes) -> float:
        assert len(window) == self.window_ms * 8
        return next(self._probabilities, 0.0)


def noise(duration_ms: int, dbfs: float) -> bytes:
    """White noise of that level, as mu-law."""
    samples = np.random.default_rng(7).normal(0, 32768 * 10 ** (dbfs / 20), duration_ms * 8)
    return mulaw.encode(samples.clip(-32768, 32767).astype(np.int16))


def buzz(duration_ms: int, dbfs: float) -> bytes:
    """A voice-like 125 Hz square wave whose level falls by 6 dB and rises 4 times a second."""
    t = np.arange(duration_ms * 8) / 8000
    envelope = 0.75 + 0.25 * np.cos(2 * np.pi * 4 * t)
    wave = np.sign(np.sin(2 * np.pi * 125 * t + 0.1)) * envelope * 10 ** (dbfs / 20)
    return mulaw.encode((wave * 32767).astype(np.int16))


def mixed(one: bytes, other: bytes) -> bytes:
    both = mulaw.decode(one).astype(int) + mulaw.decode(other)
    return mulaw.encode(both.clip(-32768, 32767).astype(np.int16))


def noticed(
    audio: bytes,
    detector: VoiceDetector,
    chunk: int = 160,
    at_ms: int = 0,
    config: VadConfig | None = None,
) -> Iterator[tuple[VoiceEdge, int]]:
    """Every edge with the time up to which audio had been pushed when it came."""
    segmenter = SpeechSegmenter(detector, config)
    for begin in range(0, len(audio), chunk):
        end_ms = at_ms + min(begin + chunk, len(audio)) // 8
        for edge in segmenter.push(audio[begin : begin + chunk], at_ms + begin // 8):
            yield edge, end_ms
    for edge in segmenter.flush(at_ms + len(audio) // 8):
        yield edge, at_ms + len(audio) // 8


def edges(
    audio: bytes, detector: VoiceDetector, chunk: int = 160, at_ms: int = 0
) -> list[VoiceEdge]:
    return [edge for edge, _ in noticed(audio, detector, chunk, at_ms)]


def on(at_ms: int) -> VoiceEdge:
    return VoiceEdge(active=True, at_ms=at_ms)


def off(at_ms: int) -> VoiceEdge:
    return VoiceEdge(active=False, at_ms=at_ms)


class TestEnergyVad:
    def test_silence_is_never_speech(self) -> None:
        assert edges(silence(3000), EnergyVad()) == []

    @pytest.mark.parametrize("dbfs", [-60.0, -45.0])
    def test_steady_line_noise_is_never_speech(self, dbfs: float) -> None:
        assert edges(noise(10_000, dbfs), EnergyVad()) == []

    def test_noise_that_begins_in_mid_call_is_speech_for_less_than_a_second(self) -> None:
        found = edges(silence(2000) + noise(10_000, -45), EnergyVad())
        assert all(edge.at_ms < 3000 for edge in found)

    @pytest.mark.parametrize("dbfs", [-10.0, -25.0, -40.0])
    def test_a_voice_is_speech_at_any_usual_level(self, dbfs: float) -> None:
        assert edges(silence(500) + buzz(800, dbfs) + silence(500), EnergyVad()) == [
            on(500),
            off(1300),
        ]

    def test_a_voice_stands_out_of_line_noise(self) -> None:
        voice = silence(2000) + buzz(800, -20) + silence(1000)
        start, stop = edges(mixed(voice, noise(3800, -45)), EnergyVad())
        assert start == on(2000)
        assert stop.at_ms == pytest.approx(2800, abs=8)

    def test_a_voice_from_the_first_sample_on_is_speech(self) -> None:
        assert edges(buzz(500, -20) + silence(200), EnergyVad()) == [on(0), off(500)]

    def test_a_long_loud_vowel_stays_speech(self) -> None:
        assert edges(buzz(4000, -15) + silence(200), EnergyVad()) == [on(0), off(4000)]

    def test_comfort_noise_after_digital_silence_is_not_speech(self) -> None:
        detector = EnergyVad()
        detector.probability(silence(20))
        assert detector.probability(noise(20, -58)) < 0.5

    @given(st.lists(st.binary(min_size=160, max_size=160), max_size=20))
    def test_the_probability_is_one(self, windows: list[bytes]) -> None:
        detector = EnergyVad()
        assert all(0 <= detector.probability(window) <= 1 for window in windows)


class TestSpeechSegmenter:
    def test_edges_lie_at_the_sound_not_at_the_windows(self) -> None:
        audio = silence(108) + buzz(400, -20) + silence(200)
        assert edges(audio, EnergyVad()) == [on(108), off(508)]

    def test_a_stop_is_noticed_within_one_dip_and_one_window(self) -> None:
        for odd_ms in range(0, 20, 4):
            audio = silence(100) + buzz(400 + odd_ms, -20) + silence(200)
            _, (stop, at_ms) = noticed(audio, EnergyVad())
            assert stop == off(500 + odd_ms)
            assert at_ms - stop.at_ms <= 60

    def test_a_detector_that_is_slow_to_let_go_does_not_delay_the_stop(self) -> None:
        audio = silence(100) + buzz(400, -20) + silence(500)
        slow = Scripted([0.0] * 5 + [1.0] * 35)
        _, (stop, at_ms) = noticed(audio, slow)
        assert stop == off(500)
        assert at_ms == 540

    def test_on_a_noisy_line_the_detector_decides(self) -> None:
        audio = noise(2000, -40)
        heard = Scripted([0.0] * 50 + [0.9] * 20)
        assert edges(audio, heard) == [on(1000), off(1400)]

    def test_a_dip_inside_a_word_is_no_edge(self) -> None:
        audio = buzz(200, -20) + silence(36) + buzz(200, -20) + silence(100)
        assert edges(audio, EnergyVad()) == [on(0), off(436)]

    def test_a_pause_between_words_is_a_stop_and_a_start(self) -> None:
        audio = buzz(200, -20) + silence(100) + buzz(200, -20) + silence(100)
        assert edges(audio, EnergyVad()) == [on(0), off(200), on(300), off(500)]

    def test_one_likely_window_alone_is_a_click(self) -> None:
        assert edges(silence(100) + buzz(16, -10) + silence(200), EnergyVad()) == []

    def test_between_the_thresholds_speech_goes_on_but_does_not_begin(self) -> None:
        audio = buzz(400, -20)
        assert edges(audio, Scripted([0.4] * 20)) == []
        assert edges(audio, Scripted([0.6] * 2 + [0.4] * 18)) == [on(0), off(400)]

    def test_the_start_reaches_back_over_sound_the_detector_was_slow_to_like(self) -> None:
        late = Scripted([0.0] * 8 + [1.0] * 12)
        assert edges(silence(100) + buzz(300, -20) + silence(100), late)[0] == on(100)

    def test_the_start_reaches_back_no_further_than_an_onset(self) -> None:
        late = Scripted([0.0] * 20 + [1.0] * 5)
        assert edges(buzz(500, -20) + silence(100), late)[0] == on(300)

    def test_loud_sound_that_is_no_voice_does_not_keep_speech_open(self) -> None:
        found = list(noticed(buzz(1000, -20), Scripted([1.0] * 20)))
        assert found[1] == (off(400), 520)

    def test_flush_closes_speech_at_its_last_sound(self) -> None:
        segmenter = SpeechSegmenter(EnergyVad())
        assert segmenter.push(buzz(200, -20) + silence(20), 0) == [on(0)]
        assert segmenter.flush(220) == [off(200)]
        assert segmenter.flush(220) == []

    def test_flush_gives_no_edge_after_the_end_it_is_told(self) -> None:
        segmenter = SpeechSegmenter(EnergyVad())
        segmenter.push(silence(100) + buzz(200, -20), 0)
        assert segmenter.flush(250) == [off(250)]
        segmenter.push(buzz(200, -20), 300)
        assert segmenter.flush(0) == [off(251)], "speech is never shorter than 1 ms"

    def test_silence_shorter_than_a_dip_before_the_first_sound_is_not_part_of_it(self) -> None:
        assert edges(silence(20) + buzz(200, -20), EnergyVad())[0] == on(20)

    def test_times_count_from_the_first_chunks(self) -> None:
        audio = silence(100) + buzz(400, -20) + silence(200)
        assert edges(audio, EnergyVad(), at_ms=7000) == [on(7100), off(7500)]

    def test_missing_audio_is_heard_as_silence_and_counted(self) -> None:
        segmenter = SpeechSegmenter(EnergyVad())
        found = segmenter.push(buzz(200, -20), 0) + segmenter.push(buzz(200, -20), 400)
        assert found == [on(0), off(200), on(400)]
        assert segmenter.gap_ms == 200

    def test_a_long_gap_closes_speech_and_costs_nothing(self) -> None:
        segmenter = SpeechSegmenter(EnergyVad())
        segmenter.push(buzz(200, -20), 0)
        assert segmenter.push(buzz(200, -20), 10**12) == [off(200), on(10**12)]
        assert segmenter.gap_ms == 10**12 - 200

    def test_repeated_audio_is_dropped_and_counted(self) -> None:
        segmenter = SpeechSegmenter(EnergyVad())
        assert segmenter.push(buzz(200, -20), 0) == [on(0)]
        assert segmenter.push(buzz(200, -20), 100) == []
        assert segmenter.late_ms == 100
        assert segmenter.push(silence(100), 300) == [off(300)]

    def test_jitter_below_a_frame_moves_nothing(self) -> None:
        segmenter = SpeechSegmenter(EnergyVad())
        audio = silence(100) + buzz(400, -20) + silence(200)
        found = []
        for n, begin in enumerate(range(0, len(audio), 160)):
            found += segmenter.push(
                audio[begin : begin + 160], max(0, n * 20 + (-15, 0, 15)[n % 3])
            )
        assert found == [on(100), off(500)]
        assert (segmenter.gap_ms, segmenter.late_ms) == (0, 0)

    @pytest.mark.parametrize("windows", [1, 4])
    def test_the_onset_debounce_can_be_set(self, windows: int) -> None:
        segmenter = SpeechSegmenter(Scripted([1.0] * 9), VadConfig(start_windows=windows))
        frames = [segmenter.push(buzz(20, -20), n * 20) for n in range(6)]
        assert [bool(found) for found in frames].index(True) == windows - 1


PIECES = st.lists(
    st.tuples(st.sampled_from(["silence", "buzz", "noise"]), st.integers(0, 300)), max_size=8
)
PROBABILITIES = st.lists(st.sampled_from([0.0, 0.34, 0.4, 0.6, 1.0]), max_size=150)
WINDOWS = st.sampled_from([10, 20, 32])


def made(pieces: list[tuple[str, int]]) -> bytes:
    audio = b""
    for kind, length_ms in pieces:
        match kind:
            case "silence":
                audio += silence(length_ms)
            case "buzz":
                audio += buzz(length_ms, -20)
            case _:
                audio += noise(length_ms, -40)
    return audio


CONFIGS = st.builds(
    VadConfig,
    start_windows=st.integers(1, 3),
    dip_ms=st.integers(0, 100),
    murmur_ms=st.integers(0, 200),
    onset_ms=st.integers(0, 300),
)


@settings(deadline=None)
@given(PIECES, PROBABILITIES, WINDOWS, st.integers(1, 2000), CONFIGS)
def test_edges_alternate_and_never_go_back_or_ahead_of_the_audio(
    pieces: list[tuple[str, int]],
    probabilities: list[float],
    window_ms: int,
    chunk: int,
    config: VadConfig,
) -> None:
    found = list(noticed(made(pieces), Scripted(probabilities, window_ms), chunk, config=config))
    assert [edge.active for edge, _ in found] == [n % 2 == 0 for n in range(len(found))]
    assert len(found) % 2 == 0, "flush closes what is open"
    for (one, _), (other, _) in pairwise(found):
        assert one.at_ms <= other.at_ms
        assert other.active or one.at_ms < other.at_ms
    assert all(0 <= edge.at_ms <= pushed_ms for edge, pushed_ms in found)


@settings(deadline=None)
@given(PIECES, PROBABILITIES, WINDOWS, st.integers(1, 2000))
def test_chunk_size_does_not_change_the_edges(
    pieces: list[tuple[str, int]], probabilities: list[float], window_ms: int, chunk: int
) -> None:
    audio = made(pieces)
    whole = edges(audio, Scripted(probabilities, window_ms), max(1, len(audio)))
    assert edges(audio, Scripted(probabilities, window_ms), chunk) == whole


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=500), st.integers(0, 5000)), max_size=20))
def test_any_bytes_at_any_times_give_alternating_edges(chunks: list[tuple[bytes, int]]) -> None:
    segmenter = SpeechSegmenter(EnergyVad(), VadConfig(start_windows=1))
    found = [edge for audio, at_ms in chunks for edge in segmenter.push(audio, at_ms)]
    found += segmenter.flush(10_000)
    assert [edge.active for edge in found] == [n % 2 == 0 for n in range(len(found))]
    assert all(one.at_ms <= other.at_ms for one, other in pairwise(found))


def test_digit_strings_stop_where_their_sound_ends(speech_data: Path) -> None:
    """Truth is where the joined clips end; many clips end in a hush of up to 400 ms of their
    own, so the truth used is the last audible sound before that."""
    errors, delays = [], []
    for entry in json.loads((speech_data / "manifest.json").read_text())["files"]:
        if not entry["file"].startswith("fsdd_"):
            continue
        audio = mulaw.encode(wav.read(speech_data / entry["file"]).channels[0])
        found = list(noticed(audio, EnergyVad()))
        for begin_s, end_s in entry["turn_boundaries"]["speech"]:
            span = audible_span(audio[round(begin_s * 8000) : round(end_s * 8000)])
            assert span is not None
            true_ms = begin_s * 1000 + span[1] / 8
            stop, at_ms = min(
                (seen for seen in found if not seen[0].active),
                key=lambda seen: abs(seen[0].at_ms - true_ms),
            )
            errors.append(abs(stop.at_ms - true_ms))
            delays.append(at_ms - true_ms)
    assert len(errors) > 80
    assert np.median(errors) <= 4
    assert np.percentile(errors, 95) <= 60
    assert np.percentile(delays, 95) <= 64


class _Level:
    """Likely speech where the window is uneven."""

    window_ms = 32

    def probability(self, window: bytes) -> float:
        return float(np.frombuffer(window, np.uint8).astype(float).std() / 128)


@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 40, 1500, -60]), st.integers(0, 4)), max_size=80),
)
def test_whenever_the_answers_come_the_edges_are_the_same(
    seed: int, steps: list[tuple[int, int]]
) -> None:
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 6000, 40), 256)
    noise = rng.normal(0, 1, len(loud)) * loud
    stream = mulaw.encode(noise.clip(-32768, 32767).astype(np.int16))
    detector = _Level()
    at_once, later = SpeechSegmenter(detector), SpeechSegmenter(detector)
    wanted: list[VoiceEdge] = []
    told: list[VoiceEdge] = []
    waiting: list[Window] = []
    media_ms = 0

    def answer(count: int) -> None:
        for window in waiting[:count]:
            probability = detector.probability(window.audio) if window.audio else 0.5
            told.extend(later.judge(window, probability))
        del waiting[:count]

    for number, (jump_ms, answered) in enumerate(steps):
        media_ms = max(0, media_ms + jump_ms)
        frame = stream[number * 160 % len(stream) :][:160]
        wanted += at_once.push(frame, media_ms)
        waiting += later.cut(frame, media_ms)
        answer(answered)
        media_ms += 20
    answer(len(waiting))
    assert told == wanted
    assert (later.gap_ms, later.late_ms) == (at_once.gap_ms, at_once.late_ms)
