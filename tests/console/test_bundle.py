"""The page that is shipped is the one that is written."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "voicelat" / "console" / "page"


def test_the_bundle_is_what_the_source_builds(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no Node here: the page is built by Node 20 or later")
    source = tmp_path / "console"
    shutil.copytree(ROOT / "console", source, ignore=shutil.ignore_patterns("node_modules"))
    env = {**os.environ, "OUT_DIR": str(tmp_path / "page")}
    install = [npm, "ci", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}")
    for script in ("check", "build"):
        done = subprocess.run(
            [npm, "run", script], cwd=source, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def files(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    assert files(tmp_path / "page") == files(PAGE), "build it again: make console"


def test_nothing_in_the_page_is_inline_or_from_elsewhere() -> None:
    index = (PAGE / "index.html").read_text()
    assert "<style" not in index
    assert index.count("<script") == index.count('<script type="module" crossorigin src="/assets/')
    assert "http" not in index.replace("https://www.w3.org", "")
