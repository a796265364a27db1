"""A person's yes or no, as the command line gives it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="the extra is not installed")

from tests.agentkit.runs.test_store import NOW, approval

from voicelat.agentkit.runs import decide
from voicelat.agentkit.runs.store import Approval, Store
from voicelat.errors import UsageError


@pytest.fixture
def store(empty_url: str) -> Iterator[Store]:
    one = Store(empty_url)
    one.ask(approval("A:1"))
    yield one
    one.close()


class Mint:
    """Mints grants that say what they are for."""

    def __init__(self) -> None:
        self.minted: list[dict[str, Any]] = []

    async def __call__(self, waiting: Approval, arguments: dict[str, Any]) -> str:
        self.minted.append(arguments)
        return f"grant for {waiting.tool}"


def now() -> datetime:
    return NOW


async def test_a_yes_mints_a_grant_for_the_arguments_that_were_shown(store: Store) -> None:
    mint = Mint()
    done = await decide.approve(store, "A:1", mint, who="dana", now=now)
    assert (done.state, done.grant_token) == ("approved", "grant for crm.update")
    assert mint.minted == [{"customer_id": "7"}]


async def test_a_corrected_yes_mints_for_the_corrected_ones(store: Store) -> None:
    mint, corrected = Mint(), {"customer_id": "8"}
    done = await decide.approve(store, "A:1", mint, who="dana", now=now, arguments=corrected)
    assert done.arguments == corrected
    assert mint.minted == [corrected]


async def test_arguments_the_tool_does_not_take_mint_nothing(store: Store) -> None:
    def check(_arguments: dict[str, Any]) -> dict[str, Any]:
        raise UsageError("customer_id: is missing")

    mint = Mint()
    with pytest.raises(UsageError, match="customer_id"):
        await decide.approve(store, "A:1", mint, who="dana", now=now, arguments={}, check=check)
    assert mint.minted == []
    assert store.approvals() != []


async def test_who_comes_second_is_told_who_was_first(store: Store) -> None:
    decide.reject(store, "A:1", "no", who="noa", now=NOW.astimezone(UTC))
    with pytest.raises(UsageError, match="A:1 is rejected by noa"):
        await decide.approve(store, "A:1", Mint(), who="dana", now=now)


async def test_a_yes_after_the_end_says_when_that_was(store: Store) -> None:
    with pytest.raises(UsageError, match="has expired at 2026-01-01T13:00"):
        await decide.approve(store, "A:1", Mint(), who="dana", now=lambda: NOW + timedelta(hours=2))


def test_what_is_not_there_cannot_be_decided(store: Store) -> None:
    with pytest.raises(UsageError, match="no approval B:2"):
        decide.reject(store, "B:2", "no", who="dana", now=NOW)
