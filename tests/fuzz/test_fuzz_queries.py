"""Random paths, queries and headers at every route, on both databases: no failure of the server's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from explore import explore
from hypothesis import strategies as st
from single_process import add_user, in_this_process

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend

#: What APIs read in queries.
NAMES = ["limit", "start", "offset", "level", "bbox", "datetime", "token", "partial", "expires", "key", "signature"]
NASTY = ["", "0", "-1", "1", "9" * 11, "9" * 5000, "1e400", "nan", "nan~x", "1~\x00", "inf~", "\x00", "é", "٣", "debug"]
NASTY += ["1,2,3,4", "nan,1,2,3", "5,5,1,1", "180,-90,-180,90", "1e308,-1e308,1e308,1e308", "2025-01-01/..", "../.."]
NASTY += ["0001-01-01T00:00:00+23:59/..", "9999-12-31T23:59:59-23:59", "2025-02-30", "/", "../2025", "true", "%00"]
VALUES = st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8"), max_size=20)


@pytest.fixture
def served(migrated_url: str, archive: Path, tmp_path: Path) -> Iterator[Any]:
    """The application on an empty store of either kind, and headers of its user."""
    overrides = {
        "data_dir": str(tmp_path / "data"),
        "store": {"url": migrated_url},
        "auth": {"basic": True},
        "catalog": {"sources": [str(archive)]},
    }
    backend = Backend.open(settings_module.read(overrides=overrides))
    object.__setattr__(backend, "runner", in_this_process(backend))
    add_user(backend.store)
    token = backend.store.tokens.issue("ada", timedelta(days=1))
    yield SimpleNamespace(app=create_app(backend), headers={"Authorization": f"Bearer basic//{token}"})
    backend.close()


def requests_of(app: Any) -> st.SearchStrategy[tuple[str, str, dict[str, str], Any]]:
    """Method, path, query and body for the routes of the current version."""
    rules = sorted(
        (rule.rule, method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS"}
        if rule.rule.startswith("/openeo/1.2")
    )
    bodies = st.none() | st.dictionaries(
        st.sampled_from(
            ["title", "process", "plan", "budget", "log_level", "job_options", "process_graph", "max_runtime"]
        ),
        VALUES | st.none() | st.integers() | st.floats() | st.lists(VALUES, max_size=2),
    )
    return st.tuples(
        st.sampled_from(rules), VALUES, st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3), bodies
    )


def filled(rule: str, id: str) -> str:
    parts = [quote(id, safe="", errors="replace") if "<" in part else part for part in rule.split("/")]
    return "/".join(parts)


def test_queries(served: Any) -> None:
    client = served.app.test_client()

    def check(drawn: Any) -> None:
        (rule, method), id, query, body = drawn
        query = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
        members = {} if body is None else {"json": body}
        answer = client.open(filled(rule, id), method=method, query_string=query, headers=served.headers, **members)
        assert answer.status_code < 500, (method, rule, id, query, answer.text)
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.get_json()["code"]

    explore(check, requests_of(served.app), examples=60)
