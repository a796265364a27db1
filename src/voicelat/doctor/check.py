"""What can be said about a check before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

from voicelat.doctor.result import Subject

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    name: str
    """Short, stable: machines and users turn it off by it."""
    subjects: tuple[Subject, ...]
    looks_at: str
    """What is looked at, as the start of a sentence."""
    why: str
    """What the fault does to a call, with its source."""
    fix: str
    """What to change."""
