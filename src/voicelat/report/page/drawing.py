"""What every picture has in common: plotly's code, and a look of ours.

Colours are CSS variables, ``var(--ink)``: the page resolves them when it draws, so one palette
serves light, dark and print.
"""

from __future__ import annotations

import json
from typing import Any

from voicelat.errors import MissingExtra
from voicelat.report.page.frame import Json

__all__ = ["drawing_code", "figure_json", "layout"]


def drawing_code(page: str) -> str:
    """The JavaScript that draws: all of plotly.js. Raises MissingExtra, for the sake of ``page``,
    without plotly."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtra("html", page) from None
    return str(get_plotlyjs())


def layout() -> Json:
    """Of a figure: no look of plotly's, and the colours of the page."""
    axis = {
        "gridcolor": "var(--rule)",
        "linecolor": "var(--rule)",
        "zerolinecolor": "var(--rule)",
        "tickfont": {"color": "var(--soft)", "size": 12},
        "title": {"font": {"color": "var(--soft)", "size": 13}, "standoff": 10},
        "ticks": "",
    }
    return {
        "template": "none",  # none of plotly's looks
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "color": "var(--ink)", "size": 13},
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {
            "bgcolor": "var(--card)",
            "bordercolor": "var(--soft)",
            "font": {"family": "system-ui, sans-serif", "color": "var(--ink)", "size": 13},
            "align": "left",
        },
        "hovermode": "closest",
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": "var(--soft)",
            "activecolor": "var(--accent)",
        },
    }


def figure_json(figure: Any) -> Json:
    """A plotly figure as the page reads it."""
    drawn: Json = json.loads(figure.to_json())
    return drawn
