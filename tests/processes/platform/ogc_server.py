"""A small OGC API - Processes server (Part 1: Core) that really computes, independent of the code under test."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from rasterio.io import MemoryFile
from shapely.geometry import mapping, shape
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

BINARY = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/tiff; application=geotiff"}
FEATURES = {"type": "object", "contentMediaType": "application/geo+json", "format": "geojson-feature-collection"}
NUMBER = {"type": "number"}


def described(id: str, inputs: dict[str, Any], outputs: dict[str, Any], *modes: str) -> dict[str, Any]:
    return {
        "id": id,
        "version": "1.0.0",
        "jobControlOptions": list(modes or ("sync-execute",)),
        "outputTransmission": ["value", "reference"],
        "inputs": inputs,
        "outputs": {name: {"schema": schema} for name, schema in outputs.items()},
        "links": [],
    }


PROCESSES = {
    process["id"]: process
    for process in (
        described("echo", {"message": {"schema": {}}, "times": {"minOccurs": 0, "schema": NUMBER}}, {"echo": {}}),
        described(
            "scale", {"raster": {"schema": BINARY}, "factor": {"schema": NUMBER}}, {"scaled": BINARY}, "async-execute"
        ),
        described("by-reference", {"raster": {"schema": BINARY}}, {"copy": BINARY}),
        described("raw", {"raster": {"schema": BINARY}}, {"copy": BINARY}),
        described(
            "buffer",
            {"data": {"schema": FEATURES}, "distance": {"schema": NUMBER}},
            {"areas": FEATURES},
            "async-execute",
        ),
        described("pair", {"message": {"schema": {}}}, {"one": NUMBER, "two": NUMBER}),
        described("parts", {"message": {"schema": {}}}, {"number": NUMBER, "text": {"type": "string"}}),
        described("ambiguous", {"a": {"schema": NUMBER}, "b": {"schema": NUMBER}}, {"sum": NUMBER}),
        described("fails", {"message": {"schema": {}}}, {"none": NUMBER}, "async-execute"),
        described("refuses", {"message": {"schema": {}}}, {"none": NUMBER}),
        described("sleeps", {"message": {"schema": {}}}, {"none": NUMBER}, "async-execute"),
    )
}


@dataclass
class Ogc:
    """The WSGI application; `requests` and `executions` note what it was asked."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    executions: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        request = Request(environ)
        self.requests.append(f"{request.method} {request.path}")
        routes = Map(
            [
                Rule("/api", endpoint="landing"),
                Rule("/api/processes/<id>", endpoint="describe"),
                Rule("/api/processes/<id>/execution", endpoint="execute", methods=["POST"]),
                Rule("/api/jobs/<id>", endpoint="job"),
                Rule("/api/jobs/<id>/results", endpoint="results"),
                Rule("/api/files/<id>", endpoint="file"),
            ],
            strict_slashes=False,
        )
        try:
            endpoint, values = routes.bind_to_environ(environ).match()
            response = getattr(self, f"do_{endpoint}")(request, **values)
        except Exception as error:
            response = problem(getattr(error, "code", 500) or 500, "error", str(error))
        return response(environ, start)

    def do_landing(self, request: Request) -> Response:
        relation = "http://www.opengis.net/def/rel/ogc/1.0/processes"
        links = [
            {"rel": relation, "type": "text/html", "href": "/api/processes?f=html"},
            {"rel": relation, "type": "application/json", "href": "/api/processes"},
        ]
        return answer({"title": "OGC API", "links": links})

    def do_describe(self, request: Request, id: str) -> Response:
        if id not in PROCESSES:
            kind = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/no-such-process"
            return problem(404, kind, "no such process")
        return answer(PROCESSES[id])

    def do_execute(self, request: Request, id: str) -> Response:
        body = json.loads(request.get_data())
        self.executions.append(body)
        missing = [
            name
            for name, description in PROCESSES[id]["inputs"].items()
            if name not in body["inputs"] and description.get("minOccurs", 1)
        ]
        if missing:
            return problem(400, "bad", f"missing inputs: {missing}")
        inputs = {name: plain(value) for name, value in body["inputs"].items()}
        if "respond-async" in request.headers.get("Prefer", ""):
            assert "async-execute" in PROCESSES[id]["jobControlOptions"]
            return self._start(id, inputs)
        if id == "refuses":
            return problem(400, "bad", "the moon is in the wrong phase")
        if id == "parts":
            part = "--cut\r\nContent-ID: <{}>\r\nContent-Type: {}\r\n\r\n{}\r\n"
            body = part.format("number", "application/json", 5) + part.format("text", "text/plain", "five") + "--cut--"
            return Response(body, content_type='multipart/related; boundary="cut"')
        if id == "raw":
            return Response(inputs["raster"], content_type="image/tiff; application=geotiff")
        return answer(self.run(id, inputs))

    def _start(self, id: str, inputs: dict[str, Any]) -> Response:
        number = f"job-{len(self.jobs)}"
        job = {"jobID": number, "processID": id, "type": "process", "status": "accepted"}
        self.jobs[number] = job

        def work() -> None:
            job["status"] = "running"
            time.sleep(0.2)
            if id == "sleeps":
                return
            try:
                job["results"] = self.run(id, inputs)
                job["status"] = "successful"
            except ValueError as error:
                job.update(status="failed", message=str(error))

        threading.Thread(target=work, daemon=True).start()
        return answer(job, 201, {"Location": f"/api/jobs/{number}"})

    def do_job(self, request: Request, id: str) -> Response:
        if request.method == "DELETE":
            self.jobs[id]["status"] = "dismissed"
        return answer({key: value for key, value in self.jobs[id].items() if key != "results"})

    def do_results(self, request: Request, id: str) -> Response:
        return answer(self.jobs[id]["results"])

    def do_file(self, request: Request, id: str) -> Response:
        return Response(self.files[id], content_type="image/tiff")

    def run(self, id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if id == "echo":
            return {"echo": inputs["message"]}
        if id == "pair":
            return {"one": 1, "two": {"value": 2}}
        if id == "fails":
            raise ValueError("the flux capacitor is empty")
        if id == "by-reference":
            self.files["copy"] = inputs["raster"]
            return {"copy": {"href": "/api/files/copy", "type": "image/tiff"}}
        if id == "scale":
            scaled = scale(inputs["raster"], inputs["factor"])
            return {"scaled": base64.b64encode(scaled).decode()}
        if id == "buffer":
            features = [
                {**feature, "geometry": mapping(shape(feature["geometry"]).buffer(inputs["distance"]))}
                for feature in inputs["data"]["features"]
            ]
            collection = {"type": "FeatureCollection", "features": features}
            return {"areas": {"value": collection, "mediaType": "application/geo+json"}}
        raise KeyError(id)


def plain(value: Any) -> Any:
    """An input as the standard encodes it: objects only inside of `value`, binary ones as base64."""
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if "value" not in value:
        raise ValueError(f"an object that is no qualified value: {sorted(value)}")
    if value.get("encoding") == "base64":
        return base64.b64decode(value["value"], validate=True)
    return value["value"]


def scale(content: bytes, factor: float) -> bytes:
    with MemoryFile(content) as source, source.open() as opened:
        profile, values, names = opened.profile, opened.read(masked=True) * factor, opened.descriptions
        profile = {key: profile[key] for key in ("width", "height", "count", "crs", "transform", "dtype", "nodata")}
    with MemoryFile() as target:
        with target.open(driver="GTiff", **profile) as out:
            out.write(values.filled(profile["nodata"]))
            out.descriptions = names
        return bytes(target.read())


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(document), status, headers, content_type="application/json")


def problem(status: int, kind: str, detail: str) -> Response:
    body = {"type": kind, "title": "Problem", "status": status, "detail": detail}
    return Response(json.dumps(body), status, content_type="application/problem+json")
