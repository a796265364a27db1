"""What channels know of messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add it. Messages that came in before came by no channel that is known."""
    op.drop_index("ux_messages_provider_id", "messages")
    for column in (
        sa.Column("media", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("says", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("profile_name", sa.Text(), nullable=True),
        sa.Column("reply_to", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("messages", column)
    op.create_index(
        "ux_messages_provider_id", "messages", ["tenant", "provider", "provider_id"], unique=True
    )
    op.create_index("ix_messages_status", "messages", ["tenant", "status", "at"])
