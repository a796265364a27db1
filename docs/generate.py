"""Write docs/cli.md and docs/settings.md, and parts of other pages, from the program itself.

A part stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. ``python
docs/generate.py`` writes everything; with ``--check`` it only says what is stale (exit code 1).
`make docs` and the tests call it.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from msgspec import Struct

from voicelat.agentkit.evals import cases, gates, scripted
from voicelat.agentkit.evals import run as eval_run
from voicelat.agentkit.tools import ToolSet, form_of
from voicelat.agentkit.workflows import graph
from voicelat.agentkit.workflows.diagram import diagram
from voicelat.agentkit.workflows.read import builtin, json_schema
from voicelat.cli import app
from voicelat.doctor import result as doctor
from voicelat.doctor.catalog import CHECKS
from voicelat.lab import replay
from voicelat.lab.sweep import result
from voicelat.loadtest import run as load_run
from voicelat.loadtest import scenario
from voicelat.metrics import compare, finding, record, summary, targets
from voicelat.metrics.exporters.export import ExportResult
from voicelat.metrics.exporters.tables import COLUMN_DOCS
from voicelat.providers.simulated import PROFILES, Latency
from voicelat.settings import SETTINGS
from voicelat.turn.states import AGENT_MOVES, CALLER_MOVES, Agent, Caller

HERE = Path(__file__).parent
ROOT = HERE.parent
STAMP = "<!-- Written by docs/generate.py: change the program, then run `make docs`. -->"
MARKUP = re.compile(r"\[/?(?:bold|dim|italic)\]")


def verbs() -> dict[str, Any]:
    """Every verb of the command line: name -> command, groups as "group verb"."""
    return dict(_walk(typer.main.get_command(app), ""))


def _walk(command: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from _walk(child, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", child


def plain(markup: str | None) -> str:
    """Help text without its markup."""
    return MARKUP.sub("", markup or "").strip()


def cli_page() -> str:
    """The reference of the command line."""
    parts = [
        STAMP,
        "# Command line",
        "Exit codes: 0 fine, 1 a gate failed, 2 bad usage or input, 3 could not connect,"
        " 130 stopped by Ctrl-C. A mistake is one line on stderr that begins with `voicelat:`.",
    ]
    for name, command in verbs().items():
        parts += [f"## voicelat {name}", plain(command.help), _parameters(command)]
        title, *examples = plain(command.epilog).split("\n\n")
        parts += [f"{title}:", "\n".join(["```sh", *examples, "```"])]
    return "\n\n".join(parts) + "\n"


def _parameters(command: Any) -> str:
    rows = ["| argument or option | default | meaning |", "|---|---|---|"]
    for parameter in command.params:
        name = parameter.metavar or parameter.name.upper()
        if parameter.param_type_name == "option":
            value = "" if parameter.is_flag else f" {name}"
            name = f"{', '.join([*parameter.opts, *parameter.secondary_opts])}{value}"
        default = "" if parameter.default in (None, False, ()) else f"`{parameter.default}`"
        if isinstance(parameter.show_default, str):
            default = parameter.show_default
        rows.append(_row(f"`{name}`", default, plain(parameter.help)))
    return "\n".join(rows)


def settings_page() -> str:
    """Every setting."""
    rows = [
        _row(f"`{s.name}`", f"`{s.written(s.default)}`", s.allowed, s.meaning) for s in SETTINGS
    ]
    head = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    return (
        "\n\n".join(
            [
                STAMP,
                "# Settings",
                "A value is taken from the first place that has one: the command line"
                " (`--set NAME=VALUE`), the environment, `.env` in the working directory,"
                " `voicelat.toml` there (or the file that `VOICELAT_CONFIG` names), the default."
                " `voicelat settings` shows the values in force and where each came from.",
                "\n".join(head + rows),
            ]
        )
        + "\n"
    )


def _row(*cells: str) -> str:
    escaped = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def states_part(first: StrEnum, moves: Mapping[tuple[Any, Any], Any]) -> str:
    """A Mermaid state diagram of a table ``(state, move) -> state`` that begins at ``first``."""
    arrows = [f"    [*] --> {first}"]
    arrows += [f"    {state} --> {to}: {move}" for (state, move), to in moves.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


def profiles_part() -> str:
    """Every latency of every profile, with its source."""
    rows = [_row("profile", "stage", "median", "P95", "source"), "|---|---|---|---|---|"]
    for profile in PROFILES.values():
        for stage in profile.__dataclass_fields__:
            latency = getattr(profile, stage)
            if isinstance(latency, Latency):
                figures = (f"{latency.median_ms:g} ms", f"{latency.p95_ms:g} ms")
                rows.append(_row(f"`{profile.name}`", f"`{stage}`", *figures, latency.source))
    return "\n".join(rows)


def fields_part(*classes: type) -> str:
    """The fields of records, with what the source says beside each."""
    rows = [_row("key", "type", "meaning"), "|---|---|---|"]
    for cls in classes:
        body = ast.parse(inspect.getsource(cls)).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, behind in zip(body.body, [*body.body[1:], ast.Pass()], strict=True):
            if isinstance(node, ast.AnnAssign):
                note = (ast.get_docstring(ast.Module([behind], [])) or "").replace("``", "`")
                # `try_` is `try` in JSON: msgspec renames what Python reserves.
                key = ast.unparse(node.target).removesuffix("_")
                kind = ast.unparse(node.annotation).removesuffix(" | msgspec.UnsetType")
                rows.append(_row(f"`{key}`", kind, note))
    return "\n".join(rows)


def knobs_part(cls: type[Struct]) -> str:
    """The knobs of a scenario's table, with their defaults and what they may be."""
    rows = [_row("knob", "default", "allowed", "meaning"), "|---|---|---|---|"]
    allowed = scenario.knobs(cls)
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, behind in zip(body.body[1:], body.body[2:], strict=False):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            note = ast.get_docstring(ast.Module([behind], [])) or ""
            knob = ast.unparse(node.target)
            default = ast.unparse(node.value).replace("(", "[").replace(")", "]")
            shown = "" if default == "None" else f"`{default}`"
            rows.append(_row(f"`{knob}`", shown, allowed[knob], note))
    return "\n".join(rows)


