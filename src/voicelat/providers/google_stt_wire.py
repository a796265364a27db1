"""Google's two speech APIs on the wire. They differ in the names of their fields, and say the
same things.

Times are milliseconds since the beginning of the request's audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from voicelat.errors import Advice
from voicelat.providers.google_channel import Exchange, GoogleChannel

__all__ = [
    "Api",
    "Codec",
    "GoogleRecognition",
    "Recognised",
    "Recognition",
    "RecognitionConfig",
    "Word",
    "load_codec",
]

Api = Literal["v1", "v2"]

_ADVICE: Final[dict[int, Advice]] = {3: "give_up", 7: "fix_key", 16: "fix_key"}
"""google.rpc.Code: INVALID_ARGUMENT, PERMISSION_DENIED, UNAUTHENTICATED."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a final and where it is."""

    text: str
    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Recognised:
    """A recogniser's text for the part of its audio since its last final."""

    text: str
    final: bool
    end_ms: int | None = None
    """Where that part ends, None when it was not told."""
    words: tuple[Word, ...] = ()
    """Only of finals, and not of every model."""
    confidence: float | None = None


class Recognition(Protocol):
    """One request to a recogniser."""

    async def begin(self) -> None:
        """Send the configuration. Returns once a connection has taken it."""

    async def send(self, audio: bytes) -> None:
        """Send audio. Without effect once the request is over: `receive` tells why."""

    async def end(self) -> None:
        """Half-close: no more audio, the final please."""

    async def receive(self) -> Sequence[Recognised] | None:
        """What one answer says, possibly nothing; None at the end. Raises ProviderError."""
        ...

    def cancel(self) -> None:
        """Reset the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionConfig:
    """What Google is asked for."""

    api: Api
    model: str
    language: str
    """A BCP-47 tag."""
    recognizer: str = ""
    """Of v2: ``projects/P/locations/L/recognizers/_``."""

    @property
    def word_times(self) -> bool:
        """Whether the model tells when words were spoken. Chirp models refuse the question."""
        return not self.model.startswith("chirp")

    @property
    def google_language(self) -> str:
        """Google's recogniser knows Hebrew by its old code."""
        head, _, rest = self.language.partition("-")
        return f"iw-{rest or 'IL'}" if head.lower() in ("he", "iw") else self.language


class Codec(Protocol):
    """One version of the API: its messages as bytes."""

    method: str

    def config(self, config: RecognitionConfig) -> bytes: ...

    def audio(self, audio: bytes) -> bytes: ...

    def read(self, message: bytes) -> Any: ...

    def recognised(self, result: Any, text: str) -> Recognised: ...


class _V1:
    method = "/google.cloud.speech.v1.Speech/StreamingRecognize"

    def __init__(self) -> None:
        from google.cloud.speech_v1.types import cloud_speech

        self._types = cloud_speech
        self._request = cloud_speech.StreamingRecognizeRequest.pb()
        self._response = cloud_speech.StreamingRecognizeResponse.pb()

    def config(self, config: RecognitionConfig) -> bytes:
        types = self._types
        streaming = types.StreamingRecognitionConfig(
            config=types.RecognitionConfig(
                encoding=types.RecognitionConfig.AudioEncoding.MULAW,
                sample_rate_hertz=8000,
                language_code=config.google_language,
                model=config.model,
                use_enhanced=config.model == "phone_call",
                enable_word_time_offsets=config.word_times,
            ),
            interim_results=True,
            enable_voice_activity_events=True,
        )
        request = types.StreamingRecognizeRequest(streaming_config=streaming)
        return bytes(types.StreamingRecognizeRequest.serialize(request))

    def audio(self, audio: bytes) -> bytes:
        return bytes(self._request(audio_content=audio).SerializeToString())

    def read(self, message: bytes) -> Any:
        return self._response.FromString(message)

    def recognised(self, result: Any, text: str) -> Recognised:
        best = result.alternatives[0]
        words = tuple(Word(w.word, _ms(w.start_time), _ms(w.end_time)) for w in best.words)
        return _recognised(result, text, _ms(result.result_end_time), words)


