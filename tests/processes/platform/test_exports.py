"""export_workspace, export_collection and stac_modify: to folders and to an S3 server, from the graph to the files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.patch import merge_patch
from openeo_backend.cube import Cube, Dimension
from openeo_backend.files.objects import StoredObjects, open_objects
from openeo_backend.files.user_files import UserFiles
from openeo_backend.formats.writing import write_result
from openeo_backend.net.door import Door
from openeo_backend.processes.registry import Registry
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.run.runner import ChildRunner
from openeo_backend.settings import Settings


def series(*days: str) -> Cube:
    """A band on 3 x 4 pixels and the given days; values tell the day."""
    times = np.array(days, "datetime64[ns]")
    values = np.stack([np.arange(12).reshape(1, 3, 4) + 100 * int(day[-2:]) for day in days]).astype("int16")
    coords = {
        "t": times,
        "bands": ["B04"],
        "y": [5_000_025.0, 5_000_015.0, 5_000_005.0],
        "x": [500_005.0, 500_015.0, 500_025.0, 500_035.0],
    }
    data = xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords)
    y, x = Dimension("y", "spatial", "y", -10), Dimension("x", "spatial", "x", 10)
    return Cube(data.chunk(), (Dimension("t", "temporal"), Dimension("bands", "bands"), y, x), CRS("EPSG:32633"))


@dataclass
class Node:
    """A back-end's settings in a folder of its own, and graphs to run on it."""

    root: Path
    settings: dict[str, Any]
    runs: int = 0

    def engine(self) -> Engine:
        return Engine.open(Settings.model_validate({"data_dir": str(self.root / "data"), **self.settings}))

    def upload(self, user: str, name: str, cube: Cube) -> None:
        folder = UserFiles(self.root / "data" / "user-files").folder(user)
        folder.mkdir(parents=True, exist_ok=True)
        write_result(cube, "netCDF", {}, folder, name, lambda done, planned: None)

    def run(
        self, last: str, user: str = "alice", id: str | None = None, engine: Engine | None = None, **nodes: Any
    ) -> Outcome:
        self.runs += 1
        nodes[last] = {**nodes[last], "result": True}
        folder = self.root / f"run-{self.runs}"
        folder.mkdir()
        request = RunRequest(id or f"j-{self.runs}", {"process_graph": nodes}, folder, user=user)
        outcome = execute(request, engine or self.engine(), lambda event: None)
        assert not (folder / ".scratch").exists()
        return outcome


def node(process: str, source: str | None = None, **arguments: Any) -> dict[str, Any]:
    data = {"data": {"from_node": source}} if source else {}
    return {"process_id": process, "arguments": {**data, **arguments}}


def saved(file: str = "cube.nc") -> dict[str, Any]:
    return {
        "load": node("load_uploaded_files", paths=[file], format="netCDF"),
        "save": node("save_result", "load", format="GTiff"),
    }


@pytest.fixture
def backend(tmp_path: Path) -> Node:
    settings = {
        "files": {"enabled": True},
        "workspaces": {"team": {"place": str(tmp_path / "team")}, "bobs": {"place": "bobs", "users": ["bob"]}},
        "catalog": {"exports": str(tmp_path / "exports")},
    }
    made = Node(tmp_path, settings)
    for user in ("alice", "bob"):
        made.upload(user, "cube", series("2025-05-01", "2025-05-11"))
        made.upload(user, "later", series("2025-06-21"))
    return made


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def team(request: pytest.FixtureRequest, backend: Node, monkeypatch: pytest.MonkeyPatch) -> StoredObjects:
    """The workspace `team`: a folder, or a bucket of a server that speaks S3."""
    if request.param == "s3":
        import boto3

        endpoint = request.getfixturevalue("s3_server")
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        for name, value in {**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
            monkeypatch.setenv(name, value)
        bucket = f"b{random.randrange(10**9)}"
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
        backend.settings["workspaces"]["team"]["place"] = f"s3://{bucket}/team"
    return open_objects(backend.settings["workspaces"]["team"]["place"])


def read(objects: StoredObjects, key: str) -> Any:
    return json.loads(b"".join(objects.stream(key)))


def export(source: str = "save", **arguments: Any) -> dict[str, Any]:
    return node("export_workspace", source, **{"workspace": "team", **arguments})


def ok(outcome: Outcome) -> Outcome:
    assert outcome.error is None, outcome.error
    return outcome


def test_a_result_is_exported_with_items_and_files(backend, team, tmp_path):
    outcome = ok(backend.run("out", **saved(), out=export()))
    assert {file["name"] for file in outcome.files} == {"save_2025-05-01.tif", "save_2025-05-11.tif"}
    copy = tmp_path / "copy"
    for key in team.list("j-1-out"):
        file = copy / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(team.stream(key)))
    collection = pystac.Collection.from_file(str(copy / "j-1-out/collection.json"))
    items = sorted(collection.get_items(), key=lambda item: item.datetime)
    assert [item.datetime.date().isoformat() for item in items] == ["2025-05-01", "2025-05-11"]
    for item, value in zip(items, (100, 1100), strict=True):
        assert item.get_collection().id == collection.id
        (asset,) = item.assets.values()
        with rasterio.open(asset.get_absolute_href()) as file:
            np.testing.assert_array_equal(file.read(1), np.arange(12).reshape(3, 4) + value)
    for asset in collection.assets.values():
        assert Path(asset.get_absolute_href()).is_file()
    # another back-end publishes the copy, and loads the same pixels
    catalog = Catalog([str(copy / "j-1-out/collection.json")], Settings().catalog, Door(Settings().net))
    assert catalog.ids() == [collection.id]
    assert str(backend.root) not in (copy / "j-1-out/collection.json").read_text()


