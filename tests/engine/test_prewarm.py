from __future__ import annotations

import asyncio
import logging
import random

import pytest
from tests.engine.fakes import FOREVER, Voice
from tests.engine.virtual_loop import virtual_time

from voicelat.engine.prewarm import Prewarm, PrewarmConfig
from voicelat.engine.tts_cache import TtsCache
from voicelat.errors import InvalidSetting, ProviderError

EVERY_S = 480.0
LOST = ProviderError("voice", "lost", "retry")


class Warmed:
    """A voice, its cache and what keeps it warm."""

    def __init__(
        self,
        voice: Voice,
        seed: int = 1,
        *,
        limit_s: float = 10.0,
        every_s: float | None = None,
    ) -> None:
        self.voice = voice
        self.cache = TtsCache(voice, "en-US")
        self.prewarm = Prewarm(
            self.cache,
            PrewarmConfig(phrases=("Hello,",), limit_s=limit_s, every_s=every_s),
            rng=random.Random(seed),
        )

    async def spoken(self, text: str) -> None:
        """A call says something."""
        async for _ in self.cache.speak(text):
            pass

    async def warmed_at(self, until_s: float) -> list[float]:
        """When it warmed up, until then."""
        found: list[float] = []
        before = self.cache.counts().get("warm-up", 0)
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            await asyncio.sleep(1)
            if (count := self.cache.counts().get("warm-up", 0)) > before:
                found.append(loop.time())
                before = count
        return found


@virtual_time
async def test_given_and_configured_phrases_are_in_hand_at_the_start() -> None:
    warmed = Warmed(Voice(any=1.0))
    await warmed.prewarm.start(["Good morning.", ""])
    assert warmed.cache.lookup("Good morning.") is not None
    assert warmed.cache.lookup("Hello,") is not None
    assert sorted(warmed.voice.said) == ["Good morning.", "Hello,"]


@virtual_time
async def test_a_start_without_phrases_asks_nobody() -> None:
    voice = Voice()
    await Prewarm(TtsCache(voice, "en-US"), PrewarmConfig()).start([])
    assert voice.said == []


@virtual_time
async def test_a_slow_voice_holds_up_the_start_for_no_longer_than_the_limit() -> None:
    warmed = Warmed(Voice(slow=20.0), limit_s=2.0)
    await warmed.prewarm.start(["Slow one.", "Good morning."])
    assert asyncio.get_running_loop().time() == pytest.approx(2)
    assert warmed.cache.missing == ("Slow one.",)
    await warmed.prewarm.aclose()


@virtual_time
async def test_what_was_late_follows_when_nobody_is_spoken_to() -> None:
    warmed = Warmed(Voice(slow=5.0), limit_s=2.0)
    await warmed.prewarm.start(["Slow one."])
    await warmed.spoken("Two words.")
    await asyncio.sleep(10)
    assert warmed.cache.lookup("Slow one.") is None
    await asyncio.sleep(10)
    assert warmed.cache.lookup("Slow one.") is not None
    assert warmed.cache.missing == ()
    await warmed.prewarm.aclose()


def test_a_late_start_is_told(caplog: pytest.LogCaptureFixture) -> None:
    @virtual_time
    async def check() -> None:
        warmed = Warmed(Voice(slow=FOREVER), limit_s=0.5)
        await warmed.prewarm.start(["Slow one."])
        await warmed.prewarm.aclose()

    check()
    assert caplog.messages == ["1 phrases are not ready after 0.5 s: they follow"]


@virtual_time
async def test_a_start_that_is_called_off_leaves_nothing_running() -> None:
    warmed = Warmed(Voice(any=FOREVER), every_s=EVERY_S)
    starting = asyncio.create_task(warmed.prewarm.start([]))
    await asyncio.sleep(1)
    starting.cancel()
    await asyncio.wait({starting})
    await asyncio.sleep(0)
    assert warmed.voice.open == 0


@virtual_time
async def test_an_unused_voice_is_warmed_every_eight_minutes_or_so() -> None:
    warmed = Warmed(Voice(), every_s=EVERY_S)
    await warmed.prewarm.start(["Good morning, and welcome."])
    times = await warmed.warmed_at(3600)
    gaps = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    assert len(times) >= 6
    assert all(0.8 * EVERY_S <= gap <= 1.2 * EVERY_S + 1 for gap in gaps)
    assert len(set(gaps)) > 1
    assert set(warmed.voice.said[2:]) == {"Hello,"}
    await warmed.prewarm.aclose()


