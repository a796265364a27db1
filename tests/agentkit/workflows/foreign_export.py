# mypy: ignore-errors
# ruff: noqa
# fmt: off
# An export of Agent Builder as such exports were in 2026: not written by voicelat.
from agents import function_tool, Agent, ModelSettings, RunContextWrapper, TResponseInputItem, Runner, RunConfig, trace
from openai.types.shared.reasoning import Reasoning
from pydantic import BaseModel
from typing import Literal

# Tool definitions
@function_tool
def leads_upsert(name: str, phone: str, external_id: str, provider: str, notes: str, source: str):
  pass

@function_tool
def calendar_find_slots(earliest: str, latest: str, minutes: int):
  pass

class ClassifySchema(BaseModel):
  category: Literal["sales", "support"]


classify = Agent(
  name="Classify",
  instructions="""You are a helpful assistant that classifies an incoming message
as "sales" or "support".""",
  model="gpt-5",
  output_type=ClassifySchema,
  model_settings=ModelSettings(
    store=True,
    reasoning=Reasoning(
      effort="low",
      summary="auto"
    )
  )
)


class SalesAgentContext:
  def __init__(self, state_category: str) -> None:
    self.state_category = state_category


def sales_agent_instructions(run_context: RunContextWrapper[SalesAgentContext], _agent: Agent[SalesAgentContext]):
  state_category = run_context.context.state_category
  return f"""Keep the writer as a lead. The category is {state_category}."""


sales_agent = Agent(
  name="Sales agent",
  instructions=sales_agent_instructions,
  model="gpt-5",
  tools=[
    leads_upsert,
    calendar_find_slots
  ],
  model_settings=ModelSettings(
    temperature=1,
    parallel_tool_calls=True,
    store=True
  )
)


support_agent = Agent(
  name="Support agent",
  instructions="Answer the question in one sentence.",
  model="gpt-5"
)


class WorkflowInput(BaseModel):
  input_as_text: str


# Main code entrypoint
async def run_workflow(workflow_input: WorkflowInput):
  with trace("Sales or support"):
    state = {
      "category": None
    }
    workflow = workflow_input.model_dump()
    conversation_history: list[TResponseInputItem] = [
      {
        "role": "user",
        "content": [
          {
            "type": "input_text",
            "text": workflow["input_as_text"]
          }
        ]
      }
    ]
    classify_result_temp = await Runner.run(
      classify,
      input=[
        *conversation_history
      ],
      run_config=RunConfig(trace_metadata={
        "__trace_source__": "agent-builder",
        "workflow_id": "wf_68f0000000000000000000000000000000000000000000"
      })
    )

    conversation_history.extend([item.to_input_item() for item in classify_result_temp.new_items])

    classify_result = {
      "output_text": classify_result_temp.final_output.json(),
      "output_parsed": classify_result_temp.final_output.model_dump()
    }
    state["category"] = classify_result["output_parsed"]["category"]
    if state["category"] == "sales":
      sales_agent_result_temp = await Runner.run(
        sales_agent,
        input=[
          *conversation_history
        ],
        run_config=RunConfig(trace_metadata={
          "__trace_source__": "agent-builder",
          "workflow_id": "wf_68f0000000000000000000000000000000000000000000"
        }),
        context=SalesAgentContext(state_category=state["category"])
      )
      sales_agent_result = {
        "output_text": sales_agent_result_temp.final_output_as(str)
      }
      return sales_agent_result
    else:
      support_agent_result_temp = await Runner.run(
        support_agent,
        input=[
          *conversation_history
        ],
        run_config=RunConfig(trace_metadata={
          "__trace_source__": "agent-builder",
          "workflow_id": "wf_68f0000000000000000000000000000000000000000000"
        })
      )
      support_agent_result = {
        "output_text": support_agent_result_temp.final_output_as(str)
      }
      return support_agent_result
