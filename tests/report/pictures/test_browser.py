"""The page in a real browser: what it draws, sorts and shows, and that it asks for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.report.pictures.calls import made_up, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("plotly", reason="the html extra is not installed")
CHROMIUM = shutil.which("chromium")

ROWS = "#waterfall .ytick text"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of the usual calls, opened; fails on whatever a browser complains of."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_of(made_up()), encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        complaints: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(ROWS)
        yield page
        assert complaints == []
        assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
        browser.close()


def rows(page: Page) -> list[str]:
    """The turns of the waterfall, from top to bottom, without the signs that keep directions."""
    texts = page.locator(ROWS).all_text_contents()
    return [text.translate({0x2068: None, 0x2069: None}) for text in texts]


def test_every_picture_is_drawn(shown: Page) -> None:
    for name in ("ecdf", "legs", "waterfall", "time", "reasons", "events", "timeline"):
        assert shown.locator(f"#{name} .main-svg").count() > 0, name


def test_turns_can_be_sorted_either_way_and_paged(shown: Page) -> None:
    slowest = rows(shown)
    assert slowest[:2] == ["CA7 #6", "CA5 #5"]
    shown.click("#reverse")
    assert not set(rows(shown)) & set(slowest[:5])
    shown.click("#reverse")
    shown.select_option("#sort", "order")
    assert rows(shown)[:2] == ["CA0 #1", "CA0 #2"]
    shown.click("#on")
    assert rows(shown)[0] == "CA5 #1"
    assert shown.inner_text("#window") == "31\u201348 of 48"
    shown.select_option("#sort", "llm")
    assert rows(shown)[:2] == slowest[:2]


def test_a_turn_of_the_diagnosis_opens_its_call(shown: Page) -> None:
    shown.click("a[data-call='5'][data-turn='5'] >> nth=0")
    assert shown.input_value("#which") == "5"
    low, high = shown.evaluate("document.getElementById('timeline').layout.xaxis.range")
    start = next(t for t in made_up() if (t.call_id, t.turn) == ("CA5", 5)).stamps.speech_start
    assert start is not None
    assert low < start / 1000 < high


def test_dark_is_one_click_away_and_the_pictures_follow(shown: Page) -> None:
    fill = "getComputedStyle(document.querySelector('#ecdf .xtick text')).fill"
    light = shown.evaluate(fill)
    shown.click("#theme")
    assert shown.evaluate(fill) != light
    shown.click("#theme")
    assert shown.evaluate(fill) == light


def test_it_prints(shown: Page, tmp_path: Path) -> None:
    printed = shown.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") <= 12
