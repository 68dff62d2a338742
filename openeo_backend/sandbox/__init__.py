"""Child processes and what confines them: the one way to start a child, and the environment its readers get."""