def test_exports_stay_apart(backend, team):
    ok(backend.run("b", **saved(), a=export(), b=export()))
    ok(backend.run("a", **saved(), a=export()))
    assert {key.split("/")[0] for key in team.list("j-1-a") + team.list("j-1-b") + team.list("j-2-a")} == {
        "j-1-a",
        "j-1-b",
        "j-2-a",
    }


def test_stac_modify_changes_what_is_exported_and_nothing_else(backend, team):
    changes = {"id": "mine", "title": "Mine", "keywords": None, "summaries": {"eo:bands": None}, "links": []}
    change = node("stac_modify", "save", changes=changes)
    ok(backend.run("plain", **saved(), change=change, new=export("change"), plain=export()))
    new, plain = read(team, "j-1-new/collection.json"), read(team, "j-1-plain/collection.json")
    assert (new["id"], new["title"]) == ("mine", "Mine")
    assert "keywords" not in new
    assert new["summaries"] == {key: value for key, value in plain["summaries"].items() if key != "eo:bands"}
    assert plain["id"] == "j-1-plain"
    assert plain["keywords"]
    items = [link["href"] for link in new["links"] if link["rel"] == "item"]
    assert len(items) == 2
    assert {read(team, f"j-1-new/{href[2:]}")["collection"] for href in items} == {"mine"}


def test_merging_adds_items_and_extents(backend, team):
    changes = {"id": "ndvi", "title": "NDVI"}
    for number, file in enumerate(("cube.nc", "later.nc"), 1):
        change = node("stac_modify", "save", changes={**changes, "title": f"NDVI {number}"})
        nodes = {**saved(file), "change": change, "out": export("change", merge="maps/ndvi/collection.json")}
        ok(backend.run("out", **nodes))
    merged = read(team, "maps/ndvi/collection.json")
    assert (merged["id"], merged["title"]) == ("ndvi", "NDVI 1")
    hrefs = [link["href"] for link in merged["links"] if link["rel"] == "item"]
    items = [read(team, f"maps/ndvi/{href[2:]}") for href in hrefs]
    days = sorted(item["properties"]["datetime"][:10] for item in items)
    assert days == ["2025-05-01", "2025-05-11", "2025-06-21"]
    assert {item["collection"] for item in items} == {"ndvi"}
    assert merged["extent"]["temporal"]["interval"] == [["2025-05-01T00:00:00Z", "2025-06-21T00:00:00Z"]]
    assert [band["name"] for band in merged["summaries"]["bands"]] == ["B04"]
    assert len(merged["cube:dimensions"]["t"]["values"]) == 3
    assert all(team.size(f"maps/ndvi/{asset['href'][2:]}") for asset in merged["assets"].values())
    for item, href in zip(items, hrefs, strict=True):
        assert all(team.size(f"maps/ndvi/{href.split('/')[1]}/{a['href'][2:]}") for a in item["assets"].values())


