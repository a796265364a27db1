"""What the providers of OpenAI share: open connections, deadlines, and errors that are ours.

The vendor's client is made for web pages, not for calls: 600 s of patience, two silent retries
and connections dropped after 5 s of silence, so that each turn pays a TLS handshake. Here the
turn machine owns retries and patience, connections stay open until the server closes them, and
one that was lost or has idled for long is replaced before a turn needs it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from voicelat.errors import Advice, MissingExtra, ProviderError

__all__ = [
    "CONNECT_S",
    "OPENAI_URL",
    "SILENCE_S",
    "KeepWarm",
    "OpenAiClient",
    "Patience",
    "language_code",
    "one_line",
    "refusal",
]

_LOG = logging.getLogger("voicelat.providers")

OPENAI_URL: Final = "https://api.openai.com/v1"

CONNECT_S: Final = 2.0
SILENCE_S: Final = 8.0
"""The longest wait for the next piece of an answer. The caller has heard an apology by then."""

_CONNECTIONS: Final = 2
"""Kept open: one for the turn, one for a second request when the first is late."""
_IDLE_S: Final = 45.0
"""Servers and proxies drop connections that idle for a minute or more."""
_TOGETHER_S: Final = 1.0
"""A server that takes one connection at a time must not hold us up."""

_REASON_CHARS: Final = 200

_Piece = TypeVar("_Piece")


class OpenAiClient:
    """The vendor's client for one provider, as ``api``.

    ``name``: the provider's, for its errors. ``role``: what needs it, as in "the openai voice".
    ``base_url``: of the API, with its ``/v1``; None is OpenAI's own. ``api_key``: None is fine
    where ``base_url`` is a server that asks for none. ``silence_s``: see `Patience`.

    Raises MissingExtra without the ``openai`` package, ProviderError (fix_key) without a key
    for OpenAI itself.
    """

    def __init__(
        self,
        name: str,
        role: str,
        api_key: str | None,
        base_url: str | None,
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        try:
            import httpx2
            import openai
        except ImportError:
            raise MissingExtra("openai", role) from None
        self.name = name
        self.url = base_url or OPENAI_URL
        self.silence_s = silence_s
        if not api_key and base_url is None:
            raise self.failed("no key; set OPENAI_API_KEY", "fix_key")
        self.api: Final = openai.AsyncOpenAI(
            api_key=api_key or "none",
            base_url=self.url,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=httpx2.Timeout(silence_s, connect=CONNECT_S),
                limits=httpx2.Limits(keepalive_expiry=None),
            ),
        )
        self._model = ""
        self._cold = False
        """Whether the last try to warm up failed: it is told once."""
        self._keeper = KeepWarm(self._ping, _IDLE_S)

    async def warm(self, model: str) -> None:
        """Ask for the model, which leaves open connections for the first turn, and keep them.

        Raises ProviderError when the key is refused: no turn would ever work. Everything else
        is only logged: servers without this request exist, restricted keys may lack its scope
        (a 401 too: "Missing scopes: api.model.read"), and a server may come up later.
        """
        from openai import AuthenticationError

        self._model = model
        error = await self._ask_for_model()
        self._cold = error is not None
        if error is not None:
            failure = self._told(error)
            if isinstance(error, AuthenticationError) and "scope" not in error.message:
                raise failure from error
            _LOG.warning("not warmed up: %s", failure)
        self._keeper.start()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around each request: the file's edge, out of which come only ProviderErrors.

        A request that is given up half-way costs its connection: another is opened.
        """
        from openai import APIStatusError

        self._keeper.begun()
        try:
            yield
        except APIStatusError as error:  # a whole answer, its connection is as good as before
            raise self._told(error) from error
        except _failures() as error:
            self._keeper.lost()
            raise self._told(error) from error
        except (GeneratorExit, asyncio.CancelledError):
            self._keeper.lost()
            raise
        finally:
            self._keeper.ended()

    def failed(self, why: str, advice: Advice) -> ProviderError:
        """An error of this provider, in one line."""
        return ProviderError(self.name, one_line(why), advice)

    def refused(self, code: str | None, said: str) -> ProviderError:
        """What an error inside a stream that began well means."""
        why, advice = refusal(500, code, said, self.url)
        return self.failed(why, advice)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._keeper.stop()
        await self.api.close()

    async def _ping(self) -> None:
        error = await self._ask_for_model()
        if error is not None and not self._cold:
            _LOG.info("not kept warm: %s", self._told(error))
        self._cold = error is not None

    async def _ask_for_model(self) -> Exception | None:
        """As many cheap requests at once as connections are wanted: idle ones are used first."""
        together = asyncio.Barrier(_CONNECTIONS)
        asked = await asyncio.gather(*(self._probe(together) for _ in range(_CONNECTIONS)))
        return next((error for error in asked if error is not None), None)

    async def _probe(self, together: asyncio.Barrier) -> Exception | None:
        """One of them. None is done before all are under way, or the next would take over its
        connection instead of opening another."""
        try:
            async with (
                asyncio.timeout(CONNECT_S + self.silence_s),
                self.api.models.with_streaming_response.retrieve(self._model) as answer,
            ):
                with suppress(TimeoutError, asyncio.BrokenBarrierError):
                    await asyncio.wait_for(together.wait(), _TOGETHER_S)
                await answer.read()
        except _failures() as error:
            await together.abort()
            return error
        return None

    def _told(self, error: Exception) -> ProviderError:
        import httpx2
        import openai

        if isinstance(error, openai.APIStatusError):
            why, advice = refusal(error.status_code, error.code, error.message, self.url)
            return self.failed(why, advice)
        if isinstance(error, TimeoutError | httpx2.TimeoutException | openai.APITimeoutError):
            return self._late()
        if isinstance(error, openai.APIConnectionError):
            return self._unreachable(error.__cause__)
        if isinstance(error, openai.OpenAIError):
            code = error.code if isinstance(error, openai.APIError) else None
            return self.refused(code, str(error))
        if isinstance(error, ValueError):  # json's and Unicode's, from inside an answer
            return self.failed(f"the answer is garbled: {error}", "retry")
        return self._unreachable(error)

    def _late(self) -> ProviderError:
        why = f"no answer from {self.url} in {CONNECT_S:g} s to connect and "
        return self.failed(f"{why}{self.silence_s:g} s to begin or go on", "retry")

    def _unreachable(self, cause: BaseException | None) -> ProviderError:
        why = str(cause or "") or "the connection was lost"
        return self.failed(f"cannot reach {self.url}: {why}", "retry")


