"""The processes beside the channels: the back office, which keeps conversations, and the agents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx

from voicelat.errors import UsageError, VoicelatError

__all__ = ["AgentsPeer", "OfficePeer", "PeerFailed"]

_PATIENCE: Final = httpx.Timeout(10.0, connect=2.0)
_SHOWN: Final = 300


class PeerFailed(VoicelatError):
    """A peer did not do what it was asked. ``retry``: it may later."""

    def __init__(self, code: str, says: str, *, retry: bool) -> None:
        super().__init__(f"{code}: {says}")
        self.code = code
        self.says = says
        self.retry = retry


class _Peer:
    """JSON over HTTP with a bearer token; proxies of the environment are not used."""

    def __init__(self, name: str, url: str, token: str | None) -> None:
        if token is not None and not (token.isascii() and token.isprintable() and token):
            raise UsageError(f"the token of {name} must be printable ASCII")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._name = name
        self._url = url.rstrip("/")
        self._http = httpx.AsyncClient(headers=headers, timeout=_PATIENCE, trust_env=False)

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        try:
            answer = await self._http.post(self._url + path, json=body, headers=dict(headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            lost = f"no answer from {self._name} at {self._url}: {why}"
            raise PeerFailed("unreachable", lost, retry=True) from None
        if answer.is_success:
            return _object(answer.content)
        told = _object(answer.content)
        code, says = told.get("error"), told.get("says")
        shown = says if isinstance(says, str) else f"{self._name} answered {answer.status_code}"
        # A token can be mended while we run, and nothing that came in may be lost for it.
        later = answer.status_code >= 500 or answer.status_code in (401, 403, 408, 425, 429)
        raise PeerFailed(str(code or answer.status_code), shown[:_SHOWN], retry=later)


class OfficePeer(_Peer):
    """The back office's operations for channels. Each raises PeerFailed."""

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__("the back office", url, token)

    async def call(self, tool: str, key: str, **arguments: Any) -> dict[str, Any]:
        """One operation; the same ``key`` again is the same request."""
        path = f"/v1/{tool.replace('.', '/')}"
        return await self._post(path, arguments, {"Idempotency-Key": key})


class AgentsPeer(_Peer):
    """Where events go. Raises PeerFailed."""

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__("the agents' process", url, token)

    async def tell(self, event: Mapping[str, Any]) -> bool:
        """Whether it was taken; False: it is no event, and never will be."""
        answer = await self._post("/v1/events", {"events": [event]}, {})
        return not answer.get("refused")


def _object(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    return read if isinstance(read, dict) else {}
