"""Google's speech services on loopback: real gRPC, Google's own messages, well or badly.

The recogniser hears the words of `scripted_recogniser`; the voice says noise, one burst a word.
Both do what a `Trouble` tells them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Final, Literal

import grpc
import grpc.aio
import numpy as np
from google.cloud.speech_v1.types import cloud_speech as v1
from google.cloud.speech_v2.types import cloud_speech as v2
from google.cloud.texttospeech_v1.types import cloud_tts
from tests.providers.contract.bench import Trouble
from tests.providers.contract.cable import Cable
from tests.providers.scripted_recogniser import heard_in

from voicelat.audio.mulaw import BYTES_PER_MS, encode

__all__ = ["WORD_MS", "GoogleServer"]

WORD_MS: Final = 300
_GARBAGE: Final = b"\xff\xff\xff"
_BURST: Final = encode(
    np.random.default_rng(2).normal(0, 3000, WORD_MS * BYTES_PER_MS).astype(np.int16)
)

_REFUSALS: Final = {
    Trouble.REFUSE_KEY: (
        grpc.StatusCode.UNAUTHENTICATED,
        "Request had invalid authentication credentials.",
    ),
    Trouble.BUSY: (grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded for requests per minute."),
    Trouble.REJECT: (grpc.StatusCode.INVALID_ARGUMENT, "Invalid recognition\n 'config'."),
}

Context = Any
"""``grpc.aio.ServicerContext``: the package has no types."""
Answers = AsyncGenerator[Any, None]


class GoogleServer:
    """Say how it behaves by its attributes and `tell`, read what it was asked from the others."""

    def __init__(self) -> None:
        self.cable = Cable()
        self.trouble = Trouble.NONE
        self.requests = 0
        """Being answered now."""
        self.configs: list[Any] = []
        """The first message of every streaming request, the only one of others."""
        self.texts: list[str] = []
        """What was to be said."""
        self.audio = bytearray()
        """All that was to be recognised."""
        self.final_after_ms = 600
        self.limit_ms = 305_000
        """A request's audio behind which it is ended."""
        self.expired = 0
        """Requests that were ended so."""
        self.dies_at: list[int] = []
        """Bytes of ``audio`` at which a request is reset."""
        self.error_inside = 0
        """A google.rpc.Code to tell in an answer of version 1, 0 for none."""
        self.burst = _BURST
        """The sound of a word."""
        self.wav = True
        """Whether whole speech has a WAV header, as Google's has."""
        self.voices = ["en-US-Chirp3-HD-Aoede", "en-US-Wavenet-A"]
        self.port = 0
        self._changed = asyncio.Event()

    # -- a far side ---------------------------------------------------------------------------

    def tell(self, trouble: Trouble) -> None:
        """Behave like this from now on."""
        self.trouble = trouble
        self._changed.set()

    async def busy(self) -> None:
        """Return once a request is being answered."""
        while not self.requests:
            await self._change()

    async def idle(self) -> None:
        """Return once none is."""
        while self.requests:
            await self._change()

    async def configured(self, count: int) -> None:
        """Return once so many requests have come."""
        while len(self.configs) < count:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self.requests += 1
        self._changed.set()
        try:
            yield
        finally:
            self.requests -= 1
            self._changed.set()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[GoogleServer]:
        """Serve while the context lasts, on ``port``, and on the cable's."""
        server = grpc.aio.server()
        stream, unary = grpc.stream_stream_rpc_method_handler, grpc.unary_unary_rpc_method_handler
        services = {
            "google.cloud.speech.v1.Speech": {
                "StreamingRecognize": stream(
                    self._recognise_v1,
                    v1.StreamingRecognizeRequest.deserialize,
                    _serializer(v1.StreamingRecognizeResponse),
                )
            },
            "google.cloud.speech.v2.Speech": {
                "StreamingRecognize": stream(
                    self._recognise_v2,
                    v2.StreamingRecognizeRequest.deserialize,
                    _serializer(v2.StreamingRecognizeResponse),
                )
            },
            "google.cloud.texttospeech.v1.TextToSpeech": {
                "StreamingSynthesize": stream(
                    self._stream_speech,
                    cloud_tts.StreamingSynthesizeRequest.deserialize,
                    _serializer(cloud_tts.StreamingSynthesizeResponse),
                ),
                "SynthesizeSpeech": unary(
                    self._whole_speech,
                    cloud_tts.SynthesizeSpeechRequest.deserialize,
                    _serializer(cloud_tts.SynthesizeSpeechResponse),
                ),
                "ListVoices": unary(
                    self._list_voices,
                    cloud_tts.ListVoicesRequest.deserialize,
                    _serializer(cloud_tts.ListVoicesResponse),
                ),
            },
        }
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(*service) for service in services.items())
        )
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with self.cable.run(self.port):
                yield self
        finally:
            await server.stop(None)

    async def _trouble(self, context: Context) -> None:
        """What is wrong from the beginning of a request."""
        if self.trouble in _REFUSALS:
            await context.abort(*_REFUSALS[self.trouble])
        while self.trouble in (Trouble.SILENT, Trouble.LATE):
            await self._change()

    async def _in_the_middle(self, context: Context) -> None:
        """What is wrong after the first part of an answer."""
        if self.trouble is Trouble.DIE:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        while self.trouble is Trouble.HOLD:
            await self._change()

    # -- ears ---------------------------------------------------------------------------------

    async def _recognise_v1(self, requests: AsyncIterator[Any], context: Context) -> Answers:
        async with aclosing(self._recognise("v1", requests, context)) as answers:
            async for answer in answers:
                yield answer

    async def _recognise_v2(self, requests: AsyncIterator[Any], context: Context) -> Answers:
        async with aclosing(self._recognise("v2", requests, context)) as answers:
            async for answer in answers:
                yield answer

    async def _recognise(
        self, api: Literal["v1", "v2"], requests: AsyncIterator[Any], context: Context
    ) -> Answers:
        with self._answering():
            ear = _Ear(api, self.final_after_ms)
            async for request in requests:
                if not ear.configured:
                    ear.configured = True
                    self.configs.append(request)
                    self._changed.set()
                    await self._trouble(context)
                    continue
                async for answer in self._hear(ear, request, context):
                    yield answer
            if ear.words_said:
                await self._in_the_middle(context)
            for answer in ear.listen(b"", over=True):
                yield answer

    async def _hear(self, ear: _Ear, request: Any, context: Context) -> Answers:
        audio = request.audio_content if ear.api == "v1" else request.audio
        assert 0 < len(audio) <= 25_600, "Google refuses audio of more than 25 KB"
        self.audio += audio
        if self.error_inside:
            yield v1.StreamingRecognizeResponse(error={"code": self.error_inside, "message": "no"})
        if self.trouble is Trouble.GARBAGE:
            yield _GARBAGE
        if self.dies_at and len(self.audio) >= self.dies_at[0]:
            del self.dies_at[0]
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        for answer in ear.listen(audio, over=False, hold=self.trouble is Trouble.HOLD):
            yield answer
        if ear.heard_ms > self.limit_ms:
            self.expired += 1
            why = "Exceeded maximum allowed stream duration of 305 seconds."
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, why)
        if ear.words_said and self.trouble is Trouble.DIE:
            await self._in_the_middle(context)

    # -- voice --------------------------------------------------------------------------------

    async def _stream_speech(self, requests: AsyncIterator[Any], context: Context) -> Answers:
        with self._answering():
            first = await anext(requests)
            self.configs.append(first.streaming_config)
            await self._trouble(context)
            if self.trouble is Trouble.GARBAGE:
                yield _GARBAGE
            async for request in requests:
                self.texts.append(request.input.text)
                for number, _ in enumerate(request.input.text.split()):
                    if number == 1:
                        await self._in_the_middle(context)
                    yield cloud_tts.StreamingSynthesizeResponse(audio_content=self.burst)

    async def _whole_speech(self, request: Any, context: Context) -> Any:
        with self._answering():
            self.configs.append(request)
            self.texts.append(request.input.text)
            await self._trouble(context)
            if self.trouble is Trouble.GARBAGE:
                return _GARBAGE
            await self._in_the_middle(context)
            audio = self.burst * len(request.input.text.split())
            header = _wav_header(len(audio)) if self.wav else b""
            return cloud_tts.SynthesizeSpeechResponse(audio_content=header + audio)

    async def _list_voices(self, request: Any, context: Context) -> Any:
        with self._answering():
            await self._trouble(context)
            voices = [
                cloud_tts.Voice(name=name)
                for name in self.voices
                if name.startswith(request.language_code)
            ]
            return cloud_tts.ListVoicesResponse(voices=voices)


