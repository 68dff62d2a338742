"""What the documents of a result tell about where it comes from: inputs, graph, software, licence, providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from openeo_backend.errors import conceal_urls


class Made(Protocol):
    """A run, as far as its origin goes."""

    @property
    def process(self) -> Mapping[str, Any]: ...

    @property
    def result(self) -> Mapping[str, Any] | None: ...


class Places(Protocol):
    """Where things are, for whom the document is written."""

    @property
    def input(self) -> Any: ...

    @property
    def provider(self) -> Mapping[str, Any]: ...


def provenance(job: Made) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (job.result or {}).get("provenance") or {}
    return found


def derived(job: Made, places: Places) -> list[dict[str, Any]]:
    """Links to every item of the input; to those in files of this machine, where this API shows them."""
    found = []
    for source in provenance(job).get("items") or ():
        is_here = source.startswith("collections/")
        href = places.input(source) if is_here else source if source.startswith(("http://", "https://")) else None
        if href:
            found.append({"rel": "derived_from", "href": conceal_urls(href), "type": "application/geo+json"})
    return found


def processing(job: Made) -> dict[str, Any]:
    """Members of the processing extension: the graph, when it was computed, and by what.

    Who gets the link to a result gets no secrets with it: those in URLs of the graph are left out.
    """
    origin = provenance(job)
    expression: dict[str, Any] = {"format": "openeo", "expression": _without_secrets(job.process)}
    if remote := (job.result or {}).get("remote_processes"):
        expression["remote_processes"] = _without_secrets(remote)
    found = {
        "processing:expression": expression,
        "processing:lineage": " ".join(origin.get("notes") or ()) or None,
        "processing:software": origin.get("software"),
        "processing:datetime": origin.get("computed"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return conceal_urls(value)
    if isinstance(value, Mapping):
        return {name: _without_secrets(entry) for name, entry in value.items()}
    return [_without_secrets(entry) for entry in value] if isinstance(value, list) else value


def providers(job: Made, places: Places) -> list[dict[str, Any]]:
    """Providers of the inputs, each once, who did not host or process what is here, and this back-end, who did."""
    found: dict[str, dict[str, Any]] = {}
    for provider in provenance(job).get("providers") or ():
        roles = [role for role in provider.get("roles") or () if role in ("licensor", "producer")]
        found.setdefault(provider["name"], {**provider, "roles": roles or ["producer"]})
    own = {**places.provider, "description": "Computed the results of this job.", "roles": ["processor", "host"]}
    return [*found.values(), {**own, **processing(job)}]


def license(job: Made) -> str:
    """The licence of the inputs; with several of them STAC says "various", with unknown ones "proprietary"."""
    licenses = sorted(set(provenance(job).get("licenses") or ()))
    if len(licenses) > 1:
        return "various"
    return str(licenses[0]) if licenses else "proprietary"