def _failures() -> tuple[type[Exception], ...]:
    """All that a request of the vendor's client may raise: its own errors, those of the library
    below that get past it in the middle of an answer, and what parsing raises."""
    import anyio
    import httpx2
    import openai

    return openai.OpenAIError, httpx2.RequestError, OSError, anyio.EndOfStream, ValueError


def refusal(status: int, code: str | None, said: str, url: str) -> tuple[str, Advice]:
    """What an HTTP status and OpenAI's error code mean to us: why, and what to do."""
    if code == "insufficient_quota":
        return f"the key's quota is used up; check its billing: {said}", "fix_key"
    if status in (401, 403) or code == "invalid_api_key":
        return f"the key was refused; check OPENAI_API_KEY: {said}", "fix_key"
    if status == 404 or code == "model_not_found":
        return f"no such model at {url}: {said}", "give_up"
    if status in (408, 409, 429) or status >= 500:
        return said, "retry"
    return said, "give_up"


def one_line(text: str) -> str:
    """As much of a vendor's words as fits a line."""
    return " ".join(text.split())[:_REASON_CHARS]


def language_code(language: str) -> str | None:
    """The ISO-639-1 code OpenAI asks for (``he`` of ``he-IL``). None: the tag has none."""
    code = language.partition("-")[0].lower()
    return code if len(code) == 2 else None


class Patience:
    """The longest wait for the next piece of an answer, ``seconds`` since the last `renew`.

    Unlike a socket's timeout it is not impressed by bytes without a piece in them: comments
    that keep proxies awake, empty events.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """A piece came, or its reader is back for the next."""
        self._by = asyncio.get_running_loop().time() + self._seconds

    def limit(self) -> asyncio.Timeout:
        """An async context that raises TimeoutError when patience ends."""
        return asyncio.timeout_at(self._by)

    async def next(self, pieces: AsyncIterator[_Piece]) -> _Piece | None:
        """The next of ``pieces``, None behind the last. Raises TimeoutError."""
        async with self.limit():
            return await anext(pieces, None)


class KeepWarm:
    """Calls ``ping`` when nothing was asked for about ``idle_s``, and at once after a loss.

    ``jitter`` gives 0..1: servers started together must not ping together.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        idle_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ping = ping
        self._idle_s = idle_s
        self._jitter = jitter
        self._asking = 0
        self._used_s = 0.0
        self._loss = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep warm; what was asked until now counts as use. Once is enough."""
        if self._task is None:
            self._used_s = asyncio.get_running_loop().time()
            self._loss.clear()
            self._task = asyncio.create_task(self._keep(), name="keep warm")

    def begun(self) -> None:
        """A request begins."""
        self._asking += 1

    def ended(self) -> None:
        """A request is over."""
        self._asking -= 1
        self._used_s = asyncio.get_running_loop().time()

    def lost(self) -> None:
        """A connection was lost."""
        self._loss.set()

    async def stop(self) -> None:
        """Stop. Safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _keep(self) -> None:
        while True:
            await self._until_cold()
            self._loss.clear()
            await self._ping()
            self._used_s = asyncio.get_running_loop().time()

    async def _until_cold(self) -> None:
        idle_s = self._idle_s * (0.75 + self._jitter() / 2)
        while True:
            now_s = asyncio.get_running_loop().time()
            since_s = now_s if self._asking else self._used_s
            if since_s + idle_s <= now_s:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(since_s + idle_s):
                    await self._loss.wait()
                    return
