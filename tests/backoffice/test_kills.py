"""A server that is killed in the middle of a write, and the same request sent again."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("alembic", reason="the agents extra is not installed")

import httpx
from tests.backoffice.bench import open_bench

SEND: dict[str, Any] = {
    "to_lead_id": None,
    "to_phone": "+972501234567",
    "text": "Shalom",
    "template": None,
    "template_variables": [],
    "language": "en",
}


def send(client: httpx.Client, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    return client.post("/v1/whatsapp/send", json=SEND, headers=headers)


@pytest.mark.parametrize(
    ("moment", "written"), [("before the commit", 0), ("before the answer", 1)]
)
def test_a_killed_write_sent_again_is_written_once(url: str, moment: str, written: int) -> None:
    with open_bench(url) as bench:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        program = str(Path(__file__).with_name("dying.py"))
        with (
            subprocess.Popen((sys.executable, program, url, str(port), moment)) as server,
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                # Until it listens, a connection is refused.
                transport=httpx.HTTPTransport(retries=10),
            ) as client,
        ):
            try:
                with pytest.raises(httpx.HTTPError):
                    send(client, bench.token)
                assert server.wait(30) == -9
            finally:
                server.kill()
        assert len(bench.audit()) == written
        again = bench.post("whatsapp.send", SEND, key="k")
        assert again.status_code == 200
        assert again.headers.get("Idempotency-Replayed", "") == ("true" if written else "")
        (row,) = bench.audit()
        assert row["target"] == f"messages/{again.json()['message_id']}"
