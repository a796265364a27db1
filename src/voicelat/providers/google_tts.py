"""Google's voices behind the `TextToSpeech` protocol: streamed where the voice can be, else whole.

A voice refuses what its family does not take, even a pitch of 0, so nothing is sent but what
`FAMILIES` allows and the settings ask for.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from voicelat.errors import InvalidSetting, ProviderError
from voicelat.providers.google_channel import Exchange, GoogleChannel, require_google

__all__ = ["FAMILIES", "Family", "GoogleTts", "family_of"]

_LOG = logging.getLogger("voicelat.providers")

_SERVICE: Final = "/google.cloud.texttospeech.v1.TextToSpeech"
_VOICE: Final = "Chirp3-HD-Aoede"
"""Of any language that has Chirp 3 voices; they alone are streamed in practice."""
_SILENCE_S: Final = 8.0
"""The longest wait for the next audio. The caller has heard an apology by then."""
_REPLY_S: Final = 120.0
"""The deadline of a whole request."""
_WARM_S: Final = 5.0
_LONGEST_BYTES: Final = 4500
"""Of one input: Google takes 5000 bytes."""


@dataclass(frozen=True, slots=True)
class Family:
    """What the voices of one family take."""

    streams: bool = False
    rates: tuple[float, float] | None = None
    """The slowest and the fastest, None: they take no rate."""
    pitch: bool = False


_RATES: Final = (0.25, 2.0)

FAMILIES: Final[dict[str, Family]] = {
    "Chirp3-HD": Family(streams=True, rates=_RATES),
    "Chirp-HD": Family(streams=True),
    "Journey": Family(streams=True),
    "Studio": Family(rates=_RATES),
    "Neural2": Family(rates=_RATES, pitch=True),
    "News": Family(rates=_RATES, pitch=True),
    "Wavenet": Family(rates=_RATES, pitch=True),
    "Standard": Family(rates=_RATES, pitch=True),
}
"""By the name's middle part (``en-US-FAMILY-A``). From Google's pages on voice types and the
API's own refusals; rates as in its AudioConfig."""

_UNKNOWN: Final = Family()


def family_of(voice: str) -> tuple[str, Family]:
    """The family of a voice's name; one we do not know is asked for nothing special."""
    for name, family in FAMILIES.items():
        if f"-{name}-" in f"-{voice}-":
            return name, family
    return "unknown", _UNKNOWN


