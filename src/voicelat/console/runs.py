"""Runs and approvals as the page shows them, and what a person decides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from voicelat.agentkit.grants import arguments_sha256
from voicelat.agentkit.runs import decide
from voicelat.agentkit.runs.store import Approval, Store
from voicelat.agentkit.runs.worker import RunState, retry, states
from voicelat.agentkit.tools import ToolSet
from voicelat.agentkit.tools.form import form_of
from voicelat.console.peers import OfficePeer, PeerAway
from voicelat.errors import UsageError, VoicelatError

__all__ = ["Changed", "Runs"]

_LOOKED_AT: Final = 200


class Changed(VoicelatError):
    """What was approved is not what was shown: it changed in between, or somebody changed it."""


class Runs:
    """Reads the agents' database and decides in it. ``mint``: see `decide.approve`; None: nobody
    may approve here, for there is no APPROVER_TOKEN. The methods without ``async`` block."""

    def __init__(
        self, store: Store, catalog: ToolSet, office: OfficePeer, mint: decide.Mint | None
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._office = office
        self._mint = mint
        self._lines: dict[str, int] | None = None
        """Of each run's log, as they were told. None: nobody has looked yet."""
        self._approvals: dict[str, str] = {}

    # -- showing ------------------------------------------------------------------------------

    def page(self, before: str | None, limit: int, state: str | None) -> dict[str, Any]:
        """Runs, newest first."""
        lines = self._store.runs(before, limit)
        shown = self._shown([line.run_id for line in lines])
        runs = [{**shown[line.run_id], **_plain(line)} for line in lines if line.run_id in shown]
        if state is not None:
            runs = [run for run in runs if run["state"] == state]
        return {"runs": runs, "next": lines[-1].place if len(lines) == limit else None}

    async def one(self, run_id: str) -> dict[str, Any] | None:
        """A run with its log, and before and after of what it wrote; None: there is none."""
        entries = await asyncio.to_thread(self._store.entries, run_id)
        if not entries:
            return None
        shown = await asyncio.to_thread(self._shown, [run_id])
        written: Mapping[str | None, dict[str, Any]] = {}
        says = None
        try:
            rows = await self._office.audit(run_id)
            written = {row["idempotency_key"]: row for row in rows}
        except PeerAway as away:
            says = away.says
        log = []
        for entry in entries:
            row = written.get(entry.facts.get("key"))
            both = {"before": row["before"], "after": row["after"]} if row else {}
            log.append({"before": None, "after": None, **_plain(entry), **both})
        approvals = await asyncio.to_thread(self._store.approvals_of, run_id)
        run = {
            **shown[run_id],
            "run_id": run_id,
            "call_id": entries[0].call_id,
            "began_at": entries[0].at,
            "updated_at": entries[-1].at,
            "tools": sum(entry.kind == "called" for entry in entries),
        }
        return {
            "run": run,
            "log": log,
            "approvals": [self.approval(one) for one in approvals],
            "before_after": says,
        }

    def waiting(self, state: str) -> list[dict[str, Any]]:
        """Approvals in that state."""
        return [self.approval(one) for one in self._store.approvals(state)]  # type: ignore[arg-type]

    def approval(self, found: Approval) -> dict[str, Any]:
        """An approval as a card."""
        try:
            tool = self._catalog.get(found.tool)
            about, form = tool.about, [asdict(field) for field in form_of(tool)]
        except UsageError:
            about, form = "a tool that is not known here", []
        plain = _plain(found)
        plain.pop("grant_token")
        shown = None if found.arguments is None else arguments_sha256(found.arguments)
        return {**plain, "about": about, "form": form, "shown_sha256": shown}

    def _shown(self, run_ids: list[str]) -> dict[str, dict[str, Any]]:
        began = self._store.began(run_ids)
        stands: dict[str, RunState] = {one.run_id: one for one in states(self._store, run_ids)}
        waiting = [one.run_id for one in self._store.approvals("waiting")]
        return {
            run_id: {
                "state": stands[run_id].state if run_id in stands else "unknown",
                "error": stands[run_id].error if run_id in stands else None,
                "kind": began.get(run_id, {}).get("event"),
                "workflow": began.get(run_id, {}).get("workflow"),
                "version": began.get(run_id, {}).get("version"),
                "thread_id": None,
                "waiting": waiting.count(run_id),
            }
            for run_id in run_ids
        }

    # -- deciding -----------------------------------------------------------------------------

    async def approve(
        self, approval_id: str, shown_sha256: str, arguments: dict[str, Any] | None, who: str
    ) -> dict[str, Any]:
        """The approval as decided. ``shown_sha256``: of the arguments the person saw.

        Raises Changed where they are others by now, UsageError where it waits no more or the
        arguments cannot be, ConnectError where the back office does not answer.
        """
        found = await asyncio.to_thread(self._store.approval, approval_id)
        if self._mint is None:
            raise UsageError("APPROVER_TOKEN is not set here, so nobody can approve on this page")
        if found is not None and found.arguments is not None:
            if arguments_sha256(found.arguments) != shown_sha256:
                raise Changed("the arguments are not those you saw: look again")
            if arguments is None:
                arguments = found.arguments
        check: Callable[[dict[str, Any]], dict[str, Any]] = dict
        if found is not None:
            check = self._catalog.get(found.tool).checked
        done = await decide.approve(
            self._store,
            approval_id,
            self._mint,
            who=who,
            now=lambda: datetime.now(UTC),
            arguments=arguments,
            check=check,
        )
        return self.approval(done)

    async def reject(self, approval_id: str, reason: str, who: str) -> dict[str, Any]:
        """The approval as decided. Raises UsageError where it waits no more."""

        def rejected() -> Approval:
            return decide.reject(self._store, approval_id, reason, who=who, now=datetime.now(UTC))

        return self.approval(await asyncio.to_thread(rejected))

    def retry(self, run_id: str, who: str) -> bool:
        """Whether a dead run was sent back to work."""
        return retry(self._store, run_id, who)

    # -- looking on ---------------------------------------------------------------------------

    async def news(self, tell: Callable[..., Awaitable[None]]) -> None:
        """Tell what changed since the last time; the first time, nothing."""
        lines = await asyncio.to_thread(self._store.runs, None, _LOOKED_AT)
        if self._lines is None:
            self._lines = {line.run_id: line.lines for line in lines}
        for line in reversed(lines):
            known = self._lines.get(line.run_id, 0)
            self._lines[line.run_id] = line.lines
            if line.lines == known:
                continue
            entries = await asyncio.to_thread(self._store.entries, line.run_id)
            for entry in entries[known:]:
                await tell("run", run_id=line.run_id, entry=_plain(entry))
        waiting = {one.id: one for one in await asyncio.to_thread(self._store.approvals, "waiting")}
        for gone in [one for one in self._approvals if one not in waiting]:
            del self._approvals[gone]
            decided = await asyncio.to_thread(self._store.approval, gone)
            if decided is not None:
                await tell("approval", approval=self.approval(decided))
        for approval_id, found in waiting.items():
            if approval_id not in self._approvals:
                self._approvals[approval_id] = found.state
                await tell("approval", approval=self.approval(found))


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain
