"""Alembic's folder: revisions of the database schema."""
