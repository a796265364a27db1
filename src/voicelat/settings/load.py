"""The values in force, and the places they are read from."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from dotenv.parser import Original, parse_stream

from voicelat.errors import InvalidFile, InvalidSetting, UsageError
from voicelat.metrics.targets import Target, target
from voicelat.settings.catalog import BY_NAME, SETTINGS, Value
from voicelat.settings.values import Values
from voicelat.turn.config import TurnConfig

if TYPE_CHECKING:
    from voicelat.engine.config import EngineConfig

__all__ = ["Settings", "load"]

MASK: Final = "********"

_CHANGE_A_TURN: Final = (
    "STT_PARTIAL_DEBOUNCE_MS",
    "STT_TIMEOUT_MS",
    "STT_MIN_CONFIDENCE",
    "VAD_HANGOVER_MS",
    "MIN_UTT_SEC",
    "SPEAK_GATE_MS",
    "SPECULATE",
    "SPECULATION_MAX",
    "REPLY_BY_CLAUSE",
    "REPLY_OPENER",
    "LLM_HEDGE",
    "GOOGLE_TTS_STREAMING",
    "EOU_POLICY",
    "EOU_CONTEXT",
    "EOU_TUNE",
    "BARGE_IN_ONSET_MS",
    "REPLY_TIMEOUT_MS",
    "LLM_FIRST_TOKEN_MS",
    "LLM_STALL_MS",
    "TTS_FIRST_BYTE_MS",
    "TTS_STALL_MS",
    "SEND_LEAD_MS",
    "AI_MAX_WORDS_FIRST_REPLY",
    "TTS_RATE",
    "TTS_PITCH",
    "TTS_PREWARM",
    "TTS_PHRASES",
    "TTS_WARM_EVERY_S",
    "SPEECH_LANGUAGE",
    "VAD",
    "OPENAI_MODEL",
    "ASYNC_LOG_QUEUE",
    "DEBUG",
)
"""The providers are in the record already; addresses, paths and secrets stay out of it."""


class Settings(Values, frozen=True, kw_only=True):
    """Every value, and where it came from. Made by `load`; the defaults alone by `Settings()`."""

    sources: dict[str, str] = msgspec.field(default_factory=dict)
    """Name -> ``the command line``, ``the environment``, ``.env``, a TOML file, or ``default``."""
    warnings: tuple[str, ...] = ()
    """One line for each name in a file that nobody reads."""

    def __repr__(self) -> str:
        """Like any Struct's, with secrets masked: a log of it must not leak a key."""
        return f"Settings({', '.join(f'{s.name}={self.shown(s.name)!r}' for s in SETTINGS)})"

    def __rich_repr__(self) -> list[tuple[str, Value]]:
        """The same for rich."""
        return [(s.name, self.shown(s.name)) for s in SETTINGS]

    def value(self, name: str) -> Value:
        """The value of the setting with this environment name. Raises KeyError."""
        found: Value = getattr(self, BY_NAME[name].attribute)
        return found

    def shown(self, name: str) -> Value:
        """Its value as it may be seen: a secret that is set comes back as a mask."""
        value = self.value(name)
        return MASK if BY_NAME[name].secret and value is not None else value

    def described(self) -> dict[str, Any]:
        """Every setting with its value and where it came from, as JSON for machines."""
        settings = [
            {
                "name": s.name,
                "value": self.shown(s.name),
                "default": s.default,
                "unit": s.unit,
                "source": self.sources.get(s.name, "default"),
                "meaning": s.meaning,
                "allowed": s.allowed,
            }
            for s in SETTINGS
        ]
        return {"schema": 1, "settings": settings, "warnings": list(self.warnings)}

    def in_force(self) -> dict[str, bool | int | float | str]:
        """What a turn's record says about its settings: those that can change a turn."""
        found = ((name, self.value(name)) for name in _CHANGE_A_TURN)
        return {name: value for name, value in found if value is not None}

    def turn(self) -> TurnConfig:
        """What the turn's machine needs to know."""
        return TurnConfig(
            hangover_ms=self.vad_hangover_ms,
            debounce_ms=self.stt_partial_debounce_ms,
            min_utt_ms=round(self.min_utt_sec * 1000),
            stt_timeout_ms=self.stt_timeout_ms,
            speak_gate_ms=self.speak_gate_ms,
            speculate=self.speculate,
            max_speculations=self.speculation_max,
            onset_ms=self.barge_in_onset_ms,
            reply_timeout_ms=self.reply_timeout_ms,
            min_confidence=self.stt_min_confidence,
            greeting=self.greeting is not None,
        )

    def targets(self) -> tuple[Target, ...]:
        """What a report judges by."""
        return (
            target("first_partial_p50", self.target_first_partial_ms),
            target("final_p50", self.target_final_ms),
            target("tts_ready_p50", self.target_tts_ready_ms),
            target("total_p50", self.target_total_p50_ms),
            target("total_p95", self.target_total_p95_ms),
        )

    def engine(self) -> EngineConfig:
        """What the runtime of a call needs to know."""
        # Imported here: with the runtime around it, 0.2 s that no other setting needs.
        from voicelat.engine.config import EngineConfig

        return EngineConfig(
            language=self.speech_language,
            greeting=self.greeting or "",
            send_lead_ms=self.send_lead_ms,
            max_reply_words=self.ai_max_words_first_reply,
            by_clause=self.reply_by_clause,
            opener=self.reply_opener or "",
            start_timeout_ms=self.start_timeout_ms,
            unread_timeout_ms=self.unread_timeout_ms,
            llm_first_token_ms=self.llm_first_token_ms,
            llm_stall_ms=self.llm_stall_ms,
            tts_first_byte_ms=self.tts_first_byte_ms,
            tts_stall_ms=self.tts_stall_ms,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A value as written, and the place it was written in."""

    raw: object
    source: str
    line: int | None = None


def load(
    overrides: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Read every setting from the places that may set it.

    ``overrides`` are the command line's, by environment name in any case. ``environ`` and
    ``folder`` stand in for the process environment and the working directory.

    Raises InvalidSetting for a value that cannot be, UsageError for an override of no setting,
    InvalidFile for a ``.env`` or TOML file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    folder = Path.cwd() if folder is None else folder
    warnings: list[str] = []
    found: dict[str, _Found] = {}
    for place in (
        _from_toml(folder, environ.get("VOICELAT_CONFIG"), warnings),
        _from_dotenv(folder / ".env", warnings),
        ((name, _Found(environ[name], "the environment")) for name in BY_NAME if name in environ),
        _from_overrides(overrides or {}),
    ):
        found.update(place)
    values = {BY_NAME[name].attribute: _parsed(name, where) for name, where in found.items()}
    sources = {name: where.source if (where := found.get(name)) else "default" for name in BY_NAME}
    return Settings(**values, sources=sources, warnings=tuple(warnings))  # type: ignore[arg-type]


def _parsed(name: str, found: _Found) -> Value:
    setting = BY_NAME[name]
    try:
        return setting.parse(found.raw)
    except msgspec.ValidationError:
        shown = MASK if setting.secret else found.raw
        if isinstance(shown, str) and len(shown) > 60:
            shown = f"{shown[:57]}..."
        place = found.source if found.line is None else f"{found.source} line {found.line}"
        raise InvalidSetting(name, shown, f"must be {setting.allowed} (from {place})") from None


def _from_overrides(overrides: Mapping[str, str]) -> Iterator[tuple[str, _Found]]:
    for name, raw in overrides.items():
        if name.upper() not in BY_NAME:
            raise UsageError(f"{name} is not a setting{_suggestion(name)}")
        yield name.upper(), _Found(raw, "the command line")


def _from_dotenv(path: Path, warnings: list[str]) -> Iterator[tuple[str, _Found]]:
    """Names of other programs may stand in ``.env``: only look-alikes of ours are warned of."""
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"cannot be read: {_why(error)}") from None
    for line in lines:
        number = _line_number(line.original)
        if line.error:
            raise InvalidFile(path, f"line {number} is not NAME=VALUE")
        if line.key in BY_NAME:
            yield line.key, _Found(line.value or "", ".env", number)
        elif line.key and (suggestion := _suggestion(line.key, cutoff=0.8)):
            warnings.append(f".env line {number}: {line.key} is not a setting{suggestion}")


def _line_number(original: Original) -> int:
    """Where the statement stands: the parser counts the blank lines before it as its own."""
    blank = original.string[: -len(original.string.lstrip()) or None]
    return original.line + blank.count("\n")


def _from_toml(
    folder: Path, named: str | None, warnings: list[str]
) -> Iterator[tuple[str, _Found]]:
    path = folder / (named or "voicelat.toml")
    if not named and not path.exists():
        return
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(path, f"cannot be read: {_why(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidFile(path, f"is not TOML: {error}") from None
    source = named or path.name
    for name, raw in table.items():
        if name.upper() in BY_NAME:
            yield name.upper(), _Found(raw, source)
        else:
            warnings.append(f"{source}: {name} is not a setting{_suggestion(name)}")


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "is not UTF-8 text"


def _suggestion(name: str, cutoff: float = 0.6) -> str:
    close = difflib.get_close_matches(name.upper(), BY_NAME, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""