def columns_part() -> str:
    """The columns of a table of turns."""
    rows = [_row("column", "type", "what it is"), "|---|---|---|"]
    for name, kind, note in COLUMN_DOCS:
        rows.append(_row(f"`{name}`", kind, note or "as in the [record](records.md)"))
    return "\n".join(rows)


def checks_part(subject: doctor.Subject) -> str:
    """The doctor's checks of one subject."""
    rows = [_row("check", "looks at", "why", "what to do"), "|---|---|---|---|"]
    rows += [
        _row(f"`{check.name}`", check.looks_at, check.why, check.fix)
        for check in CHECKS.values()
        if subject in check.subjects
    ]
    return "\n".join(rows)


def code_part(path: Path, language: str = "python") -> str:
    """A file of code, whole."""
    return f"```{language}\n{path.read_text(encoding='utf-8').strip()}\n```"


def tools_part() -> str:
    """The tools that agents have; ``?`` marks what may be null."""
    rows = [_row("tool", "what it is for", "arguments", "agents"), "|---|---|---|---|"]
    for tool in ToolSet.builtin():
        names = ", ".join(f"`{f.name}{'' if f.required else '?'}`" for f in form_of(tool))
        title = f"`{tool.id}`" if tool.writes else f"`{tool.id}` (reads)"
        rows.append(_row(title, tool.about, names, ", ".join(sorted(tool.agents))))
    return "\n".join(rows)


def workflow_part(name: str) -> str:
    """The diagram of a workflow that is built in."""
    return f"```mermaid\n{diagram(builtin(name), 'mermaid')}\n```"


WORKFLOW_SCHEMA = ROOT / "src/voicelat/agentkit/workflows/workflow.schema.json"

