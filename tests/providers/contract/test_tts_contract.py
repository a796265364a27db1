"""What every voice does, local, simulated and hosted alike."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from tests.providers.contract.bench import Bench, Case, FarSide, Trouble
from tests.providers.contract.cases import TTS, each
from tests.providers.contract.measure import first_sound_ms
from tests.providers.contract.trial import check_told, failure, trying

from voicelat.audio.level import is_audible
from voicelat.audio.mulaw import duration_ms
from voicelat.clock import CallClock, ManualClock
from voicelat.errors import Advice, ProviderError
from voicelat.providers.protocols import TextToSpeech

TtsCase = Case[TextToSpeech]
TtsBench = Bench[TextToSpeech]


def _far(bench: TtsBench) -> FarSide:
    assert bench.far is not None
    return bench.far


async def _spoken(bench: TtsBench, text: str | None = None) -> bytes:
    text = bench.text if text is None else text
    return b"".join([chunk async for chunk in bench.provider.speak(text, bench.language)])


@each(TTS)
async def test_text_becomes_sound_of_a_plausible_length(case: TtsCase, figures: list[str]) -> None:
    async with trying(case) as bench:
        assert bench.provider.name
        audio = await _spoken(bench)
        assert is_audible(audio)
        words = len(bench.text.split())
        assert 100 * words < duration_ms(audio) < 1000 * words
        if case.live:
            speaking = bench.provider.speak(bench.text, bench.language)
            waited_ms = await first_sound_ms(speaking, CallClock())
            figures.append(f"{bench.provider.name}: first sound after {waited_ms} ms")


@each(TTS)
@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_nothing_to_say_is_no_audio_and_no_request(case: TtsCase, text: str) -> None:
    async with trying(case) as bench:
        assert await _spoken(bench, text) == b""


@each(TTS)
async def test_chunks_are_bytes(case: TtsCase) -> None:
    async with (
        trying(case) as bench,
        aclosing(bench.provider.speak(bench.text, bench.language)) as chunks,
    ):
        assert all([isinstance(chunk, bytes) async for chunk in chunks])


@each(TTS)
async def test_speech_that_is_closed_early_leaves_nothing_for_the_next(case: TtsCase) -> None:
    async with trying(case) as bench:
        whole = await _spoken(bench, "One.")
        async with aclosing(bench.provider.speak(bench.text, bench.language)) as chunks:
            await anext(chunks)
        after = await _spoken(bench, "One.")
        assert abs(duration_ms(after) - duration_ms(whole)) < 400


@each(TTS)
async def test_speech_never_asked_for_costs_nothing(case: TtsCase) -> None:
    async with trying(case) as bench:
        await bench.provider.speak(bench.text, bench.language).aclose()
        if bench.far is not None:
            assert bench.far.requests == 0


@each(TTS)
async def test_two_replies_at_once_are_two_replies(case: TtsCase) -> None:
    async with trying(case) as bench:
        long, short = await asyncio.gather(_spoken(bench), _spoken(bench, "One."))
        assert duration_ms(long) > duration_ms(short) > 0


@each(TTS, far=True)
async def test_the_first_sound_comes_before_the_speech_is_over(case: TtsCase) -> None:
    async with trying(case) as bench:
        if not case.streams:
            pytest.skip("this service answers with the whole speech at once")
        _far(bench).tell(Trouble.HOLD)
        speaking = bench.provider.speak(bench.text, bench.language)
        assert await first_sound_ms(speaking, ManualClock()) == 0


@each(TTS, far=True)
async def test_the_wait_for_the_first_sound_is_measured_from_the_request(case: TtsCase) -> None:
    async with trying(case) as bench:
        far, clock = _far(bench), ManualClock()
        far.tell(Trouble.LATE)
        speaking = bench.provider.speak(bench.text, bench.language)
        measuring = asyncio.create_task(first_sound_ms(speaking, clock))
        await far.busy()
        clock.advance_to(190)
        far.tell(Trouble.NONE)
        assert await measuring == 190


@each(TTS, far=True)
@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_giving_up_ends_the_request(case: TtsCase, how: str) -> None:
    async with trying(case) as bench:
        if how == "closed" and not case.streams:
            pytest.skip("this service answers with the whole speech at once")
        far = _far(bench)
        far.tell(Trouble.HOLD)
        await _give_up(case, bench, how)
        await far.idle()
        far.tell(Trouble.NONE)
        assert await _spoken(bench)


async def _give_up(case: TtsCase, bench: TtsBench, how: str) -> None:
    """Ask for speech, and stop in the middle of it."""
    first = asyncio.Event()

    async def read() -> None:
        async with aclosing(bench.provider.speak(bench.text, bench.language)) as chunks:
            async for _ in chunks:
                first.set()
                if how == "closed":
                    return

    reader = asyncio.create_task(read())
    await (first.wait() if case.streams else _far(bench).busy())
    if how == "cancelled":
        reader.cancel()
    await asyncio.wait([reader])


@each(TTS, far=True)
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
async def test_a_failure_says_what_happens_next_and_ends_with_it(
    case: TtsCase, trouble: Trouble, advice: Advice
) -> None:
    async with trying(case) as bench:
        _far(bench).tell(trouble)
        check_told(await failure(_spoken(bench)), bench.provider.name, advice)
        _far(bench).tell(Trouble.NONE)
        assert await _spoken(bench)


@each(TTS, far=True)
async def test_a_line_that_is_cut_is_told_and_mends(case: TtsCase) -> None:
    async with trying(case) as bench:
        far = _far(bench)
        far.tell(Trouble.HOLD)
        check_told(await _cut_off(bench), bench.provider.name, "retry")
        check_told(await failure(_spoken(bench)), bench.provider.name, "retry")
        far.cable.plugged = True
        far.tell(Trouble.NONE)
        assert await mended(bench)


async def _cut_off(bench: TtsBench) -> ProviderError:
    """How speech fails whose line is unplugged in the middle of it."""
    far = _far(bench)
    failing = asyncio.create_task(failure(_spoken(bench)))
    await far.busy()
    far.cable.unplug()
    return await failing


@each(TTS, far=True)
async def test_a_refused_key_is_told_before_the_first_call(case: TtsCase) -> None:
    async with trying(case, warm=False) as bench:
        _far(bench).tell(Trouble.REFUSE_KEY)
        check_told(await failure(bench.provider.warm()), bench.provider.name, "fix_key")


@each(TTS, far=True)
async def test_a_service_that_is_down_may_come_up_after_the_server(case: TtsCase) -> None:
    async with trying(case, warm=False) as bench:
        _far(bench).cable.unplug()
        await bench.provider.warm()
        _far(bench).cable.plugged = True
        assert await mended(bench)


async def mended(bench: TtsBench) -> bytes:
    """Speech from a service that is up again; clients wait before they look."""
    while True:
        try:
            return await _spoken(bench)
        except ProviderError as error:
            assert error.advice == "retry"
            await asyncio.sleep(0.05)
