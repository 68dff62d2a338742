"""Summaries as the federation's aggregator merges them."""

from __future__ import annotations

from pathlib import Path

import pytest

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.demo import Scenario, write_archive
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings

#: What the aggregator merges, read from its code; it reports "Unhandled merging" for any other summary.
HANDLED = {"constellation", "platform", "instruments", "gsd", "eo:bands"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenario = Scenario(width=96, height=96, days=(0, 10), radar_days=(1,), cloud_cover=(0.2, 0.0), neighbour=None)
    return write_archive(tmp_path_factory.mktemp("demo"), lambda done, planned: None, scenario)


def test_only_summaries_that_are_merged_are_published(archive: Path) -> None:
    door = Door(NetSettings())
    whole = Catalog([str(archive)], CatalogSettings(), door)
    narrow = Catalog([str(archive)], CatalogSettings(summaries="federated"), door)
    others = set()
    for id in whole.ids():
        before, after = whole.collection(id), narrow.collection(id)
        others |= {name for name in before["summaries"] if name not in HANDLED and name[:4] not in ("sar:", "sat:")}
        assert all(name in HANDLED or name[:4] in ("sar:", "sat:") for name in after["summaries"])
        assert after["summaries"] == {name: before["summaries"][name] for name in after["summaries"]}
        assert after["bands"] == before["summaries"]["bands"]  # where STAC 1.1 has them
        assert after["summaries"]["eo:bands"]
        assert after["cube:dimensions"] == before["cube:dimensions"]
        assert narrow.queryables(id) == whole.queryables(id)  # ranges are told here, in any case
    assert {"eo:cloud_cover", "raster:bands", "bands"} <= others
