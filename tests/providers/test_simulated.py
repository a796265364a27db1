from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.engine.fakes import tone
from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.audio.level import first_audible, is_audible
from voicelat.audio.mulaw import duration_ms, silence
from voicelat.errors import UsageError
from voicelat.providers.protocols import (
    LanguageModel,
    Prompt,
    SpeechToText,
    TextToSpeech,
    Transcriber,
    Transcript,
)
from voicelat.providers.simulated import (
    PROFILES,
    Latency,
    SimulatedLlm,
    SimulatedStt,
    SimulatedSttStream,
    SimulatedTranscriber,
    SimulatedTts,
    profile,
)

_PROMPT = Prompt("CA1", 1, "hello")
_GOOGLE = profile("google-openai-google")
_INSTANT = profile("instant")


def _stages(name: str) -> dict[str, Latency]:
    stages = PROFILES[name]
    return {
        "stt_final": stages.stt_final,
        "stt_partial": stages.stt_partial,
        "llm_first_token": stages.llm_first_token,
        "tts_first_byte": stages.tts_first_byte,
        "transcribe": stages.transcribe,
    }


# -- profiles ---------------------------------------------------------------------------------


def test_the_shipped_profiles_are_known_by_name() -> None:
    known = {"google-openai-google", "deepgram-openai-cartesia", "stand-in", "instant"}
    assert set(PROFILES) == known
    assert all(profile(name).name == name for name in PROFILES)


def test_an_unknown_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="deepgram-openai-cartesia, google-openai-google, instant"):
        profile("acme")


@pytest.mark.parametrize("name", PROFILES)
def test_every_figure_has_a_source_and_a_tail(name: str) -> None:
    for latency in _stages(name).values():
        assert latency.source
        assert latency.p95_ms >= latency.median_ms


@pytest.mark.parametrize(
    ("name", "stage"),
    [(name, stage) for name in PROFILES for stage in _stages(name) if name != "instant"],
)
def test_latencies_have_the_median_and_the_tail_of_their_profile(name: str, stage: str) -> None:
    latency = _stages(name)[stage]
    rng = random.Random(1)
    sample_ms = [latency.sample(rng) * 1000 for _ in range(20_000)]
    median_ms, p95_ms = np.percentile(sample_ms, [50, 95])
    assert median_ms == pytest.approx(latency.median_ms, rel=0.02)
    assert p95_ms == pytest.approx(latency.p95_ms, rel=0.03)


def test_instant_takes_no_time() -> None:
    assert {latency.sample(random.Random(1)) for latency in _stages("instant").values()} == {0.0}


# -- ears -------------------------------------------------------------------------------------


async def _speak(stream: SimulatedSttStream, ms: int, frame_ms: int = 20) -> None:
    """Voice for ``ms``, in real time."""
    stream.voice(True)
    for _ in range(0, ms, frame_ms):
        stream.feed(silence(frame_ms))
        await asyncio.sleep(frame_ms / 1000)
    stream.voice(False)


async def _until_closed(stream: SimulatedSttStream, heard: list[tuple[int, Transcript]]) -> None:
    clock = LoopClock()
    heard.extend([(clock.now_ms(), transcript) async for transcript in stream])


