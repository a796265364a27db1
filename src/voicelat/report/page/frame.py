"""The frame of every page: one HTML file without a network, readable on a phone and on paper.

What a page says may come from outside: all such text passes through `said`. The page's own policy
lets a browser run nothing but the scripts in it and load nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import Any, Final

from voicelat import __version__

__all__ = [
    "NO_SCRIPT",
    "Colours",
    "Json",
    "asset",
    "document",
    "row",
    "said",
    "section",
    "shown",
    "table",
]

Json = dict[str, Any]
Colours = Mapping[str, tuple[str, str]]
"""CSS variable -> its colour in light (and print), and in dark."""

_COLOURS: Final[Colours] = {
    "ground": ("#f6f5f2", "#14161a"),
    "card": ("#ffffff", "#1d2026"),
    "ink": ("#1b1d22", "#eceef2"),
    "soft": ("#5d6470", "#a3abb8"),
    "rule": ("#e3e2dd", "#31353e"),
    "accent": ("#6a3fc0", "#b79bf5"),
    "good": ("#12704a", "#5fd3a2"),
    "warn": ("#8a5200", "#f2c57c"),
    "warn-ground": ("#fff4df", "#33290f"),
    "bad": ("#b3261e", "#ff8a80"),
}

NO_SCRIPT: Final = '<noscript><p class="note">The pictures need JavaScript.</p></noscript>'


def document(
    title: str,
    body: str,
    *,
    figures: Json,
    scripts: Iterable[str],
    style: str,
    colours: Colours | None = None,
) -> str:
    """The whole file. ``figures`` is what the scripts read as ``page.drawn``; ``scripts`` run in
    their order, behind the frame's own."""
    every = [*scripts]
    every.insert(1, asset(__package__, "frame.js"))
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in every)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    )
    # "<" as an escape: no text in the data can close the script element.
    data = json.dumps(figures, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    styles = f"{_palette({**_COLOURS, **(colours or {})})}{asset(__package__, 'frame.css')}{style}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>\n{styles}</style>\n</head>\n<body>",
            f"<main>\n{_THEME}\n{body}\n<footer>voicelat {escape(__version__)}</footer>\n</main>",
            f'<script type="application/json" id="figures">{data}</script>',
            *(f"<script>{script}</script>" for script in every),
            "</body>\n</html>\n",
        ]
    )


_THEME: Final = '<button type="button" id="theme" hidden>Light or dark</button>'


def _palette(colours: Colours) -> str:
    """Light unless the reader's system, or the reader, wants dark; paper is always light."""
    light, dark = (
        " ".join(f"--{name}: {pair[index]};" for name, pair in colours.items()) for index in (0, 1)
    )
    wished = ':root[data-theme="dark"]:not([data-print])'
    system = ':root:not([data-theme="light"]):not([data-print])'
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ {system} {{ {dark} }} }}\n"
        f"{wished} {{ color-scheme: dark; {dark} }}\n"
        ':root[data-theme="light"] { color-scheme: light; }\n'
    )


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def asset(package: str, name: str) -> str:
    """A style or a script that stands in a package as a file of its own."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def shown(text: str) -> str:
    """Text from outside that cannot steer what shows it.

    Control, direction and broken characters are written as escapes, not dropped.
    """
    return "".join(
        _code(char) if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in text
    )


def _code(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def said(text: str) -> str:
    """Text from outside: escaped, unable to steer the page, and of whatever direction it is."""
    return f'<bdi dir="auto">{escape(shown(text))}</bdi>'


def section(title: str, *parts: str, kind: str = "", anchor: str = "") -> str:
    """A card of the page. ``anchor``: its id."""
    inner = "\n".join(part for part in parts if part)
    head = f"<h2>{title}</h2>\n" if title else ""
    place = f' id="{anchor}"' if anchor else ""
    return f'<section class="{kind}"{place}>\n{head}{inner}\n</section>'


def table(heads: Iterable[str], bodies: Iterable[Iterable[str]]) -> str:
    """A table of `row`s in one or more bodies; a wide one scrolls by itself."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "\n".join(f"<tbody>{''.join(body)}</tbody>" for body in bodies)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n{rows}</table></div>'


def row(name: str, cells: Iterable[str], kind: str = "") -> str:
    """One row; name and cells are HTML."""
    inner = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="{kind}"><th scope="row">{name}</th>{inner}</tr>'
