"""Alembic's entry: runs inside the connection and transaction that Database.migrate() opened."""

from alembic import context

from bot.stores.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