class _Ear:
    """One request's hearing."""

    def __init__(self, api: Literal["v1", "v2"], final_after_ms: int) -> None:
        self.api = api
        self.configured = False
        self.words_said = 0
        self.heard_ms = 0
        self._final_after_ms = final_after_ms
        self._audio = bytearray()
        self._settled_ms = 0

    def listen(self, audio: bytes, *, over: bool, hold: bool = False) -> list[Any]:
        """Take audio; answer with a partial for each new word, and with finals."""
        self._audio += audio
        words, silent_ms = heard_in(bytes(self._audio), over=over)
        self.heard_ms = self._settled_ms + len(self._audio) // BYTES_PER_MS
        text = " ".join(word.text for word in words)
        if words and not hold and (over or silent_ms >= self._final_after_ms):
            times = [
                (word.text, word.begin_ms + self._settled_ms, word.end_ms + self._settled_ms)
                for word in words
            ]
            self._settled_ms = self.heard_ms
            self._audio.clear()
            self.words_said = 0
            return [self._answer(text, times, final=True)]
        if len(words) > self.words_said:
            begins = self._event() if not self.words_said else []
            self.words_said = len(words)
            return [*begins, self._answer(text, [], final=False)]
        return []

    def _event(self) -> list[Any]:
        """A voice activity event, as Google tells them when asked."""
        if self.api == "v1":
            kind = v1.StreamingRecognizeResponse.SpeechEventType.SPEECH_ACTIVITY_BEGIN
            return [v1.StreamingRecognizeResponse(speech_event_type=kind)]
        event = v2.StreamingRecognizeResponse.SpeechEventType.SPEECH_ACTIVITY_BEGIN
        return [v2.StreamingRecognizeResponse(speech_event_type=event)]

    def _answer(self, text: str, times: list[tuple[str, int, int]], *, final: bool) -> Any:
        """A final, or a partial whose stable part and unstable end are two results."""
        stable, _, unstable = text.rpartition(" ")
        parts = [text] if final or not stable else [stable, f" {unstable}"]
        end = _duration(self.heard_ms)
        if self.api == "v1":
            return v1.StreamingRecognizeResponse(
                results=[
                    {
                        "alternatives": [
                            {
                                "transcript": part,
                                "confidence": 0.9 if final else 0.0,
                                "words": [
                                    {
                                        "word": w,
                                        "start_time": _duration(b),
                                        "end_time": _duration(e),
                                    }
                                    for w, b, e in times
                                ],
                            }
                        ],
                        "is_final": final,
                        "result_end_time": end,
                    }
                    for part in parts
                ]
            )
        return v2.StreamingRecognizeResponse(
            results=[
                {
                    "alternatives": [
                        {
                            "transcript": part,
                            "confidence": 0.9 if final else 0.0,
                            "words": [
                                {
                                    "word": w,
                                    "start_offset": _duration(b),
                                    "end_offset": _duration(e),
                                }
                                for w, b, e in times
                            ],
                        }
                    ],
                    "is_final": final,
                    "result_end_offset": end,
                }
                for part in parts
            ]
        )


def _duration(ms: int) -> dict[str, int]:
    return {"seconds": ms // 1000, "nanos": ms % 1000 * 1_000_000}


def _serializer(kind: Any) -> Callable[[Any], bytes]:
    """Messages as Google sends them; bytes as they are."""
    return lambda message: message if isinstance(message, bytes) else kind.serialize(message)


def _wav_header(size: int) -> bytes:
    """What Google puts before mu-law."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8, b"data", size),
    )
