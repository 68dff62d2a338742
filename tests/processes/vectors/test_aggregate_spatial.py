"""aggregate_spatial, against masks of rasterio and plain numpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import shapely
from odc.geo.crs import CRS
from pyproj import Transformer
from rasterio.features import rasterize
from vector_support import (
    DATA,
    SIZE,
    TRANSFORM,
    X0,
    Y0,
    callback,
    environment,
    gathered,
    geojson,
    nothing_computed,
    place,
    raster,
    values,
)

from openeo_backend.cube import memory, spill
from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]

SHAPE = (48, 64)
CHUNKS = [None, (2, 3, 16, 16), (1, 1, 7, 48), (2, 3, 48, 64)]


def numbers() -> np.ndarray:
    """(t, bands, y, x) with holes: a whole corner, and single values."""
    generator = np.random.default_rng(3)
    found = generator.normal(100, 20, (2, 3, *SHAPE)).astype("float32")
    found[0, :, :12, :12] = np.nan
    found[:, 1][generator.random((2, *SHAPE)) < 0.1] = np.nan
    return found


def shapes() -> list[Any]:
    """Polygons over one and several blocks: overlapping, with a hole, of two parts, partly and wholly outside."""
    ring = shapely.Point(*place(30, 22)).buffer(155).difference(shapely.Point(*place(30, 22)).buffer(72))
    parts = shapely.MultiPolygon([shapely.box(*place(3, 44), *place(9, 38)), shapely.box(*place(50, 9), *place(61, 2))])
    return [
        shapely.Point(*place(5.3, 5.1)).buffer(42),
        ring,
        shapely.Point(*place(33, 25)).buffer(101),
        parts,
        shapely.Point(*place(63, 47)).buffer(88),
        shapely.Point(*place(400, 400)).buffer(88),
    ]


def members(shape: Any) -> np.ndarray:
    """The pixels whose centres rasterio finds in a polygon."""
    return rasterize([(shape, 1)], out_shape=SHAPE, transform=TRANSFORM).astype(bool)


def expected(data: np.ndarray, function: Callable[[np.ndarray], float]) -> np.ndarray:
    found = np.full((len(shapes()), *data.shape[:2]), np.nan)
    for index, shape in enumerate(shapes()):
        mask = members(shape)
        for t, band in np.ndindex(*data.shape[:2]):
            own = data[t, band][mask].astype("float64")
            own = own[~np.isnan(own)]
            if len(own):
                found[index, t, band] = function(own)
    return found


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": np.mean,
    "sum": np.sum,
    "min": np.min,
    "max": np.max,
    "sd": lambda own: np.std(own, ddof=1),
    "variance": lambda own: np.var(own, ddof=1),
    "median": np.median,
    "product": np.prod,
}


@pytest.mark.parametrize("make", [callback, gathered])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_of_polygons(call: Call, statistic: str, make: Any) -> None:
    data = numbers() / 100 if statistic == "product" else numbers()
    wanted = expected(data, STATISTICS[statistic])
    assert np.isnan(wanted[0, 0]).all()
    assert np.isnan(wanted[5]).all()
    for chunks in CHUNKS:
        found = call(
            "aggregate_spatial", data=raster(data, chunks=chunks), geometries=geojson(shapes()), reducer=make(statistic)
        )
        assert found.names == ("geometry", "t", "bands")
        assert found.is_lazy == (chunks is not None)
        assert found.data.dtype == np.float32
        np.testing.assert_allclose(values(found), wanted, rtol=2e-4, err_msg=f"{statistic} {chunks}")


def test_pixels_of_large_geometries_wait_in_files(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY", 100)
    data = numbers()
    written = []
    write = spill.write
    monkeypatch.setattr(spill, "write", lambda *arguments: written.append(write(*arguments)) or written[-1])
    for chunks in ((2, 3, 16, 16), (1, 1, 7, 48)):
        found = call(
            "aggregate_spatial",
            data=raster(data, chunks=chunks),
            geometries=geojson(shapes()),
            reducer=callback("median"),
            target_dimension="counts",
            env=environment(tmp_path, {}),
        )
        there = values(found)
        np.testing.assert_allclose(there[..., 0], expected(data, np.median), rtol=1e-6)
        totals = [members(shape).sum() for shape in shapes()]
        np.testing.assert_array_equal(there[..., 1], np.broadcast_to(np.reshape(totals, (-1, 1, 1)), (6, 2, 3)))
        valid = [(~np.isnan(data[:, :, members(shape)])).sum(axis=2) for shape in shapes()]
        np.testing.assert_array_equal(there[..., 2], valid)
        assert written
        assert not any(path.exists() for path in written)
        written.clear()


@pytest.mark.parametrize(("rows", "columns"), [(1, 64), (48, 1), (0, 64), (48, 0)])
def test_a_line_of_pixels_and_none(call: Call, rows: int, columns: int) -> None:
    data = numbers()[..., :rows, :columns]
    found = call(
        "aggregate_spatial",
        data=raster(data, chunks=data.shape),
        geometries=geojson(shapes()),
        reducer=callback("median"),
    )
    wanted = np.full((6, 2, 3), np.nan)
    for index, shape in enumerate(shapes()):
        own = data[:, :, members(shape)[:rows, :columns]]
        some = ~np.isnan(own).all(axis=2)
        wanted[index][some] = np.nanmedian(own[some], axis=-1)
    np.testing.assert_allclose(values(found), wanted)


def test_a_geometry_of_which_a_plane_does_not_fit_is_refused_with_numbers(call: Call) -> None:
    arguments = {"data": raster(numbers(), chunks=(2, 3, 16, 16)), "geometries": geojson(shapes())}
    with dask.config.set({memory.CONFIG: memory.BASE_MB}):
        with pytest.raises(OpenEOError, match=r"A geometry of [\d,]+ pixels needs at least 1 MB .* 350 MB") as raised:
            call("aggregate_spatial", **arguments, reducer=callback("median"))
        assert raised.value.code == "ProcessGraphComplexity"
        assert call("aggregate_spatial", **arguments, reducer=callback("mean")).is_lazy


@pytest.mark.parametrize("make", [callback, gathered])
@pytest.mark.parametrize("condition", [None, True])
def test_counts(call: Call, make: Any, condition: Any) -> None:
    data = numbers()
    data[1, 2, 20, 30] = np.inf
    wanted = np.zeros((6, 2, 3))
    for index, shape in enumerate(shapes()):
        mask = members(shape)
        wanted[index] = mask.sum() if condition else (np.isfinite(data) & mask).sum(axis=(2, 3))
    wanted[5] = np.nan
    for chunks in CHUNKS:
        reducer = make("count", **({} if condition is None else {"condition": condition}))
        found = call(
            "aggregate_spatial", data=raster(data, chunks=chunks), geometries=geojson(shapes()), reducer=reducer
        )
        np.testing.assert_array_equal(values(found), wanted)


@pytest.mark.parametrize("make", [callback, gathered])
def test_nodata_counts_where_it_is_not_ignored(call: Call, make: Any) -> None:
    data = numbers()
    found = call(
        "aggregate_spatial",
        data=raster(data, chunks=(1, 3, 16, 16)),
        geometries=geojson(shapes()),
        reducer=make("mean", ignore_nodata=False),
    )
    wanted = expected(data, np.mean)
    for index, shape in enumerate(shapes()):
        wanted[index][np.isnan(data[:, :, members(shape)]).any(axis=2)] = np.nan
    assert 0 < np.isnan(wanted).sum() < wanted.size
    np.testing.assert_allclose(values(found), wanted, rtol=1e-5)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_integers_keep_their_type_for_extremes(call: Call, dtype: str, up: bool) -> None:
    data = np.random.default_rng(5).integers(1, 250 if dtype == "uint8" else 30_000, SHAPE).astype(dtype)
    nodata = 0
    data[::3, ::2] = nodata
    mask = members(shapes()[1]) & (data != nodata)
    for chunks in (None, (13, 64)):
        cube = raster(data, chunks=chunks, nodata=nodata, up=up)
        for statistic, wanted in (("min", data[mask].min()), ("max", data[mask].max())):
            found = call("aggregate_spatial", data=cube, geometries=geojson(shapes()), reducer=callback(statistic))
            assert found.data.dtype == dtype
            assert found.data.values[1] == wanted
            assert found.data.values[5] == found.nodata == nodata
        found = call("aggregate_spatial", data=cube, geometries=geojson(shapes()), reducer=callback("sum"))
        assert found.data.dtype == (np.float64 if dtype == "int32" else np.float32)
        np.testing.assert_allclose(found.data.values[1], data[mask].astype("int64").sum(), rtol=1e-6)


def test_callbacks_of_several_nodes_get_all_pixels(call: Call) -> None:
    data = numbers()
    reducer = {
        "process_graph": {
            "high": {"process_id": "max", "arguments": {"data": DATA}},
            "low": {"process_id": "min", "arguments": {"data": DATA}},
            "span": {
                "process_id": "subtract",
                "arguments": {"x": {"from_node": "high"}, "y": {"from_node": "low"}},
            },
            "scaled": {
                "process_id": "multiply",
                "arguments": {"x": {"from_node": "span"}, "y": {"from_parameter": "context"}},
                "result": True,
            },
        }
    }
    wanted = 2 * expected(data, np.ptp)
    for chunks in CHUNKS:
        found = call(
            "aggregate_spatial",
            data=raster(data, chunks=chunks),
            geometries=geojson(shapes()),
            reducer=reducer,
            context=2,
        )
        np.testing.assert_allclose(values(found), wanted, rtol=1e-5)


def test_counts_in_another_dimension(call: Call) -> None:
    data = numbers()
    wanted = expected(data, np.mean)
    for make in (callback, gathered):
        for chunks in CHUNKS:
            found = call(
                "aggregate_spatial",
                data=raster(data, chunks=chunks),
                geometries=geojson(shapes()),
                reducer=make("mean"),
                target_dimension="statistic",
            )
            assert found.names == ("geometry", "t", "bands", "statistic")
            assert found.dimension("statistic").type == "other"
            assert list(found.labels("statistic")) == ["value", "total_count", "valid_count"]
            stored = values(found)
            np.testing.assert_allclose(stored[..., 0], wanted, rtol=1e-5)
            for index, shape in enumerate(shapes()):
                mask = members(shape)
                np.testing.assert_array_equal(stored[index, ..., 1], mask.sum())
                np.testing.assert_array_equal(stored[index, ..., 2], (~np.isnan(data) & mask).sum(axis=(2, 3)))


def test_target_dimension_must_be_new(call: Call) -> None:
    for name in ("bands", "x", "geometry"):
        with pytest.raises(OpenEOError) as caught:
            call(
                "aggregate_spatial",
                data=raster(numbers()),
                geometries=geojson(shapes()),
                reducer=callback("mean"),
                target_dimension=name,
            )
        assert caught.value.code == "TargetDimensionExists"


def test_points_take_the_pixel_under_them_and_lines_those_they_touch(call: Call) -> None:
    data = np.arange(np.prod(SHAPE), dtype="float32").reshape(SHAPE)
    line = shapely.LineString([place(2.5, 3.5), place(40.2, 31.7), place(60, 31.7)])
    given = [
        shapely.Point(*place(10.9, 20.1)),
        shapely.MultiPoint([place(0.2, 0.2), place(63.9, 47.9)]),
        line,
        shapely.Point(*place(-5, 3)),
    ]
    rows, columns = np.indices(SHAPE)
    cells = shapely.box(X0 + columns * SIZE, Y0 - (rows + 1) * SIZE, X0 + (columns + 1) * SIZE, Y0 - rows * SIZE)
    touched = data[shapely.intersects(line, cells)]
    wanted = [data[20, 10], data[0, 0] + data[47, 63], touched.sum(), np.nan]
    for make in (callback, gathered):
        for chunks in (None, (16, 16), (5, 64)):
            found = call(
                "aggregate_spatial", data=raster(data, chunks=chunks), geometries=geojson(given), reducer=make("sum")
            )
            np.testing.assert_allclose(values(found), wanted, rtol=1e-6)


def test_centres_on_an_edge_are_inside(call: Call) -> None:
    data = np.ones(SHAPE, "float32")
    square = shapely.box(*place(2.5, 6.5), *place(5.5, 3.5))
    found = call("aggregate_spatial", data=raster(data), geometries=geojson([square]), reducer=callback("sum"))
    assert found.data.values.tolist() == [16.0]


@pytest.mark.parametrize("chunks", [None, (2, 3, 16, 16)])
def test_geometries_and_properties_stay(call: Call, chunks: Any) -> None:
    to_degrees = Transformer.from_crs(32631, 4326, always_xy=True)
    degrees = [
        shapely.transform(shape, lambda points: np.column_stack(to_degrees.transform(*points.T))) for shape in shapes()
    ]
    given: list[Any] = [degrees[1], None, shapely.Polygon(), degrees[0]]
    rows: list[dict[str, Any]] = [
        {"crop": "maize", "size": 3},
        {"crop": "wheat"},
        {"size": 7},
        {"crop": "rye", "size": 1},
    ]
    found = call(
        "aggregate_spatial",
        data=raster(numbers(), chunks=chunks),
        geometries=geojson(given, rows, epsg=None),
        reducer=callback("mean"),
    )
    labels = found.labels("geometry")
    assert labels[1] is None
    assert labels[2].is_empty
    assert shapely.equals(labels[[0, 3]], [degrees[1], degrees[0]]).all()
    assert found.crs.epsg == 4326
    assert found.properties is not None
    assert found.properties["crop"].tolist()[0::3] == ["maize", "rye"]
    assert found.properties["size"].tolist()[2:] == [7, 1]
    wanted = expected(numbers(), np.mean)
    np.testing.assert_allclose(values(found)[[0, 3]], wanted[[1, 0]], rtol=1e-4)
    assert np.isnan(values(found)[1:3]).all()


def test_a_single_geometry_and_a_feature(call: Call) -> None:
    to_degrees = Transformer.from_crs(32631, 4326, always_xy=True)
    shape = shapely.transform(shapes()[2], lambda points: np.column_stack(to_degrees.transform(*points.T)))
    geometry = shapely.geometry.mapping(shape)
    wanted = expected(numbers(), np.mean)[2:3]
    for given in (geometry, {"type": "Feature", "properties": {"a": 1}, "geometry": geometry}):
        found = call("aggregate_spatial", data=raster(numbers()), geometries=given, reducer=callback("mean"))
        np.testing.assert_allclose(values(found), wanted, rtol=1e-4)


def test_a_vector_cube_gives_geometries_and_properties(call: Call) -> None:
    zones = call("load_geojson", data=geojson(shapes()), properties=["number"])
    found = call("aggregate_spatial", data=raster(numbers()), geometries=zones, reducer=callback("max"))
    np.testing.assert_allclose(values(found), expected(numbers(), np.max), rtol=1e-6)
    assert found.names == ("geometry", "t", "bands")
    assert found.properties is not None
    assert found.properties["number"].tolist() == list(range(6))


def test_geometry_collections_are_refused(call: Call) -> None:
    collection = {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [3, 50]}]}
    with pytest.raises(OpenEOError) as caught:
        call("aggregate_spatial", data=raster(numbers()), geometries=collection, reducer=callback("mean"))
    assert caught.value.code == "FeatureUnsupported"


def test_longitudes_beyond_180_degrees(call: Call) -> None:
    """Geometries in -180 to 180 degrees meet a grid from 170 to 190 degrees, and one from -190 to -170."""
    cube = raster(np.arange(20.0)[None, :].repeat(2, axis=0))
    for start in (170.0, -190.0):
        data = cube.data.assign_coords(x=start + np.arange(20) + 0.5, y=[1.5, 0.5])
        own = cube.patch(data=data, crs=CRS("EPSG:4326"))
        box = shapely.box(-175, 0, -172, 2)
        across = shapely.Polygon([(178, 0), (-178, 0), (-178, 2), (178, 2)])
        for make in (callback, gathered):
            found = call(
                "aggregate_spatial", data=own, geometries=geojson([box, across], epsg=None), reducer=make("mean")
            )
            np.testing.assert_allclose(values(found), [16, 9.5])


# -- laziness and size -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [callback, gathered])
def test_nothing_is_computed_and_every_block_is_read_once(call: Call, make: Any) -> None:
    reads: list[tuple[int, int]] = []
    data = np.random.default_rng(1).normal(size=(120, 120)).astype("float32")

    def read(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        reads.append(block_info[0]["chunk-location"])
        return block

    cube = raster(data, chunks=(30, 30))
    lazy = da.map_blocks(read, cube.data.data, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    cube = cube.patch(data=cube.data.copy(data=lazy))
    reads.clear()
    given = [shapely.Point(*place(x, y)).buffer(r) for x, y, r in ((20, 20, 150), (45, 50, 400), (100, 20, 90))]
    with nothing_computed():
        found = call("aggregate_spatial", data=cube, geometries=geojson(given), reducer=make("mean"))
    assert reads == []
    computed = found.data.compute()
    assert len(reads) == len(set(reads))
    assert (3, 3) not in reads, "no geometry is there"
    for index, shape in enumerate(given):
        mask = rasterize([(shape, 1)], out_shape=data.shape, transform=TRANSFORM).astype(bool)
        np.testing.assert_allclose(computed[index], data[mask].mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [callback, gathered])
def test_two_thousand_polygons(call: Call, make: Any) -> None:
    data = np.random.default_rng(1).normal(size=(1500, 1500)).astype("float32")
    generator = np.random.default_rng(2)
    centres = generator.uniform(20, 1480, (2000, 2))
    given = [shapely.Point(*place(*centre)).buffer(100) for centre in centres]
    begin = time.monotonic()
    found = call(
        "aggregate_spatial", data=raster(data, chunks=(512, 512)), geometries=geojson(given), reducer=make("mean")
    ).data.compute()
    assert time.monotonic() - begin < 30
    for index in (0, 777, 1999):
        mask = rasterize([(given[index], 1)], out_shape=data.shape, transform=TRANSFORM).astype(bool)
        np.testing.assert_allclose(found[index], data[mask].mean(), rtol=1e-4, atol=1e-6)