def test_a_job_that_runs_again_exports_the_same_once(backend, team):
    for _ in range(2):
        ok(backend.run("out", id="j-7", **saved(), out=export(merge="all")))
    merged = read(team, "all/collection.json")
    assert len([link for link in merged["links"] if link["rel"] == "item"]) == 2
    assert len(merged["assets"]) == 2


def test_merging_into_a_catalog_adds_a_child(backend, team, tmp_path):
    start = {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "All.", "links": []}
    team.update("catalog.json", lambda content: json.dumps(start).encode())
    ok(backend.run("out", **saved(), out=export(merge="catalog.json")))
    catalog = read(team, "catalog.json")
    assert [(link["rel"], link["href"]) for link in catalog["links"]] == [("child", "./j-1-out/collection.json")]
    child = read(team, "j-1-out/collection.json")
    assert [link["href"] for link in child["links"] if link["rel"] == "parent"] == ["../catalog.json"]


def test_nothing_is_merged_into_other_files(backend, team):
    team.update("notes.json", lambda content: b"[1, 2]")
    outcome = backend.run("out", **saved(), out=export(merge="notes.json"))
    assert outcome.error["code"] == "ProcessParameterInvalid"
    assert outcome.error["path"][-1]["node_id"] == "out"
    assert b"".join(team.stream("notes.json")) == b"[1, 2]"


def test_no_change_is_lost_when_many_change_at_once(team):
    def add(number: int) -> None:
        team.update("list.json", lambda content: json.dumps([*json.loads(content or b"[]"), number]).encode())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(12)))
    assert sorted(read(team, "list.json")) == list(range(12))


def test_runs_in_children_export_too(backend, tmp_path):
    """As batch jobs and large synchronous requests do."""
    settings = Settings.model_validate({"data_dir": str(backend.root / "data"), **backend.settings})
    nodes = {**saved(), "out": {**export(), "result": True}}
    folder = tmp_path / "run-child"
    folder.mkdir()
    request = RunRequest("j-c", {"process_graph": nodes}, folder, user="alice")
    ok(ChildRunner(settings)(request, lambda event: None, lambda: False))
    assert (tmp_path / "team/j-c-out/collection.json").is_file()
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"workspace": "none"}, "WorkspaceNotFound"),
        ({"workspace": "bobs"}, "WorkspaceNotFound"),
        ({"merge": "../other/collection.json"}, "ProcessParameterInvalid"),
        ({"merge": "s3://other/collection.json"}, "ProcessParameterInvalid"),
        ({"merge": ""}, "ProcessParameterInvalid"),
    ],
)
def test_refused_exports(backend, arguments, code):
    outcome = backend.run("out", **saved(), out=export(**arguments))
    assert outcome.error["code"] == code
    assert outcome.error["path"][-1]["node_id"] == "out"
    assert not (backend.root / "team").exists()


@pytest.mark.parametrize("data", [True, 5, {"type": "Point"}, {"type": "Collection", "id": "a"}, [1]])
def test_only_stac_is_exported(backend, data):
    for process, more in (("export_workspace", {"workspace": "team"}), ("stac_modify", {"changes": {}})):
        outcome = backend.run("out", out=node(process, data=data, **more))
        assert outcome.error["code"] == "ProcessParameterInvalid"


def test_a_cube_is_saved_first(backend, team):
    nodes = {"load": saved()["load"], "out": export("load")}
    outcome = ok(backend.run("out", **nodes))
    assert [file["media_type"] for file in outcome.files] == ["application/x-netcdf"]
    assert team.size(f"j-1-out/{outcome.files[0]['name']}") == outcome.files[0]["size"]


@pytest.mark.parametrize("changes", [{"type": "Feature"}, {"stac_version": None}, {"id": None}, {"id": 5}])
def test_changes_that_make_no_stac(backend, changes):
    outcome = backend.run("change", **saved(), change=node("stac_modify", "save", changes=changes))
    assert outcome.error["code"] == "ProcessParameterInvalid"


ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "scene",
    "geometry": None,
    "bbox": [15, 45, 16, 46],
    "properties": {"datetime": "2024-03-04T05:06:07Z", "title": "A scene"},
    "links": [],
}


def test_documents_of_a_graph_are_patched_and_come_back(backend):
    data = {**ITEM, "assets": {}}
    changes = {"properties": {"title": None, "eo:cloud_cover": 5}}
    outcome = ok(backend.run("change", change=node("stac_modify", data=data, changes=changes)))
    assert outcome.value == {**data, "properties": {"datetime": "2024-03-04T05:06:07Z", "eo:cloud_cover": 5}}


