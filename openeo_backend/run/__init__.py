"""Running a graph: the same way for synchronous requests, batch jobs and the command line."""
