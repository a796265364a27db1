from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from voicelat.audio.mulaw import silence
from voicelat.audio.vad import SpeechSegmenter
from voicelat.errors import ProviderError
from voicelat.providers.local.moonshine import Moonshine
from voicelat.providers.local.pool import RankedPool
from voicelat.providers.local.stt import MoonshineStream, MoonshineStt, SttConfig
from voicelat.providers.local.vad import SileroVad
from voicelat.providers.local.weights import MOONSHINE
from voicelat.providers.protocols import SpeechToText, SttStream, Transcript

Recording = Callable[[str], bytes]

GO = "sphinx_goforward.wav"
GO_TEXT = "Go forward ten meters."


@pytest.fixture
async def stream(moonshine: Moonshine, pool: RankedPool) -> AsyncIterator[MoonshineStream]:
    stream = MoonshineStream(moonshine, pool, SttConfig(), lambda _: None)
    yield stream
    await stream.aclose()


def _frames(audio: bytes) -> list[bytes]:
    return [audio[at : at + 160] for at in range(0, len(audio), 160)]


def _speak(stream: SttStream, audio: bytes) -> None:
    """A voice from the first to the last byte, as one block: no time for partials."""
    stream.voice(True)
    stream.feed(audio)
    stream.voice(False)


async def _hear_out(stream: MoonshineStream) -> list[Transcript]:
    """What was still to come, up to the text of the last pause."""
    stream.finalize()
    heard = [await asyncio.wait_for(anext(aiter(stream)), 30)]
    while not heard[-1].final:
        heard.append(await asyncio.wait_for(anext(aiter(stream)), 30))
    return heard


async def _rest(stream: MoonshineStream) -> list[Transcript]:
    await stream.aclose()
    return [transcript async for transcript in stream]


async def test_a_pause_gives_its_text_at_once_and_the_final_after_silence(
    stream: MoonshineStream, recording: Recording
) -> None:
    _speak(stream, recording(GO))
    assert await anext(aiter(stream)) == Transcript(GO_TEXT, final=False)
    stream.feed(silence(100))
    assert await anext(aiter(stream)) == Transcript(GO_TEXT, final=True)
    assert await _rest(stream) == []


async def test_finalize_gives_the_final_without_waiting_for_silence(
    stream: MoonshineStream, recording: Recording
) -> None:
    _speak(stream, recording(GO))
    await anext(aiter(stream))
    stream.finalize()
    assert await anext(aiter(stream)) == Transcript(GO_TEXT, final=True)


async def test_a_final_wanted_before_its_text_is_known_comes_as_soon_as_it_is(
    stream: MoonshineStream, recording: Recording
) -> None:
    _speak(stream, recording(GO))
    stream.finalize()
    assert await anext(aiter(stream)) == Transcript(GO_TEXT, final=True)


async def test_a_voice_that_resumes_in_time_continues_its_segment(
    stream: MoonshineStream, recording: Recording
) -> None:
    speech = recording(GO)
    _speak(stream, speech[:11200])
    first = await anext(aiter(stream))
    stream.feed(speech[11200:11840])
    _speak(stream, speech[11840:])
    assert await _hear_out(stream) == [Transcript(GO_TEXT, final=True)]
    assert not first.final


async def test_a_resumed_voice_withdraws_the_wish_for_a_final(
    stream: MoonshineStream, recording: Recording
) -> None:
    speech = recording(GO)
    _speak(stream, speech[:11200])
    stream.finalize()
    _speak(stream, speech[11200:])
    assert await anext(aiter(stream)) == Transcript(GO_TEXT, final=False)


async def test_after_a_final_a_new_segment_begins(
    stream: MoonshineStream, recording: Recording
) -> None:
    for name, text in [(GO, "ten meters."), ("sphinx_4kb_0880.wav", "young man")]:
        _speak(stream, recording(name))
        stream.feed(silence(200))
        final = (await _hear_out(stream))[-1]
        assert text in final.text
        assert len(final.text.split()) < 10


async def test_partials_come_while_the_voice_goes_on(
    stream: MoonshineStream, recording: Recording
) -> None:
    heard = []
    stream.voice(True)
    for step in range(0, 12000, 3200):
        stream.feed(recording(GO)[step : step + 3200])
        heard.append(await asyncio.wait_for(anext(aiter(stream)), 30))
    assert not any(transcript.final for transcript in heard)
    assert heard[-1].text.startswith("Go forward")
    assert len({transcript.text for transcript in heard}) == len(heard)


async def test_no_more_than_one_partial_is_under_way(
    stream: MoonshineStream, recording: Recording
) -> None:
    stream.voice(True)
    for frame in _frames(recording("jfk.wav")[: 8 * 8000]):
        stream.feed(frame)  # 20 times the audio of a partial, without a moment for its result
    transcript = await anext(aiter(stream))
    assert not transcript.final
    assert await _rest(stream) == []


