"""Which tool comes next, for an agent that was asked in plain words and may use its tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from voicelat.agentkit.scripted.heard import Heard, intent_of

__all__ = ["Done", "next_call"]

Done = Sequence[tuple[str, Mapping[str, Any]]]
"""Tools called so far, by their id, and what they gave."""
Call = tuple[str, dict[str, Any]]

_CALL_ID: Final = re.compile(r"\bCA[0-9a-zA-Z_-]{1,64}\b")


def next_call(heard: Heard, tools: frozenset[str], done: Done) -> Call | None:
    """A tool of ``tools`` and its arguments. None: there is nothing left to do, or something
    went wrong, which is not tried again.
    """
    if any("error" in result for _, result in done):
        return None
    plan = _PLANS.get(intent_of(heard.text, [*_PLANS, "none"]))
    call = plan(heard, done) if plan else None
    return call if call is not None and call[0] in tools else None


def _calendar(heard: Heard, done: Done) -> Call | None:
    if not done:
        start, end = heard.window()
        return "calendar.find_slots", {"from": start, "to": end, "minutes": 30}
    slots = done[-1][1].get("slots")
    if not slots:
        return None
    title = "פגישה" if heard.language == "he-IL" else "Appointment"
    who = {"attendee_name": heard.name, "attendee_phone": heard.phone, "lead_id": None}
    return "calendar.create", {"title": title, **slots[0], **who}


def _crm(heard: Heard, done: Done) -> Call | None:
    if not done:
        who = heard.phone or heard.name
        return ("crm.search_customer", {"query": who, "limit": 2}) if who else None
    customers = done[-1][1].get("customers", [])
    if len(customers) != 1 or not heard.changes:
        return None
    customer = customers[0]["customer_id"]
    return "crm.update", {"customer_id": customer, "changes": heard.changes}


def _summary(heard: Heard, done: Done) -> Call | None:
    if not (found := _CALL_ID.search(heard.text)):
        return None
    if not done:
        return "stt.get_last_transcript", {"call_id": found[0]}
    if (turns := done[-1][1].get("turns")) is None:
        return None
    said = Heard.of(turns)
    return "summary.generate", {
        "call_id": found[0],
        "summary": said.summary,
        "action_items": said.promises[:20],
        "language": said.language,
    }


def _lead(heard: Heard, done: Done) -> Call | None:
    if done:
        return None
    return "leads.upsert", {
        "name": heard.name,
        "phone": heard.phone,
        "external_id": None,
        "provider": None,
        "notes": heard.summary,
        "source": "agent",
    }


def _template(heard: Heard, done: Done) -> Call | None:
    if done or heard.phone is None:
        return None
    return "whatsapp.send", {
        "to_lead_id": None,
        "to_phone": heard.phone,
        "text": None,
        "template": "call_back",
        "template_variables": [],
        "language": heard.language,
    }


_PLANS: Final[Mapping[str, Callable[[Heard, Done], Call | None]]] = {
    "calendar": _calendar,
    "crm": _crm,
    "summary": _summary,
    "lead": _lead,
    "template": _template,
}
