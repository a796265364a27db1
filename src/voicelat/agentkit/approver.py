"""The client of whoever approves: it turns a person's yes into a grant.

Its token has the scope ``approvals.grant``, which no agent's token has, and it lives in the
process of the command line or the console. The agents' process must never import this module:
an import contract says so.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from voicelat.agentkit.http import ApiError, JsonClient

__all__ = ["Approver"]


class Approver:
    """Mints grants. Raises UsageError for an address or a token that is none."""

    def __init__(self, base_url: str, approver_token: str) -> None:
        self._client = JsonClient(base_url, approver_token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def grant(self, request: dict[str, Any]) -> str:
        """A grant for a `grant_request`: good once, for that tool and those arguments.

        A repetition after a lost answer mints a second one; the first is then never known to
        anybody, and expires. Raises ApiError.
        """
        answer = await self._client.post("/v1/grants", request, {})
        grant = answer.get("grant")
        if not isinstance(grant, str) or not grant:
            raise ApiError("bad_answer", "the API gave no grant", retry=False)
        return grant
