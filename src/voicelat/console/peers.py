"""What the console asks other processes: the back office, the channels, the server of calls."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

import httpx

from voicelat.errors import VoicelatError

__all__ = ["AgentsPeer", "CallsPeer", "ChannelsPeer", "OfficePeer", "PeerAway"]

_PATIENCE: Final = httpx.Timeout(10.0, connect=1.0)
_POLL_S: Final = 20


class PeerAway(VoicelatError):
    """Another process did not answer, or refused. ``status``: what the page is told."""

    def __init__(self, status: int, code: str, says: str, fix: str = "") -> None:
        super().__init__(says)
        self.status = status
        self.code = code
        self.says = says
        self.fix = fix


class _Peer:
    def __init__(self, name: str, url: str, token: str | None, fix: str) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._name, self._fix = name, fix
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=_PATIENCE, trust_env=False
        )

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        """The answer. Raises PeerAway."""
        try:
            answer = await self._http.request(method, path, json=body, **more)
        except (httpx.HTTPError, httpx.InvalidURL):
            says = f"{self._name} does not answer"
            raise PeerAway(503, "away", says, self._fix) from None
        try:
            told = json.loads(answer.content)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            says = f"{self._name} answered {answer.status_code} and no JSON"
            raise PeerAway(503, "away", says, self._fix)
        if answer.is_success:
            return told
        # Its token is ours to mend, not the person's.
        ours = answer.status_code in (401, 403)
        says = f"{self._name}: {told.get('says') or answer.status_code}"
        status = 503 if ours or answer.status_code >= 500 else answer.status_code
        raise PeerAway(status, str(told.get("error", "refused")), says, str(told.get("fix") or ""))


class OfficePeer(_Peer):
    """The back office, by CONSOLE_TOKEN."""

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__("the back office", url, token, "start it: voicelat agents office")

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """One operation."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return await self._asked(
            "POST", f"/v1/{tool.replace('.', '/')}", arguments, headers=headers
        )

    async def audit(self, run_id: str) -> list[dict[str, Any]]:
        """What a run wrote, with before and after."""
        rows: list[dict[str, Any]] = []
        after = 0
        while True:
            params = {"after": after, "limit": 100, "run_id": run_id}
            page = await self._asked("GET", "/v1/audit", params=params)
            rows += page["rows"]
            if page["next"] is None:
                return rows
            after = page["next"]


class ChannelsPeer(_Peer):
    """The channels, by CHANNELS_TOKEN."""

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__("the channels", url, token, "start them: voicelat channels serve")

    async def status(self) -> dict[str, Any]:
        """How every provider stands."""
        return await self._asked("GET", "/v1/status")

    async def use(self, provider: str | None) -> dict[str, Any]:
        """Have another carry."""
        return await self._asked("POST", "/v1/provider", {"provider": provider})

    async def logout(self, provider: str) -> dict[str, Any]:
        """Forget an account."""
        return await self._asked("POST", "/v1/logout", {"provider": provider})

    async def events(self, after: int) -> tuple[list[dict[str, Any]], int]:
        """What happened behind that number, waited for."""
        params = {"after": after, "wait_s": _POLL_S}
        told = await self._asked("GET", "/v1/events", params=params, timeout=_POLL_S + 10)
        return told["events"], told["next"]

    async def medium(self, media_id: str) -> tuple[bytes, dict[str, str]]:
        """A file, and how it may be shown. Raises PeerAway."""
        try:
            answer = await self._http.get(f"/v1/media/{media_id}")
        except httpx.HTTPError:
            raise PeerAway(503, "away", "the channels do not answer", self._fix) from None
        if not answer.is_success:
            raise PeerAway(404, "not_found", "there is no such file")
        kept = ("content-type", "content-disposition")
        return answer.content, {
            name: answer.headers[name] for name in kept if name in answer.headers
        }


class AgentsPeer(_Peer):
    """The agents' process, by AGENTS_TOKEN."""

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__("the agents' process", url, token, "start it: voicelat agents serve")

    async def tell(self, event: dict[str, Any]) -> None:
        """Hand over an event."""
        await self._asked("POST", "/v1/events", {"events": [event]})


class CallsPeer(_Peer):
    """The server of calls."""

    def __init__(self, url: str) -> None:
        super().__init__("the server of calls", url, None, "start it: voicelat serve")

    async def live(self) -> int | None:
        """How many calls go on; None: it does not answer."""
        try:
            calls = (await self._asked("GET", "/healthz"))["calls"]
        except (PeerAway, KeyError):
            return None
        return calls if isinstance(calls, int) else None
