from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from tests.engine.fakes import FOREVER, Ears, Step
from tests.engine.virtual_loop import virtual_time

from voicelat.engine.listener import ASLEEP_BACKLOG, MAX_BACKLOG, REOPEN_AFTER_S, Listener
from voicelat.errors import ProviderError
from voicelat.providers.protocols import Transcript

_LOST = ProviderError("ears", "lost", "retry")


class _Ear:
    """A listener that runs, its recogniser, and what came out of it."""

    def __init__(self, *opening: Step) -> None:
        self.stt = Ears(*opening)
        self.heard: list[Transcript] = []
        self.listener = Listener(self.stt, "en-US", self.heard.append)
        self.task = asyncio.create_task(self.listener.run())

    @property
    def given(self) -> list[bytes | bool | None]:
        """What the latest stream was given."""
        return self.stt.streams[-1].given

    async def tell(self, event: Transcript | Exception | None) -> None:
        """The latest stream tells this."""
        self.stt.streams[-1].tell(event)
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _listening(*opening: Step) -> AsyncGenerator[_Ear]:
    ear = _Ear(*opening)
    await asyncio.sleep(0.01)
    yield ear
    ear.task.cancel()
    await asyncio.gather(ear.task, return_exceptions=True)


@virtual_time
async def test_audio_hints_and_wishes_reach_the_recogniser_in_order() -> None:
    async with _listening() as ear:
        ear.listener.feed(b"1")
        ear.listener.voice(True)
        ear.listener.feed(b"2")
        ear.listener.finalize()
        assert ear.given == [b"1", True, b"2", None]


@virtual_time
async def test_nothing_is_lost_before_the_stream_is_open() -> None:
    async with _listening(1.0) as ear:
        ear.listener.feed(b"1")
        ear.listener.voice(True)
        await asyncio.sleep(0.5)
        ear.listener.feed(b"2")
        assert ear.stt.streams == []
        await asyncio.sleep(1.0)
        ear.listener.feed(b"3")
        assert ear.given == [b"1", True, b"2", b"3"]
        assert ear.listener.lost == 0


@virtual_time
async def test_transcripts_are_passed_on_in_order() -> None:
    async with _listening() as ear:
        said = [Transcript("one", final=False), Transcript("one two", final=True)]
        for transcript in said:
            await ear.tell(transcript)
        assert ear.heard == said


@virtual_time
async def test_a_lost_recogniser_is_opened_again_at_once_and_nothing_is_lost() -> None:
    async with _listening() as ear:
        ear.listener.feed(b"1")
        await ear.tell(_LOST)
        ear.listener.feed(b"2")
        first, second = ear.stt.streams
        assert first.closed
        assert (first.given, second.given) == ([b"1"], [b"2"])
        assert ear.listener.errors == ["ears: lost"]


@virtual_time
async def test_a_new_recogniser_is_told_that_somebody_speaks() -> None:
    async with _listening() as ear:
        ear.listener.voice(True)
        await ear.tell(_LOST)
        assert ear.given == [True]
        ear.listener.voice(False)
        await ear.tell(_LOST)
        await asyncio.sleep(REOPEN_AFTER_S[1])
        assert ear.given == []


@virtual_time
async def test_a_stream_that_ends_by_itself_is_a_loss_too() -> None:
    async with _listening() as ear:
        await ear.tell(None)
        assert len(ear.stt.streams) == 2
        assert ear.listener.errors == ["ears: the stream ended by itself"]


@virtual_time
async def test_after_so_many_losses_in_a_row_it_tries_again_whenever_the_caller_speaks() -> None:
    away = len(REOPEN_AFTER_S) + 2
    async with _listening(*[_LOST] * away) as ear:
        await asyncio.sleep(60)
        assert len(ear.listener.errors) == len(REOPEN_AFTER_S) + 1
        for _ in range(2):
            ear.listener.voice(True)
            ear.listener.voice(False)
            await asyncio.sleep(1)
        assert len(ear.listener.errors) == away
        assert len(ear.stt.streams) == 1
        ear.listener.feed(b"heard")
        assert ear.given[-1] == b"heard"
        assert not ear.task.done()


@virtual_time
async def test_what_was_said_while_it_was_given_up_is_not_heard_as_the_next_turn() -> None:
    async with _listening(*[_LOST] * (len(REOPEN_AFTER_S) + 1)) as ear:
        await asyncio.sleep(60)
        for number in range(100):
            ear.listener.feed(bytes([number]))
        ear.listener.voice(True)
        await asyncio.sleep(0.1)
        audio = [entry for entry in ear.given if isinstance(entry, bytes)]
        assert audio == [bytes([number]) for number in range(100 - ASLEEP_BACKLOG + 1, 100)]
        assert ear.listener.lost == 100 - ASLEEP_BACKLOG + 1


@virtual_time
async def test_a_recogniser_that_still_tells_something_is_never_given_up() -> None:
    async with _listening() as ear:
        for _ in range(10):
            await ear.tell(Transcript("one", final=True))
            await ear.tell(_LOST)
        assert not ear.task.done()
        assert len(ear.listener.errors) == 10


@virtual_time
async def test_a_recogniser_that_will_never_work_is_not_opened_again() -> None:
    async with _listening(ProviderError("ears", "bad key", "fix_key")) as ear:
        await ear.task
        assert ear.stt.streams == []
        assert ear.listener.errors == ["ears: bad key"]


@virtual_time
async def test_what_waits_for_a_recogniser_is_bounded_and_its_loss_counted() -> None:
    async with _listening(FOREVER) as ear:
        for n in range(MAX_BACKLOG + 7):
            ear.listener.feed(b"%d" % n)
        assert ear.listener.lost == 7


@virtual_time
async def test_the_latest_audio_is_what_is_kept() -> None:
    async with _listening(1.0) as ear:
        for n in range(MAX_BACKLOG + 7):
            ear.listener.feed(b"%d" % n)
        await asyncio.sleep(2)
        assert ear.given == [b"%d" % n for n in range(7, MAX_BACKLOG + 7)]


@virtual_time
async def test_the_stream_is_closed_with_the_listener() -> None:
    async with _listening() as ear:
        pass
    assert ear.stt.streams[0].closed


@virtual_time
async def test_a_stream_that_raises_when_it_is_fed_is_closed_and_told() -> None:
    async with _listening() as ear:
        stream = ear.stt.streams[-1]
        stream.feed = _raises  # type: ignore[method-assign]
        ear.listener.feed(b"1")
        ear.listener.feed(b"2")
        await asyncio.sleep(0.01)
        assert stream.closed
        with pytest.raises(ValueError, match="a bug in feed"):
            await ear.task


def _raises(audio: bytes) -> None:
    raise ValueError("a bug in feed")


@virtual_time
async def test_a_recogniser_that_never_waits_lets_others_run() -> None:
    async with _listening() as ear:
        for _ in range(100):
            ear.stt.streams[-1].tell(Transcript("one", final=False))
        for _ in range(10):
            await asyncio.sleep(0)
        assert 0 < len(ear.heard) < 20
