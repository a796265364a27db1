"""Runs a Python module that has the shape of an Agent Builder export, ours or anybody's.

The module keeps its agents and its ``if``s; its `Runner` becomes one that goes through `Steps`. So
an agent of the module is one of ours with the module's instructions: it has our tools, our
policy, our log and our approvals, and whatever stands in the module's own tools is never run.

A module is code, and loading it runs it: read it before you publish it, like any other code.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import agents as agents_sdk
import msgspec
from agents import Agent, FunctionTool, RunContextWrapper
from pydantic import BaseModel

from voicelat.agentkit.workflows.graph import version_of
from voicelat.agentkit.workflows.hands import current_steps, taking
from voicelat.agentkit.workflows.run import DATA, WorkflowFailed, visible
from voicelat.agentkit.workflows.steps import AGENTS, Catalog, Event, Steps
from voicelat.errors import InvalidFile, UsageError

__all__ = ["Module", "load_module", "load_source"]

_IMPORTS: Final = frozenset(
    {
        "__future__",
        "datetime",
        "enum",
        "json",
        "math",
        "openai.types",
        "pydantic",
        "re",
        "typing",
        "typing_extensions",
        "voicelat.agentkit.workflows",
    }
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module that was loaded. Any number of runs may be in it at once."""

    name: str
    version: str
    """The hash of its source: 64 hex digits."""
    source: str
    _module: ModuleType

    async def run(self, event: Event, steps: Steps) -> dict[str, Any]:
        """Run it: ``{"workflow", "version", "result"}``, or what it returned, if that is a dict.

        Raises WorkflowFailed where it returns what is no JSON, and whatever it raises.
        """
        given: dict[str, Any] = {"input_as_text": event.text, "event": visible(event)}
        takes = self._module.WorkflowInput.model_fields
        with taking(steps):
            returned = await self._module.run_workflow(
                self._module.WorkflowInput(**{name: given[name] for name in takes if name in given})
            )
        if isinstance(returned, BaseModel):
            returned = returned.model_dump(mode="json")
        result = returned if isinstance(returned, dict) else {"result": returned}
        try:
            plain: dict[str, Any] = msgspec.to_builtins(result)
        except TypeError as error:
            raise WorkflowFailed(f"{self.name} returned what is no JSON: {error}") from error
        return {**plain, "workflow": self.name, "version": self.version}


