"""A back office that does nothing but keep the contract, and count: one write for each key."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["AGENTS_TOKEN", "APPROVER_TOKEN", "NEEDS_GRANT", "ContractServer", "contract_server"]

AGENTS_TOKEN = "the-agents"
APPROVER_TOKEN = "a-person"
NEEDS_GRANT = frozenset({"crm.update", "whatsapp.send"})


class ContractServer:
    """What it was asked to write, and what it wrote."""

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        """Tool -> how often something was written."""
        self.written: dict[str, dict[str, Any]] = {}
        """Idempotency key -> the arguments that were written."""
        self.requests: Counter[str] = Counter()
        self.failing: list[int] = []
        """Statuses of the next answers."""
        self._answers: dict[str, dict[str, Any]] = {}
        self._grants: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def answer(self, path: str, headers: Any, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The contract, as far as runs need it."""
        with self._lock:
            token = (headers["Authorization"] or "").removeprefix("Bearer ")
            if path == "/v1/grants":
                return self._grant(token, body)
            tool = path.removeprefix("/v1/").replace("/", ".")
            self.requests[tool] += 1
            if token != AGENTS_TOKEN:
                return 401, _error("unauthorised")
            if self.failing:
                return self.failing.pop(0), _error("busy")
            key = headers["Idempotency-Key"]
            if key in self._answers:
                return 200, self._answers[key]
            if tool in NEEDS_GRANT:
                grant = self._grants.pop(headers["X-Approval-Grant"] or "", None)
                if grant != (tool, digest(body)):
                    return 403, _error("grant_invalid")
            self.writes[tool] += 1
            self.written[key] = body
            self._answers[key] = {"id": f"{tool}#{self.writes[tool]}"}
            return 200, self._answers[key]

    def _grant(self, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if token != APPROVER_TOKEN:
            return 403, _error("missing_scope")
        grant = f"grant-{len(self._grants)}-{body['run_id']}"
        self._grants[grant] = (body["tool"], body["arguments_sha256"])
        return 200, {"grant": grant}

    def mint(self, tool: str, arguments: dict[str, Any]) -> str:
        """A grant, as a person's console would ask for it."""
        asked = {"tool": tool, "arguments_sha256": digest(arguments), "run_id": "R"}
        return str(self._grant(APPROVER_TOKEN, asked)[1]["grant"])


def digest(arguments: dict[str, Any]) -> str:
    """As the contract has it."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _error(code: str) -> dict[str, Any]:
    return {"error": code, "says": f"it is {code}", "fix": "do otherwise"}


@contextmanager
def contract_server() -> Iterator[tuple[ContractServer, str]]:
    """It, and its URL."""
    server = ContractServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, told = server.answer(self.path, self.headers, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()
