"""What simulated callers say."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio.level import is_audible
from voicelat.audio.mulaw import Pcm, duration_ms
from voicelat.audio.vad import EnergyVad
from voicelat.errors import UsageError
from voicelat.loadtest.utterances import BUILT_IN, Recordings, built_in


def speech(ms: int, rate: int = 8000) -> Pcm:
    """Noise as loud as a voice."""
    return (np.random.default_rng(ms).normal(0, 4000, ms * rate // 1000)).astype(np.int16)


def quiet(ms: int, rate: int = 8000) -> Pcm:
    return np.zeros(ms * rate // 1000, np.int16)


def save(path: Path, *parts: Pcm, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.concatenate(parts).tobytes())


def test_a_recording_is_cut_at_long_pauses_and_not_at_short_ones(tmp_path: Path) -> None:
    save(
        tmp_path / "call.wav",
        *(quiet(500), speech(800), quiet(300), speech(800), quiet(1500), speech(600), quiet(500)),
    )
    found = Recordings.load(tmp_path, EnergyVad)
    assert [round(duration_ms(u), -2) for u in found.utterances] == [2000, 700]


def test_recordings_of_any_rate_are_spoken(tmp_path: Path) -> None:
    save(
        tmp_path / "a.wav", quiet(300, 44_100), speech(900, 44_100), quiet(900, 44_100), rate=44_100
    )
    (utterance,) = Recordings.load(tmp_path, EnergyVad).utterances
    assert 850 <= duration_ms(utterance) <= 1100


def test_what_is_no_wav_and_what_is_silent_is_counted_and_the_rest_spoken(tmp_path: Path) -> None:
    save(tmp_path / "good.wav", quiet(300), speech(900), quiet(900))
    save(tmp_path / "silent.wav", quiet(2000))
    (tmp_path / "broken.wav").write_bytes(b"not a wav at all")
    (tmp_path / "notes.txt").write_text("not looked at")
    found = Recordings.load(tmp_path, EnergyVad)
    assert (found.files, len(found.utterances), found.silent) == (3, 1, 1)
    assert len(found.broken) == 1
    assert "broken.wav" in found.broken[0]


def test_a_folder_without_speech_is_refused_in_one_line(tmp_path: Path) -> None:
    save(tmp_path / "silent.wav", quiet(2000))
    with pytest.raises(UsageError, match="no WAV file with speech"):
        Recordings.load(tmp_path, EnergyVad)
    with pytest.raises(UsageError, match="not a folder"):
        Recordings.load(tmp_path / "missing", EnergyVad)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_every_call_gets_its_share_and_no_utterance_waits_while_another_repeats(
    count: int, calls: int, turns: int
) -> None:
    recordings = Recordings(tuple(bytes([n]) for n in range(count)), count, (), 0)
    shares = recordings.share(calls, turns)
    assert [len(share) for share in shares] == [turns] * calls
    used = [said for share in shares for said in share]
    most = max(used.count(said) for said in set(used))
    assert most <= -(-calls * turns // count)


async def test_the_built_in_sentences_are_all_spoken_and_begin_with_sound() -> None:
    said = await built_in()
    assert [one.text for one in said] == list(BUILT_IN)
    assert all(duration_ms(one.audio) > 300 and is_audible(one.audio[:160]) for one in said)
