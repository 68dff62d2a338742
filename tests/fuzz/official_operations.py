"""The operations of the official API document, called with ids that exist and with others."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import schemathesis
import yaml
from hypothesis import reject
from hypothesis import strategies as st
from requests.exceptions import RequestException
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import UnsupportedSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import insert, select

from openeo_backend.observe.clock import now
from openeo_backend.store.schema import job_logs, jobs
from openeo_backend.store.store import Store

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

#: Longest answer of a request that computes nothing, and of one that may, on a machine that is busy.
SECONDS, COMPUTING = 10.0, 65.0

STATUSES = ("created", "queued", "running", "canceled", "finished", "error")

GRAPH = {"process_graph": {"sum": {"process_id": "add", "arguments": {"x": 3, "y": 5}, "result": True}}}

#: What no answer may hold: the innards of the server.
INNARDS = ("Traceback (most recent", 'File "/', "sqlalchemy.", "werkzeug.", "sqlite3.", "site-packages")


def read_document(file: Path) -> dict[str, Any]:
    """The API document, without its known defects: alternatives that overlap, so that nothing matches just one."""
    document = json.loads(json.dumps(yaml.safe_load(file.read_text(encoding="utf-8")), default=str))
    _loosen(document["components"]["schemas"]["process_json_schema"])
    for schema in _with_summaries(document):
        _loosen(schema)
    return document


def _loosen(schema: dict[str, Any]) -> None:
    schema["anyOf"] = schema.pop("oneOf")


def _with_summaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for entry in value:
            yield from _with_summaries(entry)
    elif isinstance(value, dict):
        properties = value.get("properties")
        if isinstance(properties, dict):
            values = properties.get("summaries", {}).get("additionalProperties")
            if isinstance(values, dict) and "oneOf" in values:
                yield values
        for entry in value.values():
            yield from _with_summaries(entry)


def offered(document: Mapping[str, Any], endpoints: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Path and method of the documented operations that the capabilities list, and of the root and the versions."""
    listed = {entry["path"]: entry["methods"] for entry in endpoints}
    found = []
    for path, item in document["paths"].items():
        for method in ("get", "post", "put", "patch", "delete"):
            always = path in ("/", "/.well-known/openeo")
            if method in item and (always or method.upper() in listed.get(path, ())):
                found.append((path, method))
    return found


class World:
    """What has an id: made again as often as operations change or delete it."""

    def __init__(self, store: Store, user: str, finished: str, collection: str) -> None:
        """:param finished: the id of a finished job with results."""
        self.store, self.user, self.collection = store, user, collection
        with store.database.read() as connection:
            self.row = dict(connection.execute(select(jobs).where(jobs.c.id == finished)).mappings().one())
            self.logs = [dict(row) for row in connection.execute(select(job_logs)).mappings() if row.job_id == finished]

    def job(self, status: str) -> str:
        """The id of a new job in a state."""
        id = f"j-{uuid.uuid4().hex}"
        row = {**self.row, "id": id, "status": status, "updated": now()}
        if status != "finished":
            row |= {"result": None, "result_attempt": None, "finished": None}
        if status == "running":
            row |= {"worker": "nobody", "lease_until": now().replace(year=2100)}
        with self.store.database.write() as connection:
            connection.execute(insert(jobs), [row])
            if self.logs:
                connection.execute(insert(job_logs), [{**entry, "job_id": id} for entry in self.logs])
        if status == "error":
            self.store.jobs.log(self.user, id, [{"level": "error", "code": "NoDataAvailable", "message": "Nothing."}])
        return id

    def process(self, id: str = "mine") -> str:
        """The id of a stored process."""
        self.store.processes.put(self.user, id, GRAPH)
        return id

    def clear(self) -> None:
        """Delete what was made, so that quotas leave room for more."""
        with self.store.database.write() as connection:
            connection.execute(jobs.delete().where(jobs.c.user_id == self.user, jobs.c.id != self.row["id"]))
        for process in self.store.processes.list(self.user):
            self.store.processes.delete(self.user, process.id)


def ids(name: str) -> st.SearchStrategy[Callable[[World], str] | None]:
    """Makers of ids for a path parameter; None leaves the random one."""
    known: dict[str, list[Callable[[World], str]]] = {
        "job_id": [lambda world, status=status: world.job(status) for status in STATUSES],  # type: ignore[misc]
        "process_graph_id": [lambda world: world.process()],
        "collection_id": [lambda world: world.collection],
    }
    makers: list[Any] = [*known.get(name, ()), None]
    return st.sampled_from(makers)


@st.composite
def _supported(draw: st.DrawFn, cases: st.SearchStrategy[Any]) -> Any:
    """Requests, without those that schemathesis finds that it cannot make while it makes them."""
    try:
        return draw(cases)
    except UnsupportedSchema:
        reject()


class Campaign:
    """The operations as properties.

    :param app: the application to be asked in this process; else `url` of the API root.
    """

    def __init__(
        self, document: dict[str, Any], world: World, headers: dict[str, str], app: Any = None, url: str = ""
    ) -> None:
        self.world, self.headers, self.url = world, headers, url or "http://localhost/openeo/1.2"
        self.schema = schemathesis.openapi.from_dict(document)
        self.schema.app = app

    def inputs(self, path: str, method: str) -> st.SearchStrategy[Any]:
        """Requests of an operation, such as the document allows and others; most with ids that exist."""
        operation = self.schema[path][method]
        cases = []
        for mode in schemathesis.GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)
            cases.append(_supported(strategy))
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        known = st.fixed_dictionaries({name: ids(name) for name in names})
        return st.tuples(st.one_of(cases), known, st.sampled_from([True, True, True, False]), st.booleans())

    def check(self, drawn: Any) -> None:
        """Send a request; its answer must be documented, of the documented form, and no server error."""
        case, known, is_known, is_sound = drawn
        for name, make in known.items():
            if make is not None:
                case.path_parameters = {**(case.path_parameters or {}), name: make(self.world)}
        if is_sound and isinstance(case.body, dict):  # what is random is refused early: get further
            case.body = {**case.body, **({"process": GRAPH} if "process" in case.body else GRAPH)}
        headers = {**(self.headers if is_known else {}), "Accept-Encoding": "identity"}
        started = time.monotonic()
        try:
            response = case.call(base_url=self.url, headers=headers)
        except (RequestException, ValueError, UnicodeError) as error:
            if "connection" in str(error).lower():
                raise
            return  # such a request cannot even be written
        seconds = time.monotonic() - started
        told = f"{case.method} {case.formatted_path} {response.status_code} {response.text[:500]}"
        case.validate_response(response, checks=CHECKS)
        assert seconds < (COMPUTING if "result" in case.path else SECONDS), f"{seconds:.1f} s: {told}"
        assert not any(text in response.text for text in INNARDS), told
        if response.status_code >= 400:
            body = response.json()
            assert isinstance(body, dict), told
            for member in ("id", "code", "message"):
                assert isinstance(body.get(member), str), told
                assert body[member], told
