"""What workers share: tokens that work once, and the count of calls."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelat.errors import UsageError
from voicelat.serve.crew import Crew, FolderTokens, Place, place_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Crew.prepare(tmp_path, 3)
    return tmp_path


def tokens(folder: Path, life_s: float = 60.0, most: int = 100) -> FolderTokens:
    return FolderTokens(folder / "tokens", life_s, most)


def test_a_token_of_one_worker_works_at_another_and_only_once(folder: Path) -> None:
    issued = tokens(folder).issue(0.0)
    elsewhere = tokens(folder)
    assert elsewhere.redeem(issued, 0.0)
    assert not elsewhere.redeem(issued, 0.0)


def test_of_many_that_redeem_a_token_at_once_one_succeeds(folder: Path) -> None:
    for _ in range(20):
        issued = tokens(folder).issue(0.0)
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda _, t=issued: tokens(folder).redeem(t, 0.0), range(8)))
        assert sum(won) == 1


def test_an_old_token_works_no_more_and_is_tidied_away(folder: Path) -> None:
    mine = tokens(folder)
    old = mine.issue(0.0)
    past = time.time() - 61
    os.utime(folder / "tokens" / old, (past, past))
    assert not mine.redeem(old, 0.0)
    older = mine.issue(0.0)
    os.utime(folder / "tokens" / older, (past, past))
    tokens(folder).issue(0.0)  # a worker's first one tidies
    assert not (folder / "tokens" / older).exists()


def test_tokens_nobody_comes_for_are_bounded(folder: Path) -> None:
    mine = tokens(folder, most=10)
    for _ in range(200):
        mine.issue(0.0)
    assert len(list((folder / "tokens").iterdir())) <= 10 + 64


@given(st.text(max_size=60) | st.sampled_from(["../calls", "/etc/passwd", ".", "a" * 43, "\x00"]))
def test_no_text_that_was_not_issued_is_a_token(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("crew")
    Crew.prepare(folder, 1)
    assert not tokens(folder).redeem(text, 0.0)
    assert (folder / "calls").exists()


def test_calls_are_counted_over_all_workers(folder: Path) -> None:
    crews = [Crew(Place(folder=str(folder), index=n, workers=3, port=1)) for n in range(3)]
    for crew, calls in zip(crews, (4, 0, 7), strict=True):
        crew.note_calls(calls)
    assert [crew.calls for crew in crews] == [11, 11, 11]


def test_a_place_that_is_none_is_told() -> None:
    assert place_of(None) is None
    with pytest.raises(UsageError, match="supervisor"):
        place_of("nonsense")
