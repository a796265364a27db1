"""The same agents for OpenAI's ChatKit component, by its self-hosted server library.

A message becomes an event, and so a durable run like any other: same workflow, policy, tools and
log. What waits for a person is a card in the chat. It lives in the console because a session is who
somebody is, and because only this process can approve.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from chatkit.actions import Action
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import NotFoundError
from chatkit.store import Store as ChatStore
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    Attachment,
    Page,
    ProgressUpdateEvent,
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
    WidgetItem,
)
from chatkit.widgets import DynamicWidgetRoot
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.schema import CreateTable
from starlette.responses import JSONResponse, Response, StreamingResponse

from voicelat.agentkit.runs.store import Approval, Entry
from voicelat.agentkit.runs.store import Store as AgentsStore
from voicelat.console.runs import Runs
from voicelat.console.store import ROLES, Session
from voicelat.errors import VoicelatError

__all__ = ["AgentsChat", "Chats"]

_LOOK_S: Final = 0.2
_LONGEST_S: Final = 300.0
_ITEM: Final[TypeAdapter[Any]] = TypeAdapter(ThreadItem)
_CHATS: Final = sa.Table(
    "console_chats",
    sa.MetaData(),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("user", sa.String, nullable=False),
    sa.Column("thread_id", sa.String, nullable=False),
    sa.Column("item_id", sa.String, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.UniqueConstraint("thread_id", "item_id", name="console_chats_once"),
)
"""A thread is the item without an id of its first row."""


class Chats(ChatStore[Session]):
    """Threads and their items, each user's own, in the console's database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        with engine.begin() as connection:
            connection.execute(CreateTable(_CHATS, if_not_exists=True))

    async def load_thread(self, thread_id: str, context: Session) -> ThreadMetadata:
        """Raises NotFoundError, also for somebody else's."""
        for row in await self._rows(context, thread_id):
            if row["item_id"] == "":
                return ThreadMetadata.model_validate(row["body"])
        raise NotFoundError(thread_id)

    async def save_thread(self, thread: ThreadMetadata, context: Session) -> None:
        """Its title and state."""
        body = ThreadMetadata.model_validate(thread.model_dump()).model_dump(mode="json")
        await self._put(context, thread.id, "", body)

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: Session
    ) -> Page[ThreadMetadata]:
        """The user's own."""
        rows = [row for row in await self._rows(context, None) if row["item_id"] == ""]
        page = _page(rows, limit, after, order, "thread_id")
        data = [ThreadMetadata.model_validate(row["body"]) for row in page.data]
        return Page(data=data, has_more=page.has_more, after=page.after)

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Session
    ) -> Page[ThreadItem]:
        """A page of a thread."""
        await self.load_thread(thread_id, context)
        rows = [row for row in await self._rows(context, thread_id) if row["item_id"] != ""]
        page = _page(rows, limit, after, order, "item_id")
        data = [_ITEM.validate_python(row["body"]) for row in page.data]
        return Page(data=data, has_more=page.has_more, after=page.after)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Session) -> None:
        """At its end."""
        await self.save_item(thread_id, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: Session) -> None:
        """In its place."""
        await self.load_thread(thread_id, context)
        await self._put(context, thread_id, item.id, item.model_dump(mode="json"))

    async def load_item(self, thread_id: str, item_id: str, context: Session) -> ThreadItem:
        """Raises NotFoundError."""
        for row in await self._rows(context, thread_id):
            if row["item_id"] == item_id and item_id != "":
                item: ThreadItem = _ITEM.validate_python(row["body"])
                return item
        raise NotFoundError(item_id)

    async def delete_thread(self, thread_id: str, context: Session) -> None:
        """With everything in it."""
        await self._delete(context, _CHATS.c.thread_id == thread_id)

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Session) -> None:
        """One item."""
        one = (_CHATS.c.thread_id == thread_id) & (_CHATS.c.item_id == item_id)
        await self._delete(context, one)

    async def save_attachment(self, attachment: Attachment, context: Session) -> None:
        """There are none."""
        raise NotFoundError("files are not taken here")

    async def load_attachment(self, attachment_id: str, context: Session) -> Attachment:
        """There are none."""
        raise NotFoundError(attachment_id)

    async def delete_attachment(self, attachment_id: str, context: Session) -> None:
        """There are none."""
        raise NotFoundError(attachment_id)

    async def _rows(self, context: Session, thread_id: str | None) -> list[dict[str, Any]]:
        asked = sa.select(_CHATS).where(_CHATS.c.user == context.user).order_by(_CHATS.c.place)
        if thread_id is not None:
            asked = asked.where(_CHATS.c.thread_id == thread_id)

        def read() -> list[dict[str, Any]]:
            with self._engine.connect() as connection:
                return [dict(row) for row in connection.execute(asked).mappings()]

        return await asyncio.to_thread(read)

    async def _put(
        self, context: Session, thread_id: str, item_id: str, body: dict[str, Any]
    ) -> None:
        mine = (_CHATS.c.thread_id == thread_id) & (_CHATS.c.item_id == item_id)
        row = {"user": context.user, "thread_id": thread_id, "item_id": item_id, "body": body}

        def write() -> None:
            with self._engine.begin() as connection:
                changed = sa.update(_CHATS).where(mine, _CHATS.c.user == context.user)
                if not connection.execute(changed.values(body=body)).rowcount:
                    connection.execute(sa.insert(_CHATS), row)

        await asyncio.to_thread(write)

    async def _delete(self, context: Session, which: sa.ColumnElement[bool]) -> None:
        def delete() -> None:
            with self._engine.begin() as connection:
                connection.execute(sa.delete(_CHATS).where(which, _CHATS.c.user == context.user))

        await asyncio.to_thread(delete)


