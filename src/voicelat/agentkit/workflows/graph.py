"""A workflow as data: named nodes, each of which says what comes next.

Five kinds: `Classify` asks a model for one of a few intents, `Ask` runs an agent, `Call` makes one
tool call, `Branch` chooses, `End` ends. Nodes see the event and what earlier nodes gave, through
templates (`template`). The JSON Schema of the file is made from these classes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal

import msgspec

from voicelat.agentkit.workflows.steps import Event, Steps

__all__ = [
    "Ask",
    "Branch",
    "Call",
    "Case",
    "Classify",
    "End",
    "FieldKind",
    "Name",
    "Node",
    "Workflow",
    "absent",
    "canonical",
    "following",
    "holds",
    "same",
    "version_of",
    "words_of",
]

SCHEMA: Final = 1

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,29}$")]
Words = Annotated[str, msgspec.Meta(max_length=200)]
Text = Annotated[str, msgspec.Meta(max_length=20_000)]
Told = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
ToolId = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=64)]
AgentName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,39}$")]
Literals = Annotated[list[str | int | float | bool], msgspec.Meta(min_length=1)]
FieldKind = Literal[
    "text", "text_or_null", "integer", "integer_or_null", "number", "yes_no", "texts", "pairs"
]
"""Of an agent's answer. ``texts``: a list; ``pairs``: a list of {key, value}."""


Intents = Annotated[dict[Name, Words], msgspec.Meta(min_length=2, max_length=20)]
Output = Annotated[dict[Name, FieldKind], msgspec.Meta(min_length=1, max_length=20)]


class Classify(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="classify",
    forbid_unknown_fields=True,
):
    """Which of a few intents is it? Gives ``value``, the intent."""

    label: Words | None = None
    """For people, in the diagram. None: the node's name."""
    agent: AgentName
    """Who is asked: Voice, WhatsApp or Backoffice."""
    instructions: Text = "Decide what the message asks for."
    """What is to be decided."""
    input: Text | list[Text] = "{{event.text}}"
    """The message, with templates."""
    intents: Intents
    """Intent -> what it means, for the model."""
    next: Name
    """The node that follows."""


class Ask(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="agent",
    forbid_unknown_fields=True,
):
    """An agent with its tools. Gives the fields of ``output``, or ``text`` without it."""

    label: Words | None = None
    """For people, in the diagram. None: the node's name."""
    agent: AgentName
    """Who is asked: Voice, WhatsApp or Backoffice."""
    instructions: Told
    """What the agent is to do."""
    input: Text | list[Text] = "{{event.text}}"
    """The message, with templates."""
    output: Annotated[dict[Name, FieldKind], msgspec.Meta(min_length=1, max_length=20)] | None = (
        None
    )
    """Field -> its kind. None: the agent answers in free text."""
    next: Name
    """The node that follows."""


class Call(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="tool",
    forbid_unknown_fields=True,
):
    """One tool call. Gives the tool's result."""

    label: Words | None = None
    """For people, in the diagram. None: the tool's id."""
    tool: ToolId
    """Such as ``leads.upsert``."""
    arguments: dict[str, Any] = {}
    """As JSON, with templates."""
    next: Name
    """The node that follows."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way out of a branch, taken when its test holds. One test, exactly."""

    label: Words | None = None
    """For people, in the diagram. None: the test."""
    value: Text
    """The template that is tested."""
    is_: Literal["present", "absent"] | None = msgspec.field(default=None, name="is")
    """``absent``: null, an empty text or an empty list."""
    equals: str | int | float | bool | None = None
    """It is equal to this."""
    one_of: Literals | None = None
    """It is equal to one of these."""
    next: Name
    """The node that follows."""


class Branch(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="branch",
    forbid_unknown_fields=True,
):
    """Chooses what comes next: by an intent (``intent`` and ``cases``), or by tests (``when``)."""

    label: Words | None = None
    """For people, in the diagram. None: the node's name."""
    intent: Name | None = None
    """The `Classify` node whose intent decides. None: ``when`` decides."""
    cases: dict[Name, Name] = {}
    """Intent -> next node."""
    when: list[Case] = []
    """The first whose test holds."""
    otherwise: Name | None = None
    """Where nothing else applies. None: only where ``cases`` has every intent."""


class End(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="end",
    forbid_unknown_fields=True,
):
    """The run is over."""

    label: Words | None = None
    """For people, in the diagram. None: the node's name."""
    result: dict[str, Any] = {}
    """What came of it, as JSON, with templates."""


Node = Classify | Ask | Call | Branch | End


class Workflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A graph without cycles, from ``start`` to an end."""

    schema: Literal[1] = SCHEMA
    """Of the file."""
    name: Name
    """Its versions are kept under it."""
    about: Words = ""
    """One line for people."""
    events: Annotated[
        list[Literal["turn", "call_ended", "whatsapp_message"]], msgspec.Meta(min_length=1)
    ]
    """The kinds of event it is for."""
    start: Name
    """The first node."""
    max_steps: Annotated[int, msgspec.Meta(ge=1, le=100)] = 32
    """Nodes in one run, at most."""
    nodes: Annotated[dict[Name, Node], msgspec.Meta(min_length=1, max_length=64)]
    """Name -> node."""

    @property
    def version(self) -> str:
        """The hash of its canonical form: 64 hex digits."""
        return version_of(canonical(self))

    async def run(self, event: Event, steps: Steps) -> dict[str, Any]:
        """See `run_graph`."""
        from voicelat.agentkit.workflows.run import run_graph

        return await run_graph(self, event, steps)


def canonical(workflow: Workflow) -> str:
    """The one text of a workflow: every default written, keys in order, no spaces. Key order,
    comments and layout of the file it came from leave no trace."""
    return json.dumps(
        msgspec.to_builtins(workflow), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def version_of(content: str) -> str:
    """The SHA-256 of a canonical text, in hex."""
    return hashlib.sha256(content.encode()).hexdigest()


def following(node: Node) -> list[tuple[str | None, str]]:
    """The ways out of a node: (what it takes to go there, next node). None: nothing."""
    if isinstance(node, End):
        return []
    if not isinstance(node, Branch):
        return [(None, node.next)]
    ways: list[tuple[str | None, str]] = [*node.cases.items()]
    ways += [(words_of(case), case.next) for case in node.when]
    if node.otherwise is not None:
        ways.append(("otherwise", node.otherwise))
    return ways


def words_of(case: Case) -> str:
    """A test in words, for people."""
    if case.label is not None:
        return case.label
    place = case.value.strip("{} ")
    if case.is_ is not None:
        return f"{place} is {case.is_}"
    if case.one_of is not None:
        return f"{place} is one of {', '.join(map(str, case.one_of))}"
    return f"{place} = {case.equals}"


def holds(case: Case, value: object) -> bool:
    """Whether a test holds for the value of its template."""
    if case.is_ is not None:
        return absent(value) == (case.is_ == "absent")
    return same(value, *([case.equals] if case.one_of is None else case.one_of))


def absent(value: object) -> bool:
    """Whether it is null, an empty text or an empty list."""
    return value is None or value in ("", [])


def same(value: object, *others: object) -> bool:
    """Whether it is one of them. True is no 1: a yes is not a count."""
    return any(
        value == other and isinstance(value, bool) == isinstance(other, bool) for other in others
    )
