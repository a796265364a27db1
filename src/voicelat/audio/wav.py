"""WAV files: reading anybody's recordings, writing our own of a call.

Reading is libsndfile's (the ``soundfile`` package): every PCM width, float, mu-law, A-law, GSM
and ADPCM, any rate, broken sizes. Tried on 400,000 mutated headers: no crash, no hang.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import numpy as np
import soundfile

from voicelat.audio.mulaw import BYTES_PER_MS, RATE, SILENCE, Pcm
from voicelat.audio.resample import to_8k
from voicelat.errors import InvalidFile

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_GAP_MS",
    "Channel",
    "Recording",
    "TwoChannelWriter",
    "is_mono",
    "read",
]

MAX_FILE_BYTES: Final = 1 << 30
"""A file is read into memory; 1 GiB is 1.5 hours of 48 kHz stereo."""
_RATES: Final = range(2000, 384_001)
_CONVERT: Final = "try: ffmpeg -i IN -ar 8000 -c:a pcm_mulaw OUT.wav"


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording at 8 kHz, all channels of one length."""

    rate: int
    """Hz of the file it came from. The samples are at 8 kHz."""
    channels: tuple[Pcm, ...]

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds, rounded down."""
        return len(self.channels[0]) // BYTES_PER_MS


def read(path: str | Path) -> Recording:
    """Read a WAV file of any rate, encoding and number of channels.

    Sizes of 0 or 2^32-1 (a stream that was never closed) mean "to the end of the file", and a
    cut-off file gives what is there. Raises `InvalidFile` for everything else.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(_contents(Path(path)))) as file:
            if file.format not in {"WAV", "WAVEX", "RF64"}:
                raise InvalidFile(path, f"is {file.format}, not WAV; {_CONVERT}")
            if file.samplerate not in _RATES:
                raise InvalidFile(path, f"claims {file.samplerate} samples a second; {_CONVERT}")
            if file.frames * file.channels > MAX_FILE_BYTES:
                raise InvalidFile(path, f"claims {file.frames} samples; cut it into calls")
            rate = int(file.samplerate)
            columns = _int16(file).T
    except (soundfile.SoundFileError, ValueError) as error:
        raise InvalidFile(path, f"is not a WAV file that can be read; {_CONVERT}") from error
    return Recording(rate, tuple(to_8k(column.copy(), rate) for column in columns))


def is_mono(path: str | Path) -> bool:
    """Whether a WAV file has one channel, by its header alone. False for what cannot be read:
    `read` says why."""
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        return False
    return bool(info.channels == 1)


def _contents(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            contents = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror})") from error
    if len(contents) > MAX_FILE_BYTES:
        raise InvalidFile(path, "is larger than 1 GiB; cut it into calls")
    # libsndfile takes a data size of 2^32-1 as "unknown", but 0 literally.
    return contents.replace(b"data\0\0\0\0", b"data\xff\xff\xff\xff", 1)


def _int16(file: soundfile.SoundFile) -> Pcm:
    """All samples, shape ``(frames, channels)``. libsndfile would cast floats unscaled."""
    if file.subtype not in {"FLOAT", "DOUBLE"}:
        pcm: Pcm = file.read(dtype="int16", always_2d=True)
        return pcm
    floats = np.nan_to_num(file.read(dtype="float32", always_2d=True), nan=0.0)
    scaled: Pcm = (floats.clip(-1, 1) * 32767).round().astype(np.int16)
    return scaled


Channel = Literal["caller", "agent"]
_SIDE: Final[dict[Channel, int]] = {"caller": 0, "agent": 1}

MAX_GAP_MS: Final = 600_000
"""Silence a single write may leave before it: a nonsense timestamp must not fill the disk."""
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")
_BYTES_PER_SAMPLE: Final = 2
_KEPT: Final = RATE * _BYTES_PER_SAMPLE


class TwoChannelWriter:
    """Streams a call to an 8 kHz mu-law stereo WAV: caller left, agent right.

    Audio is placed by time, in any order: gaps are silence, later audio replaces earlier. The
    last 1-2 seconds stay in memory; everything older is on disk behind a header that is right,
    so a killed process leaves a file that plays. Meant for a writer thread: calls do file I/O
    and let OSError through; after one, close it and go on without a recording. A context
    manager; leaving it closes.
    """

    __slots__ = ("_file", "_start", "_tail")

    def __init__(self, path: str | Path) -> None:
        self._file = Path(path).open("w+b")  # noqa: SIM115 - closed by close()
        self._start = 0
        """Samples on disk: the position of the tail's first."""
        self._tail = bytearray()
        """Interleaved bytes not yet on disk."""
        self._write_header()

    def write(self, channel: Channel, at_ms: int, mulaw: bytes) -> None:
        """Place audio so that its first sample plays at ``at_ms`` of the call.

        Raises ValueError when that is negative or more than `MAX_GAP_MS` behind the end.
        """
        at = at_ms * BYTES_PER_MS
        end = self._start + len(self._tail) // _BYTES_PER_SAMPLE
        if at < 0 or at > end + MAX_GAP_MS * BYTES_PER_MS:
            raise ValueError(f"audio at {at_ms} ms cannot follow {end // BYTES_PER_MS} ms of it")
        side = _SIDE[channel]
        late = max(0, min(self._start - at, len(mulaw)))
        if late:
            self._patch(side, at, mulaw[:late])
        self._place(side, at + late - self._start, mulaw[late:])
        if len(self._tail) > 2 * _KEPT:
            self._flush(len(self._tail) - _KEPT)

    def close(self) -> None:
        """Write the rest. Safe to call twice."""
        if not self._file.closed:
            with self._file:
                self._flush(len(self._tail))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _place(self, side: int, at: int, mulaw: bytes) -> None:
        if not mulaw:
            return
        begin = at * _BYTES_PER_SAMPLE + side
        end = (at + len(mulaw)) * _BYTES_PER_SAMPLE
        if end > len(self._tail):
            self._tail += bytes((SILENCE,)) * (end - len(self._tail))
        self._tail[begin:end:_BYTES_PER_SAMPLE] = mulaw

    def _patch(self, side: int, at: int, mulaw: bytes) -> None:
        """Replace one channel of what is on disk already: audio that came over 1 s late."""
        where = _HEADER.size + at * _BYTES_PER_SAMPLE
        self._file.seek(where)
        both = bytearray(self._file.read(len(mulaw) * _BYTES_PER_SAMPLE))
        both[side::_BYTES_PER_SAMPLE] = mulaw
        self._file.seek(where)
        self._file.write(both)

    def _flush(self, size: int) -> None:
        self._file.seek(_HEADER.size + self._start * _BYTES_PER_SAMPLE)
        self._file.write(self._tail[:size])
        del self._tail[:size]
        self._start += size // _BYTES_PER_SAMPLE
        self._write_header()

    def _write_header(self) -> None:
        data = self._start * _BYTES_PER_SAMPLE
        mulaw_format = 7
        header = _HEADER.pack(
            *(b"RIFF", _HEADER.size - 8 + data, b"WAVE"),
            *(b"fmt ", 18, mulaw_format, 2, RATE, RATE * 2, 2, 8, 0),
            *(b"fact", 4, self._start),
            *(b"data", data),
        )
        self._file.seek(0)
        self._file.write(header)
        self._file.flush()
