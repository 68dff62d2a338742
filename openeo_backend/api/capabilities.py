"""`/`, `/conformance` and the list of API versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, current_app

from openeo_backend.api import pages
from openeo_backend.api.access import backend, is_listed, public
from openeo_backend.api.billing import billing
from openeo_backend.api.documents import document
from openeo_backend.api.urls import VERSIONS, host_url, root_url, short_version, url
from openeo_backend.api.versions import is_production
from openeo_backend.auth.bearer import offers_oidc
from openeo_backend.observe.software import software

blueprint = Blueprint("capabilities", __name__)

STAC_VERSION = "1.0.0"

#: Methods that endpoints list; HEAD and OPTIONS work everywhere and go without saying.
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


@blueprint.get("/")
@public
def capabilities() -> Response:
    """What this back-end is and can; a page for people who come with a browser."""
    if pages.wants_html():
        return pages.landing_page()
    settings = backend().settings.server
    response = document(
        {
            "api_version": VERSIONS[short_version()],
            "backend_version": version("openeo-backend"),
            "stac_version": STAC_VERSION,
            "type": "Catalog",
            "id": settings.id,
            "title": settings.title,
            "description": settings.description,
            "production": is_production(short_version()),
            "conformsTo": conformance_classes(),
            "endpoints": list(endpoints()),
            "billing": billing(),
            "retention": retention(),
            "limits": limits(),
            "processing:software": software(),
            "links": [*links(), *of_the_provider()],
        }
    )
    response.vary.add("Accept")
    return response


@blueprint.get("/conformance")
@public
def conformance() -> Response:
    """The standards that are kept."""
    return document({"conformsTo": conformance_classes()})


def conformance_classes() -> list[str]:
    settings, classes = backend().settings, []
    if short_version() == "1.3" and offers_oidc(settings):
        classes.append("https://api.openeo.org/1.3.0/authentication/jwt")
    return [
        f"https://api.openeo.org/{VERSIONS[short_version()]}",
        "https://api.openeo.org/extensions/processing-parameters/0.1.0",
        "https://api.stacspec.org/v1.0.0/core",
        "https://api.stacspec.org/v1.0.0/collections",
        "https://api.stacspec.org/v1.0.0/ogcapi-features",
        *classes,
    ]


def endpoints() -> Iterable[dict[str, Any]]:
    """The endpoints of the API root that is being called, read off the routes themselves."""
    root = f"/openeo/{short_version()}"
    found: dict[str, set[str]] = {}
    for rule in current_app.url_map.iter_rules():
        path = rule.rule.removeprefix(root)
        if path in (rule.rule, "/") or not is_listed(current_app.view_functions.get(rule.endpoint)):
            continue
        path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", path)
        found.setdefault(path, set()).update(rule.methods or ())
    for path in sorted(found):
        yield {"path": path, "methods": [method for method in _METHODS if method in found[path]]}


def retention() -> dict[str, float]:
    """How long jobs are kept."""
    jobs = backend().settings.jobs
    return {"results_days": jobs.results_days, "metadata_days": jobs.metadata_days}


def limits() -> dict[str, float]:
    """How long a synchronous request may take, and how long signed links are good."""
    settings = backend().settings
    return {"sync_seconds": settings.limits.sync_seconds, "signed_url_days": settings.store.signed_url_days}


def links() -> list[dict[str, str]]:
    json, html = "application/json", "text/html"
    root = f"{root_url()}/"
    return [
        {"rel": "self", "href": root, "type": json, "title": "This document"},
        {"rel": "root", "href": root, "type": json, "title": "Capabilities"},
        {
            "rel": "version-history",
            "href": f"{host_url()}/.well-known/openeo",
            "type": json,
            "title": "API versions served",
        },
        {"rel": "conformance", "href": url("/conformance"), "type": json, "title": "Conformance classes"},
        {"rel": "data", "href": url("/collections"), "type": json, "title": "Collections"},
        {
            "rel": "service-desc",
            "href": "https://raw.githubusercontent.com/Open-EO/openeo-api/1.2.0/openapi.yaml",
            "type": "application/vnd.oai.openapi;version=3.0",
            "title": "OpenAPI document of the openEO API",
        },
        {"rel": "service-doc", "href": "https://api.openeo.org", "type": html, "title": "The openEO API"},
        {
            "rel": "related",
            "href": pages.editor_url(root),
            "type": html,
            "title": "Open in the openEO Web Editor",
        },
        {
            "rel": "related",
            "href": "https://open-eo.github.io/openeo-python-client/",
            "type": html,
            "title": "Documentation of the Python client",
        },
    ]


def of_the_provider() -> list[dict[str, str]]:
    """Links to who runs this back-end, and to what users agree."""
    server = backend().settings.server
    contact = server.contact
    if contact and "@" in contact and ":" not in contact:
        contact = f"mailto:{contact}"
    titles = {
        "contact": (contact, "Help"),
        "terms-of-service": (server.terms_of_service, "Terms of service"),
        "privacy-policy": (server.privacy_policy, "Privacy policy"),
    }
    return [{"rel": rel, "href": href, "title": title} for rel, (href, title) in titles.items() if href]
