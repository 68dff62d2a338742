"""apply_polygon, chunk_polygon and vector_to_raster, against masks of rasterio and plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import shapely
from rasterio.features import rasterize
from vector_support import (
    DATA,
    TRANSFORM,
    X0,
    Y0,
    callback,
    geojson,
    nothing_computed,
    place,
    raster,
    values,
)

from openeo_backend.cube import Cube, spill
from openeo_backend.cube.blocks import bind
from openeo_backend.cube.segments import apply_to_polygons
from openeo_backend.errors import OpenEOError

Call = Callable[..., Any]

SHAPE = (40, 50)
CHUNKS = [None, (2, 2, 10, 10), (1, 1, 40, 50), (2, 1, 7, 33)]

APART = [
    shapely.box(*place(2.2, 9.6), *place(8.4, 3.1)),
    shapely.Point(*place(30, 20)).buffer(95).difference(shapely.Point(*place(30, 20)).buffer(41)),
    shapely.Point(*place(30, 20)).buffer(26),
    shapely.MultiPolygon([shapely.box(*place(1, 38), *place(4, 33)), shapely.box(*place(44, 36), *place(55, 31))]),
    shapely.box(*place(100, 100), *place(110, 90)),
]

#: x is doubled: a process of cubes.
DOUBLE = {
    "process_graph": {
        "apply": {
            "process_id": "apply",
            "arguments": {
                "data": DATA,
                "process": {
                    "process_graph": {
                        "twice": {
                            "process_id": "multiply",
                            "arguments": {"x": {"from_parameter": "x"}, "y": 2},
                            "result": True,
                        }
                    }
                },
            },
            "result": True,
        }
    }
}


def numbers() -> np.ndarray:
    data = np.random.default_rng(3).normal(100, 20, (2, 2, *SHAPE)).astype("float32")
    data[0, 0, 5, 4] = np.nan
    return data


def mask_of(shapes: Any) -> np.ndarray:
    return rasterize([(shape, 1) for shape in shapes], out_shape=SHAPE, transform=TRANSFORM).astype(bool)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_pixels_in_polygons_are_processed(call: Call, chunks: Any) -> None:
    data = numbers()
    cube = raster(data, chunks=chunks)
    with nothing_computed():
        found = call("apply_polygon", data=cube, geometries=geojson(APART), process=DOUBLE)
    assert found.is_lazy == (chunks is not None)
    assert found.names == cube.names
    assert found.data.dtype == np.float32
    np.testing.assert_allclose(values(found), np.where(mask_of(APART), data * 2, np.nan), rtol=1e-6)
    zones = call("load_geojson", data=geojson(APART))
    again = call("apply_polygon", data=cube, geometries=zones, process=DOUBLE)
    np.testing.assert_array_equal(values(again), values(found))


@pytest.mark.parametrize("chunks", CHUNKS)
def test_parts_cover_polygons_and_hold_the_mask_value(chunks: Any) -> None:
    """The function sees windows snapped to pixels, in which all but its polygon is masked."""
    data = numbers()
    seen: dict[tuple[float, float], Any] = {}

    def look(data: Cube, context: Any) -> Cube:
        xs, ys = data.labels("x"), data.labels("y")
        seen[float(xs[0]), float(ys[0])] = (len(xs), len(ys), data.data.values.copy(), context)
        total = np.where(data.data.values == -1, 0, data.data.values).sum(axis=(-2, -1), keepdims=True)
        return data.patch(data=data.data.copy(data=np.broadcast_to(total, data.data.shape)))

    polygons = np.array(APART[:3], dtype=object)
    found = apply_to_polygons(raster(np.nan_to_num(data), chunks=chunks), polygons, bind(look, "data", context=7), -1)
    data = np.nan_to_num(data)
    wanted = np.full(data.shape, -1, "float64")
    for shape in APART[:3]:
        mask = mask_of([shape])
        wanted[..., mask] = data[..., mask].astype("float64").sum(axis=-1)[..., None]
    np.testing.assert_allclose(values(found), wanted, rtol=1e-5)
    width, height, part, context = seen[X0 + 25, Y0 - 35]
    assert (width, height, context) == (7, 7, 7)
    inner = mask_of(APART[:1])[3:10, 2:9]
    np.testing.assert_array_equal(part, np.where(inner, data[..., 3:10, 2:9], -1))
    assert not inner.all()


@pytest.mark.parametrize("chunks", CHUNKS)
def test_integers_stay_integers(call: Call, chunks: Any) -> None:
    data = np.random.default_rng(3).integers(1, 100, (2, 2, *SHAPE)).astype("int16")
    same = callback("filter_bands", bands=["B00", "B01"])
    for nodata in (None, 0):
        found = call(
            "apply_polygon", data=raster(data, chunks=chunks, nodata=nodata), geometries=geojson(APART), process=same
        )
        assert found.data.dtype == np.int16
        assert nodata is None or found.nodata == nodata
        np.testing.assert_array_equal(values(found), np.where(mask_of(APART), data, np.nan))
        found = call(
            "apply_polygon",
            data=raster(data, chunks=chunks, nodata=nodata),
            geometries=geojson(APART),
            process=same,
            mask_value=-9,
        )
        assert found.data.dtype == np.int16
        np.testing.assert_array_equal(found.data.values, np.where(mask_of(APART), data, -9))


def test_no_polygon_reaches_the_cube(call: Call) -> None:
    for chunks in (None, (2, 2, 10, 10)):
        found = call(
            "apply_polygon", data=raster(numbers(), chunks=chunks), geometries=geojson(APART[4:]), process=DOUBLE
        )
        assert np.isnan(values(found)).all()


def test_overlaps_are_refused(call: Call) -> None:
    touching = [shapely.box(*place(0, 9), *place(9, 0)), shapely.box(*place(9, 9), *place(18, 0))]
    call("apply_polygon", data=raster(numbers()), geometries=geojson(touching), process=DOUBLE)
    over = [touching[0], shapely.box(*place(8, 9), *place(18, 0))]
    # the polygons overlap, but no centre of a pixel is in both
    beneath = [touching[0], shapely.box(*place(8.6, 9), *place(18, 0))]
    call("apply_polygon", data=raster(numbers()), geometries=geojson(beneath), process=DOUBLE)
    for process, name in (("apply_polygon", "geometries"), ("chunk_polygon", "chunks")):
        with pytest.raises(OpenEOError) as caught, nothing_computed():
            call(process, data=raster(numbers(), chunks=(2, 2, 9, 9)), **{name: geojson(over)}, process=DOUBLE)
        assert caught.value.code == "GeometriesOverlap"
    with pytest.raises(OpenEOError) as caught:
        call("apply_polygon", data=raster(numbers()), geometries=geojson([APART[0].boundary]), process=DOUBLE)
    assert caught.value.code == "ProcessParameterInvalid"


def test_other_dimensions_are_refused(call: Call) -> None:
    fewer = callback("filter_bands", bands=["B00"])
    with pytest.raises(OpenEOError) as caught:
        call("apply_polygon", data=raster(numbers()), geometries=geojson(APART), process=fewer)
    assert caught.value.code == "DataCubePropertiesImmutable"


def test_each_part_of_a_multipolygon_is_a_chunk(call: Call) -> None:
    sizes: list[tuple[int, int]] = []

    def look(data: Cube) -> Cube:
        sizes.append((len(data.labels("x")), len(data.labels("y"))))
        return data

    both = geojson([APART[3]])
    found = call("chunk_polygon", data=raster(numbers()), chunks=both, process=DOUBLE, mask_value=0)
    np.testing.assert_allclose(values(found), np.where(mask_of([APART[3]]), numbers() * 2, 0), rtol=1e-6)
    apply_to_polygons(raster(numbers()), np.array([APART[3]], dtype=object), bind(look, "data"))
    assert sizes[-1] == (49, 7)
    apply_to_polygons(raster(numbers()), np.array(list(APART[3].geoms), dtype=object), bind(look, "data"))
    assert sizes[-2:] == [(3, 5), (6, 5)]


def test_polygons_larger_than_blocks_are_processed_once(call: Call) -> None:
    calls: list[int] = []

    def look(data: Cube) -> Cube:
        calls.append(data.data.size)
        return data

    big = np.array([shapely.box(*place(1, 38), *place(46, 2))], dtype=object)
    found = apply_to_polygons(raster(numbers(), chunks=(1, 1, 5, 5)), big, bind(look, "data"))
    traced = len(calls)
    found.data.compute()
    assert len(calls) == traced + 1


def test_results_of_large_polygons_wait_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, polygons = numbers(), np.array(APART[:3], dtype=object)
    monkeypatch.setattr(spill, "IN_MEMORY", 100)
    found = apply_to_polygons(
        raster(data, chunks=(1, 1, 5, 5)), polygons, lambda part: part.patch(data=part.data * 2), None, lambda: tmp_path
    )
    assert not list(tmp_path.iterdir())
    np.testing.assert_allclose(values(found), np.where(mask_of(APART[:3]), data * 2, np.nan), rtol=1e-6)
    files = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert len(files) == 3
    assert min(files) > 100


# -- vector_to_raster --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, (10, 10), (7, 50)])
def test_numeric_properties_become_bands(call: Call, chunks: Any) -> None:
    rows = [{"name": "a", "number": i + 1, "share": i / 2} for i in range(len(APART))]
    zones = call("load_geojson", data=geojson(APART, rows))
    grid = raster(np.zeros(SHAPE), chunks=chunks)
    burnt = rasterize(
        [(shape, row["number"]) for shape, row in zip(APART, rows, strict=True)],
        out_shape=SHAPE,
        transform=TRANSFORM,
        fill=0,
    )
    for name in ("target", "target_data_cube"):
        with nothing_computed():
            found = call("vector_to_raster", data=zones, **{name: grid})
        assert found.names == ("properties", "y", "x")
        assert found.dimension("properties").type == "bands"
        assert list(found.labels("properties")) == ["number", "share"]
        assert found.crs == grid.crs
        assert found.geobox == grid.geobox
        assert not found.is_vector
        np.testing.assert_array_equal(values(found)[0], np.where(burnt, burnt, np.nan))
        np.testing.assert_array_equal(values(found)[1], np.where(burnt, (burnt - 1) / 2, np.nan))


@pytest.mark.parametrize("chunks", [None, (2, 2, 10, 10)])
def test_statistics_go_back_to_pixels(call: Call, chunks: Any) -> None:
    cube = raster(numbers(), chunks=chunks)
    zones = call("aggregate_spatial", data=cube, geometries=geojson(APART), reducer=callback("max"))
    found = call("vector_to_raster", data=zones, target=cube)
    assert found.names == ("t", "bands", "y", "x")
    wanted = np.full(numbers().shape, np.nan)
    for shape in APART[:4]:
        mask = mask_of([shape])
        wanted[..., mask] = np.nanmax(numbers()[..., mask], axis=-1)[..., None]
    np.testing.assert_allclose(values(found), wanted)


def test_the_last_of_overlapping_geometries_counts(call: Call) -> None:
    shapes = [shapely.box(*place(0, 10), *place(10, 0)), shapely.box(*place(5, 10), *place(15, 0))]
    grid = raster(np.zeros(SHAPE))
    for order in (shapes, shapes[::-1]):
        found = call(
            "vector_to_raster", data=call("load_geojson", data=geojson(order), properties=["number"]), target=grid
        )
        burnt = rasterize([(s, i) for i, s in enumerate(order)], out_shape=SHAPE, transform=TRANSFORM, fill=9)
        np.testing.assert_array_equal(values(found)[0], np.where(burnt == 9, np.nan, burnt))


def test_vector_to_raster_refuses(call: Call) -> None:
    texts = call("load_geojson", data=geojson(APART[:1], [{"name": "a"}]))
    for arguments, code in (
        ({"target": raster(np.zeros(SHAPE))}, "ProcessParameterInvalid"),
        ({}, "ProcessParameterMissing"),
    ):
        with pytest.raises(OpenEOError) as caught:
            call("vector_to_raster", data=texts, **arguments)
        assert caught.value.code == code


def test_two_hundred_polygons_over_blocks(call: Call) -> None:
    data = da.random.default_rng(1).normal(size=(400, 400), chunks=(100, 100)).compute()
    boxes = [
        shapely.box(*place(20 * c + 0.6, 20 * r + 19.4), *place(20 * c + 19.4, 20 * r + 0.6))
        for r in range(20)
        for c in range(10)
    ]
    found = call("apply_polygon", data=raster(data, chunks=(150, 150)), geometries=geojson(boxes), process=DOUBLE)
    mask = rasterize([(box, 1) for box in boxes], out_shape=data.shape, transform=TRANSFORM).astype(bool)
    np.testing.assert_allclose(found.data.compute(), np.where(mask, data * 2, np.nan))


@pytest.mark.parametrize("shape", [(2, 0, 64), (2, 48, 0), (2, 1, 64), (0, 48, 64)])
@pytest.mark.parametrize("chunks", [False, True])
def test_cubes_without_labels(call: Call, shape: tuple[int, ...], chunks: bool) -> None:
    data = np.ones(shape, "float32")
    cube = raster(data, chunks=tuple(max(size, 1) for size in shape) if chunks else None)
    found = call("apply_polygon", data=cube, geometries=geojson(APART), process=DOUBLE)
    assert found.data.shape == shape
    assert not (values(found) == 1).any()
