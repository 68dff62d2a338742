"""The value that flows through a process graph: raster and vector data cubes alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.cube.dimension import Dimension
from openeo_backend.errors import OpenEOError

T = TypeVar("T")


@dataclass(frozen=True)
class Band:
    """Metadata of one band label that survives operations keeping the label."""

    common_name: str | None = None
    """STAC eo common name (red, nir ...)."""

    wavelength: float | None = None
    """Centre wavelength in micrometres."""

    scale: float | None = None
    """Factor from stored to physical values, published, not applied."""

    offset: float | None = None
    """Summand after `scale`."""

    unit: str | None = None
    description: str | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Provenance:
    """Where the values come from, for the metadata of results."""

    items: tuple[str, ...] = ()
    """Every STAC item read, for `derived_from`: its URL, or its path below the root of this API."""

    collections: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    providers: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    """Statements about processing that the metadata must repeat (e.g. a pass-through)."""

    levels: tuple[str, ...] = ()
    """Processing levels of optical data, as the metadata tell: L1 (top of atmosphere), L2 (surface reflectance)."""

    coefficients: tuple[str, ...] = ()
    """What radar values are, as the metadata tell: beta0, sigma0-ellipsoid, gamma0-terrain ... or `digital-number`."""

    sun: tuple[tuple[str, float], ...] = ()
    """Zenith angle of the sun in degrees by temporal label (ISO 8601, seconds), of optical data of level 1."""

    period: tuple[str, ...] = ()
    """First and last temporal label of the data loaded (ISO 8601, seconds): what results without dates are about."""

    instruments: tuple[str, ...] = ()
    """Names of the instruments that measured the data, as STAC has them."""

    def merge(self, other: Provenance) -> Provenance:
        """Both origins, each entry once, order kept; the period covers both."""

        def union(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
            return a + tuple(entry for entry in b if entry not in a)

        return Provenance(
            union(self.items, other.items),
            union(self.collections, other.collections),
            union(self.licenses, other.licenses),
            union(self.providers, other.providers),
            union(self.notes, other.notes),
            union(self.levels, other.levels),
            union(self.coefficients, other.coefficients),
            union(self.sun, other.sun),
            (min(dates), max(dates)) if (dates := self.period + other.period) else (),
            union(self.instruments, other.instruments),
        )

    def note(self, text: str, **changes: Any) -> Provenance:
        """The same with another statement, and other fields changed."""
        notes = self.notes if text in self.notes else (*self.notes, text)
        return replace(self, notes=notes, **changes)


@dataclass(frozen=True, eq=False)
class Cube:
    """An openEO data cube.

    Invariants: `data.dims` equals the names of `dimensions`, in order; at most one of them is of geometries; every
    dimension has a coordinate with its labels (numbers for spatial ones: pixel centres; datetime64[ns] or str for
    temporal ones; str for bands; shapely geometries, of which any may be None, for a geometry dimension, object dtype;
    str or numbers for others); `data` is lazy (dask-backed) wherever its origin is, and no process computes it.

    No-data: floating point data use NaN, and `nodata` is None. Integer and boolean data hold `nodata` where a
    value is missing; `nodata` None means that nothing is missing. Object dtype holds None.
    """

    subtype: ClassVar[str] = "datacube"

    data: xr.DataArray
    """The values, with a coordinate per dimension."""

    dimensions: tuple[Dimension, ...]
    """One per axis of `data`, in the same order."""

    crs: CRS | None = None
    """Reference system of spatial and geometry dimensions."""

    nodata: int | None = None
    """The value that stands for missing in integer data."""

    bands: Mapping[str, Band] = field(default_factory=dict)
    """What is known about band labels; labels without an entry are plain."""

    properties: pd.DataFrame | None = None
    """Feature properties, one row per geometry, in the order of the geometry dimension."""

    provenance: Provenance = field(default_factory=Provenance)

    source: object | None = None
    """What the values were loaded from, for processes that must load them in another way; whoever uses it makes sure
    that the values are still those loaded. None where nothing offers that."""

    def __post_init__(self) -> None:
        """:raises OpenEOError: DimensionExists for a second dimension of geometries."""
        names = tuple(dimension.name for dimension in self.dimensions)
        if tuple(self.data.dims) != names:
            raise ValueError(f"dimensions {names} do not describe data with dims {self.data.dims}")
        shapes = [dimension.name for dimension in self.dimensions if dimension.type == "geometry"]
        if len(shapes) > 1:
            raise OpenEOError(
                "DimensionExists", f"A data cube has one dimension of geometries, not {' and '.join(shapes)}."
            )

    def derived(self, name: str, make: Callable[[], T]) -> T:
        """What follows from the cube alone, and has neither values nor the cube in it: made once for each cube."""
        if name not in self._derived:
            self._derived[name] = make()
        found: T = self._derived[name]
        return found

    @cached_property
    def _derived(self) -> dict[str, Any]:
        return {}

    # -- looking up -------------------------------------------------------------------------------------

    def patch(self, **changes: Any) -> Cube:
        """A copy with the given fields changed."""
        changed = replace(self, **changes)
        if changed.data is self.data and changed.dimensions is self.dimensions and changed.crs is self.crs:
            for name in ("geobox", "_labels"):  # what was found out already
                if name in vars(self):
                    vars(changed)[name] = vars(self)[name]
        return changed

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dimension.name for dimension in self.dimensions)

    def has(self, name: str) -> bool:
        return name in self.names

    def dimension(self, name: str) -> Dimension:
        """The dimension called `name`.

        :raises OpenEOError: DimensionNotAvailable, naming the dimensions there are.
        """
        for dimension in self.dimensions:
            if dimension.name == name:
                return dimension
        raise OpenEOError(
            "DimensionNotAvailable",
            f"A dimension '{name}' does not exist. Available: {', '.join(self.names) or 'none'}.",
        )

    def of_type(self, *types: str) -> tuple[Dimension, ...]:
        """All dimensions of the given types, in order."""
        return tuple(dimension for dimension in self.dimensions if dimension.type in types)

    def axis(self, axis: str) -> Dimension | None:
        """The spatial dimension of an axis (`x`, `y` or `z`), if there is one."""
        return next((d for d in self.dimensions if d.type == "spatial" and d.axis == axis), None)

    def labels(self, name: str) -> np.ndarray:
        """Labels of a dimension as stored (datetime64 for dates); not to be written to."""
        if name not in self._labels:
            self.dimension(name)
            variable = self.data.coords.variables.get(name)
            self._labels[name] = np.asarray(self.data[name].values if variable is None else variable.values)
        return self._labels[name]

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        """What :meth:`labels` told before."""
        return {}

    @property
    def is_vector(self) -> bool:
        return bool(self.of_type("geometry"))

    @property
    def is_lazy(self) -> bool:
        return self.data.chunks is not None

    # -- grid -------------------------------------------------------------------------------------------

    @cached_property
    def geobox(self) -> GeoBox | None:
        """The grid of the x and y dimensions, or None where they are missing, irregular or without CRS."""
        x, y = self.axis("x"), self.axis("y")
        if x is None or y is None or self.crs is None:
            return None
        step_x, step_y = self.step(x), self.step(y)
        xs, ys = self.labels(x.name), self.labels(y.name)
        if not step_x or not step_y or not step_x * step_y or not len(xs) or not len(ys):
            return None
        left, top = float(xs[0]) - step_x / 2, float(ys[0]) - step_y / 2
        return GeoBox((len(ys), len(xs)), Affine(step_x, 0, left, 0, step_y, top), self.crs)

    def step(self, dimension: Dimension) -> float | None:
        """Signed distance of the labels of a spatial dimension; None where it is irregular or unknown."""
        labels = self.labels(dimension.name)
        if len(labels) < 2:
            return dimension.step
        step = (float(labels[-1]) - float(labels[0])) / (len(labels) - 1)
        steps = np.diff(labels.astype("float64"))
        return step if step and (np.abs(steps - step) <= 1e-3 * abs(step)).all() else None

    # -- vector -----------------------------------------------------------------------------------------

    def geometries(self) -> gpd.GeoSeries:
        """The labels of the geometry dimension with their CRS.

        :raises OpenEOError: DimensionNotAvailable for a cube without geometries.
        """
        found = self.of_type("geometry")
        if not found:
            raise OpenEOError("DimensionNotAvailable", "The data cube has no geometry dimension.")
        return gpd.GeoSeries(list(self.labels(found[0].name)), crs=self.crs and self.crs.proj)

    # -- rebuilding -------------------------------------------------------------------------------------

    def with_data(self, data: xr.DataArray, **changes: Any) -> Cube:
        """The cube with other values on the same or fewer dimensions (those that `data` lost are dropped)."""
        known = {dimension.name: dimension for dimension in self.dimensions}
        dimensions = tuple(known[str(name)] for name in data.dims)
        return replace(self, data=data, dimensions=dimensions, **changes)
