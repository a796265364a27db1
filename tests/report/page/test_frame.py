"""The frame of a page says what it is given, and runs nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.report.page.parsed import Parsed, digest

from voicelat.report.page.frame import document, said, section, shown

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@given(st.text())
def test_shown_text_is_printable_and_keeps_what_is(text: str) -> None:
    safe = shown(text)
    safe.encode()
    assert shown(safe) == safe
    if text.isascii() and text.isprintable():
        assert safe == text


@given(st.text() | st.just(HOSTILE))
def test_text_and_figures_from_outside_stay_what_they_are(text: str) -> None:
    whole = document("t", section("s", said(text)), figures={"t": text}, scripts=["1;"], style="")
    found = Parsed(whole)
    assert len(found.scripts) == 3
    assert found.drawn == {"t": text}
    assert not any("alert" in name for _, attrs in found.tags for name in attrs)
    policy = next(a["content"] or "" for _, a in found.tags if "http-equiv" in a)
    assert all(digest(script) in policy for script in found.scripts[1:])


def test_paper_is_light_whatever_the_reader_wants() -> None:
    (style,) = Parsed(document("t", "", figures={}, scripts=["1;"], style="")).styles
    assert style.count("#14161a") == 2  # dark: by the system, and by the switch
    assert style.count(":not([data-print])") == 2
