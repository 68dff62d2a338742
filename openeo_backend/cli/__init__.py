"""The command line: `openeo-backend`."""

from openeo_backend.cli.main import main

__all__ = ["main"]
