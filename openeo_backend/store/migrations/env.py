"""Run by Alembic: migrates the connection that store/database.py opened, within its transaction."""

from alembic import context

from openeo_backend.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
