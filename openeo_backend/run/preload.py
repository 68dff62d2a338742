"""Imported once by the fork server: what every child needs."""

import gc
from collections.abc import Callable
from functools import partial
from importlib import import_module

import openeo_backend.run.child  # noqa: F401
from openeo_backend.catalog import unpack
from openeo_backend.cube import along, blank, focal, order, ternary, warp
from openeo_backend.formats import statistics
from openeo_backend.ml import trees
from openeo_backend.processes.registry import Registry

_MODULES = ("scipy.ndimage", "scipy.signal", "netCDF4", "scipy.interpolate", "pyarrow.parquet", "sklearn.ensemble")
#: Compiled code and what only some children need: the fork server gets it while nobody asks it for children. Where
#: nothing was compiled before, that takes a while.
LATER: tuple[Callable[[], object], ...] = (
    order.warm,
    blank.warm,
    ternary.warm,
    unpack.warm,
    statistics.warm,
    warp.warm,
    focal.warm,
    along.warm,
    *(partial(import_module, name) for name in _MODULES),
    trees.warm,
)

Registry.predefined()

# children share what is imported here, and have nothing to collect in it
gc.collect()
gc.freeze()
