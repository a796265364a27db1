from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.fakes import FOREVER, Voice, tone
from tests.engine.virtual_loop import VirtualLoop, virtual_time

from voicelat.engine.cache_tiers import MemoryTier
from voicelat.engine.tts_cache import TtsCache
from voicelat.errors import ProviderError
from voicelat.providers.protocols import TextToSpeech

HELLO = "Hello there."


class Rated(Voice):
    """A voice that can change its rate."""

    rate = 1.0

    @property
    def voice_id(self) -> str:
        return f"rated {self.rate}"


class SlowTier(MemoryTier):
    """A shared tier that takes its time, or for ever (``None``)."""

    def __init__(self, delay_s: float | None) -> None:
        super().__init__(1_000_000)
        self.delay_s = delay_s
        self.closed = False

    async def _wait(self) -> None:
        if self.delay_s is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self.delay_s)

    async def get(self, key: str) -> bytes | None:
        await self._wait()
        return await super().get(key)

    async def put(self, key: str, audio: bytes) -> None:
        await self._wait()
        await super().put(key, audio)

    async def aclose(self) -> None:
        self.closed = True


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def said(cache: TtsCache, text: str) -> list[tuple[bytes, bool]]:
    return [part async for part in cache.speak(text)]


# -- in hand ----------------------------------------------------------------------------------


@virtual_time
async def test_a_prewarmed_phrase_is_in_hand_whole() -> None:
    cache = TtsCache(Voice(), "en-US")
    await cache.prewarm([HELLO])
    assert cache.lookup(HELLO) == tone(100) * 2
    assert (cache.hits, cache.misses) == (1, 0)


@virtual_time
async def test_only_what_cannot_be_heard_may_differ() -> None:
    cache = TtsCache(Voice(), "en-US")
    await cache.prewarm(["Hello  there. "])
    assert cache.lookup(" Hello\nthere.") is not None
    assert cache.lookup("hello there.") is None
    assert cache.lookup("Hello there!") is None
    assert (cache.hits, cache.misses) == (1, 2)
    assert cache.hit_rate == pytest.approx(1 / 3)


def test_nothing_looked_up_is_no_rate() -> None:
    assert TtsCache(Voice(), "en-US").hit_rate is None


@virtual_time
async def test_phrases_are_made_once_and_some_at_the_same_time() -> None:
    voice = Voice(any=1.0)
    cache = TtsCache(voice, "en-US")
    await cache.prewarm(["One.", "Two.", "", "One.", "Three.", "Four.", " One. "])
    assert now_s() == pytest.approx(1)
    await cache.prewarm(["Two.", "Five."])
    assert sorted(voice.said) == ["Five.", "Four.", "One.", "Three.", "Two."]
    assert now_s() == pytest.approx(2)


@virtual_time
async def test_audio_of_another_rate_is_never_used() -> None:
    voice = Rated()
    cache = TtsCache(voice, "en-US")
    await cache.prewarm([HELLO])
    voice.rate = 1.2
    assert cache.lookup(HELLO) is None
    voice.rate = 1.0
    assert cache.lookup(HELLO) is not None


@virtual_time
async def test_voices_variants_and_languages_share_a_tier_and_no_audio() -> None:
    shared = MemoryTier(1_000_000)
    voice = Voice()
    for cache in (
        TtsCache(voice, "en-US", shared=shared),
        TtsCache(voice, "en-GB", shared=shared),
        TtsCache(voice, "en-US", shared=shared, variant="rate=1.2"),
        TtsCache(Rated(), "en-US", shared=shared),
    ):
        await cache.prewarm([HELLO])
        await cache.aclose()
        assert cache.counts()["made"] == 1


@virtual_time
async def test_memory_is_bounded_and_evictions_are_counted() -> None:
    cache = TtsCache(Voice(), "en-US", max_bytes=2 * len(tone(100)))
    for phrase in ("One.", "Two.", "Three."):
        await cache.prewarm([phrase])
    assert [cache.lookup(phrase) is None for phrase in ("One.", "Two.", "Three.")] == [
        True,
        False,
        False,
    ]
    assert cache.memory.bytes == 2 * len(tone(100))
    assert cache.counts() == {"made": 3, "memory evicted": 1}
    assert cache.missing == ()


# -- what cannot be said ----------------------------------------------------------------------


@virtual_time
async def test_a_phrase_the_voice_cannot_say_is_told_and_hides_no_other() -> None:
    voice = Voice(bad=ProviderError("voice", "no such word", "give_up"))
    cache = TtsCache(voice, "en-US")
    await cache.prewarm(["Bad one.", "Good one."])
    assert cache.failed == {"Bad one.": "voice: no such word"}
    assert cache.lookup("Bad one.") is None
    assert cache.lookup("Good one.") is not None
    assert cache.missing == ()
    assert cache.counts() == {"failed": 1, "made": 1}


