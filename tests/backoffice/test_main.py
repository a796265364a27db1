"""``python -m voicelat.backoffice``, as typed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="the agents extra is not installed")

import httpx

COMMAND = (sys.executable, "-m", "voicelat.backoffice")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*COMMAND, *words), cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_minted_token_opens_the_served_office_until_it_is_revoked(tmp_path: Path) -> None:
    words = ("token", "--agent", "voice", "--tenant", "acme", "--scope", "crm.search_customer")
    minted = json.loads(run(tmp_path, *words).stdout)
    listed = json.loads(run(tmp_path, "tokens").stdout)
    assert listed["token_id"] == minted["token_id"]
    assert "secret_sha256" not in listed
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        subprocess.Popen((*COMMAND, "serve", "--port", str(port)), cwd=tmp_path) as server,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            transport=httpx.HTTPTransport(retries=10),
            headers={"Authorization": f"Bearer {minted['token']}"},
        ) as client,
    ):
        try:
            asked = {"query": "Dana", "limit": 5}
            assert client.post("/v1/crm/search_customer", json=asked).json() == {"customers": []}
            assert run(tmp_path, "revoke", minted["token_id"]).returncode == 0
            assert client.post("/v1/crm/search_customer", json=asked).status_code == 401
        finally:
            server.terminate()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("token", "--agent", "a", "--tenant", "t"), "give --scope"),
        (("token", "--agent", "a", "--tenant", "t", "--scope", "x"), "no scope x"),
        (("token", "--agent", "a", "--tenant", "t", "--scope", "crm.get", "--ttl", "x"), "30d"),
        (("revoke", "x"), "no token x"),
        (("serve", "--needs-grant", "x"), "AGENT:TOOL"),
        (("--database", "sqlite:///no/such/folder/x", "upgrade"), "--database"),
    ],
)
def test_a_mistake_gets_one_line_that_says_what_to_do(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("voicelat: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
