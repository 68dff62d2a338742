"""Processes that load data cubes: load_collection, load_stac, load_result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback
from openeo_backend.processes.environment import Collections, Env
from openeo_backend.processes.registry import process


def _collections(env: Env) -> Collections:
    if env.collections is None:
        raise OpenEOError("FeatureUnsupported", "There is no catalog to load data from.")
    return env.collections


def _names(bands: Any) -> tuple[str, ...]:
    if not isinstance(bands, list | tuple):
        raise OpenEOError("ProcessParameterInvalid", f"'bands' must be a list of names, not {type(bands).__name__}.")
    return tuple(bands)


def _request(
    spatial_extent: Any,
    temporal_extent: Sequence[str | None] | None,
    bands: Sequence[str] | None,
    properties: Mapping[str, Callback] | None,
) -> LoadRequest:
    if bands is not None and not bands:
        raise OpenEOError("ProcessParameterInvalid", "The list of bands is empty.", hint="Give null to load all bands.")
    return LoadRequest(
        spatial_extent=spatial_extent,
        temporal_extent=temporal_extent,
        bands=None if bands is None else _names(bands),
        properties=dict(properties or {}),
    )


@process("load_collection")
def load_collection(
    id: str,
    spatial_extent: Any = None,
    temporal_extent: Sequence[str | None] | None = None,
    bands: Sequence[str] | None = None,
    properties: Mapping[str, Callback] | None = None,
    *,
    env: Env,
) -> Cube:
    """A lazy cube (t, bands, y, x) of stored values; see docs/collections.md for its grid and time steps.

    :raises OpenEOError: CollectionNotFound, NoDataAvailable, TemporalExtentEmpty, ProcessParameterInvalid.
    """
    return _collections(env).load(id, _request(spatial_extent, temporal_extent, bands, properties), env)


@process("load_stac")
def load_stac(
    url: str,
    spatial_extent: Any = None,
    temporal_extent: Sequence[str | None] | None = None,
    bands: Sequence[str] | None = None,
    properties: Mapping[str, Callback] | None = None,
    *,
    env: Env,
) -> Cube:
    """A lazy cube (t, bands, y, x) of stored values of a STAC item, collection, catalog, API or search result.

    :raises OpenEOError: NoDataAvailable, TemporalExtentEmpty, ProcessParameterInvalid, and what keeps the URL from
        being read.
    """
    return _collections(env).load_url(url, _request(spatial_extent, temporal_extent, bands, properties), env)


@process("load_result")
def load_result(
    id: str,
    spatial_extent: Any = None,
    temporal_extent: Sequence[str | None] | None = None,
    bands: Sequence[str] | None = None,
    *,
    env: Env,
) -> Cube:
    """A lazy cube (t, bands, y, x) of the results of a batch job, as load_stac gives it.

    :raises OpenEOError: JobNotFound, JobNotFinished, ResultLinkExpired, NoDataAvailable, TemporalExtentEmpty,
        ProcessParameterInvalid.
    """
    return _collections(env).load_result(id, _request(spatial_extent, temporal_extent, bands, None), env)
