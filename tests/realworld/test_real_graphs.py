"""Every published graph of the shared data runs to files that hold data."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.warp
import xarray as xr
from PIL import Image

# rasterio silences this warning while it warps, but not for several threads
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

#: Graphs that end in a cube, by the extension of the files they write.
GRAPHS = {
    "apex_apa_aquatic_plants_algae": ".tif",
    "apex_atmospheric_resistant_vegetation_index": ".tif",
    "apex_barren_soil": ".tif",
    "apex_cloudless_mosaic": ".tif",
    "apex_enhanced_vegetation_index": ".tif",
    "apex_fapar": ".tif",
    "apex_hollstein_cloud_detection": ".tif",
    "apex_kernel_ndvi": ".tif",
    "apex_max_ndvi": ".tif",
    "apex_monthly_composite": ".tif",
    "apex_ndsi": ".tif",
    "apex_plant_senescence_reflectance_index": ".tif",
    "apex_swbm": ".tif",
    "apex_urban_areas": ".png",
    "apex_worldcover_statistics": ".csv",
    "nb_airquality": ".nc",
    "nb_dimensionality_reduction_2": ".tif",
    "nb_federatedprocessing": ".tif",
    "nb_global_flood_monitoring": ".tif",
    "nb_global_flood_monitoring_2": ".nc",
    "nb_landslidesndvi": ".tif",
    "nb_load_stac_item_example": ".tif",
    "nb_managingmultiplelargescalejobs_2": ".tif",
    "nb_managingmultiplelargescalejobs_3": ".tif",
    "nb_parcel_delineation": ".nc",
    "nb_proba_v": ".csv",
    "nb_statisticaldatafill_2": ".nc",
    "nb_worldcereal": ".tif",
}
#: Any flood or reference water in a month: true everywhere in the stand-in.
UNIFORM = {"nb_global_flood_monitoring_2"}
#: Stored processes: what they are applied to is our choice.
PROCESSES = {"ce_udp_array_contains_nodata", "ce_udp_crop_polygon"}


def values_of(path: Path) -> dict[str, np.ndarray]:
    """The valid values of a file, by band or column."""
    if path.suffix == ".tif":
        with rasterio.open(path) as file:
            assert file.crs is not None
            bands = file.read(masked=True)
            names = [name or str(number) for number, name in enumerate(file.descriptions)]
        arrays = {name: np.ma.masked_invalid(band).compressed() for name, band in zip(names, bands, strict=True)}
    elif path.suffix == ".nc":
        with xr.open_dataset(path, decode_coords="all") as data:
            arrays = {str(name): values.values[~np.isnan(values.values)] for name, values in data.data_vars.items()}
    elif path.suffix == ".png":
        arrays = {"image": np.asarray(Image.open(path))}
    else:
        with path.open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        # the last columns are the bands
        names = list(rows[0])[-(11 if "treecover" in rows[0] else 1) :]
        arrays = {name: np.array([float(row[name]) for row in rows if row[name]]) for name in names}
    return arrays


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_runs_to_a_result(name: str, run_published: Callable[[str], Any]) -> None:
    computed = run_published(name)
    assert computed.files
    for file in computed.files:
        assert file.suffix == GRAPHS[name]
        for band, values in values_of(file).items():
            assert values.size, f"{file.name}, {band}: nothing but no-data"
            assert np.isfinite(values.astype(float)).all(), f"{file.name}, {band}"
    several = [np.unique(values) for file in computed.files for values in values_of(file).values()]
    assert name in UNIFORM or np.unique(np.concatenate(several)).size > 1, "all values are the same"


def test_all_published_graphs_are_run(shared: Path) -> None:
    names = {path.stem for path in (shared / "realworld").glob("*.json")} - {"INDEX"}
    assert names == GRAPHS.keys() | PROCESSES


def test_options_of_other_back_ends_are_warned_of(run_published: Callable[[str], Any]) -> None:
    (warning,) = run_published("nb_global_flood_monitoring_2").warnings
    assert "tile_grid" in warning


@pytest.mark.parametrize(
    ("data", "expected"), [([1, None, 3], True), ([1, 2, 3], False), ([], False), ([None], True), (["", 0], False)]
)
def test_stored_process_on_arrays(
    data: list[Any], expected: bool, published: Callable[[str], Any], run_process: Any, tmp_path: Path
) -> None:
    name = "ce_udp_array_contains_nodata"
    graph = {"call": {"process_id": name, "arguments": {"data": data}, "result": True}}
    outcome = run_process({"process_graph": graph}, processes={name: published(name)}).outcome
    assert outcome.error is None
    assert (outcome.has_value, outcome.value) == (True, expected)


def test_stored_process_on_a_cube(published: Callable[[str], Any], run_process: Any) -> None:
    """The stored process crops to a triangle: inside of it values stay, outside they are missing."""
    name = "ce_udp_crop_polygon"
    triangle = {"type": "Polygon", "coordinates": [[[5.0, 51.2], [5.02, 51.2], [5.0, 51.22], [5.0, 51.2]]]}
    extent = {"west": 4.99, "south": 51.19, "east": 5.05, "north": 51.25}
    load = {"id": "SENTINEL2_L2A", "spatial_extent": extent, "temporal_extent": ["2023-06-01", "2023-06-03"]}
    graph = {
        "load": {"process_id": "load_collection", "arguments": {**load, "bands": ["B04"]}},
        "first": {
            "process_id": "reduce_dimension",
            "arguments": {
                "data": {"from_node": "load"},
                "dimension": "t",
                "reducer": {
                    "process_graph": {
                        "max": {
                            "process_id": "max",
                            "arguments": {"data": {"from_parameter": "data"}},
                            "result": True,
                        }
                    }
                },
            },
        },
        "crop": {
            "process_id": name,
            "arguments": {"data": {"from_node": "first"}, "mask": triangle},
            "result": True,
        },
    }
    computed = run_process({"process_graph": graph}, processes={name: published(name)})
    assert computed.outcome.error is None, computed.outcome.error
    with rasterio.open(computed.files[0]) as file:
        valid = ~np.ma.getmaskarray(np.ma.masked_invalid(file.read(1, masked=True)))
        (shape,) = rasterio.warp.transform_geom("EPSG:4326", file.crs, [triangle])
        outside = rasterio.features.geometry_mask([shape], file.shape, file.transform)
        bounds = rasterio.features.bounds(shape)
    assert valid.any()
    assert not valid[outside].any()
    assert valid[~outside].mean() > 0.9
    assert file.bounds.left == pytest.approx(bounds[0], abs=2 * file.res[0])
    assert file.bounds.top == pytest.approx(bounds[3], abs=2 * file.res[0])
