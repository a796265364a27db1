"""Turns in SQLite and in a real PostgreSQL: once each, whatever happens in between."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.metrics.exporters.postgres import Postgres, running_postgres
from tests.metrics.exporters.records import FULL, any_records, turn

from voicelat.errors import ConnectError, UsageError
from voicelat.metrics.exporters.live import LiveSink
from voicelat.metrics.exporters.sql import SqlWriter
from voicelat.metrics.record import TurnRecord

sa = pytest.importorskip("sqlalchemy", reason="pip install 'voicelat[sql]'")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="pip install 'voicelat[sql]'")
    with running_postgres() as postgres:
        yield postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/turns.db"
    postgres: Postgres = request.getfixturevalue("postgres")
    execute(postgres.url, "DROP SCHEMA public CASCADE")
    execute(postgres.url, "CREATE SCHEMA public")
    return postgres.url


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows that ``sql`` gives."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        result = connection.execute(sa.text(sql))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def written(url: str, records: list[TurnRecord]) -> list[str]:
    writer = SqlWriter(url)
    refusals = writer.write(records)
    writer.close()
    return refusals


def test_a_turn_has_its_numbers_as_columns_and_the_rest_as_json(url: str) -> None:
    assert written(url, [FULL]) == []
    columns = "total_latency_ms, barge_in_hit, eou_reason, text, confidence, residual_ms"
    found = execute(url, f"SELECT {columns} FROM voicelat_turns")
    assert found == [(1050, True, "debounce", FULL.text, 0.75, FULL.residual_ms)]
    arrow = "->>" if url.startswith("postgresql") else "->"
    for table, path, value in (
        ("voicelat_turns", f"stamps {arrow} 'tts_ready'", 3000),
        ("voicelat_turns", f"legs {arrow} 'llm'", 500),
        ("voicelat_calls", f"settings {arrow} 'VAD_HANGOVER_MS'", 160),
    ):
        ((got,),) = execute(url, f"SELECT {path} FROM {table}")
        assert int(got) == value


def test_times_are_utc(url: str) -> None:
    written(url, [turn(1, started_utc="2026-11-25T12:00:00+02:00")])
    ((at,),) = execute(url, "SELECT turn_at FROM voicelat_turns")
    assert "2026-11-25 10:00:02" in str(at)


def test_the_same_turns_written_twice_are_there_once(url: str) -> None:
    records = [turn(number, call) for call in ("CA1", "CA2") for number in (1, 2, 3)]
    written(url, [*records, *records])
    written(url, records)
    assert execute(url, "SELECT count(*) FROM voicelat_turns") == [(6,)]
    assert execute(url, "SELECT count(*) FROM voicelat_calls") == [(2,)]


def test_what_is_there_is_replaced_by_what_comes_later(url: str) -> None:
    written(url, [turn(1, text="before")])
    written(url, [turn(1, text="after")])
    assert execute(url, "SELECT text FROM voicelat_turns") == [("after",)]


def test_callers_and_servers_and_other_starts_of_a_call_stand_side_by_side(url: str) -> None:
    others = (
        {"source": "loadtest"},
        {"started_utc": "2026-11-26T10:00:00Z"},
        {"started_utc": None},
    )
    written(url, [FULL, *(turn(FULL.turn, **other) for other in others)])
    assert execute(url, "SELECT count(*) FROM voicelat_turns") == [(4,)]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=any_records)
def test_any_turn_is_written_or_refused_with_a_reason(url: str, records: list[TurnRecord]) -> None:
    refusals = written(url, [FULL, *records])
    execute(url, "SELECT * FROM voicelat_turns")
    with_nul = [record for record in records if "\\x00" in repr(record)]
    assert len(refusals) <= len(with_nul)  # PostgreSQL's text has none


def test_a_turn_that_does_not_fit_keeps_no_other_out(url: str) -> None:
    records = [turn(1), turn(2**70), turn(3)]
    (why,) = written(url, records)
    assert why.startswith(f"CA1 turn {2**70}: ")
    assert execute(url, "SELECT turn FROM voicelat_turns ORDER BY turn") == [(1,), (3,)]


def test_a_turn_that_a_rule_of_theirs_forbids_keeps_no_other_out(postgres: Postgres) -> None:
    execute(postgres.url, "DROP SCHEMA public CASCADE")
    execute(postgres.url, "CREATE SCHEMA public")
    written(postgres.url, [turn(1)])
    execute(postgres.url, "ALTER TABLE voicelat_turns ADD CHECK (turn <> 13)")
    (why,) = written(postgres.url, [turn(12), turn(13), turn(14)])
    assert "violates check constraint" in why


def test_columns_that_an_older_version_did_not_have_are_added(url: str) -> None:
    written(url, [turn(1)])
    execute(url, "ALTER TABLE voicelat_turns DROP COLUMN stall_ms")
    written(url, [turn(2)])
    found = execute(url, "SELECT turn, stall_ms FROM voicelat_turns ORDER BY turn")
    assert found == [(1, None), (2, 60)]


def test_tables_of_a_newer_version_are_left_alone(url: str) -> None:
    written(url, [turn(1)])
    execute(url, "UPDATE voicelat_schema SET version = 2")
    with pytest.raises(UsageError, match="version 2, this voicelat writes version 1"):
        written(url, [turn(2)])


def test_writers_that_start_together_make_the_tables_once(url: str) -> None:
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            written(url, [turn(number, f"CA{worker}") for number in range(20)])
        except ConnectError as error:  # SQLite's lock: the live sink tries again
            failures.append(error)

    threads = [threading.Thread(target=write, args=[worker]) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = (4 - len(failures)) * 20
    assert execute(url, "SELECT count(*) FROM voicelat_turns") == [(there,)]
    assert there == 80 or url.startswith("sqlite")


def test_a_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    written(f"sqlite:///{tmp_path}/turns.db", [FULL])
    assert stat.S_IMODE((tmp_path / "turns.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("turns.db", "cannot be read: give sqlite"),
        ("mysql://root@localhost/x", "cannot be written to mysql"),
        ("postgresql://a:b@host:port/x", "cannot be read: give sqlite"),
        ("sqlite:////none/turns.db", "cannot be written"),
    ],
)
def test_a_url_that_will_not_do_says_what_would(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        SqlWriter(url)
    assert "\n" not in str(caught.value)


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ConnectError) as caught:
        written("postgresql://me:sesame@127.0.0.1:1/x", [FULL])
    assert "127.0.0.1:1" in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_user_without_the_right_to_make_tables_can_write(postgres: Postgres) -> None:
    execute(postgres.url, "DROP SCHEMA public CASCADE")
    execute(postgres.url, "CREATE SCHEMA public")
    written(postgres.url, [turn(1)])
    execute(postgres.url, "DROP ROLE IF EXISTS clerk")
    execute(postgres.url, "CREATE ROLE clerk LOGIN")
    execute(postgres.url, "GRANT USAGE ON SCHEMA public TO clerk")
    clerk = f"postgresql://clerk@{postgres.url.partition('@')[2]}"
    with pytest.raises(UsageError, match="permission denied"):
        written(clerk, [turn(2)])
    execute(postgres.url, "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO clerk")
    assert written(clerk, [turn(2)]) == []
    execute(postgres.url, "DROP OWNED BY clerk")


def test_percentiles_stand_in_a_view_by_day_and_source(postgres: Postgres) -> None:
    execute(postgres.url, "DROP SCHEMA public CASCADE")
    execute(postgres.url, "CREATE SCHEMA public")
    totals = [turn(number, TOTAL_LATENCY_MS=100 * number) for number in range(1, 22)]
    written(postgres.url, [*totals, turn(30, TOTAL_LATENCY_MS=None, outcome="censored")])
    view = "SELECT day, source, turns, calls, total_p50, total_p95, censored"
    ((day, *rest),) = execute(postgres.url, f"{view} FROM voicelat_percentiles")
    assert str(day) == "2026-11-25"
    assert rest == ["serve", 22, 1, 1100, 2000, 1]


def test_a_database_killed_and_started_again_loses_nothing_and_has_nothing_twice(
    postgres: Postgres,
) -> None:
    execute(postgres.url, "DROP SCHEMA public CASCADE")
    execute(postgres.url, "CREATE SCHEMA public")
    sink = LiveSink("sql", SqlWriter(postgres.url), flush_interval_s=0.01, rest_s=(0.05, 0.1))
    numbers = iter(range(1, 10_000))

    def offer(count: int) -> None:
        for _ in range(count):
            sink.record(turn(next(numbers)))

    offer(100)
    wait_for(lambda: sink.counts().written == 100)
    postgres.kill()
    offer(300)
    wait_for(lambda: sink.last_error is not None)
    assert sink.counts().waiting == 300
    postgres.start()
    offer(50)
    wait_for(lambda: sink.counts().waiting == 0)
    assert sink.close(10)
    counts = sink.counts()
    assert (counts.written, counts.dropped, counts.failed) == (450, 0, 0)
    found = execute(postgres.url, "SELECT count(*), count(DISTINCT turn) FROM voicelat_turns")
    assert found == [(450, 450)]


def wait_for(holds: Any) -> None:
    """Look every 10 ms: what is waited for is in another process."""
    pause = threading.Event()
    for _ in range(2000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")


def test_a_sqlite_file_that_somebody_locks_is_written_later(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/turns.db?timeout=0.01"
    written(url, [turn(1)])
    locked = sqlite3.connect(tmp_path / "turns.db", isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    sink = LiveSink("sql", SqlWriter(url), flush_interval_s=0.01, rest_s=(0.01, 0.05))
    sink.record(turn(2))
    wait_for(lambda: sink.last_error is not None)
    locked.execute("COMMIT")
    locked.close()
    wait_for(lambda: sink.counts().written == 1)
    assert sink.close(10)
