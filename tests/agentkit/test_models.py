from __future__ import annotations

from pathlib import Path

import pytest
from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel
from agents.testing import ScriptedModel
from hypothesis import given
from hypothesis import strategies as st

from voicelat.agentkit.models import model, recorded
from voicelat.agentkit.scripted import RuleModel
from voicelat.errors import InvalidFile, UsageError


def test_a_model_is_made_by_its_name() -> None:
    assert isinstance(model("scripted"), RuleModel)
    assert isinstance(model("openai:gpt-x", api_key="k"), OpenAIResponsesModel)
    compatible = model("openai:gpt-x", base_url="http://127.0.0.1:9/v1")
    assert isinstance(compatible, OpenAIChatCompletionsModel)


@pytest.mark.parametrize("name", ["", "gpt-x", "openai:", "scripted:x", "recorded:"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="AGENT_MODEL"):
        model(name, api_key="k")


def test_without_a_key_the_scripted_one_is_named() -> None:
    with pytest.raises(UsageError, match="use scripted"):
        model("openai:gpt-x")


@given(st.text(max_size=40) | st.sampled_from(['{"says": 1}', '{"calls": []}', '{"calls": [1]}']))
def test_a_line_that_is_no_answer_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="line 1 of the recording"):
        recorded([line])


def test_a_recording_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text('{"says": "שלום"}\n\n{"calls": [{"tool": "crm.get", "arguments": {}}]}\n')
    made = model(f"recorded:{file}")
    assert isinstance(made, ScriptedModel)
    assert made.remaining_steps == 2
    with pytest.raises(InvalidFile, match="No such file"):
        model(f"recorded:{tmp_path / 'none'}")
    file.write_text("{}")
    with pytest.raises(InvalidFile, match="line 1"):
        model(f"recorded:{file}")
