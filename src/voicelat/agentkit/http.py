"""JSON requests to the internal API: one pool, deadlines, retries, and errors that are ours.

A request is repeated when it may not have arrived or the other side is busy, and never when it
was refused. The repetition is the same request: whoever sends a write gives it a key, by which
the API knows that it has done it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from voicelat.errors import MissingExtra, UsageError, VoicelatError

if TYPE_CHECKING:
    import httpx

__all__ = ["ApiError", "JsonClient"]

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 15.0
_CONNECTIONS: Final = 20
_MAX_BYTES: Final = 1_048_576
_ATTEMPTS: Final = 3
_FIRST_WAIT_S: Final = 0.25
_LONGEST_WAIT_S: Final = 10.0
"""An API that is busy for longer is left to whoever runs the job: it can wait for hours."""
_SHOWN: Final = 300
_BUSY: Final = 503


class ApiError(VoicelatError):
    """The internal API did not do what it was asked.

    ``code``: the API's own (``missing_scope``, ``needs_grant``, …), or ``unreachable`` (no
    answer), ``server_error`` (5xx without a code), ``bad_answer`` (not what the API is made to
    answer). ``retry``: the same request may work later.
    """

    def __init__(self, code: str, says: str, *, retry: bool) -> None:
        super().__init__(f"{code}: {says}")
        self.code = code
        self.says = says
        self.retry = retry


class JsonClient:
    """Posts JSON objects with a token. Close it, or use it as a context.

    ``base_url``: with its scheme. Proxies of the environment are not used: the token is for the
    internal API alone. ``sleep`` waits between attempts. Raises UsageError for a URL that is
    none, MissingExtra without httpx.
    """

    def __init__(
        self, base_url: str, token: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        try:
            import httpx
        except ImportError:
            raise MissingExtra("agents", "the internal API") from None
        if not base_url.startswith(("http://", "https://")):
            raise UsageError(f"BACKOFFICE_URL={base_url!r}: must begin with http:// or https://")
        if not token.isascii() or not token.isprintable() or not token:
            raise UsageError("BACKOFFICE_TOKEN: must be a token as the back office gave it")
        self._url = base_url.rstrip("/")
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """The answer. Raises ApiError."""
        content = _encoded(body)
        for name, value in headers.items():
            if not value.isascii() or not value.isprintable():
                raise ApiError("invalid", f"{name} must be printable ASCII", retry=False)
        for attempt in range(1, _ATTEMPTS):
            try:
                return await self._once(path, content, headers)
            except _Later as later:
                wait_s = later.after_s
                if wait_s is None:
                    wait_s = _FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1)
                if wait_s > _LONGEST_WAIT_S:
                    raise later.error from None
            await self._sleep(wait_s)
        try:
            return await self._once(path, content, headers)
        except _Later as later:
            raise later.error from None

    async def _once(self, path: str, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """One attempt. Raises ApiError for what repeating cannot help, `_Later` for the rest."""
        import httpx

        sent = {"Content-Type": "application/json", **headers}
        try:
            async with self._http.stream(
                "POST", self._url + path, content=content, headers=sent
            ) as answer:
                text = await _read(answer)
        except (httpx.TransportError, httpx.DecodingError) as error:
            says = f"no answer from {self._url}: {str(error) or type(error).__name__}"
            raise _Later(ApiError("unreachable", says, retry=True)) from None
        except httpx.InvalidURL as error:
            raise UsageError(f"BACKOFFICE_URL={self._url!r}: {error}") from None
        if answer.is_success:
            return _object(text)
        refused = _refusal(answer.status_code, text)
        if refused.retry:
            raise _Later(refused, _retry_after_s(answer.headers.get("retry-after")))
        raise refused


class _Later(Exception):
    """An attempt that may be repeated, after so many seconds where the API said how many."""

    def __init__(self, error: ApiError, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        raise ApiError("invalid", "the arguments cannot be sent as JSON", retry=False) from None


async def _read(answer: httpx.Response) -> bytes:
    """The body of an answer. Raises ApiError for one that is too large."""
    text = bytearray()
    async for chunk in answer.aiter_bytes():
        text += chunk
        if len(text) > _MAX_BYTES:
            raise ApiError(
                "bad_answer", f"the answer has more than {_MAX_BYTES} bytes", retry=False
            )
    return bytes(text)


def _object(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        return answer
    raise ApiError("bad_answer", "the answer is no JSON object", retry=False)


def _refusal(status: int, text: bytes) -> ApiError:
    """What a status and its body mean. Only what is the server's fault may be repeated."""
    retry = status >= 500
    try:
        told = _object(text)
    except ApiError:
        told = {}
    code, says, fix = (told.get(key) for key in ("error", "says", "fix"))
    if not isinstance(code, str) or not isinstance(says, str):
        code = "busy" if status == _BUSY else "server_error" if retry else "bad_answer"
        says, fix = f"the API answered {status}", None
    line = f"{says}; {fix}" if isinstance(fix, str) and fix else says
    return ApiError(code, " ".join(line.split())[:_SHOWN], retry=retry)


def _retry_after_s(header: str | None) -> float | None:
    """None: it was not said, or as a date, which needs two clocks that agree."""
    return float(header) if header and header.isascii() and header.isdigit() else None
