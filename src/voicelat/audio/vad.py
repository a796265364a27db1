"""Voice detection: from audio to the acoustic instants at which speech began and fell silent.

A `VoiceDetector` says how likely each window is speech; `SpeechSegmenter` makes edges of that.
No hangover here: how much silence ends a turn is the turn machine's to decide.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, cast, runtime_checkable

from voicelat.audio.level import AUDIBLE_DBFS, audible_span, level_dbfs
from voicelat.audio.mulaw import BYTES_PER_MS, duration_ms, silence

__all__ = [
    "DetectorPool",
    "EnergyVad",
    "SharedVoiceDetector",
    "SpeechSegmenter",
    "VadConfig",
    "VoiceDetector",
    "VoiceEdge",
    "Window",
]


class VoiceDetector(Protocol):
    """Hears speech. One object per call, cheap to make; it may remember what came before."""

    window_ms: int
    """How much audio one probability is about."""

    def probability(self, window: bytes) -> float:
        """How likely the next window is speech, 0..1. ``window`` is mu-law of ``window_ms``."""
        ...


@runtime_checkable
class SharedVoiceDetector(Protocol):
    """Hears speech for many calls in one go, later. One object per call."""

    window_ms: int
    """How much audio one probability is about."""

    def ask(self, window: bytes, answer: Callable[[float], None]) -> None:
        """Have ``answer`` called with what `VoiceDetector.probability` would give; in order, on
        the event loop, never from within this call."""
        ...

    def close(self) -> None:
        """The call is over: nothing asked is answered any more."""
        ...


@runtime_checkable
class DetectorPool(Protocol):
    """Makes the calls' detectors and knows what became of what they asked."""

    counts: Counter[str]
    """What was judged, and what was not, by what became of it."""

    def __call__(self) -> SharedVoiceDetector:
        """One call's detector. The first may load a model: not on the event loop."""
        ...

    def close(self) -> None:
        """Free what they share."""
        ...


class Window(NamedTuple):
    """A piece of a call's audio to be judged; without audio, a gap so long that speech ended."""

    audio: bytes
    at_ms: int


