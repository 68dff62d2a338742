"""Imported once by the fork server: what every child needs."""

import openeo_backend.run.child
import openeo_backend.run.engine  # noqa: F401