@virtual_time
async def test_a_phrase_that_may_come_to_be_is_missing_until_it_is() -> None:
    voice = Voice(late=True, bad=ProviderError("voice", "lost", "retry"))
    cache = TtsCache(voice, "en-US")
    await cache.prewarm(["Bad one."])
    assert cache.lookup("Bad one.") is None
    assert (list(cache.failed), cache.missing) == (["Bad one."], ("Bad one.",))
    voice.steps.clear()
    await cache.prewarm(cache.missing)
    assert (cache.failed, cache.missing) == ({}, ())
    assert cache.lookup("Bad one.") is not None


@virtual_time
async def test_a_bug_of_the_voice_is_told_like_any_failure() -> None:
    cache = TtsCache(Voice(bad=KeyError("pitch")), "en-US")
    await cache.prewarm(["Bad one."])
    assert cache.failed == {"Bad one.": "'pitch'"}


@virtual_time
async def test_a_phrase_without_audio_is_told() -> None:
    class Mute(Voice):
        async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
            return
            yield b""

    voice: TextToSpeech = Mute()
    cache = TtsCache(voice, "en-US")
    await cache.prewarm(["Hello."])
    assert list(cache.failed) == ["Hello."]
    assert cache.lookup("Hello.") is None


# -- one request for everybody ----------------------------------------------------------------


@virtual_time
async def test_calls_that_say_one_phrase_at_once_share_one_request() -> None:
    voice = Voice(late=True, any=1.0)
    cache = TtsCache(voice, "en-US")
    cache.want([HELLO])
    heard = await asyncio.gather(*(said(cache, HELLO) for _ in range(5)), cache.prewarm([HELLO]))
    assert heard[:5] == [[(tone(100), False)] * 2] * 5
    assert voice.said == [HELLO]
    assert await said(cache, HELLO) == [(tone(100) * 2, True)]


@virtual_time
async def test_the_first_one_to_hang_up_takes_it_from_nobody() -> None:
    voice = Voice(late=True, any=1.0)
    cache = TtsCache(voice, "en-US")
    cache.want([HELLO])
    first, *others = (asyncio.create_task(said(cache, HELLO)) for _ in range(3))
    await asyncio.sleep(0.5)
    first.cancel()
    assert await asyncio.gather(*others) == [[(tone(100), False)] * 2] * 2
    assert voice.said == [HELLO]


@virtual_time
async def test_when_all_have_hung_up_the_voice_stops_and_the_next_one_asks_anew() -> None:
    voice = Voice(late=True, any=1.0)
    cache = TtsCache(voice, "en-US")
    cache.want([HELLO])
    async with aclosing(cache.speak(HELLO)) as parts:
        await anext(parts)
    assert await said(cache, HELLO) == [(tone(100), False)] * 2
    assert voice.said == [HELLO] * 2
    assert cache.counts() == {"abandoned": 1, "made": 1}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 30)), min_size=1, max_size=8)
)
def test_whoever_comes_and_goes_those_who_stay_hear_all_of_it(
    visits: list[tuple[int, int | None]],
) -> None:
    """Visits begin and are broken off at any tenth of a second."""

    async def check() -> None:
        voice = Voice(late=True, any=1.0)
        cache = TtsCache(voice, "en-US")
        cache.want([HELLO])

        async def visit(begin: int, stay: int | None) -> bytes | None:
            await asyncio.sleep(begin / 10)
            try:
                async with asyncio.timeout(None if stay is None else stay / 10 + 0.01):
                    return b"".join([audio for audio, _ in await said(cache, HELLO)])
            except TimeoutError:
                return None

        heard = await asyncio.gather(*(visit(*each) for each in visits))
        stayed = [audio for audio in heard if audio is not None]
        assert set(stayed) <= {tone(100) * 2}
        assert len(stayed) >= sum(stay is None for _, stay in visits)
        assert voice.open == 0
        assert cache.counts().get("made", 0) <= 1

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(check())


@virtual_time
async def test_other_texts_are_streamed_and_not_kept() -> None:
    voice = Voice()
    cache = TtsCache(voice, "en-US")
    for _ in range(2):
        assert await said(cache, "Two words.") == [(tone(100), False)] * 2
    assert voice.said == ["Two words."] * 2
    assert (cache.memory.bytes, cache.misses) == (0, 2)


@virtual_time
async def test_a_call_hears_why_a_phrase_failed() -> None:
    cache = TtsCache(Voice(bad=ProviderError("voice", "no such word", "give_up")), "en-US")
    cache.want(["Bad one."])
    with pytest.raises(ProviderError, match="no such word"):
        await said(cache, "Bad one.")


# -- tiers ------------------------------------------------------------------------------------


@virtual_time
async def test_what_another_worker_made_is_not_made_again() -> None:
    shared = SlowTier(0.1)
    voice = Voice()
    first = TtsCache(voice, "en-US", shared=shared)
    await first.prewarm([HELLO])
    await first.aclose()
    second = TtsCache(voice, "en-US", shared=shared)
    await second.prewarm([HELLO])
    assert second.lookup(HELLO) == tone(100) * 2
    assert voice.said == [HELLO]
    assert "made" not in second.counts()


