"""Ctrl-C ends a measurement; it does not lose it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

__all__ = ["until_interrupted"]


async def until_interrupted(work: Coroutine[None, None, None]) -> bool:
    """Await ``work``; Ctrl-C ends it and is remembered, so that the results so far count."""
    task = asyncio.create_task(work)
    try:
        await task
    except asyncio.CancelledError:
        me = asyncio.current_task()
        assert me is not None
        me.uncancel()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return True
    return False
