"""Whose code is it? Frames, down to the line in the application that is to blame."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Final

import voicelat

__all__ = ["Owner"]

_INSTALLED: Final = ("/site-packages/", "/dist-packages/")
_OURS: Final = str(Path(voicelat.__file__).parent) + "/"
_DEPTH: Final = 60


class Owner:
    """Knows the application's own files: those below its folder that nobody installed."""

    def __init__(self, folder: str) -> None:
        self._folder = folder.rstrip("/") + "/"
        self._known: dict[str, bool] = {}

    def owns(self, file: str) -> bool:
        """Whether this is the application's own code."""
        known = self._known.get(file)
        if known is None:
            known = file.startswith(self._folder) and not (
                file.startswith(_OURS) or any(part in file for part in _INSTALLED)
            )
            self._known[file] = known
        return known

    def place(self, frame: FrameType | None) -> str:
        """The innermost line of its own code on this stack; "" when there is none."""
        for _ in range(_DEPTH):
            if frame is None:
                return ""
            if self.owns(frame.f_code.co_filename):
                return self.line(frame)
            frame = frame.f_back
        return ""

    def here(self) -> str:
        """`place` of whoever calls."""
        return self.place(sys._getframe(1))

    def line(self, frame: FrameType) -> str:
        """A frame as ``file:line function``, the file as seen from the application's folder, or
        from its package on."""
        file = frame.f_code.co_filename
        if file.startswith(self._folder):
            file = file[len(self._folder) :]
        else:
            for root in ("/site-packages/", "/dist-packages/", "/src/"):
                file = file.rsplit(root, 1)[-1]
            file = "/".join(file.rsplit("/", 3)[-3:])
        return f"{file}:{frame.f_lineno} {frame.f_code.co_name}"