@virtual_time
async def test_a_call_never_waits_for_a_shared_tier() -> None:
    cache = TtsCache(Voice(), "en-US", shared=SlowTier(None))
    warming = asyncio.create_task(cache.prewarm([HELLO]))
    await asyncio.sleep(1)
    assert await said(cache, HELLO) == [(tone(100), False)] * 2
    assert await said(cache, HELLO) == [(tone(100) * 2, True)]
    assert now_s() == pytest.approx(1)
    warming.cancel()
    await cache.aclose()


@virtual_time
async def test_what_a_call_had_made_while_the_tier_was_asked_is_not_made_again() -> None:
    voice = Voice()
    cache = TtsCache(voice, "en-US", shared=SlowTier(1.0))
    warming = asyncio.create_task(cache.prewarm([HELLO]))
    await asyncio.sleep(0.5)
    await said(cache, HELLO)
    await warming
    assert voice.said == [HELLO]
    await cache.aclose()


@virtual_time
async def test_warming_does_not_wait_for_writes_but_the_end_does() -> None:
    shared = SlowTier(0.5)
    cache = TtsCache(Voice(), "en-US", shared=shared)
    await cache.prewarm([HELLO])
    assert now_s() == pytest.approx(0.5)
    assert len(shared) == 0
    await cache.aclose()
    assert (len(shared), shared.closed) == (1, True)


@virtual_time
async def test_the_end_does_not_wait_for_a_tier_that_hangs() -> None:
    shared = SlowTier(0.1)
    cache = TtsCache(Voice(), "en-US", shared=shared)
    await cache.prewarm([HELLO])
    shared.delay_s = None
    cache.want(["One more."])
    await said(cache, "One more.")
    await cache.aclose()
    assert now_s() == pytest.approx(1.1)
    assert cache.counts()["not shared"] == 1


# -- the background ---------------------------------------------------------------------------


@virtual_time
async def test_work_in_the_background_gives_way_to_a_call() -> None:
    voice = Voice(slow=FOREVER)
    cache = TtsCache(voice, "en-US")
    working = asyncio.create_task(cache.giving_way(cache.prewarm(["Slow one."])))
    await asyncio.sleep(1)
    assert voice.open == 1
    await said(cache, "Two words.")
    assert await working is False
    assert voice.open == 0
    assert cache.counts() == {"abandoned": 1, "gave way": 1}
    assert cache.missing == ("Slow one.",)


@virtual_time
async def test_a_call_that_wants_what_is_being_made_takes_it_over() -> None:
    voice = Voice(late=True, any=1.0)
    cache = TtsCache(voice, "en-US")
    working = asyncio.create_task(cache.giving_way(cache.prewarm([HELLO])))
    await asyncio.sleep(0.5)
    assert await said(cache, HELLO) == [(tone(100), False)] * 2
    assert now_s() == pytest.approx(1)
    assert voice.said == [HELLO]
    await working


@virtual_time
async def test_a_phrase_in_hand_disturbs_no_work() -> None:
    cache = TtsCache(Voice(slow=1.0), "en-US")
    await cache.prewarm([HELLO])
    working = asyncio.create_task(cache.giving_way(cache.prewarm(["Slow one."])))
    await asyncio.sleep(0.5)
    await said(cache, HELLO)
    assert await working is True


@virtual_time
async def test_a_warm_up_asks_the_voice_and_keeps_nothing() -> None:
    voice = Voice(bad=ProviderError("voice", "lost", "retry"))
    cache = TtsCache(voice, "en-US")
    assert await cache.warm_up("Hello") is None
    assert await cache.warm_up("Bad") == "voice: lost"
    assert cache.counts() == {"warm-up": 1, "warm-up failed": 1}
    assert (cache.memory.bytes, cache.failed) == (0, {})


@virtual_time
async def test_it_knows_how_long_nobody_spoke_and_how_long_the_voice_rested() -> None:
    cache = TtsCache(Voice(any=2.0), "en-US")
    assert cache.quiet_s() == cache.unused_s() == float("inf")
    await cache.prewarm([HELLO])
    assert cache.quiet_s() == float("inf")
    assert cache.unused_s() == pytest.approx(2)
    speaking = asyncio.create_task(said(cache, "Other words."))
    await asyncio.sleep(1)
    assert cache.quiet_s() == 0
    assert cache.unused_s() == pytest.approx(1)
    await speaking
    await asyncio.sleep(5)
    await said(cache, HELLO)
    await asyncio.sleep(3)
    assert cache.quiet_s() == pytest.approx(3)
    assert cache.unused_s() > 8


@virtual_time
async def test_nothing_runs_on_behind_the_end() -> None:
    voice = Voice(any=FOREVER)
    cache = TtsCache(voice, "en-US")
    cache.want([HELLO])
    tasks = [
        asyncio.create_task(cache.prewarm(["One."])),
        asyncio.create_task(cache.warm_up("Two.")),
        asyncio.create_task(cache.giving_way(cache.prewarm(["Three."]))),
    ]
    await asyncio.sleep(1)
    await cache.aclose()
    await asyncio.gather(*tasks)
    assert voice.open == 0
