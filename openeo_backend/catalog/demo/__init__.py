"""The synthetic demo archive: imagery of a place that does not exist, as COGs with static STAC."""

from openeo_backend.catalog.demo.archive import REFERENCE, write_archive
from openeo_backend.catalog.demo.cache import VERSION, cache_folder, ensure_archive
from openeo_backend.catalog.demo.scenario import Scenario

__all__ = ["REFERENCE", "VERSION", "Scenario", "cache_folder", "ensure_archive", "write_archive"]
