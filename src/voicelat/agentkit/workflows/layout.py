"""Where the nodes of a graph stand in a picture: layers from the start down, few crossings.

A small version of the usual way (Sugiyama): longest paths give the layers, barycentres the order
within them, edges over several layers get a place in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from voicelat.agentkit.workflows.check import topological
from voicelat.agentkit.workflows.graph import Workflow, following

__all__ = ["Layout", "layout"]

_SWEEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """Nodes and edges on a grid: columns are halves of a node's width apart."""

    place: dict[str, tuple[float, int]]
    """Node -> (column, layer)."""
    ways: list[tuple[str, str, list[tuple[float, int]]]]
    """(from, to, the places in between) of every edge, each pair once."""
    width: float
    """Columns, the last one included."""


def layout(workflow: Workflow) -> Layout:
    """Place a graph without cycles."""
    order = topological(workflow)
    layer = _layers(workflow, order)
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in order:
        rows[layer[name]].append(name)
    edges: list[tuple[str, str]] = []
    chains: list[tuple[str, str, list[str]]] = []
    for name in order:
        for then in dict.fromkeys(then for _, then in following(workflow.nodes[name])):
            between = [f"{name}>{then}@{row}" for row in range(layer[name] + 1, layer[then])]
            for row, stop in enumerate(between, layer[name] + 1):
                rows[row].append(stop)
            chain = [name, *between, then]
            edges += pairwise(chain)
            chains.append((name, then, between))
    for sweep in range(_SWEEPS):
        _ordered(rows, edges, down=sweep % 2 == 0)
    column = _columns(rows, edges)
    at = {name: (column[name], row) for row, names in enumerate(rows) for name in names}
    return Layout(
        place={name: at[name] for name in order},
        ways=[(one, two, [at[stop] for stop in between]) for one, two, between in chains],
        width=max(column.values()) + 1,
    )


def _layers(workflow: Workflow, order: list[str]) -> dict[str, int]:
    layer = dict.fromkeys(order, 0)
    for name in order:
        for _, then in following(workflow.nodes[name]):
            layer[then] = max(layer[then], layer[name] + 1)
    return layer


def _neighbours(edges: list[tuple[str, str]], *, above: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one, two in edges:
        found.setdefault(two if above else one, []).append(one if above else two)
    return found


def _ordered(rows: list[list[str]], edges: list[tuple[str, str]], *, down: bool) -> None:
    """Bring each row in the order of its neighbours' middles."""
    beside = _neighbours(edges, above=down)
    for row in rows if down else reversed(rows):
        place = {name: at for names in rows for at, name in enumerate(names)}
        row.sort(
            key=lambda name: _middle([place[one] for one in beside.get(name, [])], place[name])
        )


def _middle(places: list[float] | list[int], own: float) -> float:
    return sum(places) / len(places) if places else own


def _columns(rows: list[list[str]], edges: list[tuple[str, str]]) -> dict[str, float]:
    """As near to its neighbours as the order of a row and a distance of 1 allow."""
    column = {name: float(at) for row in rows for at, name in enumerate(row)}
    both = (_neighbours(edges, above=True), _neighbours(edges, above=False))
    for sweep in range(_SWEEPS * 2):
        beside = both[sweep % 2]
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wished = [_middle([column[one] for one in beside.get(n, [])], column[n]) for n in row]
            column.update(zip(row, _spread(wished), strict=True))
    least = min(column.values())
    return {name: at - least for name, at in column.items()}


def _spread(wished: list[float]) -> list[float]:
    """The places nearest to those wished that are in order and 1 apart: the mean of pushing the
    crowd to the right and pushing it to the left."""
    right, left = list(wished), list(wished)
    for at in range(1, len(right)):
        right[at] = max(right[at], right[at - 1] + 1)
    for at in range(len(left) - 2, -1, -1):
        left[at] = min(left[at], left[at + 1] - 1)
    return [(one + two) / 2 for one, two in zip(right, left, strict=True)]
