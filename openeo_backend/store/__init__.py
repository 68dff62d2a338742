"""What must survive: users, tokens, jobs and their logs, in SQLite or PostgreSQL."""
