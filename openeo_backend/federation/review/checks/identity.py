"""Who is asking: tokens, the user, and what needs one."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from openeo_backend.federation.review import answers
from openeo_backend.federation.review.check import (
    AUTHENTICATION,
    FEDERATION_API,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    declared,
    failed,
    judged,
    not_applicable,
    passed,
    warned,
)
from openeo_backend.federation.review.node import Node

EGI = "https://aai.egi.eu/auth/realms/egi"
CLAIM = "eduperson_entitlement"
FORBIDDEN = (401, 403)
#: What API 1.3 lists in `conformsTo` where plain tokens are accepted.
PLAIN = "authentication/jwt"


@check("API-42", profile="L1", kind="token", source=OPENEO_API_PROFILE)
def lists_formats_for_users(node: Node) -> Verdict:
    """GET /file_formats works with a token"""
    return _works(node, "/file_formats", "output", dict)


@check("API-202", profile="L1", kind="token", source=OPENEO_API_PROFILE)
def lists_processes_for_users(node: Node) -> Verdict:
    """GET /processes works with a token"""
    return _works(node, "/processes", "processes", list)


@check("API-302", profile="L1", kind="token", source=OPENEO_API_PROFILE)
def lists_collections_for_users(node: Node) -> Verdict:
    """GET /collections works with a token"""
    return _works(node, "/collections", "collections", list)


@check("API-323", profile="L1", kind="token", source=OPENEO_API_PROFILE)
def describes_collections_for_users(node: Node) -> Verdict:
    """GET /collections/{id} works with a token"""
    ids = [str(entry.get("id")) for entry in node.collections]
    if not ids:
        return not_applicable("No collection is listed.")
    problems: list[str] = []
    for id in ids[:5]:
        reply = node.get(f"/collections/{id}", auth=True)
        problems += answers.status(f"/collections/{id}", reply, 200)
        if not problems and answers.of(reply).get("id") != id:
            problems.append(f"/collections/{id} describes {answers.of(reply).get('id')!r}")
    return judged(problems, f"{min(len(ids), 5)} collections are described.", expected="200 and the collection")


@check("API-100", profile="L1", kind="token", source=OPENEO_API_PROFILE)
def reads_tokens_by_method_and_provider(node: Node) -> Verdict:
    """Bearer tokens have the form METHOD/PROVIDER/TOKEN"""
    problems = answers.status("GET /me with the token", node.get("/me", auth=True), 200)
    token = (node.token or "").rpartition("/")[2]
    for wrong in (f"oidc/openeo-review-unknown/{token}", f"openeo-review/{token}"):
        reply = _me(node, wrong)
        shown = wrong.removesuffix(token)
        problems += answers.refusal(f"A token as '{shown}...'", reply, FORBIDDEN)
    if problems:
        return judged(problems, "", expected="200 for METHOD/PROVIDER/TOKEN, 403 for other providers and forms")
    plain = _me(node, token).status == 200
    if plain and not any(PLAIN in str(uri) for uri in node.capabilities.get("conformsTo") or ()):
        return warned(f"Plain tokens are accepted, too, but no conformance class with {PLAIN} is listed.")
    return passed("Tokens of this form are accepted, those of unknown providers refused.")


@check("API-118", profile="LP", kind="token", source=FEDERATION_API)
def asks_for_entitlements(node: Node) -> Verdict:
    """Where EGI Check-in is a provider, its entitlements are asked for"""
    providers = _providers(node)
    egi = [entry for entry in providers if str(entry.get("issuer")).rstrip("/").lower() == EGI]
    if not egi:
        return not_applicable("EGI Check-in is no provider here; the federation's own users have no such entitlement.")
    if not any(CLAIM in (entry.get("scopes") or ()) for entry in egi):
        return failed(f"The scopes of EGI Check-in lack {CLAIM}.", expected=f"scopes with {CLAIM}")
    return passed(f"The scopes have {CLAIM}. Nobody without an entitlement tried: that needs another account.")


@check("API-120", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def describes_the_user(node: Node) -> Verdict:
    """GET /me describes the user, and only with a token"""
    problems = answers.status("GET /me with the token", node.get("/me", auth=True), 200)
    problems += answers.refusal("GET /me without a token", node.get("/me"), (401,))
    return judged(problems, "The user is described.", expected="200 with a token, 401 without one")


@check("API-121", profile="L2", kind="token", source=OPENEO_API_PROFILE)
def identifies_the_user(node: Node) -> Verdict:
    """GET /me gives a unique user_id"""
    ids = [answers.of(node.request("GET", "/me", auth=True)).get("user_id") for _ in range(2)]
    if not isinstance(ids[0], str) or not ids[0]:
        return failed(f"`user_id` is {ids[0]!r}.", expected="a string")
    if ids[0] != ids[1]:
        return failed(f"`user_id` is first {ids[0]!r} and then {ids[1]!r}.", expected="the same each time")
    return passed(f"The user is {ids[0]!r}.")


@check("AUTH-3", profile="LP", kind="declared", source=AUTHENTICATION)
def jobs_outlive_tokens(node: Node) -> Verdict:
    """Jobs do not depend on the token of their user, which lives for ten minutes"""
    outlive = node.declares("accounts", "jobs_outlive_tokens")
    if not isinstance(outlive, bool):
        reason = "A review would have to run a job for longer than its token lives"
        return not_applicable(f"{reason}, and it is not declared ([accounts] jobs_outlive_tokens).")
    if not outlive:
        return failed("Declared: jobs need the token of their user.", expected="jobs that go on without it")
    return declared("Jobs do not need the token of their user.")


@check("AUTH-4", profile="LP", kind="token", source=AUTHENTICATION, level="recommended")
def takes_the_subject_for_the_user(node: Node) -> Verdict:
    """The user id is the subject of the token, also for service accounts"""
    token = node.token or ""
    if not token.startswith("oidc/"):
        return not_applicable("The token of this review is not from an OpenID Connect provider.")
    claims = _claims(token.rpartition("/")[2])
    if not isinstance(claims.get("sub"), str):
        return not_applicable("The token does not tell its subject.")
    user = answers.of(node.get("/me", auth=True)).get("user_id")
    if user != claims["sub"]:
        return failed(f"The user is {user!r}, the subject of the token {claims['sub']!r}.", expected="the same")
    return passed("The user id is the subject of the token.")


@check("AUTH-7", profile="LP", kind="declared", source=FEDERATION_API, level="optional")
def maps_entitlements_to_roles(node: Node) -> Verdict:
    """EGI entitlements decide what a user may do"""
    if not any(str(entry.get("issuer")).rstrip("/").lower() == EGI for entry in _providers(node)):
        return not_applicable("EGI Check-in is no provider here.")
    meaning = node.declares("accounts", "entitlements")
    if not isinstance(meaning, str) or not meaning:
        return warned(
            "It is not declared what entitlements mean ([accounts] entitlements).", expected="roles by entitlement"
        )
    return declared(meaning)


def _works(node: Node, path: str, member: str, kind: type) -> Verdict:
    reply = node.get(path, auth=True)
    problems = answers.status(f"GET {path} with the token", reply, 200)
    if not problems and not isinstance(answers.of(reply).get(member), kind):
        problems.append(f"GET {path} with the token has no `{member}`")
    return judged(problems, f"{path} is the user's, too.", expected=f"200 and a document with `{member}`")


def _me(node: Node, token: str) -> Any:
    return node.get("/me", headers={"Authorization": f"Bearer {token}"})


def _providers(node: Node) -> list[dict[str, Any]]:
    reply = node.get("/credentials/oidc")
    return answers.objects(answers.of(reply), "providers") if reply.status == 200 else []


def _claims(token: str) -> dict[str, Any]:
    """What a JSON Web Token says; nothing where it is none. It is not verified: the back-end does that."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}
