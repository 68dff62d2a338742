"""Imported once by the fork server: what every child needs."""

import gc

import openeo_backend.run.child  # noqa: F401
from openeo_backend.cube import blank, order
from openeo_backend.ml import trees
from openeo_backend.processes.registry import Registry

Registry.predefined()
order.warm()
blank.warm()
trees.warm()

# children share what is imported here, and have nothing to collect in it
gc.collect()
gc.freeze()
