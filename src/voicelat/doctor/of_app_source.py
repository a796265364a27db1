"""What can be read in an application's own source, and be shown by file and line.

Only what the probe cannot measure is read, and only patterns that have one meaning.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["Reading", "read_source"]

_WALL: Final = ("time.time", "datetime.now", "datetime.utcnow", "datetime.datetime.now")
_SLEEPS: Final = ("sleep", "time.sleep", "asyncio.sleep", "eventlet.sleep", "gevent.sleep")
_FRAME_S: Final = (0.015, 0.025)
_RECEIVES: Final = ("receive", "receive_text", "receive_json", "recv", "iter_text", "iter_json")
_LOGS: Final = ("debug", "info", "warning", "error")
_ROLLS_OVER: Final = ("OutOfRange", "OUT_OF_RANGE", "rollover", "roll_over", "305", "restart")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Reading:
    """What was found, each as ``file:line: code``."""

    files: int = 0
    unread: list[str] = field(default_factory=list)
    """Files that are no Python of this version, or cannot be read."""
    wall_clock: list[str] = field(default_factory=list)
    """Differences of the wall clock."""
    pacing: list[str] = field(default_factory=list)
    """Loops that send audio by sleeping one frame."""
    printing: list[str] = field(default_factory=list)
    """Prints and log calls for each message of the media socket."""
    streams: list[str] = field(default_factory=list)
    """Recogniser streams, of an application where nothing speaks of a rollover."""


def read_source(files: Sequence[str], folder: Path) -> Reading:
    """Read these files; places are given as seen from ``folder``."""
    reading = Reading()
    streams: list[str] = []
    rolls_over = False
    for file in files:
        try:
            text = Path(file).read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError) as error:
            reading.unread.append(f"{file}: {error}")
            continue
        reading.files += 1
        source = _Source(_seen_from(file, folder), text.splitlines())
        rolls_over = rolls_over or any(word in text for word in _ROLLS_OVER)
        reading.wall_clock += source.lines(_wall_differences(tree))
        reading.pacing += source.lines(_paced_loops(tree))
        reading.printing += source.lines(_printing_loops(tree))
        streams += source.lines(_calls(tree, "streaming_recognize"))
    if not rolls_over:
        reading.streams = streams
    return reading


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    text: Sequence[str]

    def lines(self, nodes: Iterable[ast.expr]) -> list[str]:
        numbers = sorted({node.lineno for node in nodes})
        return [f"{self.name}:{number}: {self.text[number - 1].strip()}" for number in numbers]


def _seen_from(file: str, folder: Path) -> str:
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _dotted(node: ast.expr) -> str:
    """``time.time`` of the expression of that name; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _called(node: ast.AST) -> str:
    return _dotted(node.func) if isinstance(node, ast.Call) else ""


def _wall_differences(tree: ast.AST) -> Iterator[ast.expr]:
    """Subtractions of which one side is the wall clock, or a name that was set from it."""
    wall_names = {
        _dotted(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _called(node.value) in _WALL
        for target in node.targets
    } - {""}

    def is_wall(node: ast.expr) -> bool:
        return _called(node) in _WALL or _dotted(node) in wall_names

    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            sides = (node.left, node.right)
            # Both: `time.time() - 3600` is a date, and no latency.
            if all(map(is_wall, sides)):
                yield node


def _loops(tree: ast.AST) -> Iterator[ast.For | ast.AsyncFor | ast.While]:
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            yield node


def _paced_loops(tree: ast.AST) -> Iterator[ast.expr]:
    """Sleeps of a constant frame, in a loop that sends."""
    for loop in _loops(tree):
        calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
        if not any(_called(call).rsplit(".", 1)[-1].startswith("send") for call in calls):
            continue
        for call in calls:
            if _called(call) in _SLEEPS and call.args and _is_frame(call.args[0]):
                yield call


def _is_frame(node: ast.expr) -> bool:
    low, high = _FRAME_S
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, float) and low <= value <= high


def _printing_loops(tree: ast.AST) -> Iterator[ast.expr]:
    """Prints and log calls straight in the body of a loop that receives: not under an ``if``."""
    for loop in _loops(tree):
        head = loop.iter if isinstance(loop, ast.For | ast.AsyncFor) else None
        straight = [node for node in loop.body if isinstance(node, ast.Expr | ast.Assign)]
        heads: list[ast.AST] = [*straight, *([head] if head is not None else [])]
        if not any(
            _called(node).rsplit(".", 1)[-1] in _RECEIVES
            for part in heads
            for node in ast.walk(part)
        ):
            continue
        for statement in straight:
            if isinstance(statement, ast.Expr) and _is_output(statement.value):
                yield statement.value


def _is_output(node: ast.expr) -> bool:
    owner, _, name = _called(node).rpartition(".")
    return name == "print" or (name in _LOGS and "log" in owner.lower())


def _calls(tree: ast.AST, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node).rsplit(".", 1)[-1] == name:
            yield node
