"""A stream token works once, at whichever worker, and not for long."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.serve.shared_tokens import SharedTokens

WORKERS, MOST = 4, 500


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SharedTokens.prepare(tmp_path / "tokens", WORKERS, MOST)
    return tmp_path / "tokens"


def worker(path: Path, index: int) -> SharedTokens:
    return SharedTokens(path, index, WORKERS, 60.0, MOST)


def test_a_token_of_one_worker_works_at_another_and_only_once(path: Path) -> None:
    issuer, other = worker(path, 0), worker(path, 3)
    token = issuer.issue(0)
    assert other.redeem(token, 1)
    assert not other.redeem(token, 1)
    assert not issuer.redeem(token, 1)


def test_a_token_works_until_its_life_is_over(path: Path) -> None:
    issuer, other = worker(path, 0), worker(path, 1)
    in_time, too_late = issuer.issue(0), issuer.issue(0)
    assert other.redeem(in_time, 59.9)
    assert not other.redeem(too_late, 60)
    assert not other.redeem(too_late, 1)


def test_beyond_the_limit_the_oldest_token_is_forgotten(path: Path) -> None:
    issuer, other = worker(path, 1), worker(path, 2)
    kept = other.issue(0)
    first, second = issuer.issue(0), issuer.issue(0)
    for _ in range(MOST - 1):
        issuer.issue(0)
    assert not other.redeem(first, 1)
    assert other.redeem(second, 1)
    assert issuer.redeem(kept, 1)


def test_a_worker_started_again_forgets_no_fresh_token(path: Path) -> None:
    before = worker(path, 1)
    tokens = [before.issue(float(second)) for second in range(MOST - 1)]
    again = worker(path, 1)
    again.issue(MOST)
    assert sum(again.redeem(token, 1) for token in tokens) == MOST - 1


@settings(deadline=None)  # a folder each
@given(st.text(max_size=60) | st.integers(0).map(lambda place: f"{place}.{'A' * 43}"))
def test_no_text_that_was_not_issued_is_a_token(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("crew") / "tokens"
    SharedTokens.prepare(path, WORKERS, MOST)
    issued = worker(path, 0).issue(0)
    assert not worker(path, 1).redeem(text, 1)
    assert worker(path, 1).redeem(issued, 1)


REDEEM = """
import json, sys
from pathlib import Path
from voicelat.serve.shared_tokens import SharedTokens

path, index, workers, most = sys.argv[1:]
mine = SharedTokens(Path(path), int(index), int(workers), 60.0, int(most))
print("ready", flush=True)
print(json.dumps([token for token in json.loads(sys.stdin.readline()) if mine.redeem(token, 1)]))
"""


def test_of_processes_that_redeem_a_token_at_once_one_succeeds(path: Path) -> None:
    issuer = worker(path, 0)
    tokens = [issuer.issue(0) for _ in range(MOST)]
    won: Counter[str] = Counter()
    with ExitStack() as stack:
        tries = [stack.enter_context(redeemer(path, index)) for index in range(WORKERS)]
        for one in tries:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in tries:
            assert one.stdin is not None
            one.stdin.write(f"{json.dumps(tokens)}\n")
            one.stdin.flush()
        for one in tries:
            won.update(json.loads(one.communicate()[0]))
    assert won == dict.fromkeys(tokens, 1)


def redeemer(path: Path, index: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", REDEEM, str(path), str(index), str(WORKERS), str(MOST)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
