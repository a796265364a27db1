"""The models agents think with, by name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voicelat.errors import InvalidFile, MissingExtra, UsageError

if TYPE_CHECKING:
    from agents import Model
    from agents.testing import ScriptedModel

__all__ = ["model", "recorded"]

_ANSWER_S: Final = 60.0
_CONNECT_S: Final = 5.0


def model(name: str, *, api_key: str | None = None, base_url: str | None = None) -> Model:
    """``scripted`` (rules, no key), ``openai:NAME``, or ``recorded:FILE`` (see `recorded`).

    ``base_url``: of a server that speaks OpenAI's chat completions; None is OpenAI, by its
    Responses API. Raises UsageError, MissingExtra without the agents' packages.
    """
    kind, _, detail = name.partition(":")
    if name == "scripted":
        try:
            from voicelat.agentkit.scripted import RuleModel
        except ImportError:
            raise MissingExtra("agents", "an agent") from None
        return RuleModel()
    if kind == "recorded" and detail:
        return _recorded_file(Path(detail))
    if kind == "openai" and detail:
        return _openai(detail, api_key, base_url)
    raise UsageError(f"AGENT_MODEL={name!r}: use scripted, openai:NAME or recorded:FILE")


def _openai(name: str, api_key: str | None, base_url: str | None) -> Model:
    try:
        import httpx2
        from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel
        from openai import AsyncOpenAI
    except ImportError:
        raise MissingExtra("agents", "an agent") from None
    if not api_key and base_url is None:
        raise UsageError(f"openai:{name} needs OPENAI_API_KEY; without a key use scripted")
    client = AsyncOpenAI(
        api_key=api_key or "none",
        base_url=base_url,
        # Whoever runs the job repeats what failed.
        max_retries=0,
        timeout=httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S),
    )
    if base_url is None:
        return OpenAIResponsesModel(name, client)
    return OpenAIChatCompletionsModel(name, client)


def recorded(lines: Iterable[str]) -> ScriptedModel:
    """A model that answers what it is given, one JSON line per answer, and then no more:
    ``{"says": "text"}`` or ``{"calls": [{"tool": "leads.tag", "arguments": {…}}]}``.

    The arguments may be a text: sent as it is, whatever it is. Raises UsageError for a line that
    is neither.
    """
    from agents.testing import ScriptedModel

    return ScriptedModel([_step(line, number) for number, line in enumerate(lines, start=1)])


def _step(line: str, number: int) -> list[Any]:
    from agents.testing import assistant_message, function_call

    try:
        match json.loads(line):
            case {"says": str(text)}:
                return [assistant_message(text)]
            case {"calls": [_, *_] as calls}:
                return [
                    function_call(
                        call["tool"].replace(".", "_", 1),
                        call["arguments"],
                        call_id=f"recorded-{number}-{i}",
                    )
                    for i, call in enumerate(calls, start=1)
                ]
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise UsageError(
        f'line {number} of the recording: write {{"says": "…"}}, or'
        ' {"calls": [{"tool": "group.name", "arguments": {}}]}'
    )


def _recorded_file(path: Path) -> ScriptedModel:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidFile(path, getattr(error, "strerror", None) or "not UTF-8 text") from None
    try:
        return recorded(line for line in lines if line.strip())
    except UsageError as error:
        raise InvalidFile(path, str(error)) from None
