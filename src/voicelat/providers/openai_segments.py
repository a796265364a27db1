"""The bookkeeping of live transcription: what was fed, what was sent, what came back of it.

Pure: no socket, no clock. A segment is the audio between two commits. It is kept until its final
is here, so that a lost connection costs nothing: what has no final is sent again over the next
one, whose items have other ids. Texts are kept by item, never added up over connections, and
finals are told in the order of the commits whatever the order they came in, so no word is told
twice or out of place.
"""

from __future__ import annotations

import base64
import json
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from voicelat.audio.mulaw import BYTES_PER_MS
from voicelat.providers.protocols import Transcript

__all__ = ["COMMIT", "PRE_ROLL_MS", "SHORTEST_MS", "TRANSCRIPTION", "Segments"]

PRE_ROLL_MS: Final = 300
"""Kept from before a voice hint: a detector notices a soft first consonant late."""
SHORTEST_MS: Final = 100
"""OpenAI refuses to commit less."""
_LONGEST_MS: Final = 60_000
"""A voice without a pause is committed here."""
_MESSAGE_MS: Final = 1000
"""The most audio in one message, when there is much to catch up on."""

COMMIT: Final = "commit-"
"""The event id of a commit begins like this; its segment's number follows."""

TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."
"""The type of an event about an item's text begins like this."""


@dataclass(slots=True, eq=False)
class _Segment:
    number: int
    audio: bytearray = field(default_factory=bytearray)
    closed: bool = False
    """No more audio will come: it is to be committed."""
    sent: int = 0
    """Bytes sent over this connection."""
    committed: bool = False
    """Its commit was sent over this connection."""
    confirmed: bool = False
    """The server named the item of this commit."""
    item: str | None = None
    failures: int = 0
    shown: str = ""
    """The longest text told of it: one that is heard again does not shrink."""
    final: str | None = None


