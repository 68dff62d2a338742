"""Batch jobs: the queue, the worker, and their results as STAC."""
