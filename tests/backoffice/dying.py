"""A back office that kills itself at a named moment: ``dying.py URL PORT MOMENT``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import uvicorn
from sqlalchemy import Engine, event

from voicelat.backoffice.app import create_app
from voicelat.backoffice.config import Config


def main() -> None:
    """Serve until the moment comes."""
    url, port, moment = sys.argv[1:]
    app: Any = create_app(Config(database=url))
    if moment == "before the commit":
        # Only writes: the reads of a request are not committed.
        event.listen(Engine, "commit", _die)
    uvicorn.run(
        _mute(app) if moment == "before the answer" else app,
        host="127.0.0.1",
        port=int(port),
        log_level="error",
    )


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _mute(app: Any) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def deadly(message: Any) -> None:
            if message["type"] == "http.response.start" and scope["path"].startswith("/v1/"):
                _die()
            await send(message)

        await app(scope, receive, deadly)

    return wrapped


if __name__ == "__main__":
    main()
