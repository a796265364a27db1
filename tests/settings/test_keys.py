"""The keys of every process: each has what it needs, and agents none to approve with."""

from __future__ import annotations

import stat
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="not installed: pip install 'voicelat[agents]'")

from voicelat.agentkit.tools import ToolSet
from voicelat.backoffice import tokens
from voicelat.backoffice.database import Database
from voicelat.errors import UsageError
from voicelat.settings.keys import PROCESSES, cut_keys
from voicelat.settings.load import load


def cut(folder: Path) -> dict[str, Path]:
    database = f"sqlite:///{folder / 'office.sqlite3'}"
    now = datetime.now(UTC)
    written = cut_keys(folder, database, "shop", ToolSet.builtin(), timedelta(days=1), now)
    return {path.stem: path for path in written}


def scopes(folder: Path, token: str) -> frozenset[str]:
    database = Database(f"sqlite:///{folder / 'office.sqlite3'}")
    with database.read() as db:
        found = tokens.find(db, token, datetime.now(UTC))
    database.close()
    return found.scopes


def test_each_file_is_settings_that_only_its_owner_reads(tmp_path: Path) -> None:
    files = cut(tmp_path)
    assert set(files) == set(PROCESSES)
    for name, path in files.items():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        if name != "bridge":
            settings = load(environ={"VOICELAT_CONFIG": str(path)}, folder=tmp_path)
            assert settings.warnings == ()


def test_the_agents_have_nothing_to_approve_with(tmp_path: Path) -> None:
    files = cut(tmp_path)
    agents = tomllib.loads(files["agents"].read_text())
    assert "APPROVER_TOKEN" not in agents
    for pair in agents["BACKOFFICE_TOKEN"].split(","):
        assert tokens.APPROVE not in scopes(tmp_path, pair.partition("=")[2])
    console = tomllib.loads(files["console"].read_text())
    assert scopes(tmp_path, console["APPROVER_TOKEN"]) == {tokens.APPROVE}
    assert "whatsapp.send" not in scopes(tmp_path, console["CONSOLE_TOKEN"])
    channels = tomllib.loads(files["channels"].read_text())
    assert all(
        one.startswith("whatsapp.") for one in scopes(tmp_path, channels["BACKOFFICE_TOKEN"])
    )


def test_keys_that_are_there_are_not_written_over(tmp_path: Path) -> None:
    cut(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        cut(tmp_path)
