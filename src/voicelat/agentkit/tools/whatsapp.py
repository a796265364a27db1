"""Tools about WhatsApp: a message, and the messages so far."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from voicelat.agentkit.tools.fields import Id, Language, Limit, Note, Phone, Word, Words
from voicelat.agentkit.tools.tool import AGENTS, Arguments, Result, Tool

__all__ = ["TOOLS"]


class SendMessage(Arguments):
    to_lead_id: Id | None
    to_phone: Phone | None
    text: Note | None
    template: Word | None
    template_variables: Annotated[list[Words], Field(max_length=10)]
    language: Language


class MessageQueued(Result):
    message_id: str
    status: str


class FetchThread(Arguments):
    lead_id: Id | None
    phone: Phone | None
    limit: Limit


class Message(Result):
    message_id: str
    direction: str
    text: str | None
    at: str
    status: str | None


class Thread(Result):
    thread_id: str | None
    messages: list[Message]


TOOLS: Final = (
    Tool(
        id="whatsapp.send",
        about="Send a WhatsApp message: free text, or an approved template. Use a template where"
        " the person has not written in the last 24 hours.",
        arguments=SendMessage,
        result=MessageQueued,
        writes=True,
        agents=frozenset(AGENTS),
    ),
    Tool(
        id="whatsapp.fetch_thread",
        about="Read the last messages with somebody. Use it before you answer one.",
        arguments=FetchThread,
        result=Thread,
        writes=False,
        agents=frozenset({"WhatsApp", "Backoffice"}),
    ),
)
