"""Capabilities, conformance, credentials and what protects the other endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator

from openeo_backend.federation.review.check import (
    AGGREGATOR,
    AUTHENTICATION,
    FEDERATION_API,
    FEDERATION_CONTRACT,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    failed,
    judged,
    not_applicable,
    passed,
    warned,
)
from openeo_backend.federation.review.node import Node, decoded, items
from openeo_backend.net.door import Reply

#: The identity provider of the federation.
CDSE = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE"

_PUBLIC = (
    *("/collections", "/processes", "/file_formats", "/conformance", "/udf_runtimes", "/service_types"),
    *("/credentials/basic", "/credentials/oidc"),
)
_PROTECTED = (
    *(("GET", "/me"), ("GET", "/jobs"), ("POST", "/jobs"), ("POST", "/result"), ("GET", "/process_graphs")),
    *(("GET", "/services"), ("GET", "/files"), ("GET", "/jobs/{}"), ("GET", "/jobs/{}/results")),
    *(("POST", "/jobs/{}/results"), ("GET", "/jobs/{}/logs"), ("PUT", "/process_graphs/{}")),
)

_OF_JOBS = (
    *(("GET", "/jobs/{}"), ("GET", "/jobs/{}/logs"), ("GET", "/jobs/{}/results")),
    *(("POST", "/jobs/{}/results"), ("DELETE", "/jobs/{}/results"), ("DELETE", "/jobs/{}")),
)


@check("API-30", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def describes_itself(node: Node) -> Verdict:
    """Capabilities have versions, id, title, description, endpoints and links, without a token"""
    document = node.get_document("/")
    problems = [
        f"`{name}` is missing or no text"
        for name in ("api_version", "backend_version", "stac_version", "id", "title", "description")
        if not isinstance(document.get(name), str) or not document[name]
    ]
    problems += [f"`{name}` is no array" for name in ("endpoints", "links") if not isinstance(document.get(name), list)]
    return judged(problems, "All members are there.")


@check("API-31", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_all_endpoints(node: Node) -> Verdict:
    """Every endpoint that works is listed with its methods"""
    advertised = node.endpoints
    problems = [f"{path} has no methods" for path, methods in advertised.items() if not methods]
    unknown = node.request("GET", "/openeo-review-no-such-endpoint").status
    for path in _PUBLIC:
        if "GET" not in advertised.get(path, ()) and _offers(node.get(path)):
            problems.append(f"GET {path} works")
    for method, path in _PROTECTED:
        if unknown != 401 and "{" not in path and method not in advertised.get(path, ()):
            status = node.request(method, path).status
            if status in (200, 201, 401):
                problems.append(f"{method} {path} answers with {status}")
    problems += [f"{method} {path} works" for method, path in _unlisted(node)]
    return judged(problems, "All endpoints of the API that answer are listed.", expected="them in `endpoints`")


@check("API-32", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_only_what_works(node: Node) -> Verdict:
    """No endpoint is listed that is not there or faulty"""
    problems = []
    for path, methods in sorted(node.endpoints.items()):
        if "GET" in methods and "{" not in path:
            status = node.get(path).status
            if status == 404 or (status >= 500 and path != "/health"):
                problems.append(f"GET {path} answers with {status}")
    return judged(problems, "All GET endpoints without parameters answer.", expected="no 404, 501 or other 5xx")


@check("API-33", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def has_api_version(node: Node) -> Verdict:
    """The API is of version 1.1 or newer"""
    version = node.get_document("/").get("api_version")
    if not re.fullmatch(r"1\.[1-9]\d*\.\d+", str(version)):
        return failed(f"`api_version` is {version!r}.", expected="1.1.0, 1.2.0 or newer")
    return passed(f"The API is of version {version}.")


@check("API-34", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def has_stac_version(node: Node) -> Verdict:
    """STAC is of version 1.0.0 or 0.9.0"""
    version = str(node.get_document("/").get("stac_version"))
    if version in ("1.0.0", "0.9.0"):
        return passed(f"STAC is of version {version}.")
    if re.fullmatch(r"1\.\d+\.\d+", version):
        return warned(f"STAC is of version {version}; not all clients know it.", expected="1.0.0")
    return failed(f"`stac_version` is {version!r}.", expected="1.0.0 or 0.9.0")


@check("API-35", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def tells_billing(node: Node) -> Verdict:
    """Capabilities tell how processing is charged"""
    billing = node.get_document("/").get("billing")
    if not isinstance(billing, dict) or not billing.get("currency"):
        return failed("There is no `billing.currency`.", expected="the currency (credits in the federation)")
    return passed(f"The currency is {billing['currency']}.")


@check("API-60", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def has_conformance(node: Node) -> Verdict:
    """GET /conformance works without a token"""
    status = node.get("/conformance").status
    return passed("It answers.") if status == 200 else failed(f"It answers with {status}.", expected="200")


@check("API-61", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def conforms_to_something(node: Node) -> Verdict:
    """GET /conformance lists conformance classes"""
    classes = node.get_document("/conformance").get("conformsTo")
    good = isinstance(classes, list) and bool(classes) and all(isinstance(name, str) for name in classes)
    return judged([] if good else ["`conformsTo` is no list of texts"], "Conformance classes are listed.")


@check("API-101", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def needs_a_token(node: Node) -> Verdict:
    """Protected endpoints answer 401 AuthenticationRequired to requests without a token"""
    problems = []
    for method, path in _advertised(node):
        reply = node.request(method, path, {} if method in ("POST", "PUT") else None)
        body = decoded(reply)
        code = body.get("code") if isinstance(body, dict) else None
        if reply.status != 401 or code != "AuthenticationRequired":
            problems.append(f"{method} {path} answers with {reply.status} {code}")
    return judged(problems, "All of them do.", expected="401 AuthenticationRequired")


@check("API-102", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def refuses_wrong_tokens(node: Node) -> Verdict:
    """Wrong credentials are refused with 403"""
    advertised = node.endpoints
    path = "/me" if "/me" in advertised else "/jobs" if "/jobs" in advertised else None
    if path is None:
        return not_applicable("Neither /me nor /jobs is offered.")
    if "/credentials/basic" in advertised:
        wrong = "basic//openeo-review-wrong"
    else:
        providers = items(node.get_document("/credentials/oidc"), "providers")
        wrong = f"oidc/{providers[0].get('id')}/openeo-review-wrong"
    status = node.request("GET", path, headers={"Authorization": f"Bearer {wrong}"}).status
    kind = f"a wrong token of the kind {wrong.rpartition('/')[0]}/"
    if status == 503:
        return warned(f"{kind} cannot be looked at by the back-end just now (503).", expected="403 (TokenInvalid)")
    if status != 403:
        return failed(f"{kind} is answered with {status}.", expected="403 (TokenInvalid)")
    return passed(f"{kind} is refused.")


@check("API-110", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def offers_authentication(node: Node) -> Verdict:
    """At least one way to authenticate is offered"""
    ways = [way for way in ("basic", "oidc") if "GET" in node.endpoints.get(f"/credentials/{way}", ())]
    problems = [] if ways else ["Neither /credentials/basic nor /credentials/oidc is listed"]
    return judged(problems, f"Offered: {', '.join(ways)}.")


@check("API-111", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def offers_no_passwords(node: Node) -> Verdict:
    """HTTP Basic authentication is not offered in production"""
    if "GET" not in node.endpoints.get("/credentials/basic", ()):
        return passed("It is not offered.")
    if node.is_local or node.get_document("/").get("production") is False:
        return not_applicable("It is offered, but this is no server for production.")
    return failed("GET /credentials/basic is offered.", expected="OpenID Connect only")


@check("API-112", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def offers_oidc(node: Node) -> Verdict:
    """OpenID Connect providers are listed, without a token"""
    providers = items(node.get_document("/credentials/oidc"), "providers")
    problems = [] if providers else ["`providers` is empty"]
    if "GET" not in node.endpoints.get("/credentials/oidc", ()):
        problems.append("the capabilities do not list GET /credentials/oidc")
    return judged(problems, f"{len(providers)} provider(s) listed.", expected="at least one provider")


@check("API-113", profile="LP", kind="anonymous", source=FEDERATION_API)
def knows_the_federation(node: Node) -> Verdict:
    """The identity provider of the federation is among the providers"""
    return _has_cdse(node)


@check("AUTH-1", profile="LP", kind="anonymous", source=FEDERATION_CONTRACT)
def accepts_cdse_users(node: Node) -> Verdict:
    """Users of CDSE can log in without registering: their issuer is offered with a client"""
    found = _has_cdse(node)
    if found.status != "pass":
        return found
    (provider, *_) = _cdse(node)
    if not provider.get("default_clients"):
        return warned("The issuer of CDSE is offered, but with no default client.", expected="default_clients")
    return found


@check("AUTH-2", profile="LP", kind="anonymous", source=AUTHENTICATION, level="recommended")
def offers_clients(node: Node) -> Verdict:
    """Providers have default clients for PKCE, the device flow and refresh tokens"""
    wanted = {
        "authorization_code+pkce",
        "urn:ietf:params:oauth:grant-type:device_code+pkce",
        "refresh_token",
    }
    problems = []
    for provider in items(node.get_document("/credentials/oidc"), "providers"):
        clients = provider.get("default_clients")
        grants = {
            str(grant)
            for client in (clients if isinstance(clients, list) else [])
            for grant in client.get("grant_types") or ()
        }
        if missing := wanted - grants:
            problems.append(f"{provider.get('id')}: {', '.join(sorted(missing))}")
    return judged(problems, "Each provider has them.", expected="default_clients with these grant types")


@check("AUTH-6", profile="LP", kind="anonymous", source=FEDERATION_API, level="optional")
def counts_as_the_aggregator(node: Node) -> Verdict:
    """Costs are counted in credits, as the aggregator does that checks subscriptions and credits, too"""
    billing = node.get_document("/").get("billing")
    currency = billing.get("currency") if isinstance(billing, dict) else None
    return judged([] if currency == "credits" else [f"the currency is {currency!r}"], "They are.", expected="credits")


@check("AUTH-8", profile="LP", kind="anonymous", source=FEDERATION_CONTRACT)
def links_terms(node: Node) -> Verdict:
    """Capabilities link the terms of service and the privacy policy"""
    found = {str(link.get("rel")) for link in items(node.get_document("/"), "links")}
    missing = [rel for rel in ("terms-of-service", "privacy-policy") if rel not in found]
    if missing and node.is_local:
        return not_applicable("The back-end is not public, so nobody has to agree to its terms.")
    return judged(
        [f"no link has the relation {rel}" for rel in missing],
        "Both are linked.",
        expected="links with the relations terms-of-service and privacy-policy",
    )


@check("MERGE-CREDENTIALS", profile="LP", kind="anonymous", source=AGGREGATOR)
def credentials_are_read(node: Node) -> Verdict:
    """The aggregator can read the OpenID Connect providers"""
    reply = node.get("/credentials/oidc")
    if reply.status != 200:
        return failed(f"It answers with {reply.status}: the whole back-end counts as offline.", expected="200")
    problems = [
        f"provider {provider.get('id')!r} has no `{name}`"
        for provider in items(node.get_document("/credentials/oidc"), "providers")
        for name in ("id", "issuer", "title")
        if not isinstance(provider.get(name), str)
    ]
    return judged(problems, "All are read.", expected="id, issuer and title: else the back-end counts as offline")


def _unlisted(node: Node) -> Iterator[tuple[str, str]]:
    """Endpoints with ids in their paths that answer, and are not listed."""
    advertised = node.endpoints
    if "GET" in advertised.get("/collections", ()) and node.collections:
        id = node.collections[0].get("id")
        for path in ("/collections/{}", "/collections/{}/queryables"):
            if "GET" not in advertised.get(path, ()) and _offers(node.get(path.replace("{}", str(id)))):
                yield "GET", path
    for method, path in _OF_JOBS if "/jobs" in advertised else ():
        if method in advertised.get(path, ()):
            continue
        path = path.replace("{}", "openeo_review")
        status = node.request(method, path).status
        # where all below a job asks for a token, 401 tells nothing
        if status == 401 and node.request(method, f"{path}/openeo-review-no-such-endpoint").status != 401:
            yield method, path


def _offers(reply: Reply) -> bool:
    """Whether an answer has something to offer; a document with nothing in it has not."""
    body = decoded(reply)
    return reply.status == 200 and any(body.values() if isinstance(body, dict) else [body])


def _cdse(node: Node) -> list[dict[str, object]]:
    providers = items(node.get_document("/credentials/oidc"), "providers")
    return [p for p in providers if str(p.get("issuer")).rstrip("/").lower() == CDSE.lower()]


def _has_cdse(node: Node) -> Verdict:
    if not _cdse(node):
        return failed("No provider has the issuer of CDSE.", expected=CDSE)
    return passed(f"The issuer {CDSE} is offered.")


def _advertised(node: Node) -> Iterator[tuple[str, str]]:
    """Protected endpoints that are offered, with an id of nothing in their paths."""
    offered = node.endpoints
    for method, path in _PROTECTED:
        if method in offered.get(path, ()):
            yield method, path.replace("{}", "openeo_review")