@virtual_time
async def test_workers_that_start_together_do_not_warm_up_together() -> None:
    workers = [Warmed(Voice(), seed, every_s=EVERY_S) for seed in range(8)]
    for worker in workers:
        await worker.prewarm.start([])
    times = await asyncio.gather(*(worker.warmed_at(600) for worker in workers))
    assert len({found[0] for found in times}) >= 7
    for worker in workers:
        await worker.prewarm.aclose()


@virtual_time
async def test_a_voice_in_use_needs_no_warming() -> None:
    warmed = Warmed(Voice(), every_s=EVERY_S)
    await warmed.prewarm.start([])
    for _ in range(40):
        await asyncio.sleep(60)
        await warmed.spoken("Two words.")
    assert "warm-up" not in warmed.cache.counts()
    await warmed.prewarm.aclose()


@virtual_time
async def test_while_callers_are_spoken_to_the_warm_up_waits() -> None:
    warmed = Warmed(Voice(), every_s=EVERY_S)
    await warmed.prewarm.start([])
    for _ in range(300):  # phrases in hand: the voice itself is not asked
        await asyncio.sleep(5)
        await warmed.spoken("Hello,")
    assert "warm-up" not in warmed.cache.counts()
    end_s = asyncio.get_running_loop().time()
    (at_s,) = await warmed.warmed_at(end_s + 60)
    assert at_s - end_s == pytest.approx(10, abs=1)
    await warmed.prewarm.aclose()


@virtual_time
async def test_a_warm_up_gives_way_to_a_call() -> None:
    voice = Voice()
    warmed = Warmed(voice, every_s=EVERY_S)
    await warmed.prewarm.start([])
    voice.steps["hello"] = FOREVER
    for _ in range(600):
        await asyncio.sleep(1)
        if voice.open:
            break
    assert voice.open == 1
    await warmed.spoken("Two words.")
    await asyncio.sleep(0.1)
    assert voice.open == 0
    assert warmed.cache.counts()["gave way"] == 1
    await warmed.prewarm.aclose()


@virtual_time
async def test_a_phrase_that_failed_is_tried_again_at_each_warm_up() -> None:
    voice = Voice(bad=LOST)
    warmed = Warmed(voice, every_s=EVERY_S)
    await warmed.prewarm.start(["Bad one."])
    assert list(warmed.cache.failed) == ["Bad one."]
    voice.steps.clear()
    await warmed.warmed_at(600)
    assert warmed.cache.failed == {}
    assert warmed.cache.lookup("Bad one.") is not None
    await warmed.prewarm.aclose()


def test_failures_in_the_background_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    @virtual_time
    async def check() -> None:
        voice = Voice(slow=LOST, hello=FOREVER)
        warmed = Warmed(voice, every_s=EVERY_S, limit_s=0)
        await warmed.prewarm.start(["Slow one."])
        caplog.clear()
        await asyncio.sleep(3600)
        await warmed.prewarm.aclose()
        assert warmed.cache.counts()["failed"] > 4

    with caplog.at_level(logging.WARNING):
        check()
    slow = [message for message in caplog.messages if "Slow one." in message]
    assert slow == ["cannot say 'Slow one.': voice: lost"]


def test_a_warm_up_that_fails_is_told_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @virtual_time
    async def check() -> None:
        voice = Voice()
        warmed = Warmed(voice, every_s=EVERY_S)
        await warmed.prewarm.start([])
        voice.steps["hello"] = LOST
        await asyncio.sleep(1300)
        assert warmed.cache.counts()["warm-up failed"] == 2
        await warmed.prewarm.aclose()

    check()
    assert caplog.messages == ["the voice was to be kept warm: voice: lost"] * 2


@virtual_time
async def test_who_cannot_say_any_phrase_is_not_asked_again() -> None:
    voice = Voice(any=ProviderError("voice", "no such language", "give_up"))
    warmed = Warmed(voice, every_s=EVERY_S)
    await warmed.prewarm.start([])
    await asyncio.sleep(3600)
    assert voice.said == ["Hello,"]
    await warmed.prewarm.aclose()


@virtual_time
async def test_starting_again_replaces_what_ran() -> None:
    warmed = Warmed(Voice(), every_s=EVERY_S)
    await warmed.prewarm.start([])
    await warmed.prewarm.start([])
    assert len(await warmed.warmed_at(577)) == 1
    await warmed.prewarm.aclose()
    await warmed.prewarm.aclose()


@pytest.mark.parametrize(("name", "value"), [("limit_s", -1.0), ("every_s", 0.5)])
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidSetting, match=f"^{name}="):
        PrewarmConfig(**{name: value})  # type: ignore[arg-type]
