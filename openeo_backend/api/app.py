"""The HTTP application: all resources under every API version, and what holds for every request."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from openeo_backend.api import (
    access,
    capabilities,
    collections,
    credentials,
    documents,
    errors,
    file_formats,
    health,
    items,
    job_estimate,
    job_logs,
    job_results,
    jobs,
    me,
    pages,
    process_graphs,
    processes,
    processing_parameters,
    result,
    services,
    sync,
    udf_runtimes,
    validation,
    versions,
)
from openeo_backend.api.urls import VERSIONS
from openeo_backend.auth.bearer import Authenticator
from openeo_backend.errors import OpenEOError
from openeo_backend.observe import logs

if TYPE_CHECKING:
    from openeo_backend.backend import Backend

log = logging.getLogger(__name__)

#: One blueprint per resource, with paths relative to the API root.
RESOURCES: tuple[Blueprint, ...] = (
    capabilities.blueprint,
    collections.blueprint,
    credentials.blueprint,
    file_formats.blueprint,
    health.blueprint,
    items.blueprint,
    job_estimate.blueprint,
    job_logs.blueprint,
    job_results.blueprint,
    jobs.blueprint,
    me.blueprint,
    process_graphs.blueprint,
    processes.blueprint,
    processing_parameters.blueprint,
    result.blueprint,
    services.blueprint,
    udf_runtimes.blueprint,
    validation.blueprint,
    versions.blueprint,
)

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Range, If-None-Match",
    "Access-Control-Allow-Methods": "OPTIONS, GET, HEAD, POST, PATCH, PUT, DELETE",
    "Access-Control-Expose-Headers": "Location, OpenEO-Identifier, OpenEO-Costs, Link, Content-Range, Accept-Ranges, "
    "Content-Length, Content-Disposition, ETag, Retry-After, X-Request-Id",
    "Access-Control-Max-Age": "600",
}


def create_app(backend: Backend, resources: Iterable[Blueprint] = RESOURCES) -> Flask:
    """The application that serves `backend`.

    Every view needs a user unless it says otherwise (:func:`openeo_backend.api.access.public`).
    """
    app = Flask("openeo_backend", static_folder=None)
    app.json = documents.Json(app)
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = backend.settings.server.body_limit_mb * 1_000_000
    app.extensions[access.BACKEND] = backend
    app.extensions[access.AUTHENTICATE] = Authenticator.of(backend.settings, backend.store)
    app.extensions[credentials.BRAKES] = credentials.Brakes.new()
    app.extensions[sync.SLOTS] = sync.slots_of(backend.settings)
    app.extensions[access.FLIGHTS] = access.flights_of(backend.settings)
    sync.sweep(backend.settings)
    app.register_blueprint(pages.blueprint)
    for version in VERSIONS:
        root = Blueprint(f"v{version.replace('.', '_')}", __name__, url_prefix=f"/openeo/{version}")
        for resource in resources:
            root.register_blueprint(resource)
        app.register_blueprint(root)
    errors.register(app)
    app.before_request(_begin)
    app.before_request(_preflight)
    app.before_request(_refuse_nul)
    app.before_request(access.require_user)
    app.after_request(_finish)
    app.teardown_request(access.land)
    app.wsgi_app = _merge_slashes(_behind_proxies(app.wsgi_app, backend))  # type: ignore[method-assign, assignment]
    return app


def _begin() -> None:
    logs.clear()
    g.started = time.perf_counter()
    g.request_id = f"r-{uuid.uuid4().hex}"
    logs.bind(request=g.request_id)
    parts = request.path.split("/", 3)
    if len(parts) > 2 and parts[1] == "openeo" and parts[2] in VERSIONS:
        g.version = parts[2]


def _preflight() -> Response | None:
    """Browsers ask what they may do before they send a token: answer everywhere, to everybody."""
    if request.method != "OPTIONS":
        return None
    response = Response(status=204)
    if request.headers.get("Access-Control-Request-Private-Network"):
        # Chrome asks so before a public page (the Web Editor) may call a server on this machine.
        response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response


def _refuse_nul() -> None:
    """No id and no parameter has a NUL, which PostgreSQL does not take for text.

    :raises OpenEOError: RequestInvalid.
    """
    if "\0" in request.path or any("\0" in value for value in request.args.values()):
        raise OpenEOError("RequestInvalid", "The address of the request holds the character NUL.")


def _finish(response: Response) -> Response:
    if request.method in ("GET", "HEAD") and response.get_etag()[0] and not response.is_streamed:
        response.make_conditional(request)
    response = documents.compress(response)
    response.headers.update(CORS)
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    seconds = time.perf_counter() - g.get("started", time.perf_counter())
    user = g.get("user")
    with logs.context(user=user.id if user else None):
        log.info("%s %s %d %.3fs", request.method, request.path, response.status_code, seconds)
    return response


Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def _merge_slashes(application: Application) -> Application:
    """Read `//` in paths as `/`: clients join URLs carelessly, and do not follow redirects of a POST."""

    def merged(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if "//" in path:
            environ["PATH_INFO"] = re.sub("/{2,}", "/", path)
        return application(environ, start_response)

    return merged


def _behind_proxies(application: Application, backend: Backend) -> Application:
    """Take scheme and client address from the headers of as many proxies as the settings trust."""
    proxies = backend.settings.server.trusted_proxies
    if not proxies:
        return application
    return ProxyFix(application, x_for=proxies, x_proto=proxies, x_host=0)
