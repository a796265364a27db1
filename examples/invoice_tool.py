"""A tool of your own: agents can issue invoices, and no code of a call changes.

Name the module in the setting AGENT_TOOLS, allow the tool in your policy, and serve
``POST /v1/invoices/issue`` in your internal API: see docs/tools.md.
"""

from voicelat.agentkit.tools import Arguments, Result, tool


class Issue(Arguments):
    """Issue an invoice to a customer. Use it once the customer has agreed to the amount."""

    customer_id: str
    amount_cents: int
    reason: str | None


class Issued(Result):
    invoice_id: str


TOOLS = [tool("invoices.issue", Issue, Issued, writes=True, agents=["Backoffice"])]
