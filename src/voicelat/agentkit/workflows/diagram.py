"""A workflow as a picture: Mermaid text for documents, or one SVG that needs nothing.

Labels may be in any script. The SVG leaves the direction of each to its own letters, so Hebrew
reads from the right; it carries light and dark colours itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from html import escape
from typing import Final, Literal, assert_never

from voicelat.agentkit.workflows.check import topological
from voicelat.agentkit.workflows.graph import (
    Ask,
    Branch,
    Call,
    Classify,
    End,
    Node,
    Workflow,
    following,
)
from voicelat.agentkit.workflows.layout import layout

__all__ = ["diagram", "label_of"]

_LONGEST: Final = 26
"""Characters of a line in a box."""
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 190, 54, 26, 64, 20
_STYLE: Final = """
svg { color-scheme: light dark; --ground: #ffffff; --ink: #1b1d22; --soft: #5d6470;
  --line: #8a919e; --classify: #ece5fa; --agent: #e2edfb; --tool: #e2f3ea; --branch: #fdf1dc;
  --end: #ecebe7 }
@media (prefers-color-scheme: dark) { svg { --ground: #14161a; --ink: #eceef2; --soft: #a3abb8;
  --line: #6d7583; --classify: #34294d; --agent: #1f3350; --tool: #1d3b2d; --branch: #45371b;
  --end: #2b2e35 } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); text-anchor: middle;
  unicode-bidi: plaintext }
.kind, .way { font-size: 11px; fill: var(--soft) }
.way { paint-order: stroke; stroke: var(--ground); stroke-width: 4px }
.edge { fill: none; stroke: var(--line); stroke-width: 1.4 }
"""


def diagram(workflow: Workflow, kind: Literal["mermaid", "svg"]) -> str:
    """The picture of a workflow that has been checked."""
    match kind:
        case "mermaid":
            return "\n".join(_mermaid(workflow))
        case "svg":
            return "\n".join(_svg(workflow)) + "\n"
        case _:
            assert_never(kind)


def label_of(name: str, node: Node) -> str:
    """What people read in a box."""
    if node.label is not None:
        return node.label
    return node.tool if isinstance(node, Call) else name


def _does(node: Node) -> str:
    """The kind of a node in words, with who does it."""
    match node:
        case Classify():
            return f"intent, {node.agent}"
        case Ask():
            return f"agent, {node.agent}"
        case Call():
            return "tool" if node.label is None else node.tool
        case Branch():
            return "branch"
        case End():
            return "end"


def _ways(node: Node) -> Iterator[tuple[str, str]]:
    """(next node, all that leads there): one arrow for a pair of nodes."""
    said: dict[str, list[str]] = {}
    for words, then in following(node):
        said.setdefault(then, []).append(words or "")
    for then, some in said.items():
        yield then, " / ".join(words for words in some if words)


def _mermaid(workflow: Workflow) -> Iterator[str]:
    shapes = {Classify: ("([", "])"), Branch: ("{", "}"), End: ("((", "))"), Ask: ("[", "]")}
    yield "flowchart TD"
    order = topological(workflow)
    for name in order:
        node = workflow.nodes[name]
        opened, closed = shapes.get(type(node), ("[[", "]]"))
        yield f'    {name}_{opened}"{_mermaid_text(label_of(name, node))}"{closed}'
    for name in order:
        for then, words in _ways(workflow.nodes[name]):
            said = f'|"{_mermaid_text(words)}"|' if words else ""
            yield f"    {name}_ -->{said} {then}_"


def _mermaid_text(text: str) -> str:
    """Mermaid reads ``#35;`` as a character, and nothing else may begin markup."""
    return "".join(
        c if c.isalnum() or c in " _.,'?!:/=-" or unicodedata.category(c)[0] == "M"
        else f"#{ord(c)};"
        for c in text
    )  # fmt: skip


# -- the SVG -----------------------------------------------------------------------------------


def _svg(workflow: Workflow) -> Iterator[str]:
    laid = layout(workflow)
    layers = max(layer for _, layer in laid.place.values()) + 1
    width = round(laid.width * (_WIDTH + _GAP_X) - _GAP_X + 2 * _EDGE)
    height = layers * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _EDGE
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img" aria-label="{_said(workflow.name)}">'
    )
    yield f"<title>{_said(workflow.about or workflow.name)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield f'<rect width="{width}" height="{height}" style="fill: var(--ground)"/>'
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
        ' markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" style="fill: var(--line)"/>'
        "</marker></defs>"
    )
    words = {
        (name, then): said for name in laid.place for then, said in _ways(workflow.nodes[name])
    }
    for name, then, between in laid.ways:
        yield from _edge(laid.place[name], between, laid.place[then], words[name, then])
    for name, (column, layer) in laid.place.items():
        yield from _box(label_of(name, workflow.nodes[name]), workflow.nodes[name], column, layer)
    yield "</svg>"


def _centre(column: float, layer: int) -> tuple[float, float]:
    return (
        _EDGE + _WIDTH / 2 + column * (_WIDTH + _GAP_X),
        _EDGE + _HEIGHT / 2 + layer * (_HEIGHT + _GAP_Y),
    )


def _edge(
    one: tuple[float, int], between: list[tuple[float, int]], two: tuple[float, int], words: str
) -> Iterator[str]:
    x, y = _centre(*one)
    y += _HEIGHT / 2
    path = [f"M{x:.0f} {y:.0f}"]
    first: tuple[float, float] | None = None
    for stop in [*between, two]:
        to_x, middle = _centre(*stop)
        to_y = middle - _HEIGHT / 2
        half = (y + to_y) / 2
        path.append(f"C{x:.0f} {half:.0f} {to_x:.0f} {half:.0f} {to_x:.0f} {to_y:.0f}")
        if first is None:
            first = ((x + to_x) / 2, half)
        if stop != two:
            to_y += _HEIGHT
            path.append(f"V{to_y:.0f}")
        x, y = to_x, to_y
    yield f'<path class="edge" d="{" ".join(path)}" marker-end="url(#tip)"/>'
    if words and first is not None:
        lines = _lines(words, 2)
        for index, line in enumerate(lines):
            at_y = first[1] + 4 + 13 * (index - (len(lines) - 1) / 2)
            yield f'<text class="way" x="{first[0]:.0f}" y="{at_y:.0f}">{_said(line)}</text>'


def _box(label: str, node: Node, column: float, layer: int) -> Iterator[str]:
    x, y = _centre(column, layer)
    kind = str(node.__struct_config__.tag)
    radius = {"classify": 27, "end": 27, "branch": 4}.get(kind, 10)
    yield (
        f'<rect x="{x - _WIDTH / 2:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" rx="{radius}" style="fill: var(--{kind})"/>'
    )
    lines = _lines(label, 2)
    top = y - 2 - 15 * (len(lines) - 1) / 2 - (2 if len(lines) > 1 else 0)
    for index, line in enumerate(lines):
        yield f'<text x="{x:.0f}" y="{top + 15 * index:.0f}">{_said(line)}</text>'
    yield f'<text class="kind" x="{x:.0f}" y="{y + 19:.0f}">{_said(_does(node))}</text>'


def _lines(text: str, most: int) -> list[str]:
    """The words in lines; what does not fit ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _LONGEST:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    shown = [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…" for line in lines]
    return shown if len(shown) <= most else [*shown[: most - 1], f"{shown[most - 1]}…"]


def _said(text: str) -> str:
    """Text that comes from outside, without what XML cannot hold."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
