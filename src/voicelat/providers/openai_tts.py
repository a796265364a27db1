"""Voices of OpenAI, and of every server that speaks its ``/audio/speech``.

The audio is taken as raw PCM, which begins before the sentence is finished and needs no decoder,
and becomes mu-law chunk by chunk: what the caller waits for is the vendor's first chunk and
nothing of ours.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from voicelat.audio.mulaw import encode
from voicelat.audio.resample import LiveResampler
from voicelat.errors import InvalidSetting
from voicelat.providers.openai_client import SILENCE_S, OpenAiClient, Patience

if TYPE_CHECKING:
    from openai import AsyncAPIResponse

__all__ = ["DEFAULT_MODEL", "DEFAULT_VOICE", "OpenAiTts", "PcmToMulaw"]

_LOG = logging.getLogger("voicelat.providers")

DEFAULT_MODEL: Final = "gpt-4o-mini-tts"
# Ends 2027-01-06 with every other model OpenAI itself has for this request (openai 3.54). The
# successor it names, gpt-realtime-2.1-mini, is not one for this request. Other servers are.
DEFAULT_VOICE: Final = "marin"

_RATE: Final = 24_000
_SPEEDS: Final = (0.25, 4.0)

_OTHER_FORMATS: Final = {b"RIFF": "WAV", b"ID3": "MP3", b"OggS": "Ogg", b"fLaC": "FLAC"}
"""What servers send that do not know ``pcm``. Played as PCM it would be a roar."""


class OpenAiTts:
    """A voice, streamed. ``name`` is ``openai:MODEL``.

    ``model``, ``voice``: None takes ours. ``speed``: 1.0 is the voice's own pace; the API has no
    pitch. ``style``: how to speak, in words, for models that take it. ``rate``: samples a second
    of the server's PCM; OpenAI's is 24000. Key, URL and ``silence_s`` as in `OpenAiLlm`.

    Raises InvalidSetting for a speed outside 0.25..4, MissingExtra, ProviderError (fix_key).
    """

    def __init__(
        self,
        model: str | None = None,
        voice: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        speed: float = 1.0,
        style: str | None = None,
        rate: int = _RATE,
        silence_s: float = SILENCE_S,
    ) -> None:
        if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
            raise InvalidSetting("speed", speed, "OpenAI's voices speak at 0.25 to 4 times a pace")
        self._model = model or DEFAULT_MODEL
        self.name = f"openai:{self._model}"
        self._voice = voice or DEFAULT_VOICE
        self._rate = rate
        self._silence_s = silence_s
        # Only what differs is sent: models and servers exist that refuse these fields.
        self._wishes: dict[str, Any] = {} if speed == 1.0 else {"speed": speed}
        if style is not None:
            self._wishes["instructions"] = style
        self._client = OpenAiClient(
            self.name, "the openai voice", api_key, base_url, silence_s=silence_s
        )

    async def warm(self) -> None:
        """Open connections for the first clause, and keep them. See `OpenAiClient.warm`."""
        await self._client.warm(self._model)

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        """See `TextToSpeech`. ``language`` is not looked at: the text decides.

        Raises ProviderError when the audio fails, breaks off or is none.
        """
        if not any(map(str.isalnum, text)):
            return
        audio = PcmToMulaw(self._rate)
        patience = Patience(self._silence_s)
        empty = True
        with self._client.asking():
            async with AsyncExitStack() as stack:
                async with patience.limit():
                    response = await stack.enter_async_context(self._request(text))
                self._check_kind(response.headers.get("content-type", ""))
                chunks = response.iter_bytes()
                while (chunk := await patience.next(chunks)) is not None:
                    if empty and (kind := _other_format(chunk)):
                        raise self._client.failed(f"sends {kind}, not raw PCM", "give_up")
                    empty = empty and not chunk
                    if mulaw := audio.push(chunk):
                        yield mulaw
                    patience.renew()
        if empty:
            raise self._client.failed("sent no audio", "retry")
        if mulaw := audio.flush():
            yield mulaw
        if audio.torn:
            _LOG.warning("%s: the audio ended within a sample", self.name)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _request(self, text: str) -> AbstractAsyncContextManager[AsyncAPIResponse[bytes]]:
        """An answer whose body can be read as it comes. Leaving it closes the request."""
        return self._client.api.audio.speech.with_streaming_response.create(
            model=self._model,
            voice=self._voice,
            input=text,
            response_format="pcm",
            extra_body=self._wishes,
        )

    def _check_kind(self, content_type: str) -> None:
        if content_type.startswith(("text/", "application/json")):
            raise self._client.failed(f"sends {content_type}, not audio", "give_up")


class PcmToMulaw:
    """A stream of 16-bit little-endian mono PCM at ``rate`` Hz, as mu-law, at most 2 ms late.

    Chunks may end anywhere, within a sample too. `flush` ends it; push nothing after.
    """

    __slots__ = ("_half", "_resampler")

    def __init__(self, rate: int) -> None:
        self._resampler = LiveResampler(rate)
        self._half = b""

    @property
    def torn(self) -> bool:
        """Whether what came until now ends within a sample."""
        return bool(self._half)

    def push(self, chunk: bytes) -> bytes:
        """Take audio, give what is ready of it."""
        audio = self._half + chunk
        whole = len(audio) - len(audio) % 2
        self._half = audio[whole:]
        return encode(self._resampler.push(np.frombuffer(audio[:whole], "<i2").astype(np.int16)))

    def flush(self) -> bytes:
        """The last 2 ms, still held back."""
        return encode(self._resampler.flush())


def _other_format(audio: bytes) -> str | None:
    return next((kind for mark, kind in _OTHER_FORMATS.items() if audio.startswith(mark)), None)
