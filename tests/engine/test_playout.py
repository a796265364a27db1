from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from tests.engine.fakes import Wire, tone
from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.audio.mulaw import silence
from voicelat.engine.playout import Playout
from voicelat.errors import ConnectError
from voicelat.twilio.messages import Clear, OutMark, OutMedia

LEAD_MS = 200


class _Line:
    """A playout that runs on a wire, and what it told."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.played: list[tuple[int, bytes]] = []
        self.cleared: list[int] = []
        self.audible: list[int] = []
        self._clock = LoopClock()
        self.playout = Playout(
            wire,
            "MZ1",
            self._clock,
            LEAD_MS,
            on_play=lambda at_ms, audio: self.played.append((at_ms, audio)),
            on_clear=self.cleared.append,
        )

    def heard(self) -> None:
        """To be told of the first audible frame."""
        self.audible.append(self._clock.now_ms())

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """(sent_ms, audio) of each media message."""
        return [(at, m.payload) for at, m in self.wire.sent if isinstance(m, OutMedia)]

    @property
    def kinds(self) -> str:
        """The messages in order: a letter each, media runs as one."""
        letters = ["x" if isinstance(m, OutMedia) else type(m).__name__ for _, m in self.wire.sent]
        return " ".join(b for a, b in pairwise(["", *letters]) if a != b or b != "x")


@asynccontextmanager
async def _running() -> AsyncGenerator[_Line]:
    line = _Line(Wire())
    task = asyncio.create_task(line.playout.run())
    await asyncio.sleep(0)
    yield line
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@virtual_time
async def test_audio_leaves_in_whole_frames_and_in_order() -> None:
    audio = tone(1000)[:7777]
    async with _running() as line:
        for at in range(0, len(audio), 333):
            line.playout.queue(audio[at : at + 333])
        line.playout.flush()
        await asyncio.sleep(2)
        assert {len(frame) for _, frame in line.frames} == {160}
        sent = b"".join(frame for _, frame in line.frames)
        assert sent == audio + silence(1000)[: -len(audio) % 160]


@virtual_time
async def test_no_frame_leaves_more_than_the_lead_before_its_time() -> None:
    async with _running() as line:
        line.playout.queue(tone(2000))
        await asyncio.sleep(5)
        sent_ms = [at for at, _ in line.frames]
        play_ms = [at for at, _ in line.played]
        assert play_ms == list(range(0, 2000, 20))
        assert sent_ms == [max(0, at - LEAD_MS) for at in play_ms]


@virtual_time
async def test_a_late_wake_up_delays_no_later_frame() -> None:
    async with _running() as line:
        line.wire.delay_s = 0.013
        line.playout.queue(tone(4000))
        await asyncio.sleep(5)
        assert line.frames[-1][0] <= line.played[-1][0] - LEAD_MS + 26


@virtual_time
async def test_audio_after_a_silence_plays_at_once() -> None:
    async with _running() as line:
        line.playout.queue(tone(100))
        line.playout.flush()
        await asyncio.sleep(3)
        line.playout.queue(tone(100))
        await asyncio.sleep(1)
        assert [at for at, _ in line.played][5:] == [3000, 3020, 3040, 3060, 3080]
        assert line.playout.gap_ms == 0


@virtual_time
async def test_silence_inside_a_reply_is_counted() -> None:
    async with _running() as line:
        line.playout.queue(tone(100))
        await asyncio.sleep(0.350)
        line.playout.queue(tone(100))
        line.playout.flush()
        await asyncio.sleep(3)
        line.playout.queue(tone(100))
        assert line.playout.gap_ms == 250


@virtual_time
async def test_the_first_audible_frame_is_told_once_it_left() -> None:
    async with _running() as line:
        assert not line.playout.queue(silence(400), line.heard)
        assert line.playout.queue(silence(40) + tone(100), line.heard)
        assert line.audible == []
        await asyncio.sleep(2)
        assert line.audible == [440 - LEAD_MS]


@virtual_time
async def test_a_mark_behind_all_that_is_queued_leaves_behind_it() -> None:
    async with _running() as line:
        line.playout.queue(tone(500))
        line.playout.mark("clause", urgent=False)
        line.playout.queue(tone(500))
        line.playout.mark("end", urgent=False)
        await asyncio.sleep(2)
        assert line.kinds == "x OutMark x OutMark"
        assert sum(isinstance(m, OutMedia) for _, m in line.wire.sent[:26]) == 25
        assert line.wire.sent[25][1] == OutMark("MZ1", "clause")
        assert line.wire.sent[51][1] == OutMark("MZ1", "end")


@virtual_time
async def test_an_urgent_mark_leaves_before_what_is_queued() -> None:
    async with _running() as line:
        line.playout.queue(tone(1000))
        await asyncio.sleep(0)
        line.playout.mark("heard", urgent=True)
        await asyncio.sleep(0)
        assert line.wire.sent[-1] == (0, OutMark("MZ1", "heard"))
        assert len(line.frames) == LEAD_MS // 20 + 1


@virtual_time
async def test_clear_leaves_in_the_same_tick_and_nothing_of_the_reply_behind_it() -> None:
    async with _running() as line:
        line.playout.queue(tone(1000))
        line.playout.mark("end", urgent=False)
        await asyncio.sleep(0.301)
        line.playout.clear()
        await asyncio.sleep(0)
        assert line.wire.sent[-1] == (301, Clear("MZ1"))
        before = len(line.wire.sent)
        await asyncio.sleep(5)
        assert len(line.wire.sent) == before
        assert line.cleared == [301]


@virtual_time
async def test_what_is_queued_behind_a_clear_plays_at_once() -> None:
    async with _running() as line:
        line.playout.queue(tone(1000))
        await asyncio.sleep(0.301)
        line.playout.clear()
        line.playout.queue(tone(40))
        await asyncio.sleep(1)
        assert line.kinds == "x Clear x"
        assert [at for at, _ in line.played[-2:]] == [301, 321]


@virtual_time
async def test_a_clear_when_everything_was_played_takes_back_only_what_is_to_come() -> None:
    async with _running() as line:
        line.playout.queue(tone(100))
        await asyncio.sleep(1)
        line.playout.clear()
        await asyncio.sleep(0)
        assert line.kinds == "x Clear"
        assert line.cleared == [1000]


@virtual_time
async def test_a_frame_on_its_way_at_a_clear_counts_as_taken_back() -> None:
    async with _running() as line:
        line.wire.delay_s = 0.05
        line.playout.queue(tone(1000))
        await asyncio.sleep(0.110)
        line.playout.clear()
        told = len(line.played)
        await asyncio.sleep(1)
        assert len(line.played) == told == 3
        assert line.kinds == "x Clear"
        assert line.cleared == [110]


@virtual_time
async def test_a_rest_of_a_frame_does_not_outlive_a_clear() -> None:
    async with _running() as line:
        line.playout.queue(tone(10))
        line.playout.clear()
        line.playout.queue(silence(20))
        await asyncio.sleep(1)
        assert [frame for _, frame in line.frames] == [silence(20)]


@virtual_time
async def test_drop_leaves_twilio_what_it_has() -> None:
    async with _running() as line:
        line.playout.queue(tone(1000))
        await asyncio.sleep(0)
        line.playout.drop()
        await asyncio.sleep(2)
        assert line.kinds == "x"
        assert len(line.frames) == LEAD_MS // 20 + 1
        assert line.cleared == []


@virtual_time
async def test_while_held_only_what_is_urgent_leaves() -> None:
    async with _running() as line:
        line.playout.hold()
        line.playout.queue(tone(100))
        line.playout.mark("end", urgent=False)
        line.playout.mark("heard", urgent=True)
        await asyncio.sleep(1)
        assert line.kinds == "OutMark"
        line.playout.release()
        await asyncio.sleep(1)
        assert line.kinds == "OutMark x OutMark"
        assert line.played[0][0] == 1000


@virtual_time
async def test_a_hold_in_the_middle_stops_at_the_next_frame() -> None:
    async with _running() as line:
        line.playout.queue(tone(1000))
        await asyncio.sleep(0.101)
        line.playout.hold()
        sent = len(line.frames)
        await asyncio.sleep(1)
        assert len(line.frames) == sent


@pytest.mark.parametrize("end", [Playout.clear, Playout.drop])
def test_a_hold_ends_with_what_was_held(end: object) -> None:
    assert callable(end)

    @virtual_time
    async def check() -> None:
        async with _running() as line:
            line.playout.hold()
            end(line.playout)
            line.playout.queue(tone(100))
            await asyncio.sleep(1)
            assert len(line.frames) == 5

    check()


@virtual_time
async def test_a_wire_that_is_cut_ends_the_playout() -> None:
    wire = Wire()
    wire.broken = True
    line = _Line(wire)
    line.playout.queue(tone(100))
    with pytest.raises(ConnectError):
        await line.playout.run()
