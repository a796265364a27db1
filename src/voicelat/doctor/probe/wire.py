"""The line to the doctor: one JSON message a line, and the end of everything when it is cut."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

import msgspec

from voicelat.doctor.probe.originals import read, write
from voicelat.doctor.probe.seen import Failed, Seen, Serving

__all__ = ["Wire"]


class Wire:
    """The child's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, message: Serving | Failed | Seen) -> None:
        """Tell the doctor. It is there, or we are gone."""
        line = memoryview(msgspec.json.encode(message) + b"\n")
        try:
            while line:
                line = line[write(self._descriptor, line) :]
        except BrokenPipeError:
            end()

    def wait(self) -> None:
        """Until the doctor asks for the report. Never returns once it is gone."""
        if read(self._descriptor, 1) == b"":
            end()


def end() -> NoReturn:
    """End this process and all it has started: they are one group, which the doctor made."""
    os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)
