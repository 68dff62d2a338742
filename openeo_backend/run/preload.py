"""Imported once by the fork server: what every child needs."""

import openeo_backend.run.child  # noqa: F401
from openeo_backend.cube import order
from openeo_backend.processes.registry import Registry

Registry.predefined()
order.warm()
