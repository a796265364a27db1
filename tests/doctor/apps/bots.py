"""A voice bot in miniature: it hears the end of a question by level, and answers with a tone."""

from __future__ import annotations

import base64
import json

HANGOVER_FRAMES = 15
FRAME = 160
TONE = bytes([0x90, 0x10] * 80)
"""20 ms of mu-law that can be heard."""


class Ear:
    """Feed it messages of the media socket; it says when a question is over."""

    def __init__(self) -> None:
        self.stream_sid = ""
        self._voiced = 0
        self._quiet = 0

    def hears_the_end(self, text: str) -> bool:
        message = json.loads(text)
        if message["event"] == "start":
            self.stream_sid = message["start"]["streamSid"]
        if message["event"] != "media":
            return False
        audio = base64.b64decode(message["media"]["payload"])
        loud = sum(byte & 0x7F < 0x50 for byte in audio) > 20
        self._voiced += loud
        self._quiet = 0 if loud else self._quiet + 1
        over = self._voiced >= 10 and self._quiet == HANGOVER_FRAMES
        if over:
            self._voiced = 0
        return over

    def reply(self, frames: int = 20) -> str:
        """The answer, in one message."""
        payload = base64.b64encode(TONE * frames).decode()
        media = {"event": "media", "streamSid": self.stream_sid, "media": {"payload": payload}}
        return json.dumps(media)

    def over(self, text: str | None) -> bool:
        return text is None or json.loads(text)["event"] == "stop"
