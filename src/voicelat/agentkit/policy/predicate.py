"""Conditions on the arguments of a tool, such as ``len(text) > 500 or to_phone != null``.

A small language inside Python's own grammar: comparisons, ``in``, ``len``, and/or/not, the
names of arguments, and ``changes["key"]`` for a field of an object, or of every object of a
list. A list is ``in`` another when all of it is. Nothing else parses: no attributes, no other
calls, no arithmetic.

It has no falsy values and no conversions. A comparison of different kinds, a name that is not
there, a condition that is neither true nor false: all of these are `Unreadable`, which is never
a yes. Only null may be compared with anything.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from voicelat.errors import VoicelatError

__all__ = ["InvalidPredicate", "Predicate", "Unreadable"]

_MAX_CHARS: Final = 500
_MAX_DEPTH: Final = 20
_WORDS: Final[Mapping[str, bool | None]] = {"null": None, "true": True, "false": False}
"""As YAML and JSON write them; Python's own spelling works too."""

_Names = Mapping[str, Any]
_Value = Callable[[_Names], Any]
"""A part of a condition, ready to be asked. Raises Unreadable."""


class InvalidPredicate(VoicelatError):
    """A text is not a condition of this language."""


class Unreadable(VoicelatError):
    """The arguments do not have what the condition asks about."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition. Made by `Predicate.parse`."""

    text: str
    _truth: Callable[[_Names], bool] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Predicate:
        """Raises InvalidPredicate, and nothing else, for any text."""
        if len(text) > _MAX_CHARS:
            raise InvalidPredicate(f"a condition has at most {_MAX_CHARS} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise InvalidPredicate(f"cannot read the condition {text!r}") from None
        return cls(text, _condition(tree, 0))

    def holds(self, arguments: _Names) -> bool:
        """Whether it is true of these arguments. Raises Unreadable, and nothing else."""
        return self._truth(arguments)


# -- reading a condition -------------------------------------------------------------------


def _part(node: ast.expr, depth: int) -> _Value:
    """Raises InvalidPredicate for what the language does not have."""
    if depth > _MAX_DEPTH:
        raise InvalidPredicate("the condition is nested too deep")
    read = _PARTS.get(type(node))
    if read is None or (value := read(node, depth + 1)) is None:
        raise InvalidPredicate(
            f"{ast.unparse(node)!r} is not allowed in a condition; there are comparisons, in,"
            ' len, and, or, not, names of arguments and changes["key"]'
        )
    return value


def _condition(node: ast.expr, depth: int) -> Callable[[_Names], bool]:
    part, says = _part(node, depth), ast.unparse(node)

    def truth(names: _Names) -> bool:
        value = part(names)
        if not isinstance(value, bool):
            raise Unreadable(f"{says} is neither true nor false")
        return value

    return truth


def _bool_op(node: ast.BoolOp, depth: int) -> _Value:
    parts = [_condition(each, depth) for each in node.values]
    if isinstance(node.op, ast.And):
        return lambda names: all(part(names) for part in parts)
    return lambda names: any(part(names) for part in parts)


def _unary(node: ast.UnaryOp, depth: int) -> _Value | None:
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            part = _condition(operand, depth)
            return lambda names: not part(names)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=number)):
            if isinstance(number, int | float) and not isinstance(number, bool):
                return lambda _: -number
    return None


def _compare(node: ast.Compare, depth: int) -> _Value | None:
    first = _part(node.left, depth)
    rest = [_part(each, depth) for each in node.comparators]
    found = [_COMPARISONS.get(type(op)) for op in node.ops]
    comparisons = [each for each in found if each is not None]
    if len(comparisons) < len(rest):
        return None

    def compared(names: _Names) -> bool:
        left = first(names)
        for holds, part in zip(comparisons, rest, strict=True):
            right = part(names)
            if not holds(left, right):
                return False
            left = right
        return True

    return compared


def _call(node: ast.Call, depth: int) -> _Value | None:
    match node:
        case ast.Call(func=ast.Name(id="len"), args=[argument], keywords=[]):
            part, says = _part(argument, depth), ast.unparse(argument)
            return lambda names: _length(part(names), says)
    return None


def _subscript(node: ast.Subscript, depth: int) -> _Value | None:
    match node.slice:
        case ast.Constant(value=str(key)):
            part, says = _part(node.value, depth), ast.unparse(node.value)
            return lambda names: _field(part(names), key, says)
    return None


def _sequence(node: ast.List | ast.Tuple, depth: int) -> _Value | None:
    items = [each.value for each in node.elts if isinstance(each, ast.Constant)]
    return (lambda _: items) if len(items) == len(node.elts) else None


def _name(node: ast.Name, _depth: int) -> _Value:
    name = node.id

    def named(names: _Names) -> Any:
        if name in names:
            return names[name]
        if name in _WORDS:
            return _WORDS[name]
        raise Unreadable(f"there is no argument {name}")

    return named


def _constant(node: ast.Constant, _depth: int) -> _Value | None:
    value = node.value
    return (lambda _: value) if isinstance(value, str | int | float | None) else None


_PARTS: Final[Mapping[type[ast.expr], Callable[[Any, int], _Value | None]]] = {
    ast.BoolOp: _bool_op,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.Call: _call,
    ast.Subscript: _subscript,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.Name: _name,
    ast.Constant: _constant,
}
"""What a condition may be made of, and how each is read."""


# -- asking it -----------------------------------------------------------------------------


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "truth value"
        case int() | float():
            return "number"
        case str():
            return "text"
        case _:
            return "list or object"


def _same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if (kind := _kind(left)) != _kind(right) or kind == "list or object":
        raise Unreadable(f"a {_kind(left)} cannot equal a {_kind(right)}")
    return bool(left == right)


def _inside(item: Any, many: Any) -> bool:
    if isinstance(many, str) and isinstance(item, str):
        return item in many
    if not isinstance(many, list):
        raise Unreadable("in needs a list, or a text in a text")
    if isinstance(item, list):
        return all([_inside(each, many) for each in item if _single(each)])  # noqa: C419 - below
    # Every one is compared: whether a list can be read must not depend on its order.
    return any([_same(item, each) for each in many])  # noqa: C419


def _single(value: Any) -> bool:
    if isinstance(value, list | dict):
        raise Unreadable("a list of lists is in nothing")
    return True


def _ordered(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if (kind := _kind(left)) != _kind(right) or kind not in ("number", "text"):
            raise Unreadable("only two numbers or two texts have an order")
        return holds(left, right)

    return compared


_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: _same,
    ast.Is: _same,
    ast.NotEq: lambda left, right: not _same(left, right),
    ast.IsNot: lambda left, right: not _same(left, right),
    ast.In: _inside,
    ast.NotIn: lambda left, right: not _inside(left, right),
    ast.Lt: _ordered(lambda left, right: bool(left < right)),
    ast.LtE: _ordered(lambda left, right: bool(left <= right)),
    ast.Gt: _ordered(lambda left, right: bool(left > right)),
    ast.GtE: _ordered(lambda left, right: bool(left >= right)),
}


def _length(value: Any, says: str) -> int:
    if isinstance(value, str | list):
        return len(value)
    raise Unreadable(f"{says} has no length")


def _field(value: Any, key: str, says: str) -> Any:
    if isinstance(value, dict) and key in value:
        return value[key]
    if isinstance(value, list) and all(isinstance(each, dict) and key in each for each in value):
        return [each[key] for each in value]
    raise Unreadable(f"{says} has no {key}")
