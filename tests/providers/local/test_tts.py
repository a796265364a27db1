from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from voicelat.audio.level import first_audible
from voicelat.audio.mulaw import BYTES_PER_MS, decode
from voicelat.errors import InvalidSetting, ProviderError
from voicelat.providers.local.inference import Stopper
from voicelat.providers.local.moonshine import Moonshine
from voicelat.providers.local.tts import PiperTts, PiperVoice
from voicelat.providers.protocols import TextToSpeech

pytestmark = pytest.mark.usefixtures("local_speech")

on_shared_loop = pytest.mark.asyncio(loop_scope="module")  # loading the voice takes a second

HOURS = "Sure. We are open from eight to six, and closed on Sunday."


@pytest.fixture(scope="module")
def piper(local_speech: None) -> PiperVoice:
    return PiperVoice()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def voice(local_speech: None) -> AsyncIterator[TextToSpeech]:
    voice = PiperTts()
    await voice.warm()
    yield voice
    await voice.aclose()


async def _said(voice: TextToSpeech, text: str) -> list[bytes]:
    return [chunk async for chunk in voice.speak(text, "en-US")]


@on_shared_loop
async def test_a_text_comes_clause_by_clause(voice: TextToSpeech) -> None:
    first, second, third = await _said(voice, HOURS)
    assert len(first) < len(second)
    assert len(third) > 500 * BYTES_PER_MS


@on_shared_loop
async def test_what_it_says_is_understood(voice: TextToSpeech, moonshine: Moonshine) -> None:
    heard = moonshine.transcribe(b"".join(await _said(voice, HOURS)))
    assert heard is not None
    assert "closed on Sunday" in heard.text


@on_shared_loop
async def test_every_clause_begins_within_10_ms(voice: TextToSpeech) -> None:
    for chunk in await _said(voice, HOURS):
        begin = first_audible(chunk)
        assert begin is not None
        assert begin <= 10 * BYTES_PER_MS


@on_shared_loop
@pytest.mark.parametrize(("mark", "pause_ms"), [(",", 120), (".", 250)])
async def test_clauses_are_as_far_apart_as_a_speaker_sets_them(
    voice: TextToSpeech, mark: str, pause_ms: int
) -> None:
    first, _ = await _said(voice, f"Sure{mark} we are open from eight to six.")
    assert first.endswith(b"\xff" * ((pause_ms - 60) * BYTES_PER_MS))


@on_shared_loop
@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "\U0001f642"])
async def test_nothing_to_say_yields_nothing(voice: TextToSpeech, text: str) -> None:
    assert await _said(voice, text) == []


@on_shared_loop
@pytest.mark.parametrize("text", ["שלום, מה שלומך?", "Hello שלום"])
async def test_text_it_cannot_speak_is_given_up_before_any_audio(
    voice: TextToSpeech, text: str
) -> None:
    with pytest.raises(ProviderError, match="English only") as caught:
        await anext(voice.speak(text, "he-IL"))
    assert caught.value.advice == "give_up"
    assert "\n" not in str(caught.value)


def test_a_higher_rate_is_shorter(piper: PiperVoice) -> None:
    slow, quick = (
        len(piper.say("We are open from eight to six", r, Stopper())) for r in (0.8, 1.5)
    )
    assert quick < 0.75 * slow


def _voice_hz(audio: bytes) -> float:
    """The fundamental: the lag at which 40 ms of voice looks most like itself, on average."""
    pcm = decode(audio).astype(float)
    frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 320, 160)]
    frames = sorted(frames, key=lambda frame: float(np.square(frame).sum()))[len(frames) // 2 :]
    likeness = sum(np.correlate(f, f, "full")[320:440] / np.square(f).sum() for f in frames)
    lags = np.arange(1, 121)
    spoken = (lags >= 32) & (lags <= 114)  # 70 to 250 Hz
    return float(8000 / lags[spoken][np.argmax(np.asarray(likeness)[spoken])])


def test_a_lower_pitch_is_lower_and_no_slower(piper: PiperVoice) -> None:
    # The model draws its melody anew each time: several sentences even that out.
    said = ["We are open from eight to six", "I can book you in on Monday", "Thank you for calling"]
    plain, low = (
        b"".join(piper.say(text, 1.0, Stopper(), pitch) for text in said) for pitch in (0.0, -6.0)
    )
    assert 0.55 < _voice_hz(low) / _voice_hz(plain) < 0.9
    assert 0.8 < len(low) / len(plain) < 1.25


@pytest.mark.parametrize("pitch", [-7, 7, float("nan")])
def test_a_pitch_no_person_has_is_refused(pitch: float) -> None:
    with pytest.raises(InvalidSetting, match="pitch"):
        PiperTts(pitch=pitch)


@pytest.mark.parametrize("rate", [0, 0.2, 3.0, float("nan")])
def test_a_rate_nobody_can_follow_is_refused(rate: float) -> None:
    with pytest.raises(InvalidSetting, match="rate"):
        PiperTts(rate=rate)


@pytest.mark.parametrize("word", ["a1b2c3d4", "'" * 20 + "a", "..a..", "$", "%&+@/"])
def test_strange_words_are_said_or_skipped(piper: PiperVoice, word: str) -> None:
    assert isinstance(piper.say(word, 1.0, Stopper()), bytes)


@on_shared_loop
async def test_a_word_without_end_is_said_in_pieces(voice: TextToSpeech) -> None:
    assert await _said(voice, "z" * 50)


def test_a_stopped_clause_is_silent(piper: PiperVoice) -> None:
    stopper = Stopper()
    stopper.stop()
    assert piper.say("We are open.", 1.0, stopper) == b""


async def test_closing_the_iterator_stops_the_voice_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    voice = PiperTts()
    chunks = voice.speak(HOURS * 20, "en-US")
    assert await anext(chunks)
    await chunks.aclose()
    assert await _said(voice, "Sure.")
    await voice.aclose()
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("voicelat")]
