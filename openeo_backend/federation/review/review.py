"""Running the checks of the chosen profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from openeo_backend.federation.review.check import (
    HOSTILE,
    Check,
    Verdict,
    checks,
    failed,
    not_applicable,
    unexpected,
    weighed,
)
from openeo_backend.federation.review.node import Node

#: What each profile asks for: its own rows and those of the profiles that it builds on.
PROFILES: dict[str, tuple[str, ...]] = {
    "L1": ("L1",),
    "L1A": ("L1", "L1A"),
    "L1B": ("L1", "L1B"),
    "L2": ("L1", "L2"),
    "L3": ("L1", "L2", "L3"),
    "L4": ("L1", "L2", "L3", "L4"),
    "LP": ("L1", "L1A", "L1B", "L2", "L3", "LP"),
}


@dataclass(frozen=True)
class Finding:
    """A check and its verdict."""

    check: Check
    verdict: Verdict

    @property
    def is_required(self) -> bool:
        return self.check.level == "required"

    def json(self) -> dict[str, Any]:
        """The form of the JSON report."""
        return {
            "id": self.check.id,
            "title": self.check.title,
            "profiles": list(self.check.profiles),
            "level": self.check.level,
            "kind": self.check.kind,
            "status": self.verdict.status,
            "message": self.verdict.message,
            "expected": self.verdict.expected,
            "evidence": [
                {
                    "method": exchange.method,
                    "url": exchange.url,
                    "status": exchange.status,
                    "seconds": exchange.seconds,
                    "excerpt": exchange.excerpt,
                }
                for exchange in self.verdict.evidence
            ],
            "source": self.check.source,
        }


def selected(profiles: Iterable[str], all: Iterable[Check] | None = None) -> list[Check]:
    """The checks of some profiles.

    Rows of L3 and L4 are recommendations for who asks for a lower profile, and required for who asks for them.
    """
    wanted = {label for name in profiles for label in PROFILES[name]}
    asked = set(profiles)
    found = []
    for check in checks() if all is None else all:
        if not wanted.intersection(check.profiles):
            continue
        advanced = {"L3", "L4"}.intersection(check.profiles)
        if advanced and advanced & {label for name in asked - {"LP"} for label in PROFILES[name]}:
            check = replace(check, level="required" if check.level == "recommended" else check.level)
        found.append(check)
    return found


def examine(check: Check, node: Node) -> Finding:
    """Run one check; answers that it cannot cope with are a failure of the back-end."""
    node.begin()
    if check.kind in ("token", "job") and node.token is None:
        return Finding(check, not_applicable("Needs a user: give --token, or --user and --password."))
    try:
        verdict = check.function(node)
    except HOSTILE as error:
        verdict = failed(unexpected(error).describe())
    return Finding(check, replace(weighed(verdict, check.level), evidence=node.evidence()))


def review(
    node: Node, chosen: Iterable[Check], progress: Callable[[Finding, int, int], None] | None = None
) -> list[Finding]:
    """The findings of some checks.

    :param progress: called after each one with its finding, how many are done, and how many there are.
    """
    planned = list(chosen)
    findings = []
    for done, check in enumerate(planned, 1):
        findings.append(examine(check, node))
        if progress is not None:
            progress(findings[-1], done, len(planned))
    return findings


def holds(findings: Iterable[Finding]) -> bool:
    """Whether nothing required failed."""
    return not any(finding.is_required and finding.verdict.status == "fail" for finding in findings)
