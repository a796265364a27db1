"""Tools about people: leads, and the customers of the CRM."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from voicelat.agentkit.tools.fields import Change, Id, Limit, Note, Phone, Word, Words
from voicelat.agentkit.tools.tool import Arguments, Result, Tool

__all__ = ["TOOLS"]

_LEADS: Final = frozenset({"WhatsApp", "Backoffice"})
_CRM: Final = frozenset({"Voice", "Backoffice"})


class UpsertLead(Arguments):
    name: Words | None
    phone: Phone | None
    external_id: Words | None
    provider: Word | None
    notes: Note | None
    source: Word


class LeadUpserted(Result):
    lead_id: str
    created: bool


class TagLead(Arguments):
    lead_id: Id
    tag: Word


class LeadTagged(Result):
    lead_id: str
    tags: list[str]


class SearchCustomer(Arguments):
    query: Words
    limit: Limit


class CustomerFound(Result):
    customer_id: str
    name: str
    phone: str | None


class CustomersFound(Result):
    customers: list[CustomerFound]


class GetCustomer(Arguments):
    customer_id: Id


class Value(Result):
    key: str
    value: str | None


class Customer(Result):
    customer_id: str
    name: str
    phone: str | None
    email: str | None
    notes: str | None
    fields: list[Value]


class UpdateCustomer(Arguments):
    customer_id: Id
    changes: Annotated[list[Change], Field(min_length=1, max_length=20)]


class CustomerUpdated(Result):
    customer_id: str
    before: list[Value]
    after: list[Value]


TOOLS: Final = (
    Tool(
        id="leads.upsert",
        about="Keep a possible customer, or what is new about one. Use what the person said"
        " themselves.",
        arguments=UpsertLead,
        result=LeadUpserted,
        writes=True,
        agents=_LEADS,
    ),
    Tool(
        id="leads.tag",
        about="Put a tag on a lead. Use short tags in lower case.",
        arguments=TagLead,
        result=LeadTagged,
        writes=True,
        agents=_LEADS,
    ),
    Tool(
        id="crm.search_customer",
        about="Find customers by name or phone number. Use it before you read or change one.",
        arguments=SearchCustomer,
        result=CustomersFound,
        writes=False,
        agents=_CRM,
    ),
    Tool(
        id="crm.get",
        about="Read what is known about a customer. Use the id that a search gave.",
        arguments=GetCustomer,
        result=Customer,
        writes=False,
        agents=_CRM,
    ),
    Tool(
        id="crm.update",
        about="Change fields of a customer. Use it only for what the customer asked to change.",
        arguments=UpdateCustomer,
        result=CustomerUpdated,
        writes=True,
        agents=_CRM,
    ),
)
