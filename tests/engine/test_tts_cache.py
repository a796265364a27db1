from __future__ import annotations

from tests.engine.fakes import Voice, tone
from tests.engine.virtual_loop import virtual_time

from voicelat.engine.tts_cache import TtsCache
from voicelat.errors import ProviderError
from voicelat.providers.protocols import TextToSpeech


@virtual_time
async def test_a_prewarmed_phrase_is_in_hand_whole() -> None:
    cache = TtsCache(Voice(), "en-US")
    await cache.prewarm(["Hello there."])
    assert cache.lookup("Hello there.") == tone(100) * 2
    assert (cache.hits, cache.misses) == (1, 0)


@virtual_time
async def test_only_white_space_may_differ() -> None:
    cache = TtsCache(Voice(), "en-US")
    await cache.prewarm(["Hello  there. "])
    assert cache.lookup(" Hello\nthere.") is not None
    assert cache.lookup("hello there.") is None
    assert (cache.hits, cache.misses) == (1, 1)


@virtual_time
async def test_phrases_are_made_once_and_all_at_the_same_time() -> None:
    voice = Voice(any=1.0)
    cache = TtsCache(voice, "en-US")
    await cache.prewarm(["One.", "Two.", "", "One."])
    await cache.prewarm(["Two.", "Three."])
    assert sorted(voice.said) == ["One.", "Three.", "Two."]


@virtual_time
async def test_a_phrase_the_voice_cannot_say_is_told_and_hides_no_other() -> None:
    voice = Voice(bad=ProviderError("voice", "no such word", "give_up"))
    cache = TtsCache(voice, "en-US")
    await cache.prewarm(["Bad one.", "Good one."])
    assert cache.failed == {"Bad one.": "voice: no such word"}
    assert cache.lookup("Bad one.") is None
    assert cache.lookup("Good one.") is not None


@virtual_time
async def test_a_phrase_that_breaks_off_is_not_in_hand() -> None:
    cache = TtsCache(Voice(late=True, bad=ProviderError("voice", "lost", "retry")), "en-US")
    await cache.prewarm(["Bad one."])
    assert cache.lookup("Bad one.") is None


@virtual_time
async def test_a_phrase_without_audio_is_told() -> None:
    class Mute(Voice):
        async def speak(self, text: str, language: str):  # type: ignore[no-untyped-def]
            return
            yield b""

    voice: TextToSpeech = Mute()
    cache = TtsCache(voice, "en-US")
    await cache.prewarm(["Hello."])
    assert list(cache.failed) == ["Hello."]
    assert cache.lookup("Hello.") is None