class _V2:
    method = "/google.cloud.speech.v2.Speech/StreamingRecognize"

    def __init__(self) -> None:
        from google.cloud.speech_v2.types import cloud_speech

        self._types = cloud_speech
        self._request = cloud_speech.StreamingRecognizeRequest.pb()
        self._response = cloud_speech.StreamingRecognizeResponse.pb()

    def config(self, config: RecognitionConfig) -> bytes:
        types = self._types
        streaming = types.StreamingRecognitionConfig(
            config=types.RecognitionConfig(
                explicit_decoding_config=types.ExplicitDecodingConfig(
                    encoding=types.ExplicitDecodingConfig.AudioEncoding.MULAW,
                    sample_rate_hertz=8000,
                    audio_channel_count=1,
                ),
                language_codes=[config.google_language],
                model=config.model,
                features=types.RecognitionFeatures(enable_word_time_offsets=config.word_times),
            ),
            streaming_features=types.StreamingRecognitionFeatures(
                interim_results=True, enable_voice_activity_events=True
            ),
        )
        request = types.StreamingRecognizeRequest(
            recognizer=config.recognizer, streaming_config=streaming
        )
        return bytes(types.StreamingRecognizeRequest.serialize(request))

    def audio(self, audio: bytes) -> bytes:
        return bytes(self._request(audio=audio).SerializeToString())

    def read(self, message: bytes) -> Any:
        return self._response.FromString(message)

    def recognised(self, result: Any, text: str) -> Recognised:
        best = result.alternatives[0]
        words = tuple(Word(w.word, _ms(w.start_offset), _ms(w.end_offset)) for w in best.words)
        return _recognised(result, text, _ms(result.result_end_offset), words)


def load_codec(api: Api) -> Codec:
    """What speaks ``api``. Imports Google's types: a second the first time, not on the loop."""
    return _V1() if api == "v1" else _V2()


class GoogleRecognition:
    """See `Recognition`."""

    def __init__(
        self, channel: GoogleChannel, codec: Codec, config: RecognitionConfig, timeout_s: float
    ) -> None:
        self._channel = channel
        self._codec = codec
        self._config = config
        self._exchange: Exchange = channel.exchange(codec.method, timeout_s)

    async def begin(self) -> None:
        """See `Recognition`."""
        await self._exchange.send(self._codec.config(self._config))

    async def send(self, audio: bytes) -> None:
        """See `Recognition`."""
        await self._exchange.send(self._codec.audio(audio))

    async def end(self) -> None:
        """See `Recognition`."""
        await self._exchange.end()

    async def receive(self) -> Sequence[Recognised] | None:
        """See `Recognition`."""
        from google.protobuf.message import DecodeError

        message = await self._exchange.receive()
        if message is None:
            return None
        try:
            return self._understood(self._codec.read(message))
        except (DecodeError, ValueError) as error:
            raise self._channel.failed(f"the answer is garbled: {error}", "retry") from error

    def cancel(self) -> None:
        """See `Recognition`."""
        self._exchange.cancel()

    def _understood(self, response: Any) -> list[Recognised]:
        """Finals one by one, then the rest as one partial: Google tells a stable beginning and
        its unstable end as two results."""
        self._check_error(response)
        told: list[Recognised] = []
        partial = ""
        last = None
        for result in response.results:
            text = result.alternatives[0].transcript if result.alternatives else ""
            if result.is_final and result.alternatives:
                told.append(self._codec.recognised(result, text))
            elif text:
                partial, last = partial + text, result
        if last is not None:
            told.append(self._codec.recognised(last, partial))
        return told

    def _check_error(self, response: Any) -> None:
        """Version 1 can tell an error in an answer."""
        error = getattr(response, "error", None)
        if error is None or not error.code:
            return
        raise self._channel.failed(error.message, _ADVICE.get(error.code, "retry"))


def _recognised(result: Any, text: str, end_ms: int, words: tuple[Word, ...]) -> Recognised:
    confidence = result.alternatives[0].confidence
    return Recognised(
        " ".join(text.split()),
        bool(result.is_final),
        end_ms or None,
        words if result.is_final and any(word.end_ms for word in words) else (),
        confidence if result.is_final and confidence > 0 else None,
    )


def _ms(offset: Any) -> int:
    """A protobuf duration in milliseconds."""
    return int(offset.seconds * 1000 + offset.nanos // 1_000_000)
