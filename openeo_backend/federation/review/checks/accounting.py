"""Credits: what jobs cost, who cannot pay, how usage is told."""

from __future__ import annotations

from typing import Any

from openeo_backend.federation.review import answers, graphs
from openeo_backend.federation.review.check import (
    CREDIT_USAGE,
    FEDERATION_API,
    FEDERATION_CONTRACT,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    declared,
    failed,
    judged,
    not_applicable,
    warned,
)
from openeo_backend.federation.review.node import Node

#: Units that the aggregator reads.
UNITS = {"cpu": ("cpu-seconds",), "memory": ("mb-seconds",), "duration": ("seconds",)}
_NOBODY = "No user without credits is declared ([accounts] without_credits)."


@check("API-14", profile="LP", kind="job", source=FEDERATION_API)
def counts_credits(node: Node) -> Verdict:
    """What jobs cost is told in credits"""
    billing = node.capabilities.get("billing")
    currency = billing.get("currency") if isinstance(billing, dict) else None
    problems = [] if currency == "credits" else [f"the currency is {currency!r}"]
    job = node.trial.ended
    if not isinstance(job.get("usage"), dict):
        problems.append("a finished job has no `usage`")
    costs = job.get("costs")
    if problems:
        return judged(problems, "", expected="currency credits; costs and usage of finished jobs")
    if isinstance(costs, bool) or not isinstance(costs, int | float):
        return warned("Finished jobs have no `costs`.", expected="costs and usage of finished jobs")
    return judged(problems, f"The small job cost {costs:g} credits.", expected="")


@check("API-852", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def jobs_cost(node: Node) -> Verdict:
    """POST /jobs/{id}/results is refused where a payment is required"""
    token = node.trial.account("without_credits")
    if token is None:
        return not_applicable(_NOBODY)
    record = node.trial.unpaid
    problems = answers.status("POST /jobs of a user without credits", record["created"], 201)
    problems += answers.refusal("Starting that job", record["started"], (402,), ("PaymentRequired",))
    return judged(problems, "It is refused at the start.", expected="201 for the job, 402 PaymentRequired at its start")


@check("API-910", profile="L1A/L2", kind="token", source=OPENEO_API_PROFILE)
def synchronous_requests_cost(node: Node) -> Verdict:
    """POST /result is refused where a payment is required"""
    token = node.trial.account("without_credits")
    if token is None:
        return not_applicable(_NOBODY)
    body = {"process": {"process_graph": graphs.SUM}}
    reply = node.request("POST", "/result", body, headers={"Authorization": f"Bearer {token}"})
    problems = answers.refusal("POST /result of a user without credits", reply, (402,), ("PaymentRequired",))
    return judged(problems, "It is refused.", expected="402 PaymentRequired")


@check("ACC-1", profile="LP", kind="declared", source=FEDERATION_CONTRACT)
def reports_usage(node: Node) -> Verdict:
    """Usage is reported to the accounting service of the federation"""
    reported = node.declares("credits", "reporting")
    if reported is False:
        return failed("Declared: usage is not reported.", expected="one report for each job and request")
    if not isinstance(reported, str) or not reported:
        return not_applicable("Only the accounting service sees it, and it is not declared ([credits] reporting).")
    return declared(reported)


@check("ACC-5", profile="LP", kind="token", source=FEDERATION_API, level="optional")
def blocks_users_without_credits(node: Node) -> Verdict:
    """Users without credits may be refused"""
    token = node.trial.account("without_credits")
    if token is None:
        return not_applicable(_NOBODY)
    reply = node.get("/me", headers={"Authorization": f"Bearer {token}"})
    problems = answers.status("GET /me of a user without credits", reply, 200)
    return judged(problems, "They may still log in; API-852 and API-910 tell the rest.", expected="200")


@check("ACC-6", profile="LP", kind="job", source=CREDIT_USAGE)
def usage_has_units(node: Node) -> Verdict:
    """The usage of jobs has values with the units that the aggregator reads"""
    usage = node.trial.ended.get("usage")
    if not isinstance(usage, dict) or not usage:
        return judged(["a finished job has no `usage`"], "", expected="values with units")
    problems = [text for name, metric in usage.items() for text in _wrong(name, metric)]
    return judged(problems, f"{', '.join(usage)} have them.", expected="`value` and `unit` in each; cpu in cpu-seconds")


def _wrong(name: str, metric: Any) -> list[str]:
    if not isinstance(metric, dict):
        return [f"{name} is {metric!r}"]
    value, unit = metric.get("value"), metric.get("unit")
    problems = []
    if isinstance(value, bool) or not isinstance(value, int | float):
        problems.append(f"the value of {name} is {value!r}")
    if not isinstance(unit, str):
        problems.append(f"{name} has no unit: the aggregator fails at this")
    elif unit not in UNITS.get(name, (unit,)):
        problems.append(f"the unit of {name} is {unit!r}")
    return problems
