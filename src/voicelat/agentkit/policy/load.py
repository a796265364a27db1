"""policies.yaml, read: every mistake is named with its line.

YAML takes the last of two equal keys and lets one node stand in many places; in a file of
permissions both are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voicelat.agentkit.policy.predicate import InvalidPredicate, Predicate
from voicelat.agentkit.policy.rules import Environment, Limits, Policy, Price, Rate, Rule
from voicelat.errors import InvalidFile, MissingExtra

if TYPE_CHECKING:
    from yaml import Node

__all__ = ["BUILTIN", "load_policy", "read_policy"]

BUILTIN: Final = "builtin"
"""The name of the packaged policy."""

_MAX_CHARS: Final = 1_000_000
_MAX_DEPTH: Final = 20

_Path = tuple[str | int, ...]
_Lines = Mapping[_Path, int]


def load_policy(path: str | Path = BUILTIN) -> Policy:
    """The policy of a file, or the packaged one. Raises InvalidFile."""
    if path == BUILTIN:
        return _builtin()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InvalidFile(path, why) from None
    return read_policy(text, path)


@cache
def _builtin() -> Policy:
    return read_policy(_packaged("policies.yaml"), "policies.yaml")


def _packaged(name: str) -> str:
    return files("voicelat.agentkit.policy").joinpath(name).read_text(encoding="utf-8")


def read_policy(text: str, path: object) -> Policy:
    """The policy that ``text`` is; ``path`` names it in errors. Raises InvalidFile only."""
    data, lines = _parsed(text, path)
    _validate(data, lines, path)
    base = _builtin() if data.get("extends") == BUILTIN else Policy(environments={}, prices={})
    everywhere = _environment(data.get("everywhere", {}), lines, ("everywhere",), path)
    own = {
        name: _environment(rules, lines, ("environments", name), path)
        for name, rules in data["environments"].items()
    }
    prices = {name: Price(p["input"], p["output"]) for name, p in data.get("prices", {}).items()}
    none = Environment()
    return Policy(
        environments={
            name: _joined(base.environments.get(name, none), everywhere, own.get(name, none))
            for name in sorted(base.environments.keys() | own.keys())
        },
        prices={**base.prices, **prices},
    )


def _joined(*parts: Environment) -> Environment:
    return Environment(
        allow=tuple(rule for part in parts for rule in part.allow),
        deny=tuple(rule for part in parts for rule in part.deny),
        approve=tuple(rule for part in parts for rule in part.approve),
        rates=tuple(rate for part in parts for rate in part.rates),
        limits=tuple(limits for part in parts for limits in part.limits),
    )


# -- YAML with lines ------------------------------------------------------------------------


def _parsed(text: str, path: object) -> tuple[Any, _Lines]:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("agents", "a policy") from None
    if len(text) > _MAX_CHARS:
        raise InvalidFile(path, f"a policy has at most {_MAX_CHARS} characters")
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise InvalidFile(f"{path}:{line}", "write it out: a policy takes no aliases")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise InvalidFile(path, "it is empty; a policy needs version and environments")
        lines: dict[_Path, int] = {}
        return _read(root, (), lines, path), lines
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        where = path if mark is None else f"{path}:{mark.line + 1}"
        problem = getattr(error, "problem", None) or "no YAML"
        raise InvalidFile(where, str(problem).replace("\n", " ")) from None
    except RecursionError:
        raise InvalidFile(path, "it is nested too deep") from None


def _read(node: Node, at: _Path, lines: dict[_Path, int], path: object) -> Any:
    import yaml

    line = node.start_mark.line + 1
    lines[at] = line
    if len(at) > _MAX_DEPTH:
        raise InvalidFile(f"{path}:{line}", "it is nested too deep")
    if isinstance(node, yaml.SequenceNode):
        return [_read(each, (*at, i), lines, path) for i, each in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node, path)
    made: dict[str, Any] = {}
    for key, value in node.value:
        where = f"{path}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            raise InvalidFile(where, "a key must be a word")
        if key.value in made:
            raise InvalidFile(where, f"{key.value} comes twice")
        made[key.value] = _read(value, (*at, key.value), lines, path)
        lines[(*at, key.value)] = key.start_mark.line + 1
    return made


def _scalar(node: Node, path: object) -> Any:
    import yaml

    try:
        value = yaml.SafeLoader("").construct_object(node)
    except ValueError:
        where = f"{path}:{node.start_mark.line + 1}"
        raise InvalidFile(where, f"cannot read {node.value!r}") from None
    # Dates and bytes, which YAML has and a policy does not.
    return value if isinstance(value, str | int | float | None) else str(node.value)


# -- the schema ------------------------------------------------------------------------------


def _validate(data: Any, lines: _Lines, path: object) -> None:
    """Raises InvalidFile with the first mistake and its line, and how many more there are."""
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        raise MissingExtra("agents", "a policy") from None
    found = [
        (_line(lines, tuple(error.absolute_path)), tuple(error.absolute_path), error.message)
        for error in Draft202012Validator(_schema()).iter_errors(data)
    ]
    if not found:
        return
    line, at, message = min(found)
    place = ".".join(map(str, at))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    told = " ".join(message.split())[:300]
    raise InvalidFile(f"{path}:{line}", f"{place}: {told}{more}" if place else f"{told}{more}")


@cache
def _schema() -> Any:
    return json.loads(_packaged("policies.schema.json"))


def _line(lines: _Lines, at: _Path) -> int:
    while at not in lines:
        at = at[:-1]
    return lines[at]


# -- rules -----------------------------------------------------------------------------------


def _environment(data: Any, lines: _Lines, at: _Path, path: object) -> Environment:
    def rules(part: str) -> Iterator[tuple[Any, Rule]]:
        for i, entry in enumerate(data.get(part, [])):
            yield entry, _rule(entry, _line(lines, (*at, part, i)), path)

    limits = data.get("limits")
    return Environment(
        allow=tuple(rule for _, rule in rules("allow")),
        deny=tuple(rule for _, rule in rules("deny")),
        approve=tuple(rule for _, rule in rules("approve")),
        rates=tuple(
            Rate(rule=rule, at_most=entry["at_most"], per=entry["per"])
            for entry, rule in rules("rates")
        ),
        limits=(
            ()
            if limits is None
            else (
                Limits(
                    line=_line(lines, (*at, "limits")),
                    cost_usd=limits.get("cost_usd"),
                    turns=limits.get("turns"),
                    seconds=limits.get("seconds"),
                ),
            )
        ),
    )


def _rule(entry: Any, line: int, path: object) -> Rule:
    ask = entry.get("ask", "always")
    text = entry.get("when") if isinstance(ask, str) else ask["when"]
    try:
        when = None if text is None else Predicate.parse(text)
    except InvalidPredicate as error:
        raise InvalidFile(f"{path}:{line}", f"{entry['name']}: {error}") from None
    return Rule(
        name=entry["name"],
        line=line,
        agents=frozenset(entry["agents"]) if "agents" in entry else None,
        tools=frozenset(entry["tools"]) if "tools" in entry else None,
        when=when,
        approval="never" if ask == "never" else "always",
    )
