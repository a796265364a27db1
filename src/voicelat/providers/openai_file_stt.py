"""OpenAI's file transcription: the second opinion, where the live recogniser brought no text.

It works on a whole utterance at once, beside the turn: while the caller is asked to repeat.
"""

from __future__ import annotations

import asyncio
import io
import wave
from typing import Final

from voicelat.audio.mulaw import RATE, decode, duration_ms
from voicelat.providers.openai_client import SILENCE_S, OpenAiClient, language_code
from voicelat.providers.protocols import Transcript

__all__ = ["DEFAULT_MODEL", "OpenAiFileStt"]

DEFAULT_MODEL: Final = "gpt-transcribe"
# No end announced as of openai 3.54 (2026-11); whisper-1 and gpt-4o*-transcribe end 2027-02-26.

_SHORTEST_MS: Final = 100
"""OpenAI refuses less; no word is that short."""


class OpenAiFileStt:
    """A transcriber. ``name`` is ``openai:MODEL``. See `Transcriber`.

    ``model``: None takes `DEFAULT_MODEL`. ``answer_s``: the longest wait for a text. Key and URL
    as in `OpenAiLlm`; raises what it raises.
    """

    def __init__(
        self,
        model: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        answer_s: float = SILENCE_S,
    ) -> None:
        self._model = model or DEFAULT_MODEL
        self.name = f"openai:{self._model}"
        self._answer_s = answer_s
        self._client = OpenAiClient(
            self.name, "the openai recogniser", api_key, base_url, silence_s=answer_s
        )

    async def warm(self) -> None:
        """Open connections, and keep them. See `OpenAiClient.warm`."""
        await self._client.warm(self._model)

    async def transcribe(self, audio: bytes, language: str) -> Transcript:
        """The text of mu-law ``audio``. Less than 100 ms of it is not asked about: no words."""
        if duration_ms(audio) < _SHORTEST_MS:
            return Transcript("", final=True)
        code = language_code(language)
        file = ("utterance.wav", _wav(audio), "audio/wav")
        with self._client.asking():
            async with asyncio.timeout(self._answer_s):
                answer = await self._client.api.audio.transcriptions.create(
                    file=file,
                    model=self._model,
                    response_format="json",
                    extra_body={} if code is None else {"language": code},
                )
            text: object = getattr(answer, "text", None)
            if not isinstance(text, str):
                raise ValueError("not a transcription")  # noqa: TRY004 - data, not an argument
        return Transcript(text.strip(), final=True)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _wav(mulaw: bytes) -> bytes:
    """A WAV file of 16-bit PCM: what every server's decoder has, unlike mu-law in WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(decode(mulaw).astype("<i2").tobytes())
    return buffer.getvalue()
