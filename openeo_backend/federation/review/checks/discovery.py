"""Discovery: the well-known document."""

from __future__ import annotations

from openeo_backend.federation.review.check import OPENEO_API_PROFILE, Verdict, check, judged
from openeo_backend.federation.review.node import Node, items


@check("API-21", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_versions(node: Node) -> Verdict:
    """The well-known document lists url and api_version of each version, without a token."""
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