async def test_speech_without_a_voice_hint_is_not_heard(
    stream: MoonshineStream, recording: Recording
) -> None:
    stream.feed(recording(GO))
    stream.finalize()
    stream.voice(False)
    stream.finalize()
    assert await _rest(stream) == []


async def test_a_little_from_before_the_voice_hint_is_heard(
    stream: MoonshineStream, recording: Recording
) -> None:
    speech = recording(GO)
    begin = 4800  # 600 ms, in the middle of "go"
    stream.feed(speech[:begin])
    _speak(stream, speech[begin:])
    assert (await _hear_out(stream))[-1].text == GO_TEXT


@pytest.mark.parametrize("name", ["noise_office.wav", "hold_music.wav"])
async def test_the_voice_detector_keeps_noise_from_being_heard(
    stream: MoonshineStream, recording: Recording, name: str
) -> None:
    segmenter = SpeechSegmenter(SileroVad())
    for number, frame in enumerate(_frames(recording(name)[: 15 * 8000])):
        stream.feed(frame)
        for edge in segmenter.push(frame, number * 20):
            stream.voice(edge.active)
    stream.finalize()
    said = await _rest(stream)
    assert sum(len(transcript.text.split()) for transcript in said) <= 1


async def test_finalize_under_a_voice_closes_the_segment_there(
    stream: MoonshineStream, recording: Recording
) -> None:
    stream.voice(True)
    stream.feed(recording(GO)[:12000])
    stream.finalize()
    cut = await _hear_out(stream)
    stream.voice(False)
    assert cut[-1].text.startswith("Go forward")
    assert not [transcript for transcript in await _rest(stream) if transcript.text]


async def test_an_endless_voice_is_cut_and_nothing_is_told_out_of_order(
    moonshine: Moonshine, pool: RankedPool, recording: Recording
) -> None:
    config = SttConfig(longest_ms=3000)
    stream = MoonshineStream(moonshine, pool, config, lambda _: None)
    stream.voice(True)
    for frame in _frames(recording("jfk.wav")[: 7 * 8000]):
        stream.feed(frame)
    stream.voice(False)
    finals = [await _next_final(stream) for _ in range(2)]
    finals += await _hear_out(stream)
    assert "fellow america" in finals[0].text.lower()
    assert [transcript.final for transcript in finals].count(True) == 3
    await stream.aclose()


async def _next_final(stream: MoonshineStream) -> Transcript:
    while not (transcript := await asyncio.wait_for(anext(aiter(stream)), 30)).final:
        pass
    return transcript


async def test_a_blip_left_behind_a_cut_is_nobodys_word(stream: MoonshineStream) -> None:
    stream.voice(True)
    stream.feed(silence(100))
    stream.voice(False)
    stream.finalize()
    assert await _rest(stream) == []


async def test_closing_ends_the_iteration_and_the_work(
    moonshine: Moonshine, pool: RankedPool, recording: Recording
) -> None:
    closed: list[MoonshineStream] = []
    stream = MoonshineStream(moonshine, pool, SttConfig(), closed.append)
    reader = asyncio.create_task(anext(aiter(stream), None))
    stream.voice(True)
    stream.feed(recording("jfk.wav"))
    stream.voice(False)
    await stream.aclose()
    await stream.aclose()
    assert await reader is None
    assert closed[0] is stream
    stream.feed(silence(20))
    stream.voice(True)
    stream.finalize()
    assert await _rest(stream) == []


async def test_a_model_that_breaks_is_told_to_the_one_who_iterates(
    local_speech: None, pool: RankedPool, recording: Recording
) -> None:
    broken = Moonshine({**MOONSHINE, "decoder": MOONSHINE["encoder"]})
    stream = MoonshineStream(broken, pool, SttConfig(), lambda _: None)
    _speak(stream, recording(GO))
    with pytest.raises(ProviderError, match="transcription broke"):
        await asyncio.wait_for(anext(aiter(stream)), 30)
    _speak(stream, recording(GO))
    assert await _rest(stream) == []


async def test_the_provider_serves_calls_and_leaves_no_thread(
    local_speech: None, recording: Recording
) -> None:
    ears: SpeechToText = MoonshineStt()
    await ears.warm()
    streams = [await ears.open("en-US") for _ in range(3)]
    for stream in streams:
        _speak(stream, recording(GO))
        stream.finalize()
    assert [await anext(aiter(stream)) for stream in streams] == [
        Transcript(GO_TEXT, final=True)
    ] * 3
    await ears.aclose()
    assert [transcript async for transcript in streams[0]] == []
    assert not [t for t in threading.enumerate() if t.name.startswith("voicelat-stt")]


async def test_another_language_is_given_up_with_one_line(local_speech: None) -> None:
    ears = MoonshineStt()
    with pytest.raises(ProviderError, match="English only, not he-IL") as caught:
        await ears.open("he-IL")
    assert caught.value.advice == "give_up"
    await ears.aclose()
