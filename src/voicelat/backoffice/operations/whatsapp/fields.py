"""What a message is made of, in requests and answers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from voicelat.backoffice.fields import Arguments, Id, ShortText
from voicelat.backoffice.tables import Message

__all__ = ["SAID", "Body", "ContentType", "MediumGiven", "ProviderName", "Status", "preview"]

Body = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
ContentType = Annotated[
    str, StringConstraints(max_length=127, pattern=r"^[a-z0-9.+-]+/[a-zA-Z0-9.+-]+$")
]
ProviderName = Literal["twilio", "baileys"]
Status = Literal["queued", "sending", "uncertain", "sent", "delivered", "read", "failed"]
SAID: Final = 500
"""Characters of an error that are kept."""


class MediumGiven(Arguments):
    """A file that goes with a message. Its bytes are with the channel that carries it."""

    media_id: Id
    content_type: ContentType
    bytes: Annotated[int, Field(ge=0, le=2**53)] | None
    file_name: ShortText | None


def preview(message: Message) -> str:
    """A message in one text. A template shows as its name and variables, media as their kinds."""
    if message.text is not None:
        return message.text
    if message.template is not None:
        return f"[{message.template}] {' · '.join(message.template_variables)}".rstrip()
    return " ".join(f"[{_kind(medium)}]" for medium in message.media)


def _kind(medium: dict[str, Any]) -> str:
    return str(medium["content_type"]).partition("/")[0]
