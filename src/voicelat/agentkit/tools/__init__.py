"""What agents may ask for: one small typed definition per tool, and everything derived from it."""

from voicelat.agentkit.tools.form import Field, form_of
from voicelat.agentkit.tools.tool import AGENTS, Arguments, InvalidArguments, Result, Tool, tool
from voicelat.agentkit.tools.toolset import ToolSet, load_tools

__all__ = [
    "AGENTS",
    "Arguments",
    "Field",
    "InvalidArguments",
    "Result",
    "Tool",
    "ToolSet",
    "form_of",
    "load_tools",
    "tool",
]
