"""Which application is meant, and how its server is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelat.doctor.of_app_command import Target, command_in, target_of
from voicelat.errors import UsageError


def test_a_module_is_imported_from_the_folder(tmp_path: Path) -> None:
    assert target_of("package.server:app", tmp_path) == Target("package.server", "app", tmp_path)
    assert target_of("server", tmp_path) == Target("server", None, tmp_path)


def test_a_file_of_a_package_is_imported_as_a_part_of_it(tmp_path: Path) -> None:
    package = tmp_path / "bot" / "web"
    package.mkdir(parents=True)
    for file in (tmp_path / "bot" / "__init__.py", package / "__init__.py", package / "app.py"):
        file.touch()
    found = target_of("bot/web/app.py:create_app()", tmp_path)
    assert found == Target("bot.web.app", "create_app()", tmp_path)


@pytest.mark.parametrize(
    "text", ["", "no-module:app", "a..b", "missing.py:app", "https://x.example"]
)
def test_what_is_neither_says_what_to_give(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give package\.module:app or path/to/file\.py:app"):
        target_of(text, tmp_path)


def test_gunicorn_is_started_as_the_procfile_says_but_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text(
        "release: ./migrate\n"
        "web: env A=1 gunicorn -w 4 -k gthread --threads=8 -b 0.0.0.0:$PORT --reload bot:app\n"
    )
    command = command_in(tmp_path, environ={})
    assert command.server == "gunicorn"
    assert command.arguments == ("-w", "4", "-k", "gthread", "--threads=8", "--reload")
    assert command.debug == ("--reload",)
    assert command.source == "Procfile:2"


def test_uvicorns_way_with_sockets_is_taken_from_the_procfile(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text(
        "web: uvicorn bot:app --ws wsproto --ws-per-message-deflate false --reload\n"
    )
    command = command_in(tmp_path, environ={})
    assert (command.server, command.ws, command.deflate) == ("uvicorn", "wsproto", False)
    assert command.debug == ("--reload",)


def test_gunicorns_own_places_name_it_too(tmp_path: Path) -> None:
    assert command_in(tmp_path, environ={}).server is None
    environ = {"GUNICORN_CMD_ARGS": "--threads 4"}
    assert command_in(tmp_path, environ=environ).source == "GUNICORN_CMD_ARGS"
    (tmp_path / "gunicorn.conf.py").touch()
    assert command_in(tmp_path, environ={}).source == "gunicorn.conf.py"


def test_a_worker_that_is_given_comes_before_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: gunicorn -k sync bot:app\n")
    assert command_in(tmp_path, worker="gevent").arguments == ("-k", "sync", "-k", "gevent")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_no_procfile_breaks_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "Procfile").write_text(f"web: gunicorn {text}", encoding="utf-8")
    assert command_in(tmp_path, environ={}).server in ("gunicorn", "uvicorn", None)
