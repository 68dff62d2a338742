"""Imported once by the fork server: what every child of the server needs."""

import openeo_backend.jobs.child  # noqa: F401
from openeo_backend.run.preload import LATER

__all__ = ["LATER"]
