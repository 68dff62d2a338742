"""A good back-end, live, to be reviewed: a small demo archive, and the issuer of CDSE as the demo lists it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from live_server import Server, serving
from tape import Tape
from trial_checks import PASSWORD, TRIAL_CHECKS, USER
from trial_faults import DECLARED

from openeo_backend.auth.oidc import CDSE
from openeo_backend.catalog.demo import Scenario, write_archive


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("review")
    scenario = Scenario(
        width=96,
        height=96,
        start=datetime(2025, 5, 1, 10, 10, 31, tzinfo=UTC),
        days=(0, 90, 100, 110),
        radar_days=(1,),
        cloud_cover=(0.2, 0.0, 0.1, 0.1),
        neighbour=None,
    )
    catalog = write_archive(folder / "archive", lambda done, planned: None, scenario)
    settings = {"AUTH__OIDC": json.dumps({"CDSE": CDSE.model_dump(mode="json")})}
    with serving(folder / "server", catalog, USER, PASSWORD, workers=2, settings=settings) as server:
        yield server


@pytest.fixture(scope="session")
def tape(server: Server) -> Tape:
    """Its answers to the checks that need a user or run something."""
    tape = Tape(server.root, DECLARED)
    tape.record(USER, PASSWORD, TRIAL_CHECKS)
    return tape
