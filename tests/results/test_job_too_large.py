"""A job that reads more than a job may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

GRAPH = {
    "load": {
        "process_id": "load_collection",
        "arguments": {"id": "SCENES", "spatial_extent": None, "temporal_extent": None},
    },
    "save": {
        "process_id": "save_result",
        "arguments": {"data": {"from_node": "load"}, "format": "GTiff"},
        "result": True,
    },
}
#: 3 dates, 2 bands, 23 x 31 pixels.
SAMPLES = 3 * 2 * 23 * 31


def test_a_job_that_is_too_large_ends_with_the_numbers(sites: Any, catalog: Path) -> None:
    """Nothing in its graph tells how much it reads: that is known when its collection has been searched."""
    site = sites("a", str(catalog), limits={"job_samples": SAMPLES - 1})
    id = site.job(GRAPH)
    answer = requests.get(f"{site.url}/jobs/{id}/results", headers=site.headers(), timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (424, "ProcessGraphComplexity")
    assert "0.00428 million samples" in answer.json()["message"]
    assert site.backend.objects.list("jobs") == []
    enough = sites("b", str(catalog), limits={"job_samples": SAMPLES})
    id = enough.job(GRAPH)
    assert enough.backend.store.jobs.get("ada", id).status == "finished"