PARTS: dict[Path, dict[str, Callable[[], str]]] = {
    HERE / "turn.md": {
        "caller states": lambda: states_part(Caller.SILENT, CALLER_MOVES),
        "agent states": lambda: states_part(Agent.IDLE, AGENT_MOVES),
    },
    HERE / "providers.md": {"profiles": profiles_part},
    HERE / "records.md": {
        "record": lambda: fields_part(record.CallInfo, record.TurnRecord),
        "stamps": lambda: fields_part(record.Stamps),
        "stall": lambda: fields_part(record.Stall),
    },
    HERE / "export.md": {"columns": columns_part},
    HERE / "scenario.md": {
        "talk": lambda: knobs_part(scenario.Talk),
        "line": lambda: knobs_part(scenario.Line),
        "patience": lambda: knobs_part(scenario.Patience),
    },
    HERE / "json.md": {
        "report": lambda: fields_part(summary.Summary),
        "comparison": lambda: fields_part(compare.Comparison),
        "difference": lambda: fields_part(compare.Difference),
        "number": lambda: fields_part(summary.NumberSummary),
        "leg": lambda: fields_part(summary.LegSummary),
        "target": lambda: fields_part(targets.TargetResult),
        "finding": lambda: fields_part(finding.Finding),
        "turn ref": lambda: fields_part(finding.TurnRef),
        "gate": lambda: fields_part(targets.GateResult),
        "caller": lambda: fields_part(summary.CallerNumbers),
        "generator": lambda: fields_part(load_run.Generator),
        "sweep": lambda: fields_part(result.SweepResult),
        "setting": lambda: fields_part(result.SettingResult),
        "setting intervals": lambda: fields_part(result.SettingIntervals),
        "held out": lambda: fields_part(result.HeldOut),
        "in sequence": lambda: fields_part(result.InSequence),
        "verbatim": lambda: fields_part(replay.VerbatimResult),
        "different": lambda: fields_part(replay.Different),
        "export": lambda: fields_part(ExportResult),
    },
    HERE / "doctor.md": {
        "settings": lambda: checks_part("settings"),
        "url": lambda: checks_part("url"),
        "app": lambda: checks_part("app"),
        "turns": lambda: checks_part("turns"),
        "examination": lambda: fields_part(doctor.Examination),
        "check": lambda: fields_part(doctor.CheckResult),
    },
    HERE / "workflows.md": {
        "voice_turn": lambda: workflow_part("voice_turn"),
        "whatsapp": lambda: workflow_part("whatsapp"),
        "workflow": lambda: fields_part(graph.Workflow),
        "classify": lambda: fields_part(graph.Classify),
        "agent": lambda: fields_part(graph.Ask),
        "tool": lambda: fields_part(graph.Call),
        "branch": lambda: fields_part(graph.Branch),
        "case": lambda: fields_part(graph.Case),
        "end": lambda: fields_part(graph.End),
    },
    HERE / "evals.md": {
        "case": lambda: fields_part(cases.Case),
        "expected": lambda: fields_part(cases.Expected),
        "limits": lambda: fields_part(cases.Limits),
        "eval result": lambda: fields_part(eval_run.EvalResult),
        "case result": lambda: fields_part(eval_run.CaseResult),
        "called": lambda: fields_part(scripted.Called),
        "gate": lambda: fields_part(gates.GateVerdict),
    },
    HERE / "tools.md": {
        "tools": tools_part,
        "invoice": lambda: code_part(ROOT / "examples" / "invoice_tool.py"),
        "policy": lambda: code_part(
            ROOT / "src" / "voicelat" / "agentkit" / "policy" / "policies.yaml", "yaml"
        ),
    },
    ROOT / "README.md": {"example": lambda: code_part(ROOT / "examples" / "fifteen_lines.py")},
}


def filled(page: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """``page`` with each part between its markers. Raises ValueError where one has none."""
    for name, part in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, marker, rest = page.partition(begin)
        _, end_marker, after = rest.partition(end)
        if not (marker and end_marker):
            raise ValueError(f"no place for the part {name!r}")
        page = f"{before}{begin}\n{part()}\n{end}{after}"
    return page


def main(check: bool) -> int:
    """Write everything, or compare it with what would be written; 1 when something is stale."""
    pages = {
        HERE / "cli.md": cli_page(),
        HERE / "settings.md": settings_page(),
        WORKFLOW_SCHEMA: json.dumps(json_schema(), indent=2) + "\n",
    }
    for path, parts in PARTS.items():
        pages[path] = filled(path.read_text(encoding="utf-8"), parts)
    stale = False
    for path, page in pages.items():
        if not check:
            path.write_text(page, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != page:
            stale = True
            print(f"{path.name} is stale: run `make docs`", file=sys.stderr)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