class GoogleTts:
    """A voice for many calls at once, over one connection. ``name`` is ``google:VOICE``.

    ``voice``: a whole name (``he-IL-Wavenet-A``), or one without language (``Chirp3-HD-Kore``),
    which is spoken in the call's. ``rate`` (1.0 is the voice's own) and ``pitch`` (semitones)
    are sent only to families that take them; otherwise a warning is logged once. ``streaming``:
    None streams where the family can. ``endpoint``: see `GoogleChannel`.

    Raises MissingExtra without the ``google`` extra, InvalidSetting for a rate the voice cannot
    speak at or an endpoint that is none.
    """

    def __init__(
        self,
        voice: str | None = None,
        rate: float = 1.0,
        pitch: float = 0.0,
        *,
        streaming: bool | None = None,
        endpoint: str | None = None,
        credentials_file: str | None = None,
        silence_s: float = _SILENCE_S,
    ) -> None:
        require_google("texttospeech", "Google text to speech")
        self._voice = voice or _VOICE
        self.name = f"google:{self._voice}"
        name, family = family_of(self._voice)
        self._streams = family.streams if streaming is None else streaming
        self._rate = self._sent_rate(rate, name, family)
        self._pitch = self._sent_pitch(pitch, name, family)
        self._silence_s = silence_s
        where = endpoint or "texttospeech.googleapis.com"
        self._channel = GoogleChannel(self.name, where, credentials_file)
        self._types: Any = None

    def _sent_rate(self, rate: float, name: str, family: Family) -> float | None:
        if rate == 1.0:
            return None
        if family.rates is None:
            _LOG.warning("%s: TTS_RATE=%g is not sent, %s voices take none", self.name, rate, name)
            return None
        low, high = family.rates
        if not low <= rate <= high:
            raise InvalidSetting("rate", rate, f"{name} voices speak at {low:g} to {high:g}")
        return rate

    def _sent_pitch(self, pitch: float, name: str, family: Family) -> float | None:
        if pitch == 0.0:
            return None
        if not family.pitch or self._streams:
            what = f"{name} voices take" if not family.pitch else "streaming takes"
            _LOG.warning("%s: TTS_PITCH=%g is not sent, %s none", self.name, pitch, what)
            return None
        return pitch

    async def warm(self) -> None:
        """Get a token, connect, and ask for the voices of the language.

        Raises ProviderError when the key is refused. What may work later is only logged, and so
        is a voice that is not in the list.
        """
        try:
            await self._ready()
            answer = await self._channel.ask(f"{_SERVICE}/ListVoices", self._list_voices(), _WARM_S)
            self._check_voice(answer)
        except ProviderError as error:
            if error.advice == "fix_key":
                raise
            _LOG.warning("not warmed up: %s", str(error))

    async def speak(self, text: str, language: str) -> AsyncGenerator[bytes, None]:
        """See `TextToSpeech`. Raises ProviderError when the request fails or breaks off."""
        pieces = list(_pieces(text))
        if not pieces:
            return
        await self._ready()
        if not self._streams:
            for piece in pieces:
                yield await self._whole(piece, language)
            return
        exchange = self._channel.exchange(f"{_SERVICE}/StreamingSynthesize", _REPLY_S)
        try:
            await self._ask(exchange, pieces, language)
            audible = False
            while (audio := await self._next(exchange)) is not None:
                audible = audible or bool(audio)
                if audio:
                    yield audio
            if not audible:
                raise self._channel.failed("the answer has no audio", "retry")
        finally:
            exchange.cancel()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._channel.aclose()

    async def _ready(self) -> None:
        """The first time it loads Google's package, in a thread."""
        if self._types is None:
            self._types = await asyncio.to_thread(_load_types)
        await self._channel.open()

    # -- streamed -----------------------------------------------------------------------------

    async def _ask(self, exchange: Exchange, pieces: list[str], language: str) -> None:
        types = self._types
        config = types.StreamingSynthesizeConfig(
            voice=self._selection(language),
            streaming_audio_config=types.StreamingAudioConfig(
                audio_encoding=types.AudioEncoding.MULAW,
                sample_rate_hertz=8000,
                speaking_rate=self._rate,
            ),
        )
        request = types.StreamingSynthesizeRequest
        try:
            async with asyncio.timeout(self._silence_s):
                await exchange.send(request.serialize(request(streaming_config=config)))
                for piece in pieces:
                    said = types.StreamingSynthesisInput(text=piece)
                    await exchange.send(request.serialize(request(input=said)))
                await exchange.end()
        except TimeoutError:
            raise self._no_answer() from None

    async def _next(self, exchange: Exchange) -> bytes | None:
        try:
            async with asyncio.timeout(self._silence_s):
                with self._channel.waiting():
                    message = await exchange.receive()
        except TimeoutError:
            raise self._no_answer() from None
        if message is None:
            return None
        return self._audio_of(self._types.StreamingSynthesizeResponse, message)

    def _no_answer(self) -> ProviderError:
        why = f"no audio from {self._channel.endpoint} in {self._silence_s:g} s"
        return self._channel.failed(why, "retry")

    # -- whole --------------------------------------------------------------------------------

    async def _whole(self, text: str, language: str) -> bytes:
        types = self._types
        request = types.SynthesizeSpeechRequest(
            input=types.SynthesisInput(text=text),
            voice=self._selection(language),
            audio_config=types.AudioConfig(
                audio_encoding=types.AudioEncoding.MULAW,
                sample_rate_hertz=8000,
                speaking_rate=self._rate,
                pitch=self._pitch,
            ),
        )
        answer = await self._channel.ask(
            f"{_SERVICE}/SynthesizeSpeech",
            types.SynthesizeSpeechRequest.serialize(request),
            self._silence_s,
        )
        audio = self._audio_of(types.SynthesizeSpeechResponse, answer)
        if not audio:
            raise self._channel.failed("the answer has no audio", "retry")
        return audio

    # -- both ---------------------------------------------------------------------------------

    def _selection(self, language: str) -> Any:
        """The voice. One with a language of its own keeps it."""
        voice = self._voice
        if own := re.match(r"[a-z]{2,3}-[A-Z][A-Za-z]+(?=-)", voice):
            return self._types.VoiceSelectionParams(language_code=own[0], name=voice)
        return self._types.VoiceSelectionParams(language_code=language, name=f"{language}-{voice}")

    def _audio_of(self, kind: Any, message: bytes) -> bytes:
        from google.protobuf.message import DecodeError

        try:
            content: bytes = kind.pb().FromString(message).audio_content
            return _without_header(content)
        except (DecodeError, ValueError) as error:
            raise self._channel.failed(f"the answer is garbled: {error}", "retry") from error

    def _list_voices(self) -> bytes:
        own = re.match(r"[a-z]{2,3}-[A-Z][A-Za-z]+(?=-)", self._voice)
        request = self._types.ListVoicesRequest(language_code=own[0] if own else "en-US")
        return bytes(self._types.ListVoicesRequest.serialize(request))

    def _check_voice(self, answer: bytes) -> None:
        from google.protobuf.message import DecodeError

        try:
            voices = self._types.ListVoicesResponse.pb().FromString(answer).voices
        except DecodeError as error:
            raise self._channel.failed(f"the answer is garbled: {error}", "retry") from error
        names = {voice.name for voice in voices}
        if names and not any(name.endswith(self._voice) for name in names):
            _LOG.warning("%s: Google lists no such voice", self.name)


def _load_types() -> Any:
    from google.cloud.texttospeech_v1.types import cloud_tts

    return cloud_tts


def _pieces(text: str) -> Iterator[str]:
    """``text`` in inputs that Google takes, cut at blanks. None of it is speech: nothing."""
    if not any(letter.isalnum() for letter in text):
        return
    piece = ""
    for word in text.split():
        longer = f"{piece} {word}" if piece else word
        if len(longer.encode()) > _LONGEST_BYTES and piece:
            yield piece
            longer = word
        piece = longer
    yield piece


def _without_header(audio: bytes) -> bytes:
    """The samples of a WAV file; anything else as it is. Raises ValueError for a broken one."""
    if audio[:4] != b"RIFF":
        return audio
    at = 12
    while at + 8 <= len(audio):
        size = int.from_bytes(audio[at + 4 : at + 8], "little")
        if audio[at : at + 4] == b"data":
            return audio[at + 8 : at + 8 + size] if size else audio[at + 8 :]
        at += 8 + size + size % 2
    raise ValueError("a WAV file without its data")
