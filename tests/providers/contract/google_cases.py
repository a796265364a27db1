"""Google's ears and voices in the contract suite: gRPC on loopback, and the real ones."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from tests.providers.contract.bench import PATIENCE_S, Bench, Case
from tests.providers.contract.local_cases import speech
from tests.providers.scripted_recogniser import spoken

from voicelat.audio.mulaw import silence
from voicelat.providers.google_stt import GoogleStt, GoogleSttConfig
from voicelat.providers.google_tts import GoogleTts
from voicelat.providers.local import available
from voicelat.providers.protocols import SpeechToText, TextToSpeech

_QUICK: Final = GoogleSttConfig(final_s=PATIENCE_S, retry_after_s=(0.0, 0.05))
_SPEECH: Final = silence(200) + spoken("one", 300) + silence(60) + spoken("two", 300)

Api = Literal["v1", "v2"]


def _stt(api: Api) -> Callable[[], AbstractAsyncContextManager[Bench[SpeechToText]]]:
    @asynccontextmanager
    async def bench() -> AsyncGenerator[Bench[SpeechToText]]:
        from tests.providers.google_server import GoogleServer

        async with GoogleServer().run() as far:
            endpoint = f"127.0.0.1:{far.cable.port}"
            stt = GoogleStt(api, endpoint=endpoint, config=_QUICK)
            yield Bench(stt, far, speech=_SPEECH)

    return bench


def _tts(voice: str) -> Callable[[], AbstractAsyncContextManager[Bench[TextToSpeech]]]:
    @asynccontextmanager
    async def bench() -> AsyncGenerator[Bench[TextToSpeech]]:
        from tests.providers.google_server import GoogleServer

        async with GoogleServer().run() as far:
            endpoint = f"127.0.0.1:{far.cable.port}"
            yield Bench(GoogleTts(voice, endpoint=endpoint, silence_s=PATIENCE_S), far)

    return bench


def _live_stt(api: Api) -> Callable[[], AbstractAsyncContextManager[Bench[SpeechToText]]]:
    @asynccontextmanager
    async def bench() -> AsyncGenerator[Bench[SpeechToText]]:
        stt = GoogleStt(api, project=os.environ.get("GOOGLE_CLOUD_PROJECT"))
        yield Bench(stt, speech=await speech())

    return bench


def _live_tts(voice: str) -> Callable[[], AbstractAsyncContextManager[Bench[TextToSpeech]]]:
    @asynccontextmanager
    async def bench() -> AsyncGenerator[Bench[TextToSpeech]]:
        yield Bench(GoogleTts(voice))

    return bench


def _no_package() -> str | None:
    installed = find_spec("google") and find_spec("google.cloud") and find_spec("grpc")
    both = installed and find_spec("google.cloud.speech") and find_spec("google.cloud.texttospeech")
    return None if both else "no Google packages: pip install 'voicelat[google]'"


def _no_key() -> str | None:
    default = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or default.exists():
        return _no_package()
    return "no credentials: set GOOGLE_APPLICATION_CREDENTIALS"


STT: Final = [
    Case("google-v1", _stt("v1"), far=True, missing=_no_package),
    Case("google-v2", _stt("v2"), far=True, missing=_no_package),
    Case("google-v1-live", _live_stt("v1"), live=True, missing=lambda: _no_key() or available()),
    Case("google-v2-live", _live_stt("v2"), live=True, missing=lambda: _no_key() or available()),
]
TTS: Final = [
    Case("google-streaming", _tts("Chirp3-HD-Aoede"), far=True, missing=_no_package),
    Case("google-whole", _tts("Wavenet-A"), far=True, streams=False, missing=_no_package),
    Case("google-streaming-live", _live_tts("Chirp3-HD-Aoede"), live=True, missing=_no_key),
    Case("google-whole-live", _live_tts("Wavenet-D"), live=True, missing=_no_key),
]
