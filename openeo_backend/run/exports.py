"""Where users may export to, and doing the exports that a graph asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from openeo_backend.catalog.describe import describe
from openeo_backend.catalog.item import read_item
from openeo_backend.cube import Cube
from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.files.objects import Objects, open_objects
from openeo_backend.formats.names import slug
from openeo_backend.graph import trace
from openeo_backend.net.door import Door
from openeo_backend.processes.environment import Env, Export, StacResource
from openeo_backend.run.bundle import Bundle, of_document, of_result
from openeo_backend.run.placing import extent_of, link_child, place
from openeo_backend.run.request import RunRequest
from openeo_backend.run.results import STAC_VERSION, File, checksum
from openeo_backend.settings import CatalogSettings, CollectionSettings, WorkspaceSettings

_CATALOG = {
    "type": "Catalog",
    "stac_version": STAC_VERSION,
    "id": "exports",
    "description": "Collections that users exported.",
    "links": [],
}


class Workspaces:
    """The workspaces that the settings name."""

    def __init__(self, settings: Mapping[str, WorkspaceSettings]) -> None:
        self._settings = settings

    def check(self, user: str | None, target: str) -> None:
        """:raises OpenEOError: WorkspaceNotFound where there is none for the user."""
        found = self._settings.get(target)
        if found is None or (found.users is not None and user not in found.users):
            own = [id for id, entry in self._settings.items() if entry.users is None or user in entry.users]
            listed = f"Your workspaces: {', '.join(own)}." if own else "You have no workspaces."
            raise OpenEOError("WorkspaceNotFound", f"There is no workspace '{target}'.", hint=listed, status=404)

    def put(self, bundle: Bundle, export: Export, user: str | None, name: str, scratch: Path) -> str:
        """Put a bundle into a workspace; returns where it is."""
        self.check(user, export.target)
        objects = open_objects(self._settings[export.target].place)
        return f"{export.target}/{place(bundle, objects, name, scratch, export.merge)}"


class OwnCollections:
    """Collections that users make, in the folder of the settings.

    :param is_taken: whether a collection of some id is published.
    """

    def __init__(self, settings: CatalogSettings, is_taken: Callable[[str], bool]) -> None:
        assert settings.exports is not None
        self._place = str(settings.exports)
        self._users = settings.exporters
        self._is_taken = is_taken

    def check(self, user: str | None, target: str) -> None:
        """:raises OpenEOError: PermissionsInsufficient where the user may not make, or add to, the collection."""
        if self._users is not None and user not in self._users:
            raise OpenEOError("PermissionsInsufficient", "You may not export to collections.")
        if not re.fullmatch(r"[A-Za-z0-9_\-.~/]{1,200}", target):
            raise OpenEOError(
                "ProcessParameterInvalid",
                f"'{target}' is not an id of a collection.",
                hint="Use letters, digits and _ - . ~ / only.",
            )
        owner = self._owner(self._open(), target)
        if (owner is None and self._is_taken(target)) or owner not in (None, _hash(user)):
            raise OpenEOError(
                "PermissionsInsufficient",
                f"The collection '{target}' is not yours.",
                hint="Export to a collection with another id.",
            )

    def put(self, bundle: Bundle, export: Export, user: str | None, name: str, scratch: Path) -> str:
        """Add a bundle to a collection; returns its id."""
        self.check(user, export.target)
        bundle = _as_collection(bundle, export.target)
        _refuse_unpublishable(bundle)
        objects, folder = self._open(), _folder(export.target)

        def claim(current: bytes | None) -> bytes:
            if current not in (None, _hash(user).encode()):
                raise OpenEOError("PermissionsInsufficient", f"The collection '{export.target}' is not yours.")
            return _hash(user).encode()

        objects.update(f"{folder}/owner", claim)
        place(bundle, objects, name, scratch, f"{folder}/collection.json")
        child = {"rel": "child", "href": f"./{folder}/collection.json", "type": "application/json"}
        link_child(objects, "catalog.json", child, _CATALOG)
        return export.target

    def _open(self) -> Objects:
        return open_objects(self._place)

    def _owner(self, objects: Objects, collection: str) -> str | None:
        key = f"{_folder(collection)}/owner"
        return None if objects.size(key) is None else b"".join(objects.stream(key)).decode()


def export_all(
    env: Env, files: Sequence[File], request: RunRequest, door: Door, most_items: int, tell: Callable[[str], None]
) -> None:
    """Do what the graph asked for, in order, with the files that were written."""
    names: set[str] = set()
    for export in env.exports:
        with trace.entered((NodeRef(export.node, f"export_{export.kind}"),)), TemporaryDirectory() as scratch:
            name = _free(f"{slug(request.id)}-{slug(export.node)}", names)
            bundle = _bundle(export, name, files, request, door, most_items, Path(scratch))
            target = env.service("workspaces" if export.kind == "workspace" else "catalog.exports")
            where = target.put(bundle, export, request.user, name, Path(scratch))
            tell(f"Exported {len(bundle.items)} items and {len(bundle.files)} files to the {export.kind} {where}.")


def _bundle(
    export: Export, name: str, files: Sequence[File], request: RunRequest, door: Door, most_items: int, scratch: Path
) -> Bundle:
    if not isinstance(export.data, StacResource):
        folder = scratch / "files"
        folder.mkdir()
        return of_document(export.data, door, folder, most_items)
    saved = export.data.saved
    chosen = [file for file in files if file.get("node") == saved.node]
    own = [{**file, "checksum": checksum(request.folder / file["name"])} for file in chosen]
    provenance = asdict(saved.value.provenance) if isinstance(saved.value, Cube) else {}
    return of_result(export.data, name, request.title, request.process, own, provenance, request.folder)


def _as_collection(bundle: Bundle, id: str) -> Bundle:
    """The bundle with a Collection of this id; that of an Item has the Item's extents."""
    document = {**bundle.document, "id": id}
    if bundle.is_item:
        properties = bundle.document.get("properties") or {}
        document = {
            "type": "Collection",
            "stac_version": bundle.document["stac_version"],
            "id": id,
            "title": properties.get("title") or id,
            "description": properties.get("description") or f"The collection {id}.",
            "license": properties.get("license") or "proprietary",
            "extent": extent_of(bundle.document),
            "links": [],
        }
    return Bundle(document, bundle.items, bundle.files)


def _refuse_unpublishable(bundle: Bundle) -> None:
    """Refuse metadata that the catalog, which is everybody's, cannot be made of.

    :raises OpenEOError: ProcessParameterInvalid; FileContentInvalid for items.
    """
    items = [read_item(item, f"{id}.json") for id, item in bundle.items.items()]
    try:
        describe(bundle.document, items, CollectionSettings(), True)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The metadata of the STAC resource cannot be published as those of a collection.",
            hint="Check the types of its members, above all extent, summaries, providers and cube:dimensions.",
        ) from error


def _folder(collection: str) -> str:
    """The folder of a collection; different ids have different folders."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", collection)
    return plain if plain == collection else f"{plain}-{hashlib.sha256(collection.encode()).hexdigest()[:12]}"


def _hash(user: str | None) -> str:
    return hashlib.sha256((user or "").encode()).hexdigest()


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free)
    return free
