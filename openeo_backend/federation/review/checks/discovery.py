"""Discovery: the well-known document, HTTPS, CORS, encodings, the health of the back-end."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.check import (
    AGGREGATOR,
    FEDERATION_API,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    failed,
    judged,
    not_applicable,
    passed,
    warned,
)
from openeo_backend.federation.review.node import Node, decoded, items, newest

#: A page of another site, as browsers tell it.
ORIGIN = {"Origin": "https://editor.openeo.org"}

#: The longest that the aggregator waits for one document before it takes the back-end for offline.
_MOST_SECONDS = 12.5

_EXPOSED = ("location", "openeo-identifier", "openeo-costs", "link")


@check("API-1", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def answers_preflights(node: Node) -> Verdict:
    """OPTIONS requests are answered with all CORS headers"""
    problems = []
    for path, method in (
        ("/", "GET"),
        ("/collections", "GET"),
        ("/processes", "GET"),
        ("/jobs", "POST"),
        ("/me", "GET"),
    ):
        asked = {
            **ORIGIN,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        reply = node.request("OPTIONS", path, headers=asked)
        methods = _names(reply.headers.get("access-control-allow-methods"))
        headers = _names(reply.headers.get("access-control-allow-headers"))
        if not 200 <= reply.status < 300:
            problems.append(f"OPTIONS {path} answers with {reply.status}")
        elif method.lower() not in methods:
            problems.append(f"OPTIONS {path} allows the methods {sorted(methods)}, not {method}")
        elif missing := {"authorization", "content-type"} - headers:
            problems.append(f"OPTIONS {path} does not allow the headers {sorted(missing)}")
    expected = "2xx with Access-Control-Allow-Methods and -Headers (Authorization, Content-Type)"
    return judged(problems, "OPTIONS is answered on public and protected paths.", expected=expected)


@check("API-2", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def allows_other_origins(node: Node) -> Verdict:
    """Access-Control-Allow-Origin comes with all methods, also with errors"""
    problems = []
    for method, path in _of_all_methods():
        reply = node.request(method, path, headers=ORIGIN)
        allowed = reply.headers.get("access-control-allow-origin")
        if allowed not in ("*", ORIGIN["Origin"]):
            problems.append(f"{method} {path} ({reply.status}) has Access-Control-Allow-Origin {allowed!r}")
    expected = "`*` or the origin of the request, with success and with failure"
    return judged(problems, "All methods allow other origins.", expected=expected)


@check("API-3", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def exposes_headers(node: Node) -> Verdict:
    """Access-Control-Expose-Headers names the headers that clients read"""
    problems = []
    for method, path in _of_all_methods():
        exposed = _names(node.request(method, path, headers=ORIGIN).headers.get("access-control-expose-headers"))
        if missing := [name for name in _EXPOSED if name not in exposed]:
            problems.append(f"{method} {path} does not expose {', '.join(missing)}")
    return judged(problems, "All methods expose them.", expected="Location, OpenEO-Identifier, OpenEO-Costs, Link")


@check("API-4", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def is_encrypted(node: Node) -> Verdict:
    """The back-end is reached by HTTPS"""
    urls = [node.root, *(str(version.get("url")) for version in items(node.get_document(node.well_known), "versions"))]
    plain = [url for url in urls if urlsplit(url).scheme != "https"]
    if plain and node.is_local:
        return not_applicable("The back-end is at an address of this machine or network, where HTTPS says nothing.")
    return judged([f"{url} is not https" for url in plain], "All roots are https, and the certificate is valid.")


@check("API-5", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def speaks_utf8(node: Node) -> Verdict:
    """Texts are encoded in UTF-8"""
    problems = []
    for path in ("/", "/collections", "/processes", "/file_formats"):
        reply = node.get(path)
        charset = reply.headers.get("content-type", "").lower().partition("charset=")[2].strip(' "')
        if charset not in ("", "utf-8", "utf8"):
            problems.append(f"{path} is declared as {charset}")
        try:
            reply.content.decode("utf-8")
        except UnicodeDecodeError:
            problems.append(f"{path} is not UTF-8")
    return judged(problems, "All documents are UTF-8.", expected="UTF-8, and no other charset in Content-Type")


@check("API-6", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def errors_have_a_status(node: Node) -> Verdict:
    """Errors have an HTTP status between 400 and 599"""
    problems = [
        f"{method} {path} answers with {status}"
        for method, path, status, _ in _errors(node)
        if not 400 <= status <= 599
    ]
    return judged(problems, "Errors have a status of an error.", expected="400 to 599")


@check("API-7", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def errors_say_why(node: Node) -> Verdict:
    """Errors are JSON objects with code and message"""
    problems = [
        f"{method} {path} ({status}) has no text in `{name}`"
        for method, path, status, body in _errors(node)
        for name in ("code", "message")
        if not isinstance(body, dict) or not isinstance(body.get(name), str) or not body[name]
    ]
    return judged(problems, "Errors have a code and a message.", expected="JSON with texts in `code` and `message`")


@check("API-20", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def well_known_is_unversioned(node: Node) -> Verdict:
    """The well-known document is outside of the versions of the API"""
    where = node.well_known
    if where.startswith(f"{node.root}/") and node.root != node.host:
        return failed(f"It is only at {where}, inside of one version.", expected="/.well-known/openeo of the host")
    node.get_document(where)
    return passed(f"It is at {where}.")


@check("API-21", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_versions(node: Node) -> Verdict:
    """The well-known document lists url and api_version of each version, without a token"""
    versions = items(node.get_document(node.well_known), "versions")
    problems = [
        f"version {place} has no `{name}`"
        for place, version in enumerate(versions)
        for name in ("url", "api_version")
        if not isinstance(version.get(name), str)
    ]
    if not versions:
        problems.append("`versions` is empty")
    return judged(problems, f"{len(versions)} version(s) listed.", expected="versions[].url and .api_version")


@check("API-22", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def tells_production(node: Node) -> Verdict:
    """The well-known document tells versions for production from those in development"""
    versions = items(node.get_document(node.well_known), "versions")
    untold = [str(version.get("url")) for version in versions if not isinstance(version.get("production"), bool)]
    return judged(
        [f"{url} has no `production`" for url in untold],
        "Each version says whether it is for production.",
        expected="true or false in versions[].production",
    )


@check("API-90", profile="LP", kind="anonymous", source=FEDERATION_API)
def tells_health(node: Node) -> Verdict:
    """The health of the back-end can be asked below its root, without a token"""
    reply = node.get("/health")
    if not (200 <= reply.status < 300 or 500 <= reply.status < 600):
        return failed(f"GET /health answers with {reply.status}.", expected="2xx or 5xx")
    return passed(f"GET /health answers with {reply.status}.")


@check("MERGE-HEALTH", profile="LP", kind="anonymous", source=AGGREGATOR)
def health_is_json(node: Node) -> Verdict:
    """The aggregator can read the health: a good status and plain application/json"""
    reply = node.get("/health")
    kind = reply.headers.get("content-type", "")
    if reply.status >= 400:
        return failed(
            f"GET /health answers with {reply.status}: so does the health of the whole federation.", expected="2xx"
        )
    if kind != "application/json":
        return warned(f"Content-Type is {kind!r}: the aggregator does not read it.", expected="application/json")
    return passed("GET /health is read.")


@check("MERGE-WELL-KNOWN", profile="LP", kind="anonymous", source=AGGREGATOR)
def newest_version_works(node: Node) -> Verdict:
    """The version that the aggregator chooses, the newest for production, answers"""
    versions = [v for v in items(node.get_document(node.well_known), "versions") if v.get("production", True) is True]
    if not versions:
        return warned("No version is for production: the aggregator uses the URL that it was given.")
    chosen = str(max(versions, key=newest).get("url"))
    reply = node.get(f"{chosen.rstrip('/')}/")
    if reply.status != 200 or not isinstance(decoded(reply), dict):
        return failed(f"{chosen} answers with {reply.status}: the back-end counts as offline.", expected="200")
    return passed(f"{chosen} answers.")


@check("MERGE-SECONDS", profile="LP", kind="anonymous", source=AGGREGATOR)
def is_discovered_in_time(node: Node) -> Verdict:
    """What the aggregator asks for discovery is answered in time"""
    slow = []
    longest = 0.0
    for path in (node.well_known, "/", "/credentials/oidc", "/collections", "/processes"):
        url = path if "://" in path else f"{node.root}{path}"
        try:
            node.request("GET", url, seconds=_MOST_SECONDS)
        except OpenEOError as error:
            slow.append(f"{path}: {error.message}")
            continue
        took = node.exchanges[-1].seconds
        longest = max(longest, took)
        if took > _MOST_SECONDS:
            slow.append(f"{path} took {took:.1f} s")
    return judged(slow, f"The slowest took {longest:.2f} s.", expected=f"at most {_MOST_SECONDS} s each")


def _of_all_methods() -> Iterator[tuple[str, str]]:
    """Requests without a token, of each method: some succeed and most do not."""
    yield from (("GET", "/"), ("GET", "/collections"), ("GET", "/jobs"), ("POST", "/jobs"))
    yield from (("PUT", "/process_graphs/openeo_review"), ("PATCH", "/jobs/openeo-review"))
    yield "DELETE", "/jobs/openeo-review"


def _errors(node: Node) -> Iterator[tuple[str, str, int, object]]:
    for method, path in (
        ("GET", "/collections/OPENEO_REVIEW_NO_SUCH_COLLECTION"),
        ("GET", "/openeo-review-no-such-endpoint"),
        ("GET", "/jobs"),
        ("POST", "/result"),
    ):
        reply = node.request(method, path, {} if method == "POST" else None)
        yield method, path, reply.status, decoded(reply)


def _names(value: str | None) -> set[str]:
    return {name.strip().lower() for name in (value or "").split(",") if name.strip()}
