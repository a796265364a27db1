"""Language models of OpenAI, and of every server that speaks its chat completions or Responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from voicelat.errors import ProviderError
from voicelat.providers.openai_client import SILENCE_S, OpenAiClient, Patience
from voicelat.providers.protocols import Message, Prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream

__all__ = ["DEFAULT_MODEL", "Api", "Effort", "OpenAiLlm"]

Api = Literal["chat", "responses"]
"""Chat completions, which every compatible server has, or OpenAI's newer Responses."""
Effort = Literal["none", "minimal", "low", "medium", "high"]
"""How long a model may reason before its first word."""

DEFAULT_MODEL: Final = "gpt-5.4-mini"
# No end announced as of openai 3.54 (2026-11). The gpt-4.1 and gpt-4o families end 2027-01-14,
# gpt-5-mini ends 2026-12-11.
_DEFAULT_EFFORT: Final = "none"
"""What a caller waits for is the first word."""

_INSTRUCTIONS: Final = (
    "You answer the telephone. What you write is read aloud: no lists, no markup, no emoji. "
    "Begin with a clause of a few words."
)
_INSTRUCTIONS_HE: Final = (
    "זוהי שיחת טלפון, ומה שנכתב מוקרא בקול: בלי רשימות, בלי עיצוב טקסט ובלי רגשונים. "
    "יש לפתוח במשפט קצר, של כמה מילים."
)


class OpenAiLlm:
    """A model, streamed. ``name`` is ``openai:MODEL``.

    ``model``: None takes `DEFAULT_MODEL`, asked not to reason. ``base_url``: of the API, with its
    ``/v1``; None is OpenAI's own. ``api_key``: None is fine where ``base_url`` is a server that
    asks for none. ``instructions``: the system prompt, None takes a short one about being on the
    telephone; language and word limit are added to it. ``effort``: None leaves it to the model.
    ``silence_s``: the longest wait for the first and for each next piece of an answer.

    Raises MissingExtra without the ``openai`` package, ProviderError (fix_key) without a key
    for OpenAI itself.
    """

    def __init__(
        self,
        model: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        instructions: str | None = None,
        *,
        api: Api = "chat",
        effort: Effort | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._model = model or DEFAULT_MODEL
        self.name = f"openai:{self._model}"
        self._instructions = instructions
        self._silence_s = silence_s
        self._client = OpenAiClient(
            self.name, "the openai language model", api_key, base_url, silence_s=silence_s
        )
        if model is None:
            effort = effort or _DEFAULT_EFFORT
        self._wire: _Wire = (_Chat if api == "chat" else _Responses)(self._client, effort)

    async def warm(self) -> None:
        """Open connections for the first turn, and keep them. See `OpenAiClient.warm`."""
        await self._client.warm(self._model)

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """See `LanguageModel`. Raises ProviderError when the answer fails or breaks off."""
        ended = False
        patience = Patience(self._silence_s)
        with self._client.asking():
            async with patience.limit():
                stream = await self._wire.ask(self._model, self._system(prompt), _turns(prompt))
            async with stream:
                while (event := await patience.next(stream)) is not None:
                    piece, last = self._wire.read(event)
                    ended = ended or last
                    if piece:
                        yield piece
                        patience.renew()
        if not ended:
            raise self._client.failed("the answer broke off", "retry")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _system(self, prompt: Prompt) -> str:
        """The system prompt, its wishes worded in the call's language where we know it."""
        if prompt.language.partition("-")[0].lower() in ("he", "iw"):
            return f"{self._instructions or _INSTRUCTIONS_HE}\n{_wish_he(prompt)}"
        wish = f"Answer in the language {prompt.language}"
        if prompt.max_words is not None:
            wish += f", in at most {prompt.max_words} word{'s' * (prompt.max_words != 1)}"
        if prompt.left_out:
            wish += f". {prompt.left_out} earlier messages of this call are left out"
        return f"{self._instructions or _INSTRUCTIONS}\n{wish}."


def _wish_he(prompt: Prompt) -> str:
    left_out = f" {prompt.left_out} הודעות קודמות בשיחה הושמטו." if prompt.left_out else ""
    match prompt.max_words:
        case None:
            return f"יש לענות בעברית.{left_out}"
        case 1:
            return f"יש לענות בעברית, במילה אחת.{left_out}"
        case words:
            return f"יש לענות בעברית, ב-{words} מילים לכל היותר.{left_out}"


def _turns(prompt: Prompt) -> list[Any]:
    """History and text, as both APIs take them."""
    role = {"caller": "user", "agent": "assistant"}
    turns = [{"role": role[message.role], "content": _heard(message)} for message in prompt.history]
    return [*turns, {"role": "user", "content": prompt.text}]


def _heard(message: Message) -> str:
    return f"(heard badly, probably:) {message.text}" if message.probable else message.text


class _Wire(Protocol):
    """One of the two APIs."""

    async def ask(self, model: str, system: str, turns: list[Any]) -> AsyncStream[Any]:
        """Send the request. Returns when its answer begins."""
        ...

    def read(self, event: object) -> tuple[str, bool]:
        """An event's text ("" for none) and whether it ends the answer.

        The client does not check what it parsed, so nothing is taken for granted. Raises
        ValueError for what is no event at all, ProviderError for one that tells of a failure.
        """
        ...


class _Chat:
    """Chat completions."""

    def __init__(self, client: OpenAiClient, effort: Effort | None) -> None:
        self._api: AsyncOpenAI = client.api
        self._extra: dict[str, Any] = {} if effort is None else {"reasoning_effort": effort}

    async def ask(self, model: str, system: str, turns: list[Any]) -> AsyncStream[Any]:
        messages = [{"role": "system", "content": system}, *turns]
        return await self._api.chat.completions.create(
            model=model,
            messages=messages,
            stream=True,
            extra_body=self._extra,
        )

    def read(self, event: object) -> tuple[str, bool]:
        choices = getattr(event, "choices", None)
        if not isinstance(choices, list):
            raise ValueError("not a chat completion chunk")  # noqa: TRY004 - data, not an argument
        if not choices:  # legal: usage, Azure's first
            return "", False
        content = getattr(getattr(choices[0], "delta", None), "content", None)
        return _text(content), getattr(choices[0], "finish_reason", None) is not None


class _Responses:
    """The Responses API. Calls are not stored at the vendor."""

    def __init__(self, client: OpenAiClient, effort: Effort | None) -> None:
        self._client = client
        self._extra: dict[str, Any] = {} if effort is None else {"reasoning": {"effort": effort}}

    async def ask(self, model: str, system: str, turns: list[Any]) -> AsyncStream[Any]:
        api: AsyncOpenAI = self._client.api
        return await api.responses.create(
            model=model,
            instructions=system,
            input=turns,
            stream=True,
            store=False,
            extra_body=self._extra,
        )

    def read(self, event: object) -> tuple[str, bool]:
        kind = getattr(event, "type", None)
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                return _text(getattr(event, "delta", None)), False
            case "response.completed" | "response.incomplete":  # incomplete: its limit was reached
                return "", True
            case "response.failed":
                raise self._failure(getattr(getattr(event, "response", None), "error", None))
            case "error":
                raise self._failure(event)
            case str():
                return "", False
            case _:
                raise ValueError("not an event of a response")

    def _failure(self, error: object) -> ProviderError:
        code = getattr(error, "code", None)
        said = getattr(error, "message", None)
        return self._client.refused(_text(code) or None, _text(said) or "the response failed")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
