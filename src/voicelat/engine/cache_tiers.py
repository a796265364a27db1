"""Where the audio of phrases is kept: in memory, in a folder, or several places in a row.

A tier is a cache and nothing else: it may lose anything at any time, never raises for that, and
is bounded in bytes. What becomes of requests is counted. Redis is in `redis_tier`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol, TypeVar

from voicelat.errors import UsageError

__all__ = ["MB", "DiskTier", "MemoryTier", "Tier", "Tiers", "packed", "unpacked"]

_LOG = logging.getLogger("voicelat.phrases")

MB: Final = 1_000_000

_MAGIC: Final = b"voicelat phrase 1\n"
_HEAD: Final = len(_MAGIC) + sha256().digest_size

_SUFFIX: Final = ".mulaw"
_BESIDE: Final = ".mulaw-part"
_OURS: Final = re.compile(r"[0-9a-f]{64}\.mulaw|tmp[a-z0-9_]+\.mulaw-part")
_LEFT_OVER_S: Final = 3600
"""A file still being written after so long is what a killed process left."""

_T = TypeVar("_T")


class Tier(Protocol):
    """A place for audio by key (`phrases.phrase_key`). Shared ones are for warm-up, not calls."""

    async def get(self, key: str) -> bytes | None:
        """The whole audio, None when it is not here or cannot be had in time."""
        ...

    async def put(self, key: str, audio: bytes) -> None:
        """Keep it, if that can be done."""
        ...

    def counts(self) -> dict[str, int]:
        """What became of requests so far. The keys are from a closed set."""
        ...

    async def aclose(self) -> None:
        """Let go of everything. Safe to call twice."""
        ...


def packed(audio: bytes) -> bytes:
    """Audio with a checksum, so that half a file is never played."""
    return _MAGIC + sha256(audio).digest() + audio


def unpacked(content: bytes) -> bytes | None:
    """The audio, None for what `packed` did not make or something damaged."""
    audio = content[_HEAD:]
    whole = audio and content[:_HEAD] == _MAGIC + sha256(audio).digest()
    return audio if whole else None


class MemoryTier:
    """At most ``max_bytes`` of audio in this process; the least recently used goes first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._audio: OrderedDict[str, bytes] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._audio)

    def look(self, key: str) -> bytes | None:
        """`get` for those who cannot wait. Not counted: the cache counts what it looks up."""
        audio = self._audio.get(key)
        if audio is not None:
            self._audio.move_to_end(key)
        return audio

    def keep(self, key: str, audio: bytes) -> None:
        """`put` for those who cannot wait."""
        if len(audio) > self.max_bytes:
            self._counts["memory too large"] += 1
            return
        self.bytes += len(audio) - len(self._audio.pop(key, b""))
        self._audio[key] = audio
        while self.bytes > self.max_bytes:
            _, oldest = self._audio.popitem(last=False)
            self.bytes -= len(oldest)
            self._counts["memory evicted"] += 1

    async def get(self, key: str) -> bytes | None:
        """See `Tier`."""
        return self.look(key)

    async def put(self, key: str, audio: bytes) -> None:
        """See `Tier`."""
        self.keep(key, audio)

    def counts(self) -> dict[str, int]:
        """Evictions, and audio larger than the bound."""
        return dict(self._counts)

    async def aclose(self) -> None:
        """See `Tier`."""
        self._audio.clear()
        self.bytes = 0


