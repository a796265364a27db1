"""The import contracts hold, and each of them can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of ``folder``'s pyproject.toml against the package in its src/."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(copy: Path) -> None:
    checked = lint_imports(copy)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("module", "planted", "broken"),
    [
        ("turn/events.py", "import asyncio", "The pure core"),
        ("caller/__init__.py", "from time import monotonic", "The pure core"),
        ("clock.py", "import voicelat.engine", "Each layer"),
        ("turn/events.py", "import voicelat.twilio", "Each layer"),
        ("engine/logs.py", "import gevent", "The process that carries calls"),
        ("bridge/patched.py", "import eventlet.patcher", "The process that carries calls"),
        ("serve/app.py", "import voicelat.metrics.exporters.tables", "The process that carries"),
        ("agentkit/api.py", "import voicelat.agentkit.approver", "Agents cannot approve"),
        ("misc.py", "", "Each layer"),
    ],
)
def test_a_planted_violation_is_found(copy: Path, module: str, planted: str, broken: str) -> None:
    with (copy / "src" / "voicelat" / module).open("a") as file:
        file.write(f"\n{planted}\n")
    checked = lint_imports(copy)
    assert checked.returncode == 1
    assert "BROKEN" in next(line for line in checked.stdout.splitlines() if broken in line)
