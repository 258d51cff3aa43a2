"""What Alembic runs to bring a catalog to its newest form, on the connection that ``Catalog.migrate`` gives it."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

LOCK = 7_046_029_254_386_353_131
"""A number of PostgreSQL's advisory locks: of several servers that start at once, one migrates."""


def run_migrations() -> None:
    """All steps that are missing, in one transaction."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, render_as_batch=True, transactional_ddl=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        context.run_migrations()
    connection.commit()


run_migrations()