@virtual_time
async def test_the_ears_tell_a_word_for_each_400_ms_of_voice() -> None:
    stream = await SimulatedStt(_INSTANT).open("en-US")
    heard: list[tuple[int, Transcript]] = []
    listening = asyncio.create_task(_until_closed(stream, heard))
    await _speak(stream, 1250)
    await asyncio.sleep(1)
    await stream.aclose()
    await listening
    partials = [t.text for _, t in heard if not t.final]
    assert [len(text.split()) for text in partials] == sorted(
        min(3, max(1, ms // 400)) for ms in (*range(100, 1300, 100), 1260)
    )
    assert all(late.startswith(early) for early, late in pairwise(partials))
    finals = [t for _, t in heard if t.final]
    assert [len(final.text.split()) for final in finals] == [3]
    assert heard[-1][1] is finals[0]


@virtual_time
async def test_the_final_comes_as_late_as_the_profile_says() -> None:
    stt: SpeechToText = SimulatedStt(_GOOGLE, seed=3)
    delays_ms: list[int] = []
    for _ in range(200):
        stream = await stt.open("he-IL")
        assert isinstance(stream, SimulatedSttStream)
        heard: list[tuple[int, Transcript]] = []
        listening = asyncio.create_task(_until_closed(stream, heard))
        await _speak(stream, 800, frame_ms=100)
        await asyncio.sleep(10)
        await stream.aclose()
        await listening
        assert [t.final for _, t in heard].count(True) == 1
        assert heard[-1][1].final, "a partial behind its final"
        delays_ms.append(heard[-1][0] - 800)
    assert np.median(delays_ms) == pytest.approx(878, rel=0.05)


@virtual_time
async def test_voice_that_comes_back_takes_the_final_back() -> None:
    stream = await SimulatedStt(_GOOGLE).open("en-US")
    heard: list[tuple[int, Transcript]] = []
    listening = asyncio.create_task(_until_closed(stream, heard))
    await _speak(stream, 800)
    await asyncio.sleep(0.2)
    await _speak(stream, 800)
    await asyncio.sleep(10)
    await stream.aclose()
    await listening
    finals = [t.text for _, t in heard if t.final]
    assert [len(text.split()) for text in finals] == [4]


@virtual_time
async def test_no_partial_comes_behind_its_final() -> None:
    slow = replace(_INSTANT, stt_partial=Latency(2000, 2000, "a test"))
    stream = await SimulatedStt(slow).open("en-US")
    heard: list[tuple[int, Transcript]] = []
    listening = asyncio.create_task(_until_closed(stream, heard))
    await _speak(stream, 800)
    await asyncio.sleep(10)
    await stream.aclose()
    await listening
    assert [t.final for _, t in heard] == [True]


@virtual_time
async def test_each_utterance_has_words_of_its_own() -> None:
    stream = await SimulatedStt(_INSTANT).open("en-US")
    heard: list[tuple[int, Transcript]] = []
    listening = asyncio.create_task(_until_closed(stream, heard))
    for ms in (1200, 400):
        await _speak(stream, ms)
        await asyncio.sleep(1)
    await stream.aclose()
    await listening
    assert [len(t.text.split()) for _, t in heard if t.final] == [3, 1]


@virtual_time
async def test_silence_and_noise_without_voice_have_no_words() -> None:
    stream = await SimulatedStt(_INSTANT).open("en-US")
    heard: list[tuple[int, Transcript]] = []
    listening = asyncio.create_task(_until_closed(stream, heard))
    for _ in range(100):
        stream.feed(silence(20))
    stream.voice(False)
    stream.finalize()
    await asyncio.sleep(5)
    await stream.aclose()
    await listening
    assert heard == []


@virtual_time
async def test_a_closed_stream_ends_and_tells_nothing_more() -> None:
    stream = await SimulatedStt(_GOOGLE).open("en-US")
    heard: list[tuple[int, Transcript]] = []
    listening = asyncio.create_task(_until_closed(stream, heard))
    await _speak(stream, 800)
    await stream.aclose()
    await stream.aclose()
    await listening
    await asyncio.sleep(10)
    assert stream._out.qsize() == 1  # the second close; no timer of the first has fired
    assert not any(t.final for _, t in heard)


# -- words and voice --------------------------------------------------------------------------


async def _pieces_ms(model: LanguageModel) -> list[int]:
    clock = LoopClock()
    return [clock.now_ms() async for _ in model.reply(_PROMPT)]


async def _chunks_ms(voice: TextToSpeech, text: str = "One two three.") -> list[int]:
    clock = LoopClock()
    return [clock.now_ms() async for _ in voice.speak(text, "en-US")]


@virtual_time
async def test_the_model_takes_its_time_for_the_first_word_and_its_pace_for_the_rest() -> None:
    model = SimulatedLlm(_GOOGLE, seed=5)
    first_ms: list[int] = []
    for _ in range(300):
        times_ms = await _pieces_ms(model)
        first_ms.append(times_ms[0])
        paces = {late - early for early, late in pairwise(times_ms)}
        assert paces <= {16, 17}
    assert np.median(first_ms) == pytest.approx(375, rel=0.1)


@virtual_time
async def test_the_reply_has_a_short_first_clause_and_fits_the_word_limit() -> None:
    pieces = [piece async for piece in SimulatedLlm(_INSTANT).reply(_PROMPT)]
    reply = "".join(pieces)
    assert len(reply.split(",")[0].split()) == 1
    assert len(reply.split()) <= 24


@virtual_time
async def test_the_voice_takes_its_time_for_the_first_sound_and_its_speed_for_the_rest() -> None:
    voice = SimulatedTts(_GOOGLE, seed=5)
    first_ms: list[int] = []
    for _ in range(300):
        times_ms = await _chunks_ms(voice)
        first_ms.append(times_ms[0])
        assert {late - early for early, late in pairwise(times_ms)} <= {80}
    assert np.median(first_ms) == pytest.approx(200, rel=0.1)


@virtual_time
async def test_one_word_is_400_ms_that_can_be_heard_from_its_beginning() -> None:
    chunks = [chunk async for chunk in SimulatedTts(_INSTANT).speak("One two.", "en-US")]
    assert [duration_ms(chunk) for chunk in chunks] == [400, 400]
    assert all(first_audible(chunk) == 0 for chunk in chunks)
    assert not is_audible(chunks[0][330 * 8 :])


@virtual_time
async def test_nothing_to_say_is_no_audio() -> None:
    assert await _chunks_ms(SimulatedTts(_INSTANT), " \n") == []


@virtual_time
async def test_the_same_seed_gives_the_same_latencies_and_another_seed_others() -> None:
    async def run(seed: int) -> tuple[list[int], list[int]]:
        return (
            await _pieces_ms(SimulatedLlm(_GOOGLE, seed)),
            await _chunks_ms(SimulatedTts(_GOOGLE, seed)),
        )

    first = await run(7)
    assert await run(7) == first
    assert await run(8) != first


@virtual_time
async def test_two_calls_of_one_recogniser_differ_and_both_can_be_repeated() -> None:
    async def finals_ms(seed: int) -> list[int]:
        stt = SimulatedStt(_GOOGLE, seed)
        times_ms: list[int] = []
        for _ in range(2):
            stream = await stt.open("en-US")
            heard: list[tuple[int, Transcript]] = []
            listening = asyncio.create_task(_until_closed(stream, heard))
            await _speak(stream, 400)
            await asyncio.sleep(10)
            await stream.aclose()
            await listening
            times_ms.append(heard[-1][0])
        return times_ms

    first = await finals_ms(1)
    assert first[0] != first[1]
    assert await finals_ms(1) == first


# -- the transcriber --------------------------------------------------------------------------


@virtual_time
async def test_a_transcriber_hears_a_word_per_400_ms_of_sound_and_none_in_silence() -> None:
    scribe: Transcriber = SimulatedTranscriber(_INSTANT)
    heard = await scribe.transcribe(silence(2000) + tone(1200) + silence(500), "he-IL")
    assert heard == Transcript("one moment please", final=True, confidence=0.9)
    assert (await scribe.transcribe(silence(2000), "he-IL")).text == ""
    assert (await scribe.transcribe(b"", "he-IL")).text == ""
    await scribe.warm()
    await scribe.aclose()


@virtual_time
async def test_a_transcriber_takes_as_long_as_its_profile_says_the_same_for_the_same_seed() -> None:
    expected_ms = _GOOGLE.transcribe.sample(random.Random(7)) * 1000
    for _ in range(2):
        clock = LoopClock()
        await SimulatedTranscriber(_GOOGLE, seed=7).transcribe(tone(500), "en-US")
        assert abs(clock.now_ms() - expected_ms) <= 1
