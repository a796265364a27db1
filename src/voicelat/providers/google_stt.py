"""Google's ears, versions 1 and 2 of the API, behind the `SpeechToText` protocol."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from voicelat.audio.mulaw import silence
from voicelat.errors import ProviderError
from voicelat.providers.google_channel import GoogleChannel, on_loopback, require_google
from voicelat.providers.google_stt_lap import GoogleSttConfig
from voicelat.providers.google_stt_laps import GoogleSttStream
from voicelat.providers.google_stt_wire import (
    Api,
    GoogleRecognition,
    RecognitionConfig,
    load_codec,
)

if TYPE_CHECKING:
    from voicelat.providers.google_stt_wire import Codec

__all__ = ["GoogleStt", "GoogleSttConfig"]

_LOG = logging.getLogger("voicelat.providers")

_MODEL: Final = "latest_long"
"""The one with a published time to final (median 878 ms, P95 1155 ms: pipecat-ai/stt-benchmark),
in both versions and in most languages."""

_LAP_S: Final = 310.0
"""The deadline of one request: Google's own limit is 305 s."""


class GoogleStt:
    """Ears for many calls at once, over one connection. ``name`` is ``google:API:MODEL``.

    ``endpoint``: host or host:port; None is Google's of the ``location``. On loopback there is
    neither key nor encryption. ``project``, ``location``: of version 2; a project of None is
    that of the credentials.

    Raises MissingExtra without the ``google`` extra, InvalidSetting for an endpoint that is none.
    """

    def __init__(
        self,
        api: Api = "v1",
        model: str | None = None,
        *,
        endpoint: str | None = None,
        credentials_file: str | None = None,
        project: str | None = None,
        location: str = "global",
        config: GoogleSttConfig | None = None,
    ) -> None:
        require_google("speech", "Google speech to text")
        self._api: Api = api
        self._model = model or _MODEL
        self.name = f"google:{api}:{self._model}"
        self._project = project
        self._location = location
        self._config = config or GoogleSttConfig()
        where = "speech.googleapis.com"
        if location != "global":
            where = f"{location}-{where}"
        self._channel = GoogleChannel(self.name, endpoint or where, credentials_file)
        self._codec: Codec | None = None
        self._streams: set[GoogleSttStream] = set()

    async def warm(self) -> None:
        """Get a token, connect, and recognise 100 ms of silence.

        Raises ProviderError when the key is refused or the model is not there: no call would
        ever work. What may work later is only logged.
        """
        try:
            async with asyncio.timeout(self._config.connect_s + self._config.final_s):
                await self._probe(await self._ready("en-US"))
        except ProviderError as error:
            if error.advice != "retry":
                raise
            _LOG.warning("not warmed up: %s", str(error))
        except TimeoutError:
            _LOG.warning("not warmed up: %s does not answer", self._channel.endpoint)

    async def open(self, language: str) -> GoogleSttStream:
        """Start one call. Raises ProviderError without credentials or, for v2, a project."""
        recognise = await self._ready(language)
        stream = GoogleSttStream(
            self.name, recognise, self._config, self._streams.discard, self._channel.renew
        )
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close every stream and the connection."""
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._channel.aclose()

    async def _ready(self, language: str) -> _Recogniser:
        """What starts requests. The first time it loads Google's packages, in a thread."""
        if self._codec is None:
            self._codec = await asyncio.to_thread(load_codec, self._api)
        await self._channel.open()
        config = RecognitionConfig(
            api=self._api,
            model=self._model,
            language=language,
            recognizer=self._recognizer() if self._api == "v2" else "",
        )
        return _Recogniser(self._channel, self._codec, config)

    def _recognizer(self) -> str:
        project = self._project or self._channel.project
        if project is None and on_loopback(self._channel.endpoint):
            project = "loopback"
        if project is None:
            why = "no project in the credentials; set GOOGLE_CLOUD_PROJECT"
            raise ProviderError(self.name, why, "fix_key")
        return f"projects/{project}/locations/{self._location}/recognizers/_"

    async def _probe(self, recognise: _Recogniser) -> None:
        probe = recognise()
        try:
            await probe.begin()
            await probe.send(silence(100))
            await probe.end()
            while await probe.receive() is not None:
                pass
        finally:
            probe.cancel()


class _Recogniser:
    """Starts the requests of one call."""

    def __init__(self, channel: GoogleChannel, codec: Codec, config: RecognitionConfig) -> None:
        self._channel = channel
        self._codec = codec
        self._config = config

    def __call__(self) -> GoogleRecognition:
        return GoogleRecognition(self._channel, self._codec, self._config, _LAP_S)
