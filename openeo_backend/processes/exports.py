"""Exporting results as STAC: stac_modify, export_workspace, export_collection.

Results are written when the whole graph has been evaluated; exports are noted here and done then
(:mod:`openeo_backend.run.exports`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from openeo_backend.catalog.patch import merge_patch
from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.writing import default_format
from openeo_backend.graph.effects import Effect
from openeo_backend.processes.environment import Env, Export, Saved, StacResource
from openeo_backend.processes.registry import process

#: Types of STAC documents.
_TYPES = ("Collection", "Feature", "Catalog")

#: Members that say what kind of document it is.
_FIXED = ("type", "stac_version")

Stac = StacResource | Mapping[str, Any]


class Targets(Protocol):
    """Where users may export to."""

    def check(self, user: str | None, target: str) -> None:
        """:raises OpenEOError: where there is no such target for the user."""


@process("stac_modify", requires="workspaces or catalog.exports", effect=Effect())
def stac_modify(data: Any, changes: Mapping[str, Any], *, env: Env) -> Stac:
    """The STAC resource with a JSON Merge Patch (RFC 7386); `data` stays as it is. Cubes are saved first.

    :raises OpenEOError: ProcessParameterInvalid for what is not STAC, before or after.
    """
    found = _resource(data, env)
    for name in _FIXED:
        if name in changes:
            raise OpenEOError("ProcessParameterInvalid", f"The member '{name}' of STAC resources cannot be changed.")
    if "id" in changes and not (isinstance(changes["id"], str) and changes["id"]):
        raise OpenEOError("ProcessParameterInvalid", "The id of a STAC resource must be a text.")
    if isinstance(found, StacResource):
        return replace(found, changes=(*found.changes, dict(changes)))
    changed: Mapping[str, Any] = merge_patch(found, changes)
    return changed


@process("export_workspace", requires="workspaces", effect=Effect())
def export_workspace(data: Any, workspace: str, merge: str | None = None, *, env: Env) -> Stac:
    """Export a STAC resource, with its items and assets, when the results are written; returns the resource.

    :raises OpenEOError: WorkspaceNotFound; ProcessParameterInvalid for what is not STAC and for paths that lead out
        of the workspace.
    """
    targets: Targets = env.service("workspaces")
    targets.check(env.user, workspace)
    found = _resource(data, env)
    env.exports.append(Export(found, workspace, "workspace", _path(merge), env.node))
    return found


@process("export_collection", requires="catalog.exports", effect=Effect())
def export_collection(data: Any, collection: str, *, env: Env) -> str:
    """Add a STAC resource, with its items and assets, to a collection when the results are written; returns its id.

    :raises OpenEOError: PermissionsInsufficient for collections that are not the user's own.
    """
    targets: Targets = env.service("catalog.exports")
    targets.check(env.user, collection)
    env.exports.append(Export(_resource(data, env), collection, "collection", None, env.node))
    return collection


def _resource(data: Any, env: Env) -> Stac:
    if isinstance(data, Cube):
        saved = Saved(data, default_format(data), {}, env.node)
        env.saved.append(saved)
        return StacResource(saved)
    if isinstance(data, StacResource):
        return data
    if isinstance(data, Mapping) and data.get("type") in _TYPES and data.get("stac_version") and data.get("id"):
        return data
    raise OpenEOError(
        "ProcessParameterInvalid",
        "The data are not a STAC resource.",
        hint="Give what save_result returns, or a STAC Item or Collection.",
    )


def _path(merge: str | None) -> str | None:
    if merge is None:
        return None
    parts = [part for part in merge.split("/") if part not in ("", ".")]
    is_long = len(merge.encode("utf-8", "replace")) > 1000 or any(
        len(part.encode("utf-8", "replace")) > 200 for part in parts
    )
    if is_long or not parts or ".." in parts or "://" in merge or any(ord(letter) < 32 for letter in merge):
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The path '{merge}' to merge into is not a path in the workspace.",
            hint="Give a relative path such as 'ndvi/collection.json'.",
        )
    return "/".join(parts)