class Segments:
    """One call's audio on its way to text. Feed it, send what `next_message` gives, tell it what
    the server says, and pass on the transcripts it returns."""

    def __init__(self) -> None:
        self.odd: Counter[str] = Counter()
        """Server events that made no sense, by what was wrong."""
        self.again = False
        """The server could not transcribe something: what has no final is to be sent again, over
        a new connection. Told once for each segment; the second time it ends as it is."""
        self._voiced = False
        self._before = bytearray()
        """The latest audio without voice, to begin the next segment with."""
        self._made = 0
        self._open: _Segment | None = None
        self._unsettled: deque[_Segment] = deque()
        """Segments without a told final, oldest first; the open one is the last."""
        self._items: dict[str, _Segment] = {}
        self._texts: dict[str, str] = {}
        self._told = ""

    @property
    def awaited(self) -> int | None:
        """The number of the oldest segment whose text is due, None when none is."""
        head = self._unsettled[0] if self._unsettled else None
        return head.number if head is not None and head.closed else None

    # -- from the call ------------------------------------------------------------------------

    def feed(self, audio: bytes) -> None:
        """The next mu-law audio."""
        if not self._voiced or self._open is None:
            self._before += audio
            del self._before[: -PRE_ROLL_MS * BYTES_PER_MS]
            return
        self._open.audio += audio
        if len(self._open.audio) >= _LONGEST_MS * BYTES_PER_MS:
            self._close()

    def voice(self, active: bool) -> None:
        """Speech began, or fell silent: what was said is committed."""
        if active and not self._voiced:
            self._voiced = True
            segment = self._open or self._begin()
            segment.audio += self._before
            self._before.clear()
        elif not active and self._voiced:
            self._voiced = False
            self._close()

    def finalize(self) -> None:
        """Commit what was said so far."""
        self._close()

    def _begin(self) -> _Segment:
        self._made += 1
        self._open = segment = _Segment(self._made)
        self._unsettled.append(segment)
        return segment

    def _close(self) -> None:
        """Close the open segment. One too short to commit waits and goes with the next."""
        if self._open is None or len(self._open.audio) < SHORTEST_MS * BYTES_PER_MS:
            return
        self._open.closed = True
        self._open = None
        if self._voiced:
            self._begin()

    # -- to the server ------------------------------------------------------------------------

    def next_message(self) -> str | None:
        """The next to send over this connection, None when there is nothing."""
        for segment in self._unsettled:
            if segment.final is not None:
                continue
            if segment.sent < len(segment.audio):
                end = segment.sent + _MESSAGE_MS * BYTES_PER_MS
                audio = base64.b64encode(segment.audio[segment.sent : end]).decode()
                segment.sent = min(end, len(segment.audio))
                return f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}'
            if segment.closed and not segment.committed:
                segment.committed = True
                event_id = f"{COMMIT}{segment.number}"
                return json.dumps({"type": "input_audio_buffer.commit", "event_id": event_id})
        return None

    def restart(self) -> None:
        """A new connection: what has no final is sent again."""
        self.again = False
        self._items.clear()
        self._texts.clear()
        for segment in self._unsettled:
            segment.sent, segment.item = 0, None
            segment.committed = segment.confirmed = False

    # -- from the server ----------------------------------------------------------------------

    def heard(self, event: Mapping[str, Any]) -> list[Transcript]:
        """What a server event tells, in order. Events about anything else tell nothing."""
        kind, item = event.get("type"), event.get("item_id")
        if kind == "input_audio_buffer.committed":
            self._confirm(item)
        elif isinstance(kind, str) and kind.startswith(TRANSCRIPTION):
            segment = self._segment_of(item)
            if segment is not None:
                assert isinstance(item, str)
                self._take(segment, item, kind.removeprefix(TRANSCRIPTION), event)
        return self._tell()

    def refused(self, event_id: object) -> list[Transcript]:
        """The server refused a commit: its segment ends with what is known of it."""
        waiting = [s for s in self._unsettled if s.committed and s.final is None]
        if isinstance(event_id, str) and event_id.startswith(COMMIT):
            waiting = [s for s in waiting if f"{COMMIT}{s.number}" == event_id]
        else:
            waiting = [s for s in waiting if not s.confirmed][:1]
        for segment in waiting:
            segment.final = segment.shown
        return self._tell()

    def _confirm(self, item: object) -> None:
        """The server names the item of the oldest commit it had not named yet."""
        named = next((s for s in self._unsettled if s.committed and not s.confirmed), None)
        if named is None or not isinstance(item, str):
            self.odd["commit that was not asked for"] += 1
            return
        named.confirmed = True
        named.item = item
        self._items[item] = named

    def _segment_of(self, item: object) -> _Segment | None:
        """The segment of an item. Of one that is new, as some models name an item before its
        commit: the oldest segment without any."""
        if not isinstance(item, str):
            self.odd["item without an id"] += 1
            return None
        segment = self._items.get(item)
        if segment is None:
            waiting = (s for s in self._unsettled if s.sent and s.item is None and s.final is None)
            segment = next(waiting, None)
            if segment is None:
                self.odd["item of no segment"] += 1
                return None
            segment.item = item
            self._items[item] = segment
        return segment

    def _take(self, segment: _Segment, item: str, kind: str, event: Mapping[str, Any]) -> None:
        """What a transcription event says about its segment."""
        text = event.get("delta" if kind == "delta" else "transcript")
        if segment.final is not None:
            self.odd["text behind its final"] += 1
        elif kind == "failed":
            self._fail(segment)
        elif not isinstance(text, str):
            self.odd["transcription without text"] += kind in ("delta", "completed")
        elif kind == "delta":
            self._texts[item] = self._texts.get(item, "") + text
        elif segment.committed:
            segment.final = text.strip()
        else:
            self.odd["final before its commit"] += 1

    def _fail(self, segment: _Segment) -> None:
        segment.failures += 1
        if segment.failures > 1:
            segment.final = segment.shown
        else:
            self.again = True

    def _tell(self) -> list[Transcript]:
        """Finals as far as they follow one another, then the partial of the rest."""
        told: list[Transcript] = []
        while self._unsettled and (final := self._unsettled[0].final) is not None:
            self._unsettled.popleft()
            told.append(Transcript(final, final=True))
            self._told = ""
        partial = " ".join(filter(None, map(self._visible, self._unsettled)))
        if partial not in ("", self._told):
            self._told = partial
            told.append(Transcript(partial, final=False))
        return told

    def _visible(self, segment: _Segment) -> str:
        if segment.final is not None:
            return segment.final
        text = self._texts.get(segment.item or "", "").strip()
        if len(text) > len(segment.shown):
            segment.shown = text
        return segment.shown
