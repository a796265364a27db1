from __future__ import annotations

import sys
from pathlib import Path

import pytest
from agents.strict_schema import ensure_strict_json_schema
from jsonschema import Draft202012Validator

from voicelat.agentkit.tools import Tool, ToolSet, form_of, load_tools
from voicelat.errors import UsageError

TOOLS = ToolSet.builtin()
each_tool = pytest.mark.parametrize("tool", list(TOOLS), ids=[tool.id for tool in TOOLS])


def test_the_thirteen_tools_are_there() -> None:
    assert sorted(tool.id for tool in TOOLS) == [
        "calendar.create",
        "calendar.find_slots",
        "calls.attach_recording",
        "calls.log_create",
        "crm.get",
        "crm.search_customer",
        "crm.update",
        "leads.tag",
        "leads.upsert",
        "stt.get_last_transcript",
        "summary.generate",
        "whatsapp.fetch_thread",
        "whatsapp.send",
    ]


@each_tool
def test_a_wire_name_stands_for_one_tool(tool: Tool) -> None:
    assert TOOLS.by_wire(tool.wire) is TOOLS.get(tool.id) is tool
    assert "." not in tool.wire


@each_tool
def test_a_schema_is_strict_as_it_is(tool: Tool) -> None:
    Draft202012Validator.check_schema(tool.schema)
    assert ensure_strict_json_schema(tool.schema) == tool.schema


@each_tool
def test_a_tool_says_what_it_does_and_when_to_use_it(tool: Tool) -> None:
    assert tool.about.endswith(".")
    assert tool.about.count(". ") == 1
    assert tool.agents


def test_a_form_has_a_field_for_each_argument() -> None:
    for tool in TOOLS:
        assert [field.name for field in form_of(tool)] == list(tool.schema["properties"])
    fields = {field.name: field for field in form_of(TOOLS.get("calendar.create"))}
    assert (fields["start"].kind, fields["start"].required) == ("time", True)
    assert (fields["lead_id"].kind, fields["lead_id"].required) == ("text", False)
    assert fields["attendee_phone"].label == "Attendee phone"
    assert "E.164" in fields["attendee_phone"].help


def test_a_list_of_objects_is_a_table() -> None:
    changes = form_of(TOOLS.get("crm.update"))[1]
    assert changes.kind == "table"
    assert [column.name for column in changes.columns] == ["key", "value"]
    assert form_of(TOOLS.get("whatsapp.send"))[4].kind == "texts"


def test_a_second_tool_of_an_id_is_refused() -> None:
    with pytest.raises(UsageError, match=r"leads\.tag already"):
        ToolSet.builtin().add(TOOLS.get("leads.tag"))


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(UsageError, match=r"'leads\.delete'"):
        TOOLS.get("leads.delete")
    with pytest.raises(UsageError, match="leads_delete"):
        TOOLS.by_wire("leads_delete")


def test_an_agent_has_only_its_tools() -> None:
    assert "leads.upsert" not in {tool.id for tool in TOOLS.of("Voice")}
    assert {tool.id.partition(".")[0] for tool in TOOLS.of("WhatsApp")} == {
        "calendar",
        "leads",
        "whatsapp",
    }


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "needs TOOLS"),
        ("TOOLS = [1]", "needs TOOLS"),
        ("import a_module_that_is_not_there", "a_module_that_is_not_there"),
    ],
)
def test_a_module_without_tools_is_named(
    source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mistaken_tools.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mistaken_tools", raising=False)
    with pytest.raises(UsageError, match=says):
        load_tools(["mistaken_tools"])
    with pytest.raises(UsageError):
        load_tools([""])
