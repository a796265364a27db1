"""Google's speech services on loopback: gRPC, Google's messages, a profile's latencies.

Half-closing a stream brings its final as soon as a partial would come: no figure is published
for it (the profile's ``stt_partial`` stands in).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from voicelat.audio.vad import EnergyVad, SpeechSegmenter
from voicelat.errors import MissingExtra
from voicelat.providers.protocols import Transcript
from voicelat.providers.simulated import Profile, SimulatedStt, SimulatedSttStream, SimulatedTts

__all__ = ["GoogleDouble"]

_CHUNK_MS: Final = 20


class GoogleDouble:
    """Ears (v1 and v2) and voice, streaming. Raises MissingExtra without the ``google`` extra."""

    def __init__(self, profile: Profile, seed: int = 0) -> None:
        try:
            import grpc.aio
            from google.cloud.speech_v1.types import cloud_speech as v1
            from google.cloud.speech_v2.types import cloud_speech as v2
            from google.cloud.texttospeech_v1.types import cloud_tts
        except ImportError:
            raise MissingExtra("google", "the double of Google's services") from None
        self._grpc, self._v1, self._v2, self._tts = grpc, v1, v2, cloud_tts
        self._profile = profile
        self._ears = SimulatedStt(profile, seed)
        self._voice = SimulatedTts(profile, seed)
        self._rng = random.Random(seed)
        self.exhausted = False
        """Whether every request is refused for want of quota."""
        self.endpoint = ""
        """``127.0.0.1:PORT`` while it runs."""

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[GoogleDouble]:
        """Serve while the context lasts."""
        server = self._grpc.aio.server()
        for service, handlers in self._services().items():
            server.add_generic_rpc_handlers(
                (self._grpc.method_handlers_generic_handler(service, handlers),)
            )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.endpoint = f"127.0.0.1:{port}"
        try:
            yield self
        finally:
            await server.stop(None)

    def _services(self) -> dict[str, dict[str, Any]]:
        v1, v2, tts = self._v1, self._v2, self._tts
        stream = self._grpc.stream_stream_rpc_method_handler
        unary = self._grpc.unary_unary_rpc_method_handler

        def ears(api: Any) -> Any:
            async def recognise(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
                await self._refuse(context)
                async with aclosing(self._recognise(api, requests)) as answers:
                    async for answer in answers:
                        yield answer

            request, response = api.StreamingRecognizeRequest, api.StreamingRecognizeResponse
            return stream(recognise, request.deserialize, response.serialize)

        return {
            "google.cloud.speech.v1.Speech": {"StreamingRecognize": ears(v1)},
            "google.cloud.speech.v2.Speech": {"StreamingRecognize": ears(v2)},
            "google.cloud.texttospeech.v1.TextToSpeech": {
                "StreamingSynthesize": stream(
                    self._speak,
                    tts.StreamingSynthesizeRequest.deserialize,
                    tts.StreamingSynthesizeResponse.serialize,
                ),
                "SynthesizeSpeech": unary(
                    self._speak_whole,
                    tts.SynthesizeSpeechRequest.deserialize,
                    tts.SynthesizeSpeechResponse.serialize,
                ),
                "ListVoices": unary(
                    self._list_voices,
                    tts.ListVoicesRequest.deserialize,
                    tts.ListVoicesResponse.serialize,
                ),
            },
        }

    async def _recognise(self, api: Any, requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        ear = await self._ears.open("")
        reading = asyncio.create_task(self._feed(api, requests, ear))
        try:
            async for transcript in ear:
                yield _answer(api, transcript)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await ear.aclose()

    async def _feed(self, api: Any, requests: AsyncIterator[Any], ear: SimulatedSttStream) -> None:
        """Audio into the ears, with the edges of its voice; at the half-close, the final."""
        segmenter, at_ms = SpeechSegmenter(EnergyVad()), 0
        async for request in requests:
            audio: bytes = request.audio_content if api is self._v1 else request.audio
            for begin in range(0, len(audio), 160):
                frame = audio[begin : begin + 160]
                for edge in segmenter.push(frame, at_ms):
                    ear.voice(edge.active)
                ear.feed(frame)
                at_ms += len(frame) // 8
        await asyncio.sleep(self._profile.stt_partial.sample(self._rng))
        ear.close_segment()

    async def _refuse(self, context: Any) -> None:
        if self.exhausted:
            await context.abort(self._grpc.StatusCode.RESOURCE_EXHAUSTED, "quota exceeded")

    async def _speak(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            await self._refuse(context)
            async with aclosing(self._voice.speak(request.input.text, "")) as chunks:
                async for chunk in chunks:
                    yield self._tts.StreamingSynthesizeResponse(audio_content=chunk)

    async def _speak_whole(self, request: Any, context: Any) -> Any:
        """Whole speech comes when all of it has been made."""
        await self._refuse(context)
        async with aclosing(self._voice.speak(request.input.text, "")) as chunks:
            audio = b"".join([chunk async for chunk in chunks])
        return self._tts.SynthesizeSpeechResponse(audio_content=audio)

    async def _list_voices(self, request: Any, _context: Any) -> Any:
        names = [f"{request.language_code}-Chirp3-HD-Aoede", f"{request.language_code}-Wavenet-A"]
        voices = [self._tts.Voice(name=name) for name in names]
        return self._tts.ListVoicesResponse(voices=voices)


def _answer(api: Any, transcript: Transcript) -> Any:
    best = {"transcript": transcript.text, "confidence": transcript.confidence or 0.0}
    result = {"alternatives": [best], "is_final": transcript.final}
    return api.StreamingRecognizeResponse(results=[result])