@pytest.fixture
def archive(serve: Any) -> Iterator[str]:
    """A server with a Collection of an Item, whose asset is a file."""

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        item = {**ITEM, "assets": {"data": {"href": "../files/b04.tif", "type": "image/tiff"}}}
        box = {"spatial": {"bbox": [[15, 45, 16, 46]]}, "temporal": {"interval": [["2024-03-04T05:06:07Z", None]]}}
        links = [{"rel": "item", "href": "./items/scene.json"}, {"rel": "license", "href": "https://example.org/l"}]
        collection = {"type": "Collection", "stac_version": "1.0.0", "id": "c", "license": "MIT", "extent": box}
        bodies = {
            "/collection.json": json.dumps({**collection, "description": "C.", "links": links}).encode(),
            "/items/scene.json": json.dumps(item).encode(),
            "/files/b04.tif": b"II*\0 and so on",
        }
        body = bodies.get(environ["PATH_INFO"])
        start("200 OK" if body else "404 Not Found", [("Content-Type", "application/json")])
        return [body or b"{}"]

    with serve(app) as url:
        yield url


def stac_at(url: str, name: str = "collection.json") -> dict[str, Any]:
    import urllib.request

    with urllib.request.urlopen(f"{url}/{name}") as response:
        document = json.loads(response.read())
    document["links"].append({"rel": "self", "href": f"{url}/{name}"})
    return document


def test_documents_elsewhere_are_exported_with_what_they_refer_to(backend, archive):
    out = node("export_workspace", data=stac_at(archive), workspace="team")
    refused = backend.run("out", out=out)
    assert refused.error["code"] == "UrlNotAllowed"
    backend.settings["net"] = {"allow": ["127.0.0.1"]}
    ok(backend.run("out", out=out))
    folder = backend.root / "team/j-2-out"
    assert (folder / "b04.tif").read_bytes() == b"II*\0 and so on"
    item = json.loads((folder / "scene.json").read_text())
    assert item["assets"]["data"]["href"] == "./b04.tif"
    collection = json.loads((folder / "collection.json").read_text())
    hrefs = {link["rel"]: link["href"] for link in collection["links"]}
    assert hrefs == {"root": "./collection.json", "license": "https://example.org/l", "item": "./scene.json"}


@pytest.mark.parametrize("href", ["/etc/passwd", "file:///etc/passwd", "s3://bucket/key"])
def test_files_of_the_server_are_not_exported(backend, href):
    data = {**ITEM, "assets": {"data": {"href": href}}}
    outcome = backend.run("out", out=node("export_workspace", data=data, workspace="team"))
    assert outcome.error["code"] == "ProcessParameterInvalid"


# -- export_collection ----------------------------------------------------------------------------------------


def into(collection: str, source: str = "save") -> dict[str, Any]:
    return node("export_collection", source, collection=collection)


def loaded(engine: Engine, backend: Node, collection: str) -> tuple[list[str], np.ndarray]:
    """Days and values of a collection, loaded by a graph."""
    load = node("load_collection", id=collection, spatial_extent=None, temporal_extent=None)
    outcome = ok(backend.run("save", "bob", engine=engine, load=load, save=node("save_result", "load", format="JSON")))
    content = json.loads((backend.root / f"run-{backend.runs}" / outcome.files[0]["name"]).read_text())
    found: dict[str, Any] = outcome.files[0]["dimensions"]
    return [day[:10] for day in found["t"]["values"]], np.asarray(
        content["data"] if isinstance(content, dict) else content
    )


@pytest.mark.parametrize("collection", ["mine", "alice/ndvi.v1~x"])
def test_a_collection_is_made_published_and_extended(backend, collection):
    engine = backend.engine()
    change = node("stac_modify", "save", changes={"title": "My NDVI", "license": "CC-BY-4.0"})
    outcome = backend.run("out", engine=engine, **saved(), change=change, out=into(collection, "change"))
    assert len(ok(outcome).files) == 2
    published = engine.catalog.collection(collection)
    assert (published["title"], published["license"]) == ("My NDVI", "CC-BY-4.0")
    assert published["extent"]["temporal"]["interval"][0][1] == "2025-05-11T00:00:00Z"
    days, values = loaded(engine, backend, collection)
    assert days == ["2025-05-01", "2025-05-11"]
    np.testing.assert_array_equal(np.sort(values.ravel()), np.sort([*range(100, 112), *range(1100, 1112)]))
    ok(backend.run("out", engine=engine, **saved("later.nc"), out=into(collection)))
    assert engine.catalog.collection(collection)["extent"]["temporal"]["interval"][0][1] == "2025-06-21T00:00:00Z"
    assert loaded(engine, backend, collection)[0] == ["2025-05-01", "2025-05-11", "2025-06-21"]
    assert backend.engine().catalog.ids() == [collection]


