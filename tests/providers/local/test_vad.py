from __future__ import annotations

from collections.abc import Callable

import pytest

from voicelat.audio.mulaw import silence
from voicelat.audio.vad import VoiceDetector
from voicelat.providers.local.vad import SileroVad, load

pytestmark = pytest.mark.usefixtures("local_speech")

Recording = Callable[[str], bytes]


def _probabilities(audio: bytes) -> list[float]:
    detector: VoiceDetector = SileroVad()
    size = detector.window_ms * 8
    whole = len(audio) - len(audio) % size
    return [detector.probability(audio[at : at + size]) for at in range(0, whole, size)]


def _share_of_speech(audio: bytes) -> float:
    heard = _probabilities(audio)
    return sum(p > 0.5 for p in heard) / len(heard)


@pytest.mark.parametrize("name", ["jfk.wav", "sphinx_4kb_0870.wav", "gdf_230pm.wav"])
def test_it_hears_speech_of_the_telephone(recording: Recording, name: str) -> None:
    assert _share_of_speech(recording(name)) > 0.6


def test_office_noise_is_never_speech(recording: Recording) -> None:
    assert _share_of_speech(recording("noise_office.wav")) == 0


def test_hold_music_is_hardly_ever_speech(recording: Recording) -> None:
    assert _share_of_speech(recording("hold_music.wav")) < 0.05


def test_calls_do_not_hear_each_other(recording: Recording) -> None:
    speech = recording("gdf_today.wav")
    alone = _probabilities(speech)
    load()
    one, other = SileroVad(), SileroVad()
    beside = []
    for at in range(0, len(speech) - 255, 256):
        beside.append(one.probability(speech[at : at + 256]))
        other.probability(silence(32))
    assert beside == pytest.approx(alone)


@pytest.mark.parametrize("size", [0, 1, 160, 512])
def test_a_window_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="reshape"):
        SileroVad().probability(bytes(size))