class DiskTier:
    """A folder with one file per phrase, at most ``max_bytes`` in all, shared by processes.

    Work is done on a thread of its own and waited for no longer than ``patience_s``: a disk that
    hangs costs a phrase, not a call. Files are private, written beside and moved into place;
    the least recently used goes first; files of others are left alone. Nothing is synced: the
    checksum finds what a crash left. Raises UsageError when the folder cannot be made.
    """

    def __init__(self, folder: Path, max_bytes: int, *, patience_s: float = 2.0) -> None:
        try:
            folder.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot keep phrases in {folder}: {error.strerror}") from None
        self.folder = folder
        self.max_bytes = max_bytes
        self._patience_s = patience_s
        self._counts: Counter[str] = Counter()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voicelat-phrases")
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """See `Tier`. A damaged file is none, and counted."""
        return await self._done(lambda: self._read(self._path(key)))

    async def put(self, key: str, audio: bytes) -> None:
        """See `Tier`."""
        await self._done(lambda: self._write(self._path(key), packed(audio)))

    def counts(self) -> dict[str, int]:
        """Hits, misses, files damaged, evicted, too large, left over; errors and time-outs."""
        return dict(self._counts)

    async def aclose(self) -> None:
        """Stop the thread, without waiting for a disk that hangs."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _done(self, job: Callable[[], _T]) -> _T | None:
        """What ``job`` returns on the thread, None when the disk fails or is too slow."""
        if self._closed:
            return None
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        except TimeoutError:
            self._lose("disk timeout", f"no answer in {self._patience_s} s")
        except OSError as error:
            self._lose("disk error", error.strerror or str(error))
        return None

    def _lose(self, what: str, why: str) -> None:
        if what not in self._counts:
            _LOG.warning("phrases in %s: %s (told once)", self.folder, why)
        self._counts[what] += 1

    # -- on the thread ------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _read(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                content = file.read(self.max_bytes + 1)
        except FileNotFoundError:
            self._counts["disk miss"] += 1
            return None
        audio = unpacked(content)
        if audio is None:
            self._counts["disk damaged"] += 1
            return None
        self._counts["disk hit"] += 1
        with contextlib.suppress(FileNotFoundError):  # another process may have evicted it
            os.utime(path)
        return audio

    def _write(self, path: Path, content: bytes) -> None:
        if len(content) > self.max_bytes:
            self._counts["disk too large"] += 1
            return
        handle, beside = tempfile.mkstemp(_BESIDE, dir=self.folder)  # 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(beside).replace(path)
        except OSError:
            Path(beside).unlink(missing_ok=True)
            raise
        self._counts["disk stored"] += 1
        self._shrink(spare=path.name)

    def _shrink(self, spare: str) -> None:
        """Remove the least recently used until the bound holds; ``spare`` goes last."""
        files: list[tuple[bool, int, int, Path]] = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not _OURS.fullmatch(entry.name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    stat = entry.stat(follow_symlinks=False)
                    at, size = stat.st_mtime_ns, stat.st_size
                    if entry.name.endswith(_BESIDE):
                        self._drop_left_over(Path(entry.path), at)
                    else:
                        files.append((entry.name == spare, at, size, Path(entry.path)))
        total = sum(size for _, _, size, _ in files)
        for _, _, size, path in sorted(files):
            if total <= self.max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
            self._counts["disk evicted"] += 1

    def _drop_left_over(self, path: Path, at_ns: int) -> None:
        if time.time_ns() - at_ns > _LEFT_OVER_S * 1_000_000_000:
            path.unlink(missing_ok=True)
            self._counts["disk left over"] += 1


class Tiers:
    """Several tiers as one, the fastest first. What a later one has, the earlier ones get."""

    def __init__(self, *tiers: Tier) -> None:
        self._tiers = tiers

    async def get(self, key: str) -> bytes | None:
        """See `Tier`."""
        for number, tier in enumerate(self._tiers):
            if (audio := await tier.get(key)) is not None:
                await asyncio.gather(*(above.put(key, audio) for above in self._tiers[:number]))
                return audio
        return None

    async def put(self, key: str, audio: bytes) -> None:
        """See `Tier`."""
        await asyncio.gather(*(tier.put(key, audio) for tier in self._tiers))

    def counts(self) -> dict[str, int]:
        """Those of all tiers; each names its own."""
        return {what: count for tier in self._tiers for what, count in tier.counts().items()}

    async def aclose(self) -> None:
        """See `Tier`."""
        await asyncio.gather(*(tier.aclose() for tier in self._tiers))
