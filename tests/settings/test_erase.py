"""What is erased is in no store and in no file; what is not meant stays as it was."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("dbos", reason="not installed: pip install 'voicelat[agents]'")

from tests.channels.conftest import serving

from voicelat.agentkit.runs.store import Entry, Store
from voicelat.backoffice import tokens
from voicelat.backoffice.app import create_app
from voicelat.backoffice.config import Config
from voicelat.backoffice.database import Database
from voicelat.cli import app
from voicelat.engine.recording import tape_name
from voicelat.errors import InvalidFile, UsageError
from voicelat.metrics.record import Stamps, TurnRecord
from voicelat.metrics.turnsfile import blank_texts, encode, read_turns
from voicelat.settings import Settings
from voicelat.settings.erase import erase

SECRET = "the blue house behind the mill"
AWAY = "http://127.0.0.1:9"


def turn(call_id: str, number: int = 1, text: str = SECRET, day: int = 20) -> TurnRecord:
    return TurnRecord(
        call_id=call_id,
        started_utc=f"2026-11-{day}T09:00:00+00:00",
        turn=number,
        outcome="answered",
        stamps=Stamps(speech_end=100, turn_end=300, first_audio_sent=900),
        text=text,
        reply=text,
        final_text=text,
    ).measured()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two calls in every store; the back office and the channels are away."""
    turns = tmp_path / "turns.jsonl"
    turns.write_bytes(b"".join(encode(turn(one)) for one in ("CA1", "CA2")))
    calls = tmp_path / "calls"
    calls.mkdir()
    for one in ("CA1", "CA2"):
        name = tape_name(turn(one))
        for kind in (".wav", ".trace.jsonl"):
            (calls / f"{name}{kind}").write_text(SECRET)
    url = f"sqlite:///{tmp_path / 'agents.sqlite3'}"
    store = Store(url)
    at = datetime.now(UTC).isoformat()
    for one in ("CA1", "CA2"):
        line = Entry(run_id=f"{one}.end", call_id=one, seq=0, at=at, kind="x", facts={"t": SECRET})
        store.append([line])
    store.close()
    return Settings(
        turns_file=str(turns),
        record_dir=str(calls),
        agents_db_url=url,
        backoffice_url=AWAY,
        channels_url=AWAY,
    )


def where(folder: Path, text: str = SECRET) -> set[str]:
    """The files that hold it."""
    return {
        path.name
        for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    }


def test_a_call_is_erased_wherever_it_is_and_another_is_not(
    settings: Settings, tmp_path: Path
) -> None:
    numbers = [one.TOTAL_LATENCY_MS for one in read_turns([settings.turns_file or ""]).records]
    done = {one.store: one for one in erase(settings, call_id="CA1")}
    assert done["turns"].erased == 1
    assert done["recordings"].erased == 2
    assert done["agents"].erased == 1
    assert "does not answer" in (done["back office"].says or "")
    kept = read_turns([settings.turns_file or ""]).records
    assert [one.text for one in kept] == ["", SECRET]
    assert [one.TOTAL_LATENCY_MS for one in kept] == numbers
    store = Store(settings.agents_db_url)
    assert store.entries("CA1.end") == []
    assert len(store.entries("CA2.end")) == 1
    store.close()
    erase(settings, call_id="CA2")
    assert where(tmp_path) == set()


async def test_a_person_is_found_in_the_back_office_and_erased_everywhere(
    settings: Settings, tmp_path: Path
) -> None:
    from msgspec.structs import replace

    url = f"sqlite:///{tmp_path / 'office.sqlite3'}"
    served = create_app(Config(database=url))
    database = Database(url)
    with database.write("shop") as db:
        token = tokens.mint(
            db,
            agent="console",
            tenant="shop",
            scopes=tokens.SCOPES - {tokens.APPROVE},
            ttl=timedelta(hours=1),
            now=datetime.now(UTC),
        )
    database.close()
    async with serving(served) as office:
        import httpx

        call = {
            "call_id": "CA1",
            "from_number": "+972501234567",
            "to_number": None,
            "started_at": "2026-11-20T09:00:00Z",
            "ended_at": None,
            "outcome": SECRET,
        }
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"{office}/v1/calls/log_create"
            assert (await http.post(url, json=call, headers=headers)).is_success
        here = replace(settings, backoffice_url=office, console_token=token)
        done = await asyncio.to_thread(lambda: erase(here, phone="+972501234567"))
    assert [one.says for one in done] == [None] * 6
    assert {one.store: one.erased for one in done}["turns"] == 1
    assert where(tmp_path, "+972501234567") == set()


def test_what_is_older_than_a_day_goes(settings: Settings) -> None:
    path = Path(settings.turns_file or "")
    path.write_bytes(encode(turn("CA1", day=10)) + encode(turn("CA2", day=24)))
    erase(settings, before=datetime(2026, 11, 20, tzinfo=UTC))
    assert [one.text for one in read_turns([path]).records] == ["", SECRET]


def test_one_thing_is_asked_for(settings: Settings) -> None:
    with pytest.raises(UsageError, match="give one of"):
        erase(settings)


Text = st.text(st.characters(codec="utf-8"), max_size=40)


@given(rows=st.lists(st.tuples(st.booleans(), Text), max_size=12), late=Text)
def test_whatever_stands_in_the_file_the_rest_stays_byte_for_byte(
    rows: list[tuple[bool, str]], late: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("turns") / "turns.jsonl"
    lines = [encode(turn("CA1" if mine else "CA2", n, text)) for n, (mine, text) in enumerate(rows)]
    path.write_bytes(b"".join(lines) + b'{"broken')
    appended = encode(turn("CA1", 99, late))
    with path.open("ab") as server:  # it goes on writing into the same file
        emptied = blank_texts(path, lambda row: row.get("call_id") == "CA1")
        server.write(appended)
    assert len(emptied) == sum(mine for mine, _ in rows)
    after = path.read_bytes()
    assert len(after) == sum(map(len, lines)) + len(b'{"broken') + len(appended)
    place = 0
    for line, (mine, _) in zip(lines, rows, strict=True):
        now = after[place : place + len(line)]
        if mine:
            assert json.loads(now)["text"] == json.loads(now)["reply"] == ""
        else:
            assert now == line
        place += len(line)
    assert after.endswith(appended)


def test_a_line_that_cannot_be_emptied_in_its_place_is_said(tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"
    path.write_text('{"call_id":"CA1","text":"a","TOTAL_LATENCY_MS":1e2}\n')
    with pytest.raises(InvalidFile, match="line 1"):
        blank_texts(path, lambda _row: True)


def verb(*words: str, **env: str) -> Any:
    return CliRunner().invoke(app, ["erase", *words], env=env)


def test_the_verb_says_each_store_and_that_one_is_away(settings: Settings) -> None:
    env = {
        "TURNS_FILE": settings.turns_file or "",
        "RECORD_DIR": settings.record_dir or "",
        "AGENTS_DB_URL": settings.agents_db_url,
        "BACKOFFICE_URL": AWAY,
        "CHANNELS_URL": AWAY,
    }
    done = verb("--call", "CA1", "--yes", "--json", **env)
    assert done.exit_code == 3
    stores = {one["store"]: one for one in json.loads(done.stdout)["stores"]}
    assert stores["recordings"] == {"store": "recordings", "erased": 2, "says": None}
    assert verb("--call", "CA1", **env).exit_code == 1  # nobody said yes
