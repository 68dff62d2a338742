"""An accounting service, settings that name it, and stores on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from accounting_server import Service, running

from openeo_backend.settings import Settings
from openeo_backend.store.store import Store

TARIFF = {"cpu_second": 0.5, "mb_second": 0.001, "input_megapixel": 0.25, "stored_gb": 100, "job_start": 2}


@pytest.fixture
def service() -> Iterator[Service]:
    with running() as found:
        yield found


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    store = Store.open(migrated_url)
    yield store
    store.close()


@pytest.fixture
def settings_for(service: Service, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a tariff and the service; keyword arguments are members of `billing.accounting`."""

    def made(tariff: dict[str, float] | None = None, **accounting: Any) -> Settings:
        reached = {"url": service.address, "token": "fixed", "timeout_seconds": 0.5, "retry_seconds": 0.01}
        billing = {"tariff": TARIFF if tariff is None else tariff, "accounting": {**reached, **accounting}}
        return Settings.model_validate({"data_dir": tmp_path / "data", "billing": billing})

    return made