def load_module(
    path: Path,
    catalog: Catalog | None = None,
    *,
    act_as: str = "Backoffice",
    agents: Sequence[str] = AGENTS,
) -> Module:
    """Load a module. Its agents whose names are not ``agents`` act as ``act_as``.

    Without a ``catalog``, the tools it asks for are not looked at. Raises InvalidFile (file:line)
    for one that cannot run here.
    """
    try:
        source = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidFile(path, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InvalidFile(path, "is not UTF-8 text") from error
    return load_source(source, path.stem, path, catalog, act_as=act_as, agents=agents)


def load_source(
    source: str,
    name: str,
    path: object,
    catalog: Catalog | None = None,
    *,
    act_as: str = "Backoffice",
    agents: Sequence[str] = AGENTS,
) -> Module:
    """See `load_module`. ``path``: for its errors."""
    if not _NAME.fullmatch(name):
        raise InvalidFile(path, f"name it like a workflow ([a-z0-9_], at most 30), not {name!r}")
    _check_source(source, path)
    version = version_of(source)
    stands_in = _stand_in(_Runner(frozenset(agents), act_as, path))
    module = _executed(source, f"voicelat_workflow_{version[:16]}", path, stands_in)
    _check_entrance(module, path)
    for agent in [one for one in vars(module).values() if isinstance(one, Agent)]:
        _check_agent(agent, path, catalog, agent.name if agent.name in agents else act_as)
    return Module(name=name, version=version, source=source, _module=module)


# -- before it runs ----------------------------------------------------------------------------


def _check_source(source: str, path: object) -> None:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise InvalidFile(f"{path}:{error.lineno}", f"is not Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidFile(path, f"is not Python: {error}") from error
    for node in ast.walk(tree):
        for imported in _imported(node):
            if not _may_import(imported):
                where = f"{path}:{getattr(node, 'lineno', 1)}"
                says = f"imports {imported}, which does not run here: use a tool instead"
                raise InvalidFile(where, says)
        if isinstance(node, ast.Attribute) and _is_runner(node):
            says = "runs an agent in a way of its own: `from agents import Runner`, `Runner.run(…)`"
            raise InvalidFile(f"{path}:{node.lineno}", says)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield ("." * node.level) + (node.module or "")


def _may_import(name: str) -> bool:
    if name == "agents" or name.startswith("agents."):
        return name == "agents"  # its inner modules hold the SDK's own Runner
    return any(f"{name}.".startswith(f"{one}.") for one in _IMPORTS)


def _is_runner(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "Runner" and node.attr != "run"


def _stand_in(runner: _Runner) -> ModuleType:
    """What the module gets for ``agents``: the SDK with our `Runner`, and a `trace` that posts
    nothing."""
    module = ModuleType("agents")
    vars(module).update({name: getattr(agents_sdk, name) for name in agents_sdk.__all__})
    vars(module).update(Runner=runner, trace=_no_trace)
    return module


def _executed(source: str, name: str, path: object, stands_in: ModuleType) -> ModuleType:
    def importing(imported: str, *args: Any) -> Any:
        return stands_in if imported == "agents" else builtins.__import__(imported, *args)

    module = ModuleType(name)
    # However and wherever it imports the SDK, this is what it gets.
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": importing}
    sys.modules[name] = module  # pydantic looks up there what annotations mean
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except Exception as error:
        del sys.modules[name]
        says = f"cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())}"
        raise InvalidFile(path, says) from error
    return module


def _check_entrance(module: ModuleType, path: object) -> None:
    takes = getattr(module, "WorkflowInput", None)
    if not (inspect.isclass(takes) and issubclass(takes, BaseModel)):
        raise InvalidFile(path, "has no `class WorkflowInput(BaseModel)` with input_as_text: str")
    for name, field in takes.model_fields.items():
        if name not in ("input_as_text", "event") and field.is_required():
            raise InvalidFile(path, f"WorkflowInput asks for {name}: only input_as_text is given")
    if not inspect.iscoroutinefunction(getattr(module, "run_workflow", None)):
        raise InvalidFile(path, "has no `async def run_workflow(workflow_input)`")


def _check_agent(agent: Agent[Any], path: object, catalog: Catalog | None, acts_as: str) -> None:
    """Refuse what would be lost here rather than lose it."""
    has = {
        "handoffs": agent.handoffs,
        "MCP servers": agent.mcp_servers,
        "guardrails": [*agent.input_guardrails, *agent.output_guardrails],
    }
    for what, some in has.items():
        if some:
            raise InvalidFile(path, f"agent {agent.name!r} has {what}, which do not run here")
    if (output := agent.output_type) not in (None, str) and not _is_model(output):
        raise InvalidFile(path, f"agent {agent.name!r} must answer in a pydantic model or in text")
    for tool in agent.tools:
        if not isinstance(tool, FunctionTool):
            kind = type(tool).__name__
            says = f"agent {agent.name!r} has a {kind}, which no policy of ours reaches: remove it"
            raise InvalidFile(path, says)
        if catalog is not None and acts_as not in _holders(tool.name, catalog):
            says = f"agent {agent.name!r} asks for tool {tool.name}, which {acts_as} does not have"
            raise InvalidFile(path, says)


def _is_model(output: object) -> bool:
    return inspect.isclass(output) and issubclass(output, BaseModel)


def _holders(wire_name: str, catalog: Catalog) -> frozenset[str]:
    """Who has the tool that is called so on the wire, where its dot is an underscore."""
    for at, character in enumerate(wire_name):
        if character == "_":
            try:
                return catalog.get(f"{wire_name[:at]}.{wire_name[at + 1 :]}").agents
            except UsageError:
                continue
    return frozenset()


# -- while it runs -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Said:
    """One message of an agent."""

    text: str

    def to_input_item(self) -> dict[str, Any]:
        """For the history of a later run."""
        content = [{"type": "output_text", "text": self.text, "annotations": []}]
        return {"type": "message", "role": "assistant", "content": content}


@dataclass(frozen=True, slots=True)
class _Answered:
    """What exports read of a result of the SDK."""

    final_output: Any
    new_items: list[_Said]

    def final_output_as(self, cls: type[Any], raise_if_incorrect_type: bool = False) -> Any:
        """``final_output``. Raises TypeError where it must be a ``cls`` and is none."""
        if raise_if_incorrect_type and not isinstance(self.final_output, cls):
            raise TypeError(f"the answer is no {cls.__name__}")
        return self.final_output


@dataclass(frozen=True, slots=True)
class _Runner:
    """Stands where the module has the SDK's `Runner`."""

    names: frozenset[str]
    act_as: str
    path: object

    async def run(
        self,
        starting_agent: Agent[Any],
        input: Any,  # noqa: A002 - the SDK's name
        *,
        context: Any = None,
        run_config: Any = None,
        max_turns: int | None = None,
    ) -> _Answered:
        """One run of an agent, as one of ours."""
        steps = current_steps()
        acts_as = starting_agent.name if starting_agent.name in self.names else self.act_as
        _check_agent(starting_agent, self.path, None, acts_as)  # it may have been made just now
        steps.note("node", node=starting_agent.name, does="agent", agent=acts_as)
        told = await _instructions(starting_agent, context)
        if DATA not in told:
            told = f"{told}\n\n{DATA}".lstrip()
        output: Any = starting_agent.output_type
        model = output if _is_model(output) else None
        answer = await steps.ask(acts_as, f"{told}\n\n{_history(input)}", model)
        said = answer.model_dump_json() if isinstance(answer, BaseModel) else answer
        return _Answered(answer, [_Said(said)])


async def _instructions(agent: Agent[Any], context: Any) -> str:
    told: Any = agent.instructions
    if callable(told):
        told = told(RunContextWrapper(context), agent)
        if inspect.isawaitable(told):
            told = await told
    return str(told or "").strip()


def _history(items: Any) -> str:
    """What was said so far: the text itself, or who said what, a message a paragraph."""
    if isinstance(items, str):
        return items
    messages = [(str(item.get("role", "user")), _content(item.get("content"))) for item in items]
    if len(messages) == 1:
        return messages[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in messages)


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content)


@contextmanager
def _no_trace(workflow_name: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """Stands where the module has the SDK's `trace`, which would post it to OpenAI."""
    yield
