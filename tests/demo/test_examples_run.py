"""The example graphs, evaluated on the whole demo archive, give what their expectations say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio
from expectations import PROCESS_GRAPHS, unmet
from rasterio.features import rasterize
from rasterio.warp import transform_geom

from openeo_backend.catalog.demo import REFERENCE, write_archive
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, RunRequest
from openeo_backend.settings import Settings

NAMES = sorted(path.stem for path in PROCESS_GRAPHS.glob("*.json") if not path.stem.endswith(".expected"))

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive"), lambda done, planned: None)


@pytest.fixture(scope="module")
def engine(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    data = tmp_path_factory.mktemp("data")
    return Engine.open(Settings(data_dir=data, catalog={"sources": [str(archive)]}))


def run(engine: Engine, name: str, folder: Path) -> Path:
    """The file that the graph writes."""
    events: list[Event] = []
    process = json.loads((PROCESS_GRAPHS / f"{name}.json").read_text(encoding="utf-8"))
    outcome = execute(RunRequest(id="example", process=process, folder=folder, title=name), engine, events.append)
    assert outcome.error is None, outcome.error
    (file,) = outcome.files
    return folder / file["name"]


@pytest.mark.parametrize("name", NAMES)
def test_result_is_as_expected(engine: Engine, name: str, tmp_path: Path) -> None:
    assert unmet(name, run(engine, name, tmp_path)) == []


def test_crops_are_recognised(engine: Engine, archive: Path, tmp_path: Path) -> None:
    expected = json.loads((PROCESS_GRAPHS / "crop_classification.expected.json").read_text(encoding="utf-8"))
    features = json.loads((archive.parent / REFERENCE).read_text(encoding="utf-8"))["features"]
    with rasterio.open(run(engine, "crop_classification", tmp_path)) as file:
        classes = file.read(1)
        shapes = [
            (transform_geom("EPSG:4326", file.crs, feature["geometry"]), feature["properties"]["target"])
            for feature in features
            if feature["properties"]["use"] == "validation"
        ]
        truth = rasterize(shapes, file.shape, transform=file.transform)
    known = truth > 0
    assert (classes[known] == truth[known]).mean() > expected["validation"]["accuracy"]