class AgentsChat(ChatKitServer[Session]):
    """``tell``: hands an event to the agents' process, as a channel does. Raises VoicelatError."""

    def __init__(
        self,
        chats: Chats,
        agents: AgentsStore,
        runs: Runs,
        tell: Callable[[dict[str, Any]], Awaitable[Any]],
    ) -> None:
        super().__init__(chats)
        self._agents = agents
        self._runs = runs
        self._tell = tell

    async def answer(self, body: bytes, session: Session) -> Response:
        """To a request of the component."""
        try:
            result = await self.process(body, session)
        except ValidationError:
            says = "the body is no request of ChatKit"
            return JSONResponse({"error": "invalid", "says": says, "fix": ""}, 422)
        except NotFoundError:
            says = "there is no such thread"
            return JSONResponse({"error": "not_found", "says": says, "fix": ""}, 404)
        if isinstance(result, StreamingResult):
            return StreamingResponse(result, media_type="text/event-stream")
        return Response(result.json, media_type="application/json")

    async def respond(
        self,
        thread: ThreadMetadata,
        input_user_message: UserMessageItem | None,
        context: Session,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Run it, and say what was done."""
        if input_user_message is None:
            return
        text = " ".join(part.text for part in input_user_message.content)
        run_id = f"{_runs_of(thread)}{input_user_message.id}"
        event = {
            "id": run_id,
            "kind": "turn",
            "thread_id": thread.id,
            "text": text,
            "at_utc": datetime.now(UTC).isoformat(),
            "data": {"from_number": None, "user": context.user},
        }
        try:
            await self._tell(event)
        except VoicelatError as error:
            yield self._said(thread, str(error), context)
            return
        async for told in self._follow(thread, run_id, 0, context):
            yield told

    async def action(
        self,
        thread: ThreadMetadata,
        action: Action[str, Any],
        sender: WidgetItem | None,
        context: Session,
    ) -> AsyncIterator[ThreadStreamEvent]:
        """A card was decided. Only a card of this thread, only by somebody who may."""
        payload = action.payload if isinstance(action.payload, dict) else {}
        approval_id = str(payload.get("approval", ""))
        found = await asyncio.to_thread(self._agents.approval, approval_id)
        if found is None or not found.run_id.startswith(_runs_of(thread)):
            yield self._said(thread, "there is no such card here", context)
            return
        if ROLES.index(context.role) < ROLES.index("approve"):
            yield self._said(thread, "this needs the role approve", context)
            return
        seen = len(await asyncio.to_thread(self._agents.entries, found.run_id))
        try:
            if action.type == "approve":
                sha = str(payload.get("shown_sha256", ""))
                await self._runs.approve(approval_id, sha, None, context.user)
            else:
                await self._runs.reject(approval_id, "rejected in the chat", context.user)
        except VoicelatError as error:
            yield self._said(thread, str(error), context)
            return
        async for told in self._follow(thread, found.run_id, seen, context):
            yield told

    async def _follow(
        self, thread: ThreadMetadata, run_id: str, seen: int, context: Session
    ) -> AsyncIterator[ThreadStreamEvent]:
        """What a run does from a line of its log on, to its end or to where it waits."""
        async with asyncio.timeout(_LONGEST_S):
            while True:
                entries = await asyncio.to_thread(self._agents.entries, run_id)
                for entry in entries[seen:]:
                    if entry.kind in ("called", "failed"):
                        yield ProgressUpdateEvent(text=f"{entry.tool}: {entry.kind}")
                    elif entry.kind == "approval asked":
                        found = await asyncio.to_thread(
                            self._agents.approval, entry.facts["approval"]
                        )
                        if found is not None and found.state == "waiting":
                            yield self._card(thread, found, context)
                            return
                    elif entry.kind in ("ended", "dead"):
                        yield self._said(thread, _outcome(entry), context)
                        return
                seen = len(entries)
                await asyncio.sleep(_LOOK_S)

    def _said(self, thread: ThreadMetadata, text: str, context: Session) -> ThreadStreamEvent:
        return ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=datetime.now(UTC),
                content=[AssistantMessageContent(text=text)],
            )
        )

    def _card(self, thread: ThreadMetadata, found: Approval, context: Session) -> ThreadStreamEvent:
        """What waits, as it will be done, with the two answers."""
        shown = self._runs.approval(found)
        arguments = found.arguments or {}
        payload = {"approval": found.id, "shown_sha256": shown["shown_sha256"]}
        lines = [f"{name}: {_short(value)}" for name, value in arguments.items()]
        card = DynamicWidgetRoot.model_validate(
            {
                "type": "Card",
                "children": [
                    {"type": "Title", "value": f"{found.agent}: {found.tool}"},
                    {
                        "type": "Col",
                        "children": [{"type": "Text", "value": line} for line in lines],
                    },
                    {
                        "type": "Row",
                        "children": [
                            {
                                "type": "Button",
                                "label": label,
                                "onClickAction": {"type": verb, "payload": payload},
                            }
                            for label, verb in (("Approve", "approve"), ("Reject", "reject"))
                        ],
                    },
                ],
            }
        )
        return ThreadItemDoneEvent(
            item=WidgetItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=datetime.now(UTC),
                widget=card,
            )
        )


def _runs_of(thread: ThreadMetadata) -> str:
    """How the ids of its runs begin."""
    return f"chat:{thread.id}:"


def _outcome(entry: Entry) -> str:
    if entry.kind == "dead":
        return "It failed, and somebody has to look: see the run in the console."
    if entry.decision == "refused":
        return f"Not done: {entry.facts.get('says', '')}"
    result = entry.facts.get("result")
    return f"Done: {_short(result)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:500]


def _page(
    rows: list[dict[str, Any]], limit: int, after: str | None, order: str, key: str
) -> Page[dict[str, Any]]:
    ordered = rows if order == "asc" else rows[::-1]
    start = next((n + 1 for n, row in enumerate(ordered) if row[key] == after), 0) if after else 0
    page = ordered[start : start + limit]
    more = start + limit < len(ordered)
    return Page(data=page, has_more=more, after=page[-1][key] if more and page else None)
