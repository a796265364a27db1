"""Exports: laid out as ruff would, and the same workflow again when they are loaded."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.agentkit.workflows.graphs import workflows
from tests.agentkit.workflows.toolbox import TOOLBOX, FakeEvent, MemorySteps

from voicelat.agentkit.workflows.export import export
from voicelat.agentkit.workflows.graph import Workflow
from voicelat.agentkit.workflows.module import load_source
from voicelat.agentkit.workflows.read import BUILTIN, builtin
from voicelat.agentkit.workflows.run import run_graph

RUFF = Path(sys.executable).with_name("ruff")


def formatted(source: str) -> str:
    """As ruff lays it out."""
    ran = subprocess.run(
        [RUFF, "format", "--isolated", "--line-length=100", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


class AnySteps(MemorySteps):
    """Answers whatever fits, the same for the same question."""

    async def ask(self, agent: str, text: str, output: type[BaseModel] | None) -> BaseModel | str:
        self.asked.append((agent, text, None))
        if output is None:
            return text[-5:]
        given: dict[str, Any] = {"value": "yes" if len(text) % 2 else "no", "name": None}
        return output.model_validate({"items": [text], **given}, extra="ignore")

    async def call(self, tool_id: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.called.append((tool_id, arguments))
        return {"lead_id": arguments["lead_id"]}


@pytest.mark.parametrize("name", BUILTIN)
def test_an_export_is_laid_out_and_has_the_shape(name: str) -> None:
    source = export(builtin(name))
    assert formatted(source) == source
    top = {getattr(node, "name", None): node for node in ast.parse(source).body}
    assert isinstance(top["WorkflowInput"], ast.ClassDef)
    assert isinstance(top["run_workflow"], ast.AsyncFunctionDef)
    assert "elif route_by ==" in source
    assert f'with trace("{name}"):' in source


@settings(max_examples=40)
@given(workflows())
def test_any_export_compiles_as_it_is_laid_out(workflow: Workflow) -> None:
    source = export(workflow)
    compile(source, "export", "exec")
    assert formatted(source) == source


EVENTS = st.builds(
    FakeEvent,
    text=st.text(max_size=20),
    language=st.sampled_from([None, "he"]),
    data=st.fixed_dictionaries({}, optional={"name": st.text(max_size=5), "a": st.just("x")}),
)


@given(workflows(), EVENTS)
def test_an_export_asks_and_calls_what_its_graph_does(workflow: Workflow, event: FakeEvent) -> None:
    graph, module = AnySteps(), AnySteps()
    first = asyncio.run(run_graph(workflow, event, graph))
    loaded = load_source(export(workflow), "random", "random.py", TOOLBOX)
    second = asyncio.run(loaded.run(event, module))
    assert module.asked == graph.asked
    assert module.called == graph.called
    assert second["result"] == first["result"]
    assert second["end"] == first["end"]
