"""The one way to start a child process."""
