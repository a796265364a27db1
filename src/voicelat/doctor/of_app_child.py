"""The process the application runs in: started, spoken to, ended, by the doctor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from voicelat.doctor.probe.seen import Failed, Plan, Seen, Serving
from voicelat.errors import UsageError

__all__ = ["AppProcess", "free_port", "running_app"]

START_S: Final = 60.0
"""An application may load models before it serves."""
REPORT_S: Final = 30.0
_END_S: Final = 5.0
_LINE_BYTES: Final = 256 * 2**20
_IMPORTTIME: Final = "import time:"
_IMPORT: Final = re.compile(r"import time: +\d+ \| +(\d+) \| +(\S+)$")
_SHOWN: Final = 300


class AppProcess:
    """The application, serving on `port`."""

    def __init__(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        printed: IO[bytes],
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._printed = printed

    async def serving(self) -> Serving:
        """Wait until it takes calls. Raises UsageError, with its reason, when it never will."""
        said = await self._hear(
            START_S, "it does not serve (does importing it start a server of its own?)"
        )
        assert not isinstance(said, Seen)
        return said

    async def seen(self) -> Seen:
        """What its probe saw. Raises UsageError when it has died meanwhile."""
        self._writer.write(b"!")
        said = await self._hear(REPORT_S, "its probe gave no report")
        if isinstance(said, Serving):
            raise UsageError(f"the application's worker died and was started again: {self.last()}")
        return said

    def printed(self) -> tuple[str, dict[str, float]]:
        """What it printed, and what each import cost with all below it, in ms."""
        self._printed.seek(0)
        lines: list[str] = []
        imports: dict[str, float] = {}
        for line in self._printed.read().decode("utf-8", "replace").splitlines():
            match = _IMPORT.search(line)
            if match is not None:
                imports[match[2]] = int(match[1]) / 1000
            elif not line.startswith(_IMPORTTIME):
                lines.append(line)
        return "\n".join(lines).strip(), imports

    def last(self) -> str:
        """The last line it printed, to be shown in an error."""
        text, _ = self.printed()
        return text.rsplit("\n", 1)[-1][-_SHOWN:] or "it printed nothing"

    async def _hear(self, patience_s: float, what: str) -> Serving | Seen:
        try:
            line = await asyncio.wait_for(self._reader.readline(), patience_s)
        except TimeoutError:
            raise UsageError(f"{what}, after {patience_s:.0f} s: {self.last()}") from None
        except (ConnectionError, ValueError):
            line = b""
        if not line:
            await self._process.wait()
            raise UsageError(
                f"the application ended (exit code {self._process.returncode}): {self.last()}"
            )
        said: Serving | Failed | Seen
        if line.startswith(b'{"type"'):
            said = msgspec.json.decode(line, type=Serving | Failed)
        else:
            said = msgspec.json.decode(line, type=Seen)
        if isinstance(said, Failed):
            raise UsageError(said.why)
        return said


@asynccontextmanager
async def running_app(plan: Plan, working_folder: Path) -> AsyncIterator[AppProcess]:
    """Start the application of ``plan`` (its ``wire`` is filled in here), and end it, and all it
    has started, behind the block."""
    ours, its = socket.socketpair()
    plan = msgspec.structs.replace(plan, wire=its.fileno())
    with tempfile.TemporaryFile() as printed:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "voicelat.doctor.probe",
            msgspec.json.encode(plan).decode(),
            cwd=working_folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=DEVNULL,
            stdout=printed,
            stderr=printed,
            pass_fds=(its.fileno(),),
            start_new_session=True,
        )
        its.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
        try:
            yield AppProcess(process, reader, writer, printed)
        finally:
            await _end(process)
            writer.close()


async def _end(process: Process) -> None:
    """Politely first: an engine of ours in a process of its own ends with its worker."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_S)
            # What is left of its group has lost its head.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
