"""``voicelat agents``: their process, their runs, approvals, tools, workflows and evals."""

from __future__ import annotations

import getpass
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicelat.errors import UsageError
from voicelat.verbs import workflows
from voicelat.verbs.house import EXAMPLES as DEMO_EXAMPLES
from voicelat.verbs.house import demo
from voicelat.verbs.init import EXAMPLES as INIT_EXAMPLES
from voicelat.verbs.init import init
from voicelat.verbs.office import EXAMPLES as OFFICE_EXAMPLES
from voicelat.verbs.office import agents_settings, office
from voicelat.verbs.options import AsJson, GateText, Sets, examples, print_json

if TYPE_CHECKING:
    from voicelat.agentkit.runs.store import Approval, Entry, Store
    from voicelat.settings import Settings

__all__ = ["agents"]

agents = typer.Typer(
    help="Agents that do back-office work beside the calls, on durable jobs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")]
ApprovalId = Annotated[
    str | None, typer.Argument(metavar="APPROVAL", help="Its id; without one: list what waits.")
]


@agents.command(
    epilog=examples(
        "AGENTS_ENABLED=1 voicelat agents serve",
        "AGENTS_ENABLED=1 voicelat agents serve --set AGENT_MODEL=openai:gpt-4.1-mini",
    )
)
def serve(sets: Sets = None, as_json: AsJson = False) -> None:
    """Take events from the calls' process and work on them until Ctrl-C.

    With --json it prints one line once it takes events: {"url": ...}.
    """
    settings = agents_settings(sets)
    if not settings.agents_enabled:
        raise UsageError("agents are off: set AGENTS_ENABLED=1 here and where calls are served")
    if settings.approver_token is not None:
        raise UsageError(
            "APPROVER_TOKEN is set: take it out of the agents' process, which must not approve"
        )

    from voicelat.agentkit.runs.process import serve as serve_agents
    from voicelat.agentkit.runs.worker import Worker
    from voicelat.settings.agents import parts

    store = _store(settings)
    name = settings.agents_worker or socket.gethostname()
    worker = Worker(parts(settings, store), settings.agents_db_url, name)

    def say_ready(url: str) -> None:
        if as_json:
            print_json({"url": url}, indent=None)
        else:
            typer.echo(f"voicelat agents take events at {url}")

    serve_agents(worker, settings.agents_url, settings.agents_token, on_ready=say_ready)
    store.close()


agents.command(epilog=DEMO_EXAMPLES)(demo)
agents.command(epilog=INIT_EXAMPLES)(init)
agents.command(epilog=OFFICE_EXAMPLES)(office)
for verb, its_examples in workflows.VERBS:
    agents.command(epilog=its_examples)(verb)


@agents.command(
    epilog=examples(
        'voicelat agents run --text "Please call me back tomorrow at nine"',
        'voicelat agents run --whatsapp "Do you have time on Monday?" --yes',
        "voicelat agents run --turns turns.jsonl --yes",
        "voicelat agents run --text ... --set AGENT_MODEL=openai:gpt-4.1-mini",
    )
)
def run(
    text: Annotated[str | None, typer.Option(help="What a caller said.")] = None,
    whatsapp: Annotated[str | None, typer.Option(help="Or what somebody wrote.")] = None,
    turns: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Or the turns of a call, which then ended."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Approve whatever waits for approval.")
    ] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Run one event here, with a back office of its own, and show what was done.

    Nothing of it is kept. Without a key the model is a scripted one.
    """
    settings = agents_settings(sets)

    from voicelat.demo.agents import try_event
    from voicelat.demo.happened import happened

    def decide(approval: Approval) -> bool:
        if yes or as_json or not sys.stdin.isatty():
            return yes
        typer.echo(_shown(approval))
        return typer.confirm("Approve it?", default=False)

    entries = try_event(settings, happened(text, whatsapp, turns), decide)
    if as_json:
        print_json({"schema": 1, "log": [_as_json(entry) for entry in entries]})
    else:
        _print_entries(entries)
    raise typer.Exit(1 if entries[-1].kind == "dead" else 0)


@agents.command(epilog=examples("voicelat agents tools", "voicelat agents tools --json"))
def tools(sets: Sets = None, as_json: AsJson = False) -> None:
    """List the tools, and which agents have them."""
    settings = agents_settings(sets)

    from voicelat.settings.agents import tools as tools_of

    found = [
        {
            "id": tool.id,
            "about": tool.about,
            "writes": tool.writes,
            "agents": sorted(tool.agents),
            "schema": tool.schema,
        }
        for tool in tools_of(settings)
    ]
    if as_json:
        print_json({"schema": 1, "tools": found})
        return
    for tool in tools_of(settings):
        kind = "writes" if tool.writes else "reads"
        typer.echo(f"{tool.id:<24} {kind:<7} {', '.join(sorted(tool.agents))}")


@agents.command(
    epilog=examples(
        "voicelat agents approve",
        "voicelat agents approve CA123.end:2",
        "voicelat agents approve CA123.end:2 --edit corrected.json",
    )
)
def approve(
    approval_id: ApprovalId = None,
    edit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Approve these arguments (JSON) instead."),
    ] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Approve a tool call that waits for a person; without an id, list what waits.

    Needs APPROVER_TOKEN, which the agents' process must never have.
    """
    import asyncio
    from datetime import UTC, datetime

    settings = agents_settings(sets)
    store = _store(settings)
    if approval_id is None:
        _print_approvals(store.approvals(), as_json)
        return

    from voicelat.agentkit.runs import decide
    from voicelat.settings.agents import minter
    from voicelat.settings.agents import tools as tools_of

    found = store.approval(approval_id)
    checked = tools_of(settings).get(found.tool).checked if found is not None else dict
    done = asyncio.run(
        decide.approve(
            store,
            approval_id,
            minter(settings),
            who=getpass.getuser(),
            now=lambda: datetime.now(UTC),
            arguments=None if edit is None else _object_in(edit),
            check=checked,
        )
    )
    _print_decided(done, as_json)


