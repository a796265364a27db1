"""A back office to test: its application in this process, tokens for it, and its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.testclient import TestClient

from voicelat.backoffice import tokens
from voicelat.backoffice.app import create_app
from voicelat.backoffice.config import Config
from voicelat.backoffice.database import Database
from voicelat.backoffice.gate import Gate
from voicelat.backoffice.tokens import APPROVE, AUDIT, SCOPES

__all__ = ["AT", "Bench", "open_bench"]

AT = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)  # a Wednesday
TOOLS = tuple(sorted(SCOPES - {APPROVE, AUDIT}))


class Bench:
    """Calls tools as an agent would; ``now`` is the office's time and may be moved."""

    def __init__(self, client: TestClient, database: Database) -> None:
        self.client = client
        self.database = database
        self.now = AT
        self._keys = 0
        self.token = ""

    def mint(
        self, *scopes: str, agent: str = "voice", tenant: str = "acme", days: float = 30
    ) -> str:
        """A new token; of every tool where no scope is named."""
        with self.database.write(tenant) as db:
            return tokens.mint(
                db,
                agent=agent,
                tenant=tenant,
                scopes=scopes or TOOLS,
                ttl=timedelta(days=days),
                now=self.now,
            )

    def post(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        key: str | None = None,
        token: str | None = None,
        **headers: str,
    ) -> Any:
        """The response of one tool; with a key of its own where none is given."""
        self._keys += 1
        return self.client.post(
            f"/v1/{tool.replace('.', '/')}",
            json=arguments,
            headers={
                "Authorization": f"Bearer {token or self.token}",
                "Idempotency-Key": key or f"key-{self._keys}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of one tool that works."""
        answer = self.post(tool, arguments)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def fault(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The problem of one tool that is refused."""
        answer = self.post(tool, arguments)
        assert answer.status_code >= 400, answer.text
        problem: dict[str, Any] = answer.json()
        assert set(problem) == {"error", "says", "fix"}
        return problem

    def audit(self, tenant: str = "acme") -> list[dict[str, Any]]:
        """Every audit row of the tenant."""
        token = self.mint(AUDIT, agent="auditor", tenant=tenant)
        answer = self.client.get("/v1/audit", headers={"Authorization": f"Bearer {token}"})
        rows: list[dict[str, Any]] = answer.json()["rows"]
        return rows

    def lead(self, name: str = "Dana", **known: str | None) -> str:
        """A new lead's id."""
        unknown = dict.fromkeys(("phone", "external_id", "provider", "notes"))
        asked = {"name": name, "source": "test", **unknown, **known}
        lead_id: str = self.call("leads.upsert", **asked)["lead_id"]
        return lead_id


@contextmanager
def open_bench(
    url: str,
    *,
    needs_grant: frozenset[tuple[str, str]] = frozenset(),
    gate: Gate | None = None,
) -> Iterator[Bench]:
    """A bench over the database, with a token for every tool."""
    database = Database(url)
    config = Config(database=url, needs_grant=needs_grant)
    app = create_app(config, gate=gate, now=lambda: bench.now)
    with TestClient(app, raise_server_exceptions=False) as client:
        bench = Bench(client, database)
        bench.token = bench.mint()
        yield bench
    database.close()
