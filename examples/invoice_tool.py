"""A tool of your own: agents can issue invoices, and no code of a call changes.

Name the module in the setting AGENT_TOOLS, allow the tool in your policy, and serve
``POST /v1/invoices/issue`` in your internal API: see docs/tools.md.
"""

from voicelat.agentkit.tools import Arguments, Result, Tool


class Issue(Arguments):
    customer_id: str
    amount_cents: int
    reason: str | None


class Issued(Result):
    invoice_id: str


TOOLS = [
    Tool(
        id="invoices.issue",
        about="Issue an invoice to a customer. Use it once the customer has agreed to the amount.",
        arguments=Issue,
        result=Issued,
        writes=True,
        agents=frozenset({"Backoffice"}),
    )
]