@agents.command(epilog=examples('voicelat agents reject CA123.end:2 --reason "not our customer"'))
def reject(
    approval_id: Annotated[str, typer.Argument(metavar="APPROVAL", help="Its id.")],
    reason: Annotated[str, typer.Option(help="Why, for the model and the log.")],
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Reject a tool call that waits for a person: the agent is told why."""
    from datetime import UTC, datetime

    store = _store(agents_settings(sets))

    from voicelat.agentkit.runs import decide

    now = datetime.now(UTC)
    done = decide.reject(store, approval_id, reason, who=getpass.getuser(), now=now)
    _print_decided(done, as_json)


@agents.command(
    epilog=examples(
        "voicelat agents log",
        "voicelat agents log CA123.end",
        "voicelat agents log --dead --json",
    )
)
def log(
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's id; without one: the last runs.")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only runs that failed for good.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The longest list.")] = 50,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Show what the agents did: the last runs and how they stand, or one run line by line."""
    store = _store(agents_settings(sets))
    if run_id is not None:
        entries = store.entries(run_id)
        if not entries:
            raise UsageError(f"no run {run_id}; list the last ones: voicelat agents log")
        if as_json:
            print_json({"schema": 1, "log": [_as_json(entry) for entry in entries]})
        else:
            _print_entries(entries)
        return

    from voicelat.agentkit.runs.worker import states

    found = [one for one in states(store, limit=limit) if not dead or one.dead]
    if as_json:
        print_json({"schema": 1, "runs": [_as_json(one) for one in found]})
        return
    for one in found:
        again = f", recovered {one.recoveries}x" if one.recoveries else ""
        why = f": {one.error}" if one.error else ""
        typer.echo(f"{one.updated_at}  {one.state:<9} {one.run_id}{again}{why}")


@agents.command(epilog=examples("voicelat agents retry CA123.end"))
def retry(run_id: RunId, sets: Sets = None, as_json: AsJson = False) -> None:
    """Send a dead run back to work, from the step it failed in."""
    store = _store(agents_settings(sets))

    from voicelat.agentkit.runs.worker import retry as send_back

    if not send_back(store, run_id, getpass.getuser()):
        raise UsageError(f"{run_id} is no dead run; list them: voicelat agents log --dead")
    if as_json:
        print_json({"schema": 1, "run_id": run_id, "state": "queued"})
    else:
        typer.echo(f"{run_id} is queued again")


@agents.command(
    name="eval",
    epilog=examples(
        "voicelat agents eval",
        "voicelat agents eval cases.jsonl --gate pass_rate=0.95,forbidden=0 --json",
    ),
)
def eval_(
    cases: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="Cases as JSON lines; none: the starter sets."),
    ] = None,
    gate: GateText = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Run cases with scripted answers under the policy in force; exit with 1 when one fails."""
    from voicelat.settings.agents import evaluate

    result = evaluate(agents_settings(sets), cases or [], gate or "")
    if as_json:
        typer.echo(result.to_json())
    else:
        typer.echo(f"{result.passed} of {result.cases} cases passed")
        for one in result.results:
            if not one.ok:
                typer.echo(f"  {one.case}: {'; '.join(one.says)}")
    raise typer.Exit(0 if result.ok else 1)


def _store(settings: Settings) -> Store:
    from voicelat.agentkit.runs.store import Store

    return Store(settings.agents_db_url)


def _object_in(path: Path) -> dict[str, Any]:
    import json

    from voicelat.errors import InvalidFile

    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read as JSON: {error}") from None
    if not isinstance(read, dict):
        raise InvalidFile(path, "must be one JSON object: the tool's arguments")
    return read


def _as_json(value: Any) -> Any:
    from msgspec import to_builtins

    return to_builtins(value)


def _shown(approval: Approval) -> str:
    import json

    arguments = json.dumps(approval.arguments, ensure_ascii=False)
    return (
        f"{approval.id}  {approval.agent} wants {approval.tool} {arguments}\n"
        f"  because {approval.rule}: {approval.why}; until {approval.expires_at}"
    )


def _print_approvals(found: list[Approval], as_json: bool) -> None:
    if as_json:
        print_json({"schema": 1, "approvals": [_told(one) for one in found]})
        return
    typer.echo("\n".join(map(_shown, found)) or "nothing waits for approval")


def _print_decided(approval: Approval, as_json: bool) -> None:
    if as_json:
        print_json({"schema": 1, **_told(approval)})
    else:
        typer.echo(f"{approval.id} is {approval.state} by {approval.decided_by}")


def _told(approval: Approval) -> dict[str, Any]:
    """Without the grant: whoever has it can make the call."""
    told: dict[str, Any] = _as_json(approval)
    return {name: value for name, value in told.items() if name != "grant_token"}


def _print_entries(entries: list[Entry]) -> None:
    import json

    for entry in entries:
        words = [entry.at, f"{entry.kind:<16}", entry.tool or entry.agent or "", entry.decision]
        took = None if entry.latency_ms is None else f"{entry.latency_ms} ms"
        facts = json.dumps(entry.facts, ensure_ascii=False) if entry.facts else None
        typer.echo("  ".join(word for word in (*words, entry.who, took, facts) if word))
