"""Tools about a call: that it happened, its recording, its transcript and its summary."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from voicelat.agentkit.tools.fields import Id, Language, Note, Phone, Seconds, Time, Words
from voicelat.agentkit.tools.tool import Arguments, Result, Tool

__all__ = ["TOOLS"]

_OFFICE: Final = frozenset({"Voice", "Backoffice"})


class LogCreate(Arguments):
    call_id: Id
    from_number: Phone | None
    to_number: Phone | None
    started_at: Time
    ended_at: Time | None
    outcome: Words | None


class LogCreated(Result):
    call_id: str
    created: bool


class AttachRecording(Arguments):
    call_id: Id
    url: Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$", max_length=2000)]
    seconds: Seconds | None


class RecordingAttached(Result):
    recording_id: str


class GetLastTranscript(Arguments):
    call_id: Id


class Said(Result):
    turn: int
    speaker: Literal["caller", "agent"]
    text: str
    at: str


class Transcript(Result):
    call_id: str
    turns: list[Said]


class GenerateSummary(Arguments):
    call_id: Id
    summary: Note
    action_items: Annotated[list[Words], Field(max_length=20)]
    language: Language


class SummaryKept(Result):
    summary_id: str


TOOLS: Final = (
    Tool(
        id="calls.log_create",
        about="Keep that a call took place. Use it once for each call.",
        arguments=LogCreate,
        result=LogCreated,
        writes=True,
        agents=_OFFICE,
    ),
    Tool(
        id="calls.attach_recording",
        about="Keep where the recording of a call is. Use it when a recording is ready.",
        arguments=AttachRecording,
        result=RecordingAttached,
        writes=True,
        agents=_OFFICE,
    ),
    Tool(
        id="stt.get_last_transcript",
        about="Read what was said in a call, turn by turn. Use it before you write a summary.",
        arguments=GetLastTranscript,
        result=Transcript,
        writes=False,
        agents=_OFFICE,
    ),
    Tool(
        id="summary.generate",
        about="Keep the summary you wrote of a call. A later one replaces it.",
        arguments=GenerateSummary,
        result=SummaryKept,
        writes=True,
        agents=_OFFICE,
    ),
)
