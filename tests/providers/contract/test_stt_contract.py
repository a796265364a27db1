"""What all ears do, local, simulated and hosted alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.providers.contract.bench import Bench, Case, FarSide, Trouble
from tests.providers.contract.cases import STT, each
from tests.providers.contract.measure import until_final_ms
from tests.providers.contract.trial import check_told, failure, final, say, trying

from voicelat.audio.mulaw import silence
from voicelat.clock import CallClock, ManualClock
from voicelat.errors import Advice, ProviderError
from voicelat.providers.protocols import SpeechToText, SttStream, Transcript

SttCase = Case[SpeechToText]
SttBench = Bench[SpeechToText]


def _far(bench: SttBench) -> FarSide:
    assert bench.far is not None
    return bench.far


@asynccontextmanager
async def _opened(bench: SttBench) -> AsyncIterator[SttStream]:
    stream = await bench.provider.open(bench.language)
    try:
        yield stream
    finally:
        await stream.aclose()
        await stream.aclose()


async def _rest(stream: SttStream) -> list[Transcript]:
    """What is still told by a stream that is closed."""
    return [transcript async for transcript in stream]


async def _recognised(bench: SttBench) -> Transcript:
    """The final of a stream of its own."""
    async with _opened(bench) as stream:
        await say(stream, bench.speech)
        return await final(stream)


@each(STT)
async def test_speech_becomes_words_and_a_final(case: SttCase, figures: list[str]) -> None:
    async with trying(case) as bench, _opened(bench) as stream:
        assert bench.provider.name
        await say(stream, bench.speech)
        if case.live:
            waited_ms = await until_final_ms(aiter(stream), CallClock())
            figures.append(f"{bench.provider.name}: final after {waited_ms} ms")
        else:
            assert (await final(stream)).text.strip()


@each(STT)
async def test_the_second_utterance_has_nothing_of_the_first(case: SttCase) -> None:
    async with trying(case) as bench, _opened(bench) as stream:
        await say(stream, bench.speech)
        first = await final(stream)
        await say(stream, bench.speech)
        second = await final(stream)
        assert second.text
        assert len(second.text) < 1.5 * len(first.text)


@each(STT)
async def test_confidence_is_unknown_or_a_share(case: SttCase) -> None:
    async with trying(case) as bench, _opened(bench) as stream:
        await say(stream, bench.speech)
        confidence = (await final(stream)).confidence
        assert confidence is None or 0 <= confidence <= 1


@each(STT)
async def test_silence_has_no_words(case: SttCase) -> None:
    async with trying(case) as bench:
        async with _opened(bench) as stream:
            for _ in range(50):
                stream.feed(silence(20))
                await asyncio.sleep(0)
            stream.feed(b"")
            stream.finalize()
        assert await _rest(stream) == []


@each(STT)
async def test_a_stream_that_is_closed_ends(case: SttCase) -> None:
    async with trying(case) as bench:
        async with _opened(bench) as stream:
            listening = asyncio.create_task(_rest(stream))
            await asyncio.sleep(0)
        assert await listening == []


@each(STT)
async def test_nothing_is_told_of_speech_that_was_given_up(case: SttCase) -> None:
    async with trying(case) as bench:
        async with _opened(bench) as stream:
            await say(stream, bench.speech)
        assert [t for t in await _rest(stream) if t.final] == []


@each(STT)
async def test_a_closed_stream_takes_everything_and_does_nothing(case: SttCase) -> None:
    async with trying(case) as bench:
        async with _opened(bench) as stream:
            pass
        await say(stream, bench.speech)
        assert [t for t in await _rest(stream) if t.final] == []


@each(STT)
async def test_a_reader_that_is_cancelled_leaves_nothing_behind(case: SttCase) -> None:
    async with trying(case) as bench:
        stream = await bench.provider.open(bench.language)
        listening = asyncio.create_task(_rest(stream))
        stream.voice(True)
        stream.feed(bench.speech)
        await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait([listening])
        await stream.aclose()


@each(STT)
async def test_streams_that_nobody_closed_go_with_their_provider(case: SttCase) -> None:
    async with trying(case) as bench:
        stream = await bench.provider.open(bench.language)
        stream.voice(True)
        stream.feed(bench.speech)


@each(STT)
async def test_two_calls_do_not_mix(case: SttCase) -> None:
    async with trying(case) as bench, _opened(bench) as one, _opened(bench) as other:
        await say(one, bench.speech)
        assert (await final(one)).text
        await say(other, bench.speech)
        assert (await final(other)).text
        await one.aclose()
        assert [t for t in await _rest(one) if t.final] == []


@each(STT, far=True)
async def test_a_partial_comes_before_its_final(case: SttCase) -> None:
    async with trying(case) as bench, _opened(bench) as stream:
        _far(bench).tell(Trouble.HOLD)
        await say(stream, bench.speech)
        async for transcript in stream:
            assert not transcript.final
            assert transcript.text
            break


@each(STT, far=True)
async def test_the_wait_for_the_final_is_measured_from_the_wish_for_it(case: SttCase) -> None:
    async with trying(case) as bench, _opened(bench) as stream:
        far, clock = _far(bench), ManualClock()
        far.tell(Trouble.HOLD)
        await say(stream, bench.speech)
        measuring = asyncio.create_task(until_final_ms(aiter(stream), clock))
        await asyncio.sleep(0)
        clock.advance_to(250)
        far.tell(Trouble.NONE)
        assert await measuring == 250


@each(STT, far=True)
async def test_closing_a_stream_ends_its_request(case: SttCase) -> None:
    async with trying(case) as bench:
        far = _far(bench)
        async with _opened(bench) as stream:
            far.tell(Trouble.HOLD)
            await say(stream, bench.speech)
            await anext(aiter(stream))
            assert far.requests
        await far.idle()


@each(STT, far=True)
@pytest.mark.parametrize(
    ("trouble", "advice"),
    [
        (Trouble.SILENT, "retry"),
        (Trouble.HOLD, "retry"),
        (Trouble.DIE, "retry"),
        (Trouble.BUSY, "retry"),
        (Trouble.GARBAGE, "retry"),
        (Trouble.REFUSE_KEY, "fix_key"),
        (Trouble.REJECT, "give_up"),
    ],
)
async def test_a_failure_that_lasts_says_what_happens_next_and_ends_with_it(
    case: SttCase, trouble: Trouble, advice: Advice
) -> None:
    async with trying(case) as bench:
        far = _far(bench)
        far.tell(trouble)
        check_told(await failure(_recognised(bench)), bench.provider.name, advice)
        await far.idle()
        far.tell(Trouble.NONE)
        assert (await _recognised(bench)).text


@each(STT, far=True)
async def test_a_line_that_stays_cut_is_told_and_mends(case: SttCase) -> None:
    async with trying(case) as bench:
        far = _far(bench)
        far.cable.unplug()
        check_told(await failure(_recognised(bench)), bench.provider.name, "retry")
        far.cable.plugged = True
        assert await mended(bench)


@each(STT, far=True)
async def test_a_refused_key_is_told_before_the_first_call(case: SttCase) -> None:
    async with trying(case, warm=False) as bench:
        _far(bench).tell(Trouble.REFUSE_KEY)
        check_told(await failure(bench.provider.warm()), bench.provider.name, "fix_key")


@each(STT, far=True)
async def test_a_service_that_is_down_may_come_up_after_the_server(case: SttCase) -> None:
    async with trying(case, warm=False) as bench:
        _far(bench).cable.unplug()
        await bench.provider.warm()
        _far(bench).cable.plugged = True
        assert await mended(bench)


async def mended(bench: SttBench) -> str:
    """Words from a service that is up again; clients wait before they look."""
    while True:
        try:
            return (await _recognised(bench)).text
        except ProviderError as error:
            assert error.advice == "retry"
            await asyncio.sleep(0.05)
