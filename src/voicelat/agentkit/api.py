"""The internal API as agents use it: one request per tool call, with the agent's own token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from voicelat.agentkit.http import ApiError, JsonClient
from voicelat.agentkit.tools import Tool

__all__ = ["Api", "ApiError"]


class Api:
    """Makes tool calls. ``token``: the agents' own, with the scopes of their tools.

    Which calls are made, and who was asked before, is decided elsewhere; the API checks scopes
    and grants itself. ``sleep`` waits between attempts. Raises UsageError for an address or a
    token that is none.
    """

    def __init__(
        self, base_url: str, token: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._client = JsonClient(base_url, token, sleep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def call(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        *,
        idempotency_key: str,
        run_id: str,
        call_id: str | None,
        agent: str,
        grant: str | None,
    ) -> dict[str, Any]:
        """The tool's result: what it declares, and nothing else.

        ``idempotency_key``: the same for the same write, also after a crash, or it is written
        twice. ``grant``: of an approval, once. Raises ApiError.
        """
        headers = {"X-Run-Id": run_id, "X-Agent": agent}
        if tool.writes:
            headers["Idempotency-Key"] = idempotency_key
        if call_id is not None:
            headers["X-Call-Id"] = call_id
        if grant is not None:
            headers["X-Approval-Grant"] = grant
        answer = await self._client.post(tool.path, arguments, headers)
        try:
            result = tool.result.model_validate(answer)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "the answer"
            says = f"the API's answer to {tool.id} is not its result: {where}"
            raise ApiError("bad_answer", says, retry=False) from None
        return result.model_dump(mode="json", by_alias=True)
