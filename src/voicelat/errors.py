"""Every error voicelat raises on purpose.

    VoicelatError
    ├── UsageError            the user's to fix; exit code 2
    │   ├── InvalidSetting    a setting has a value it cannot have
    │   ├── InvalidFile       a file is not what its reader needs (WAV, turns, trace, labels)
    │   └── MissingExtra      an optional package is not installed; names the command
    ├── ConnectError          the other side could not be reached; exit code 3
    ├── PeerError             the other side of the media socket broke the protocol
    ├── ProviderError         a speech or language provider failed; says what happens next
    └── InternalError         voicelat's own fault: a bug, please report it
        ├── ClockWentBack     an event carried an earlier time than the one before
        └── IllegalMove       a state machine was asked for a move its table does not have

Messages are one line and say what to do next.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "Advice",
    "ClockWentBack",
    "ConnectError",
    "IllegalMove",
    "InternalError",
    "InvalidFile",
    "InvalidSetting",
    "MissingExtra",
    "PeerError",
    "ProviderError",
    "UsageError",
    "VoicelatError",
]

Advice = Literal["retry", "give_up", "fix_key"]
"""What a provider's failure means: try again, this request will never work, or check the key."""


class VoicelatError(Exception):
    """The root of every error raised on purpose."""


class UsageError(VoicelatError):
    """The user gave something that cannot work; the message says what to change."""


class InvalidSetting(UsageError):
    """A setting has a value it cannot have."""

    def __init__(self, name: str, value: object, why: str) -> None:
        super().__init__(f"{name}={value!r}: {why}")
        self.name = name
        self.value = value


class InvalidFile(UsageError):
    """A file is not what its reader needs."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class MissingExtra(UsageError):
    """An optional package is not installed."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs an extra: pip install 'voicelat[{extra}]'")
        self.extra = extra


class ConnectError(VoicelatError):
    """The other side could not be reached."""


class PeerError(VoicelatError):
    """The other side of the media socket sent something it must not send."""


class ProviderError(VoicelatError):
    """A provider failed. Vendor errors are mapped to this once, at the vendor file's edge."""

    def __init__(self, provider: str, why: str, advice: Advice) -> None:
        super().__init__(f"{provider}: {why}")
        self.provider = provider
        self.why = why
        self.advice: Advice = advice


class InternalError(VoicelatError):
    """voicelat broke its own rules."""


class ClockWentBack(InternalError):
    """An event carried an earlier time than the one before it."""


class IllegalMove(InternalError):
    """A state machine was asked for a move its table does not have. Nothing was changed."""
