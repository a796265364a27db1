"""Language models of OpenAI, and of every server that speaks its chat completions.

The vendor's client is made for web pages, not for calls: 600 s of patience, two silent retries
and connections dropped after 5 s of silence, so that each turn pays a TLS handshake. Here the
turn machine owns retries and patience, and connections stay open until the server closes them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from voicelat.errors import Advice, MissingExtra, ProviderError
from voicelat.providers.protocols import Message, Prompt

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAIError
    from openai.types.chat import ChatCompletionMessageParam

__all__ = ["OpenAiLlm"]

_LOG = logging.getLogger("voicelat.providers")

_OPENAI_URL: Final = "https://api.openai.com/v1"

_CONNECT_S: Final = 2.0
_SILENCE_S: Final = 8.0
"""The longest wait for the next bytes. The caller has heard an apology by then."""

_INSTRUCTIONS: Final = (
    "You answer the telephone. What you write is read aloud: no lists, no markup, no emoji. "
    "Begin with a clause of a few words."
)

_REASON_CHARS: Final = 200


class OpenAiLlm:
    """A chat model, streamed. ``name`` is ``openai:MODEL``.

    ``base_url``: of the API, with its ``/v1``; None is OpenAI's own. ``api_key``: None is fine
    where ``base_url`` is a server that asks for none. ``instructions``: the system prompt, None
    takes a short one about being on the telephone; language and word limit are added to it.
    ``silence_s``: the longest wait for the first and for each next piece of an answer.

    Raises MissingExtra without the ``openai`` package, ProviderError (fix_key) without a key
    for OpenAI itself.
    """

    def __init__(
        self,
        model: str,
        api_key: str | None = None,
        base_url: str | None = None,
        instructions: str | None = None,
        *,
        silence_s: float = _SILENCE_S,
    ) -> None:
        try:
            import httpx2
            import openai
        except ImportError:
            raise MissingExtra("openai", "the openai language model") from None
        self.name = f"openai:{model}"
        if not api_key and base_url is None:
            raise ProviderError(self.name, "no key; set OPENAI_API_KEY", "fix_key")
        self._model = model
        self._url = base_url or _OPENAI_URL
        self._instructions = instructions or _INSTRUCTIONS
        self._silence_s = silence_s
        self._client = openai.AsyncOpenAI(
            api_key=api_key or "none",
            base_url=self._url,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=httpx2.Timeout(silence_s, connect=_CONNECT_S),
                limits=httpx2.Limits(keepalive_expiry=None),
            ),
        )

    async def warm(self) -> None:
        """Ask for the model, which leaves an open connection for the first turn.

        Raises ProviderError when the key is refused: no turn would ever work. Everything else
        is only logged: servers without this request exist, restricted keys may lack its scope
        (a 401 too: "Missing scopes: api.model.read"), and a server may come up later.
        """
        from openai import AuthenticationError, OpenAIError

        try:
            await self._client.models.retrieve(self._model)
        except OpenAIError as error:
            told = self._told(error)
            if isinstance(error, AuthenticationError) and "scope" not in error.message:
                raise told from error
            _LOG.warning("not warmed up: %s", told)

    async def reply(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """See `LanguageModel`. Raises ProviderError when the answer fails or breaks off."""
        ended = False
        with self._mapped():
            stream = await self._client.chat.completions.create(
                model=self._model, messages=self._messages(prompt), stream=True
            )
            async with stream:
                async for chunk in stream:
                    piece, last = _read(chunk)
                    ended = ended or last
                    if piece:
                        yield piece
        if not ended:
            raise ProviderError(self.name, "the answer broke off", "retry")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _messages(self, prompt: Prompt) -> list[ChatCompletionMessageParam]:
        wish = f"Answer in the language {prompt.language}"
        if prompt.max_words is not None:
            wish += f", in at most {prompt.max_words} words"
        if prompt.left_out:
            wish += f". {prompt.left_out} earlier messages of this call are left out"
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": f"{self._instructions}\n{wish}."}
        ]
        for message in prompt.history:
            if message.role == "caller":
                messages.append({"role": "user", "content": _heard(message)})
            else:
                messages.append({"role": "assistant", "content": message.text})
        messages.append({"role": "user", "content": prompt.text})
        return messages

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """The file's edge: what comes out is a ProviderError."""
        from openai import OpenAIError

        try:
            yield
        except OpenAIError as error:
            raise self._told(error) from error
        except ValueError as error:  # json's and Unicode's, from inside the stream
            raise self._failed(f"the answer is garbled: {error}", "retry") from error

    def _told(self, error: OpenAIError) -> ProviderError:
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._refused(error)
        if isinstance(error, openai.APITimeoutError):
            why = f"no answer from {self._url} in {_CONNECT_S:g} s to connect and "
            return self._failed(f"{why}{self._silence_s:g} s to begin or go on", "retry")
        if isinstance(error, openai.APIConnectionError):
            cause = str(error.__cause__ or "") or "the connection was lost"
            return self._failed(f"cannot reach {self._url}: {cause}", "retry")
        return self._failed(str(error), "retry")

    def _refused(self, error: APIStatusError) -> ProviderError:
        """What an HTTP status means to us."""
        status, said = error.status_code, error.message
        if status in (401, 403):
            return self._failed(f"the key was refused; check OPENAI_API_KEY: {said}", "fix_key")
        if status == 404:
            return self._failed(f"no such model at {self._url}: {said}", "give_up")
        if status == 429 and error.code == "insufficient_quota":
            return self._failed(f"the key's quota is used up; check its billing: {said}", "fix_key")
        if status in (408, 409, 429) or status >= 500:
            return self._failed(said, "retry")
        return self._failed(said, "give_up")

    def _failed(self, why: str, advice: Advice) -> ProviderError:
        return ProviderError(self.name, " ".join(why.split())[:_REASON_CHARS], advice)


def _heard(message: Message) -> str:
    return f"(heard badly, probably:) {message.text}" if message.probable else message.text


def _read(chunk: object) -> tuple[str, bool]:
    """A chunk's text ("" for none) and whether it is the last with text.

    The client does not check what it parsed, so nothing here is taken for granted. Raises
    ValueError for what is no chunk at all. One without choices is legal (usage, Azure's first).
    """
    choices = getattr(chunk, "choices", None)
    if not isinstance(choices, list):
        raise ValueError("not a chat completion chunk")  # noqa: TRY004 - data, not a caller's type
    if not choices:
        return "", False
    content = getattr(getattr(choices[0], "delta", None), "content", None)
    text = content if isinstance(content, str) else ""
    return text, getattr(choices[0], "finish_reason", None) is not None