def test_only_its_owner_extends_a_collection(backend):
    engine = backend.engine()
    ok(backend.run("out", engine=engine, **saved(), out=into("mine")))
    outcome = backend.run("out", "bob", engine=engine, **saved(), out=into("mine"))
    assert outcome.error["code"] == "PermissionsInsufficient"
    assert "alice" not in json.dumps(engine.catalog.collection("mine"))


def test_collections_of_the_operator_stay_as_they_are(backend, tmp_path):
    backend.run("out", **saved(), out=export())
    backend.settings["catalog"]["sources"] = [str(tmp_path / "team/j-1-out/collection.json")]
    outcome = backend.run("out", **saved(), out=into("j-1-out"))
    assert outcome.error["code"] == "PermissionsInsufficient"
    assert not list((tmp_path / "exports").rglob("*.json"))


@pytest.mark.parametrize("collection", ["../up", "a b", "", "x" * 300])
def test_ids_never_lead_out_of_the_folder(backend, collection, tmp_path):
    backend.run("out", **saved(), out=into(collection))
    outside = {path.name for path in tmp_path.iterdir()} - {"data", "exports"}
    assert all(name.startswith("run-") for name in outside)


@pytest.mark.parametrize(
    "changes",
    [
        {"extent": None},
        {"extent": {"spatial": 5}},
        {"summaries": "none"},
        {"cube:dimensions": [1]},
        {"cube:dimensions": {"t": 5}},
        {"providers": 5},
        {"links": ["a"]},
        {"links": 5},
        {"assets": {"a": 5}},
        {"title": {"a": 1}},
    ],
)
def test_nobody_breaks_the_list_of_collections(backend, changes):
    """It is everybody's: what cannot be published is refused, and nothing of it stays."""
    engine = backend.engine()
    ok(backend.run("out", engine=engine, **saved(), out=into("good")))
    change = node("stac_modify", "save", changes=changes)
    outcome = backend.run("out", engine=engine, **saved(), change=change, out=into("bad", "change"))
    published = backend.engine().catalog.collections()
    if outcome.error is not None:
        assert outcome.error["code"] == "ProcessParameterInvalid", outcome.error
        assert [collection["id"] for collection in published] == ["good"]


def test_users_who_may_not_export(backend):
    backend.settings["catalog"]["exporters"] = ["carol"]
    outcome = backend.run("out", **saved(), out=into("mine"))
    assert outcome.error["code"] == "PermissionsInsufficient"


def test_an_item_becomes_a_collection(backend, archive):
    backend.settings["net"] = {"allow": ["127.0.0.1"]}
    engine = backend.engine()
    item = stac_at(archive, "items/scene.json")
    outcome = ok(backend.run("out", engine=engine, out=node("export_collection", data=item, collection="scenes")))
    assert outcome.value == "scenes"
    published = engine.catalog.collection("scenes")
    assert published["title"] == "A scene"
    assert published["extent"]["spatial"]["bbox"] == [[15, 45, 16, 46]]


# -- JSON Merge Patch -----------------------------------------------------------------------------------------

#: Appendix A of RFC 7386: original, patch, result.
RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("document", "patch", "expected"), RFC_7386)
def test_merge_patch(document, patch, expected):
    before = json.dumps([document, patch])
    assert merge_patch(document, patch) == expected
    assert json.dumps([document, patch]) == before


@pytest.mark.parametrize(
    ("setting", "processes"),
    [
        ("workspaces", {"export_workspace", "stac_modify"}),
        ("catalog.exports", {"export_collection", "stac_modify"}),
        ("none", set()),
    ],
)
def test_offered_only_where_configured(setting: str, processes: set[str]) -> None:
    configured: Callable[[str], bool] = lambda name: name == setting  # noqa: E731
    offered = set(Registry.predefined(configured).ids())
    assert offered & {"export_workspace", "export_collection", "stac_modify"} == processes
