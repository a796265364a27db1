"""``crm.*``: customers."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from sqlalchemy import select

from voicelat.backoffice.fields import (
    Arguments,
    Email,
    Id,
    Limit,
    LongText,
    Phone,
    Result,
    ShortText,
)
from voicelat.backoffice.operation import (
    Desk,
    Operation,
    Read,
    Write,
    Written,
    new_id,
    not_found,
)
from voicelat.backoffice.problem import Problem
from voicelat.backoffice.tables import Customer, CustomerField

__all__ = ["OPERATIONS"]

FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_OWN: Final[dict[str, TypeAdapter[str]]] = {
    "name": TypeAdapter(ShortText),
    "phone": TypeAdapter(Phone),
    "email": TypeAdapter(Email),
    "notes": TypeAdapter(LongText),
}
"""What every customer has, and what it may be. Everything else is a field of text."""


class SearchCustomer(Arguments):
    """Part of a name, a phone or an email."""

    query: ShortText
    limit: Limit


class Found(Result):
    """A customer, in short."""

    customer_id: str
    name: str
    phone: str | None


class Customers(Result):
    """Customers that match, by name."""

    customers: list[Found]


class Get(Arguments):
    """Which customer."""

    customer_id: Id


class Value(Result):
    """One thing known of a customer."""

    key: str
    value: str


class Whole(Result):
    """A customer with everything known."""

    customer_id: str
    name: str
    phone: str | None
    email: str | None
    notes: str
    fields: list[Value]


class Change(Arguments):
    """A new value; an empty one clears. name, phone, email, notes, or any other key."""

    key: FieldName
    value: LongText


class Update(Arguments):
    """What to change of which customer."""

    customer_id: Id
    changes: Annotated[list[Change], Field(min_length=1, max_length=50)]


class Updated(Result):
    """The changed keys before and after. A key without a value is not in the list."""

    customer_id: str
    before: list[Value]
    after: list[Value]


class Create(Arguments):
    """A new customer."""

    name: ShortText
    phone: Phone | None
    email: Email | None
    notes: LongText


class Created(Result):
    """The new customer."""

    customer_id: str


def search_customer(desk: Desk, asked: SearchCustomer) -> Customers:
    """Customers with that text in their name, phone or email."""
    rows = desk.db.scalars(
        select(Customer)
        .where(
            Customer.tenant == desk.tenant,
            Customer.found_by.contains(asked.query.casefold(), autoescape=True),
        )
        .order_by(Customer.name, Customer.customer_id)
        .limit(asked.limit)
    )
    return Customers(customers=[Found.model_validate(row, from_attributes=True) for row in rows])


def get(desk: Desk, asked: Get) -> Whole:
    """Everything known of a customer."""
    return _whole(desk, _known(desk, asked.customer_id))


def create(desk: Desk, asked: Create) -> Written:
    """Add a customer."""
    customer = Customer(
        tenant=desk.tenant, customer_id=new_id("customer"), **asked.model_dump(), found_by=""
    )
    customer.found_by = _found_by(customer)
    desk.db.add(customer)
    return Written(
        Created(customer_id=customer.customer_id),
        f"customers/{customer.customer_id}",
        None,
        _whole(desk, customer).model_dump(),
    )


def update(desk: Desk, asked: Update) -> Written:
    """Change what is known of a customer: all of the changes or none."""
    customer = _known(desk, asked.customer_id)
    keys = [change.key for change in asked.changes]
    if len(set(keys)) < len(keys):
        raise Problem("invalid", "a key is changed twice", "name every key once")
    whole_before, before = _whole(desk, customer), _values(desk, customer, keys)
    for change in asked.changes:
        _apply(desk, customer, change)
    customer.found_by = _found_by(customer)
    desk.db.flush()
    return Written(
        Updated(
            customer_id=customer.customer_id, before=before, after=_values(desk, customer, keys)
        ),
        f"customers/{customer.customer_id}",
        whole_before.model_dump(),
        _whole(desk, customer).model_dump(),
    )


def _apply(desk: Desk, customer: Customer, change: Change) -> None:
    if change.key in _OWN:
        setattr(customer, change.key, _own_value(change))
        return
    row = desk.db.get(CustomerField, (desk.tenant, customer.customer_id, change.key))
    if not change.value:
        if row is not None:
            desk.db.delete(row)
    elif row is not None:
        row.value = change.value
    else:
        desk.db.add(
            CustomerField(
                tenant=desk.tenant,
                customer_id=customer.customer_id,
                key=change.key,
                value=change.value,
            )
        )


def _own_value(change: Change) -> str | None:
    """The value as the column takes it. Raises Problem where it cannot be one."""
    if not change.value and change.key in {"phone", "email"}:
        return None
    try:
        return _OWN[change.key].validate_python(change.value)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
        raise Problem("invalid", f"{change.key}: {why}", "correct the value") from error


def _known(desk: Desk, customer_id: str) -> Customer:
    customer = desk.db.get(Customer, (desk.tenant, customer_id))
    if customer is None:
        raise not_found("customer", customer_id, "find one with crm.search_customer")
    return customer


def _whole(desk: Desk, customer: Customer) -> Whole:
    rows = desk.db.scalars(
        select(CustomerField)
        .where(
            CustomerField.tenant == desk.tenant, CustomerField.customer_id == customer.customer_id
        )
        .order_by(CustomerField.key)
    )
    return Whole(
        customer_id=customer.customer_id,
        name=customer.name,
        phone=customer.phone,
        email=customer.email,
        notes=customer.notes,
        fields=[Value(key=row.key, value=row.value) for row in rows],
    )


def _values(desk: Desk, customer: Customer, keys: list[str]) -> list[Value]:
    """The values of these keys, in this order; keys without one are left out."""
    whole = _whole(desk, customer)
    known = {field.key: field.value for field in whole.fields}
    known |= {key: value for key in _OWN if (value := getattr(customer, key))}
    return [Value(key=key, value=known[key]) for key in keys if key in known]


def _found_by(customer: Customer) -> str:
    parts = (customer.name, customer.phone, customer.email)
    return "\n".join(part for part in parts if part is not None).casefold()


OPERATIONS: Final[tuple[Operation, ...]] = (
    Read("crm.search_customer", SearchCustomer, Customers, search_customer),
    Read("crm.get", Get, Whole, get),
    Write("crm.update", Update, Updated, update),
    Write("crm.create", Create, Created, create),
)
