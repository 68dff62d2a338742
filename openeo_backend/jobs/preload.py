"""Imported once by the fork server: what every child of the server needs."""

import openeo_backend.jobs.child
import openeo_backend.run.preload  # noqa: F401