class _NoiseFloor:
    """The level of the line when nobody speaks: the quietest window of the last second.

    Speech has a dip in every second, noise has not. Until a second has passed the line is
    assumed to be quiet.
    """

    __slots__ = ("_recent", "_settling")

    LOWEST: Final = AUDIBLE_DBFS - 9.0
    """Below this the floor does not matter: speech must be audible anyway."""
    HIGHEST: Final = -30.0
    """A floor above this is taken for loud speech without a dip (a long vowel)."""
    UNTIL_SETTLED: Final = -50.0

    def __init__(self, window_ms: int) -> None:
        self._recent: deque[float] = deque(maxlen=960 // window_ms)
        self._recent.append(self.UNTIL_SETTLED)

    def heard(self, level_dbfs: float) -> float:
        """Take the next window's level, give the floor in dBFS."""
        self._recent.append(level_dbfs)
        return min(self.HIGHEST, max(self.LOWEST, min(self._recent)))


class EnergyVad:
    """Speech is what stands out of the line noise. Nothing to install, wrong about music.

    The probability is 0.5 at 9 dB above the noise floor and changes by 1/12 a dB. Steady noise
    that is there from the start is never speech up to -41 dBFS; louder noise, and noise that
    begins later, is for its first second.
    """

    __slots__ = ("_floor", "window_ms")

    def __init__(self) -> None:
        self.window_ms = 20
        self._floor = _NoiseFloor(self.window_ms)

    def probability(self, window: bytes) -> float:
        """See `VoiceDetector`."""
        level = level_dbfs(window)
        above = level - self._floor.heard(level)
        return min(1.0, max(0.0, (above - 3.0) / 12.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class VadConfig:
    """When probabilities become edges."""

    start_threshold: float = 0.5
    """Speech begins at windows at least this likely ..."""
    start_windows: int = 2
    """... so many in a row: one alone is a click."""
    stop_threshold: float = 0.35
    """Speech goes on while windows are at least this likely."""
    dip_ms: int = 40
    """Speech has stopped after so long without audible sound: shorter is a gap in a word. On a
    quiet line whatever the detector says, as a neural one goes on hearing a voice for up to
    100 ms."""
    murmur_ms: int = 120
    """It has stopped, too, after so long of unlikely windows that are loud: noise took over."""
    onset_ms: int = 100
    """How far before the first likely window unbroken sound still is its beginning."""
    noise_margin_db: float = 9.0
    """Sound within this of the noise floor is not audible."""


@dataclass(frozen=True, slots=True)
class VoiceEdge:
    """The voice began (``active``) or fell silent at the acoustic instant ``at_ms``."""

    active: bool
    at_ms: int


class SpeechSegmenter:
    """Makes edges of a call's audio. Edges alternate, never go back, and are back-dated.

    A start lies at the first audible sound of the voice, a stop behind the last: when they
    were noticed shows only in which `push` returned them. Chunks may have any size; they are
    cut into the detector's windows, so an edge comes with the chunk that completes its window.

    `push` does both halves at once. With a detector that answers later, `cut` gives the windows,
    and `judge` takes them with their probabilities, each once and in order.
    """

    _ON_TIME: Final = 20 * BYTES_PER_MS
    _LONGEST_GAP: Final = 1000 * BYTES_PER_MS

    def __init__(
        self, detector: VoiceDetector | SharedVoiceDetector, config: VadConfig | None = None
    ) -> None:
        self.gap_ms = 0
        """Audio that never came."""
        self.late_ms = 0
        """Audio that was dropped because its time had been filled already."""
        self._detector = detector
        self._config = config or VadConfig()
        self._floor = _NoiseFloor(detector.window_ms)
        self._pending = b""
        """Audio that does not fill a window yet."""
        self._pending_ms: int | None = None
        """When it begins; None before any audio."""
        self._quiet_line = False
        self._sound_begin_ms = 0
        self._sound_end_ms = 0
        """The latest sound, gaps below ``dip_ms`` bridged; empty before any."""
        self._run_begin_ms = 0
        self._run_windows = 0
        """The likely windows in a row just now."""
        self._likely_end_ms = 0
        """The end of the last window that kept speech going."""
        self._start_ms: int | None = None
        """The start of the speech going on; None in silence."""
        self._stop_ms: int | None = None
        """The last stop; None before any."""

    def push(self, mulaw: bytes, at_ms: int) -> list[VoiceEdge]:
        """Take audio whose first byte has the media time ``at_ms``; give the edges it shows."""
        detector = cast("VoiceDetector", self._detector)
        edges: list[VoiceEdge] = []
        for window in self.cut(mulaw, at_ms):
            probability = detector.probability(window.audio) if window.audio else 0.0
            edges += self.judge(window, probability)
        return edges

    def cut(self, mulaw: bytes, at_ms: int) -> list[Window]:
        """The windows that audio from the media time ``at_ms`` completes.

        A time within 20 ms of where the audio before ended counts as on time. Later, the gap
        is heard as silence (after more than a second speech is closed and listening starts
        anew); earlier, the overlap is dropped. Both are counted.
        """
        if self._pending_ms is None:
            self._pending_ms = at_ms
            self._sound_begin_ms = self._sound_end_ms = at_ms - self._config.dip_ms
        ahead = (at_ms - self._pending_ms) * BYTES_PER_MS - len(self._pending)
        if abs(ahead) < self._ON_TIME:
            return self._cut(mulaw)
        if ahead < 0:
            self.late_ms += duration_ms(mulaw[:-ahead])
            return self._cut(mulaw[-ahead:])
        self.gap_ms += ahead // BYTES_PER_MS
        if ahead <= self._LONGEST_GAP:
            return self._cut(silence(ahead // BYTES_PER_MS) + mulaw)
        self._pending, self._pending_ms = b"", at_ms
        return [Window(b"", at_ms), *self._cut(mulaw)]

    def judge(self, window: Window, probability: float) -> list[VoiceEdge]:
        """The edges that a window of `cut` shows; its ``probability`` does not matter when it is
        a gap."""
        if not window.audio:
            return self.flush(window.at_ms)
        return self._judge(window.audio, window.at_ms, probability)

    def flush(self, at_ms: int) -> list[VoiceEdge]:
        """The audio ended at ``at_ms``: close the speech going on, if any."""
        self._run_windows = 0
        if self._start_ms is None:
            return []
        heard_ms = max(self._sound_end_ms, self._likely_end_ms)
        return [self._stopped(self._start_ms, min(heard_ms, at_ms))]

    def _cut(self, mulaw: bytes) -> list[Window]:
        assert self._pending_ms is not None
        audio = self._pending + mulaw
        size = self._detector.window_ms * BYTES_PER_MS
        whole = len(audio) - len(audio) % size
        windows: list[Window] = []
        for begin in range(0, whole, size):
            windows.append(Window(audio[begin : begin + size], self._pending_ms))
            self._pending_ms += self._detector.window_ms
        self._pending = audio[whole:]
        return windows

    def _judge(self, window: bytes, at_ms: int, probability: float) -> list[VoiceEdge]:
        self._listen(window, at_ms)
        end_ms = at_ms + self._detector.window_ms
        if self._quiet_line and end_ms - self._sound_end_ms >= self._config.dip_ms:
            probability = 0.0
        if self._start_ms is not None:
            return self._may_stop(self._start_ms, probability, end_ms)
        return self._may_start(probability, at_ms, end_ms)

    def _listen(self, window: bytes, at_ms: int) -> None:
        floor = self._floor.heard(level_dbfs(window))
        threshold = floor + self._config.noise_margin_db
        self._quiet_line = threshold <= AUDIBLE_DBFS
        span = audible_span(window, max(AUDIBLE_DBFS, threshold))
        if span is None:
            return
        begin_ms = at_ms + span[0] // BYTES_PER_MS
        if begin_ms - self._sound_end_ms >= self._config.dip_ms:
            self._sound_begin_ms = begin_ms
        self._sound_end_ms = at_ms + span[1] // BYTES_PER_MS

    def _may_start(self, probability: float, at_ms: int, end_ms: int) -> list[VoiceEdge]:
        if probability < self._config.start_threshold:
            self._run_windows = 0
            return []
        if not self._run_windows:
            self._run_begin_ms = at_ms
        self._run_windows += 1
        if self._run_windows < self._config.start_windows:
            return []
        start_ms = self._run_begin_ms
        if self._sound_end_ms > start_ms:
            start_ms = max(self._sound_begin_ms, start_ms - self._config.onset_ms)
        if self._stop_ms is not None:
            start_ms = max(start_ms, self._stop_ms)
        self._start_ms, self._likely_end_ms, self._run_windows = start_ms, end_ms, 0
        return [VoiceEdge(active=True, at_ms=start_ms)]

    def _may_stop(self, start_ms: int, probability: float, end_ms: int) -> list[VoiceEdge]:
        if probability >= self._config.stop_threshold:
            self._likely_end_ms = end_ms
            return []
        if end_ms - self._sound_end_ms >= self._config.dip_ms:
            audible = self._sound_end_ms > start_ms
            return [self._stopped(start_ms, self._sound_end_ms if audible else self._likely_end_ms)]
        if end_ms - self._likely_end_ms >= self._config.murmur_ms:
            return [self._stopped(start_ms, self._likely_end_ms)]
        return []

    def _stopped(self, start_ms: int, stop_ms: int) -> VoiceEdge:
        self._start_ms, self._stop_ms = None, max(stop_ms, start_ms + 1)
        return VoiceEdge(active=False, at_ms=self._stop_ms)
