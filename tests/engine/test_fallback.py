"""The second opinion: on the right audio, in time or not at all, and in nobody's way."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.fakes import FOREVER, tone
from tests.engine.stubborn import Grip, Scribe, StubbornScribe
from tests.engine.virtual_loop import virtual_time

from voicelat.audio.mulaw import silence
from voicelat.engine.config import EngineConfig
from voicelat.engine.fallback import LEAD_IN_MS, Fallback, Heard
from voicelat.errors import ProviderError
from voicelat.metrics.record import TurnRecord
from voicelat.providers.protocols import Transcript

_SOON = EngineConfig(fallback_timeout_ms=1000, fallback_audio_ms=2000)
_LOST = ProviderError("scribe", "lost", "retry")


def _record(turn: int, *, asked: bool = True, answered: bool = False) -> TurnRecord:
    return TurnRecord(
        call_id="CA1",
        turn=turn,
        outcome="answered",
        fallback=asked,
        fallback_used="answer" if answered else None,
    )


class _Desk:
    """A fallback and what it told. It has heard half a second of a voice."""

    def __init__(self, scribe: Scribe | None, config: EngineConfig = _SOON) -> None:
        self.heard: list[Heard] = []
        self.records: list[TurnRecord] = []
        self.fallback = Fallback(
            scribe, config, on_heard=self.heard.append, on_turn=self.records.append
        )
        self.fallback.hear(tone(500), in_turn=True)


# -- the audio --------------------------------------------------------------------------------


@virtual_time
async def test_it_gets_the_audio_of_the_turn_and_a_lead_in() -> None:
    scribe = Scribe()
    desk = _Desk(scribe)
    for _ in range(100):
        desk.fallback.hear(silence(20), in_turn=False)
    assert desk.fallback.kept_ms == LEAD_IN_MS
    for _ in range(40):
        desk.fallback.hear(tone(20), in_turn=True)
    desk.fallback.run(1)
    await asyncio.sleep(0.1)
    assert scribe.audio == [silence(LEAD_IN_MS) + tone(20) * 40]
    assert desk.fallback.lost_ms == 0


@virtual_time
async def test_of_a_turn_that_is_too_long_the_end_is_kept_and_the_loss_counted() -> None:
    scribe = Scribe()
    desk = _Desk(scribe)
    for n in range(200):
        desk.fallback.hear(bytes([n]) * 160, in_turn=True)
    assert (desk.fallback.kept_ms, desk.fallback.lost_ms) == (2000, 500 + 4000 - 2000)
    desk.fallback.run(1)
    await asyncio.sleep(0.1)
    assert scribe.audio == [b"".join(bytes([n]) * 160 for n in range(100, 200))]


@virtual_time
async def test_audio_that_is_not_needed_any_more_is_freed() -> None:
    desk = _Desk(Scribe())
    desk.fallback.hear(tone(1500), in_turn=True)
    assert desk.fallback.kept_ms == 2000
    desk.fallback.hear(silence(20), in_turn=False)
    assert desk.fallback.kept_ms == LEAD_IN_MS
    desk.fallback.close("the call ended")
    assert desk.fallback.kept_ms == 0
    nobody = _Desk(None)
    assert nobody.fallback.kept_ms == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=20))
def test_what_is_kept_is_the_end_of_what_was_heard_and_bounded(
    heard: list[tuple[int, bool]],
) -> None:
    @virtual_time
    async def check() -> None:
        fallback = Fallback(Scribe(), _SOON, on_heard=lambda _: None, on_turn=lambda _: None)
        for ms, in_turn in heard:
            before_ms, lost_ms = fallback.kept_ms, fallback.lost_ms
            fallback.hear(silence(ms), in_turn=in_turn)
            assert fallback.kept_ms == min(before_ms + ms, 2000 if in_turn else LEAD_IN_MS)
            gone_ms = before_ms + ms - fallback.kept_ms
            assert fallback.lost_ms - lost_ms == (gone_ms if in_turn else 0)

    check()


# -- what becomes of it -----------------------------------------------------------------------


@virtual_time
async def test_a_text_that_is_sure_enough_is_told_with_what_it_took() -> None:
    desk = _Desk(Scribe("book a table", 0.64))
    desk.fallback.run(3)
    assert desk.heard == [], "nothing waits for it"
    await asyncio.sleep(2)
    assert desk.heard == [Heard(3, 640, "book a table", None, certain=True)]


_WORTH = {
    "sure": (Transcript(" yes ", True, 0.6), None, True),
    "unsure": (Transcript("yes", True, 0.59), "confidence 0.59 is below 0.6", False),
    "not a number": (Transcript("yes", True, float("nan")), "confidence nan is below 0.6", False),
    "it tells none": (Transcript("yes", True), None, False),
    "no words": (Transcript("...", True, 0.9), "it heard no words", True),
    "nothing": (Transcript("", True, 0.9), "it heard no words", True),
}


@pytest.mark.parametrize("how", list(_WORTH))
def test_a_text_is_of_use_when_it_has_words_and_is_not_in_doubt(how: str) -> None:
    @virtual_time
    async def check() -> None:
        transcript, failure, certain = _WORTH[how]
        desk = _Desk(Scribe(transcript))
        desk.fallback.run(1)
        await asyncio.sleep(0.1)
        (heard,) = desk.heard
        assert (heard.text, heard.failure) == (transcript.text.strip(), failure)
        assert heard.ms == 0
        assert heard.certain == (certain and failure is None)

    check()


@virtual_time
@pytest.mark.parametrize(
    ("step", "failure", "errors"),
    [
        (_LOST, "scribe: lost", []),
        (ValueError("a bug"), "a bug", ["scribe: ValueError('a bug')"]),
        (asyncio.CancelledError(), "scribe: it cancelled itself", []),
    ],
)
async def test_a_transcriber_that_fails_is_told_and_hurts_nobody(
    step: BaseException, failure: str, errors: list[str]
) -> None:
    desk = _Desk(Scribe("", step))
    desk.fallback.run(1)
    await asyncio.sleep(0.1)
    assert desk.heard == [Heard(1, failure=failure)]
    assert desk.fallback.errors == errors
    assert desk.fallback.tasks == set()


@virtual_time
@pytest.mark.parametrize("given", ["text", Transcript(b"bytes", True), None])  # type: ignore[arg-type]
async def test_what_is_no_transcript_is_told_too(given: object) -> None:
    class Wrong(Scribe):
        async def transcribe(self, audio: bytes, language: str) -> Transcript:
            return given  # type: ignore[return-value]

    desk = _Desk(Wrong())
    desk.fallback.run(1)
    await asyncio.sleep(0.1)
    assert desk.heard[0].text is None
    assert "instead of" in desk.fallback.errors[0]


@virtual_time
async def test_a_text_that_is_late_is_given_up_at_its_deadline() -> None:
    scribe = Scribe("book a table", FOREVER)
    desk = _Desk(scribe)
    desk.fallback.run(1)
    await asyncio.sleep(0.999)
    assert desk.heard == []
    await asyncio.sleep(0.002)
    assert desk.heard == [Heard(1, failure="scribe: no text in 1000 ms")]
    assert scribe.open == 0


@virtual_time
async def test_only_the_last_turn_is_transcribed() -> None:
    scribe = Scribe("two", 0.5, 0.5)
    desk = _Desk(scribe)
    desk.fallback.run(1)
    await asyncio.sleep(0.2)
    desk.fallback.run(2)
    await asyncio.sleep(2)
    assert [(h.turn, h.text) for h in desk.heard] == [(1, None), (2, "two")]
    assert desk.heard[0].failure == "another turn had to be transcribed"


@virtual_time
async def test_each_transcription_has_its_own_deadline() -> None:
    desk = _Desk(Scribe("two", 0.5, 0.9))
    desk.fallback.run(1)
    await asyncio.sleep(0.6)
    desk.fallback.run(2)
    await asyncio.sleep(2)
    assert [h.ms for h in desk.heard] == [500, 900]


@virtual_time
async def test_a_turn_that_has_its_words_needs_it_no_more() -> None:
    scribe = Scribe("two", FOREVER)
    desk = _Desk(scribe)
    desk.fallback.run(2)
    desk.fallback.not_needed(1)
    await asyncio.sleep(0.1)
    assert scribe.open == 1
    desk.fallback.not_needed(2)
    await asyncio.sleep(0.1)
    assert scribe.open == 0
    assert [h.failure for h in desk.heard] == ["the recogniser's text came after all"]


@virtual_time
async def test_without_any_audio_nobody_is_asked() -> None:
    scribe = Scribe()
    desk = _Desk(scribe)
    desk.fallback.close("the call ended")
    desk.fallback.run(1)
    assert desk.heard == [Heard(1, failure="there was no audio")]
    assert scribe.audio == []


@virtual_time
async def test_a_transcriber_that_cannot_be_stopped_is_not_given_work_for_ever() -> None:
    grip = Grip()
    scribe = StubbornScribe(grip)
    desk = _Desk(scribe)
    for turn in range(1, 5):
        desk.fallback.run(turn)
        await asyncio.sleep(1.5)
    assert [h.failure for h in desk.heard] == [
        *["scribe: no text in 1000 ms"] * 2,
        *["scribe: it is still busy"] * 2,
    ]
    assert len(scribe.audio) == 2
    await grip.release()
    assert desk.fallback.tasks == set()
    assert len(desk.heard) == 4, "what it says now is nobody's"
    desk.fallback.run(5)
    await asyncio.sleep(0.1)
    assert len(scribe.audio) == 3


# -- the records ------------------------------------------------------------------------------


@virtual_time
async def test_a_record_waits_for_its_transcription_and_later_ones_behind_it() -> None:
    desk = _Desk(Scribe("book a table", 0.5))
    desk.fallback.close_turn(_record(1, asked=False))
    assert [r.turn for r in desk.records] == [1]
    desk.fallback.run(2)
    desk.fallback.close_turn(_record(2))
    desk.fallback.close_turn(_record(3, asked=False))
    assert [r.turn for r in desk.records] == [1]
    await asyncio.sleep(1)
    assert [r.turn for r in desk.records] == [1, 2, 3]
    second = desk.records[1]
    assert (second.fallback_ms, second.fallback_text) == (500, "book a table")
    assert (second.fallback_used, second.fallback_failure) == ("history", None)
    assert desk.records[2].fallback_ms is None


@virtual_time
async def test_a_record_whose_transcription_came_first_does_not_wait() -> None:
    desk = _Desk(Scribe("book a table", 0.5))
    desk.fallback.run(1)
    await asyncio.sleep(1)
    desk.fallback.close_turn(_record(1))
    assert [r.fallback_used for r in desk.records] == ["history"]


@virtual_time
async def test_a_record_says_why_the_text_was_of_no_use() -> None:
    desk = _Desk(Scribe("book a table", _LOST))
    desk.fallback.run(1)
    desk.fallback.close_turn(_record(1))
    await asyncio.sleep(1)
    (record,) = desk.records
    assert (record.fallback_used, record.fallback_failure) == (None, "scribe: lost")
    assert (record.fallback_ms, record.fallback_text) == (None, None)


@virtual_time
async def test_a_record_says_what_the_text_was_used_for() -> None:
    for asked, answered, used, failure in [
        (False, True, "answer", None),
        (False, False, None, "the caller or the recogniser said more in time"),
    ]:
        desk = _Desk(Scribe())
        desk.fallback.run(1)
        await asyncio.sleep(0.1)
        desk.fallback.close_turn(_record(1, asked=asked, answered=answered))
        (record,) = desk.records
        assert (record.fallback_used, record.fallback_failure) == (used, failure)


@virtual_time
async def test_the_end_of_the_call_gives_every_record_away() -> None:
    scribe = Scribe("book a table", FOREVER)
    desk = _Desk(scribe)
    desk.fallback.run(1)
    desk.fallback.close_turn(_record(1))
    desk.fallback.close_turn(_record(2, asked=False))
    desk.fallback.close("the call ended")
    assert [r.fallback_failure for r in desk.records] == ["the call ended", None]
    await asyncio.sleep(0.1)
    assert desk.fallback.tasks == set()
    assert scribe.open == 0


@virtual_time
async def test_without_a_transcriber_records_never_wait() -> None:
    desk = _Desk(None)
    desk.fallback.run(1)
    desk.fallback.close_turn(_record(1))
    assert desk.records == [_record(1)]
    assert desk.heard == []
