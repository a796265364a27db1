"""Who the contract suite runs on.

A provider joins with one factory: put a module ``NAME_cases.py`` beside this one, with any of the
lists ``STT``, ``LLM`` and ``TTS`` of `Case`. The suite finds it by its name.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from tests.providers.contract.bench import Case

from voicelat.providers.protocols import LanguageModel, SpeechToText, TextToSpeech

__all__ = ["LLM", "STT", "TTS", "each"]

P = TypeVar("P", SpeechToText, LanguageModel, TextToSpeech)


def each(cases: list[Case[P]], *, far: bool = False) -> pytest.MarkDecorator:
    """Run a test on every case, as its argument ``case``; ``far``: those with a far side."""
    params = [
        pytest.param(case, id=case.name, marks=[pytest.mark.live] if case.live else [])
        for case in cases
        if case.far or not far
    ]
    return pytest.mark.parametrize("case", params)


def _found(role: str) -> list[Case[Any]]:
    """The cases of one role in every module beside this one."""
    here = Path(__file__).parent
    names = sorted(path.stem for path in here.glob("*_cases.py"))
    modules = [importlib.import_module(f"tests.providers.contract.{name}") for name in names]
    return [case for module in modules for case in getattr(module, role, [])]


STT: Final[list[Case[SpeechToText]]] = _found("STT")
LLM: Final[list[Case[LanguageModel]]] = _found("LLM")
TTS: Final[list[Case[TextToSpeech]]] = _found("TTS")
