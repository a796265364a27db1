"""All tools there are: the built-in ones, and those of a user's own modules."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator

from voicelat.agentkit.tools import calendar, calls, customers, whatsapp
from voicelat.agentkit.tools.tool import Tool
from voicelat.errors import UsageError

__all__ = ["ToolSet", "load_tools"]


class ToolSet:
    """Tools by their id and by their name for a model."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._by_id: dict[str, Tool] = {}
        self._by_wire: dict[str, Tool] = {}
        for tool in tools:
            self.add(tool)

    @classmethod
    def builtin(cls) -> ToolSet:
        """The tools that the reference back office serves."""
        return cls((*calls.TOOLS, *calendar.TOOLS, *customers.TOOLS, *whatsapp.TOOLS))

    def add(self, tool: Tool) -> None:
        """Raises UsageError for a second tool of the same id."""
        if tool.id in self._by_id:
            raise UsageError(f"there is a tool {tool.id} already; give yours another id")
        self._by_id[tool.id] = self._by_wire[tool.wire] = tool

    def get(self, tool_id: str) -> Tool:
        """Raises UsageError for an id that is none."""
        if tool := self._by_id.get(tool_id):
            return tool
        raise UsageError(f"no tool {tool_id!r}; there are {', '.join(self._by_id)}")

    def by_wire(self, name: str) -> Tool:
        """By its name for a model. Raises UsageError for a name that is none."""
        if tool := self._by_wire.get(name):
            return tool
        raise UsageError(f"no tool is called {name!r} for a model")

    def of(self, agent: str) -> ToolSet:
        """What an agent has."""
        return ToolSet(tool for tool in self if agent in tool.agents)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._by_id.values())


def load_tools(modules: Iterable[str]) -> ToolSet:
    """The built-in tools, and the ``TOOLS`` of each module (``package.module``).

    Raises UsageError for a module that cannot be imported or has none.
    """
    tools = ToolSet.builtin()
    for name in modules:
        try:
            found = importlib.import_module(name)
        except (ImportError, ValueError) as error:
            raise UsageError(f"tools {name!r}: {error}") from None
        own = getattr(found, "TOOLS", None)
        if not isinstance(own, list | tuple) or not all(isinstance(t, Tool) for t in own):
            raise UsageError(f"tools {name!r}: the module needs TOOLS = [Tool(...), ...]")
        for tool in own:
            tools.add(tool)
    return tools
