"""``voicelat agents publish | versions | rollback | show``: the workflows that runs follow."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from voicelat.verbs.office import agents_settings
from voicelat.verbs.options import AsJson, Sets, examples, print_json

if TYPE_CHECKING:
    from voicelat.agentkit.workflows.store import Store, Version

__all__ = ["VERBS"]

Name = Annotated[str, typer.Argument(help="A workflow, such as voice_turn.")]


def publish(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A graph, or an exported module.")],
    evals: Annotated[
        bool, typer.Option("--evals/--no-evals", help="Whether its starter cases have to pass.")
    ] = True,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Publish a version of a workflow: runs that begin from now on follow it.

    A version of voice_turn or whatsapp that fails one of its starter cases is not published.
    """
    from voicelat.settings.agents import publishing, workflow_store

    settings = agents_settings(sets)
    gate = publishing(settings) if evals else None
    if gate is None:
        typer.echo("voicelat: published without its evals", err=True)
    published = workflow_store(settings).publish(path, who=getpass.getuser(), gate=gate)
    _print_version(published, as_json)


def versions(name: Name, sets: Sets = None, as_json: AsJson = False) -> None:
    """List a workflow's versions, newest first."""
    found = [asdict(version) for version in _store(sets).versions(name)]
    if as_json:
        print_json({"schema": 1, "workflow": name, "versions": found})
        return
    for one in found:
        mark = "*" if one["current"] else " "
        who = one["who"] or "somebody"
        typer.echo(f"{mark} {one['version'][:12]}  {one['action']:<8}  {one['at_utc']}  {who}")


def rollback(
    name: Name,
    version: Annotated[str, typer.Argument(help="The version to go back to.")],
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version of a workflow the current one again."""
    _print_version(_store(sets).rollback(name, version, who=getpass.getuser()), as_json)


def show(
    name: Name,
    form: Annotated[
        Literal["mermaid", "svg", "module"],
        typer.Option("--as", help="A diagram, or the Python module that does the same."),
    ] = "mermaid",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Print the current version of a workflow: as a diagram, or exported as a module."""
    from voicelat.agentkit.workflows.diagram import diagram
    from voicelat.agentkit.workflows.export import export
    from voicelat.agentkit.workflows.graph import Workflow
    from voicelat.errors import UsageError

    current = _store(sets).current(name)
    if not isinstance(current, Workflow):
        raise UsageError(f"{name} is a module: it has no graph to show")
    shown = export(current) if form == "module" else diagram(current, form)
    if as_json:
        told = {"workflow": name, "version": current.version, "form": form, "text": shown}
        print_json({"schema": 1, **told})
    else:
        typer.echo(shown)


VERBS: Final = (
    (publish, examples("voicelat agents publish voice_turn.yaml")),
    (versions, examples("voicelat agents versions voice_turn")),
    (rollback, examples("voicelat agents rollback voice_turn 4f1d9a")),
    (
        show,
        examples(
            "voicelat agents show voice_turn",
            "voicelat agents show whatsapp --as svg > whatsapp.svg",
            "voicelat agents show voice_turn --as module > voice_turn.py",
        ),
    ),
)


def _store(sets: list[str] | None) -> Store:
    settings = agents_settings(sets)

    from voicelat.settings.agents import workflow_store

    return workflow_store(settings)


def _print_version(version: Version, as_json: bool) -> None:
    if as_json:
        print_json({"schema": 1, **asdict(version)})
    else:
        typer.echo(f"{version.name} is now at {version.version[:12]}")
