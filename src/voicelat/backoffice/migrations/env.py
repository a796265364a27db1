"""Runs the migrations on the connection `voicelat.backoffice.database.Database.upgrade` opened."""

from __future__ import annotations

from alembic import context

from voicelat.backoffice.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # SQLite can, once its driver is told not to begin by itself
)
with context.begin_transaction():
    context.run_migrations()
