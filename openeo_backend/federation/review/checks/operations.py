"""What is offered for processing, retention, the contract: told by the capabilities or declared by the provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from openeo_backend.federation.review.check import (
    CREDIT_USAGE,
    FEDERATION,
    FEDERATION_API,
    FEDERATION_COLLECTIONS,
    FEDERATION_CONTRACT,
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
from openeo_backend.federation.review.node import Node, items

#: What the contract asks for, by the name in the capabilities and the declaration.
_RESULTS_DAYS, _METADATA_DAYS, _SYNC_SECONDS, _URL_DAYS = 90, 365, 300, 7

_BATCH = {"/jobs": {"GET", "POST"}, "/jobs/{}": {"GET"}, "/jobs/{}/results": {"GET", "POST", "DELETE"}}


@check("API-701", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def processes_somehow(node: Node) -> Verdict:
    """Batch jobs, synchronous processing or web services are offered"""
    ways = _ways(node)
    return judged([] if ways else ["None is offered"], f"Offered: {', '.join(ways)}.")


@check("API-702", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def processes_in_two_ways(node: Node) -> Verdict:
    """Two of batch jobs, synchronous processing and web services are offered"""
    ways = _ways(node)
    return judged([] if len(ways) >= 2 else [f"Only {ways} is offered"], f"Offered: {', '.join(ways)}.")


@check("API-703", profile="LP", kind="anonymous", source=FEDERATION_API)
def processes_as_the_federation_asks(node: Node) -> Verdict:
    """Batch jobs and synchronous processing are both offered, with all their endpoints"""
    wanted = {**_BATCH, "/result": {"POST"}}
    missing = [
        f"{method} {path}"
        for path, methods in wanted.items()
        for method in sorted(methods - node.endpoints.get(path, set()))
    ]
    return judged([f"{name} is not listed" for name in missing], "Both are offered.")


@check("API-704", profile="LP", kind="declared", source=FEDERATION_API)
def keeps_results(node: Node) -> Verdict:
    """Results of batch jobs are kept for 90 days at least"""
    return at_least(node, "retention", "results_days", _RESULTS_DAYS, "days")


@check("API-705", profile="LP", kind="declared", source=FEDERATION_API)
def keeps_metadata(node: Node) -> Verdict:
    """Metadata of batch jobs are kept for a year at least"""
    return at_least(node, "retention", "metadata_days", _METADATA_DAYS, "days")


@check("ACC-2", profile="LP", kind="declared", source=CREDIT_USAGE)
def documents_the_tariff(node: Node) -> Verdict:
    """How credits are computed is documented"""
    tariff = node.declares("credits", "tariff")
    if tariff is not None:
        if not urlsplit(str(tariff)).scheme:
            return failed(f"The tariff {tariff!r} is no URL.", expected="the URL of the documentation")
        return declared(f"The provider says: {tariff}")
    billing = node.get_document("/").get("billing")
    billing = billing if isinstance(billing, Mapping) else {}
    told = [billing.get("url"), billing.get("description")]
    told += [
        plan.get("url") or plan.get("description") for plan in items({"plans": billing.get("plans") or []}, "plans")
    ]
    if not any(isinstance(text, str) and text for text in told):
        return failed("Neither `billing` nor its plans have a url or a description.", expected="how costs come about")
    return passed("The capabilities describe what processing costs.")


@check("ACC-4", profile="LP", kind="declared", source=FEDERATION, level="optional")
def grants_free_credits(node: Node) -> Verdict:
    """The provider may grant a free amount"""
    billing = node.get_document("/").get("billing")
    plans = items(billing, "plans") if isinstance(billing, dict) and "plans" in billing else []
    wrong = [f"plan {plan.get('name')!r} does not say whether it is paid" for plan in plans if "paid" not in plan]
    if wrong:
        return judged(wrong, "")
    free = [str(plan.get("name")) for plan in plans if plan.get("paid") is False]
    return declared(f"Free plans: {', '.join(free)}.") if free else not_applicable("There is no free plan.")


@check("CON-1", profile="LP", kind="declared", source=FEDERATION_CONTRACT)
def is_available(node: Node) -> Verdict:
    """The back-end is up for 99.5 % of each month"""
    months = node.declares("availability", "monthly_percent")
    if not isinstance(months, list) or not months:
        return not_applicable("Not declared: monthly_percent in [availability], the last months in order.")
    report = node.declares("availability", "report")
    told = f"The provider says {', '.join(f'{month} %' for month in months)}" + (f" ({report})." if report else ".")
    low = [place for place, month in enumerate(months) if not isinstance(month, int | float) or month < 99.5]
    if any(not isinstance(month, int | float) or month < 95 for month in months):
        return failed(f"{told} One is below 95 %, which is a warning.", expected="99.5 %")
    if any(place + 1 in low for place in low):
        return failed(f"{told} Two months in a row are below 99.5 %: unstable.", expected="99.5 %")
    return declared(told)


@check("COL-9", profile="LP", kind="declared", source=FEDERATION_COLLECTIONS)
def collections_are_available(node: Node) -> Verdict:
    """Collections, or the back-end as a whole, are available for 98 % of each month"""
    months = node.declares("availability", "collections_percent") or node.declares("availability", "monthly_percent")
    if not isinstance(months, list) or not months:
        return not_applicable("Not declared: collections_percent or monthly_percent in [availability].")
    low = [month for month in months if not isinstance(month, int | float) or month < 98]
    told = f"The provider says {', '.join(f'{month} %' for month in months)}."
    return failed(told, expected="98 %") if low else declared(told)


@check("CON-2", profile="LP", kind="declared", source=FEDERATION_CONTRACT)
def announces_changes(node: Node) -> Verdict:
    """Breaking changes and downtimes are announced in the forum of CDSE, months before"""
    where, months = node.declares("provider", "announcements"), node.declares("provider", "notice_months")
    if where is None and months is None:
        return not_applicable("Not declared: announcements and notice_months in [provider].")
    if not isinstance(months, int | float) or months < 3:
        return failed(f"The provider says {months} months.", expected="3 months (6 for collections)")
    if months < 6:
        return warned(f"{months} months at {where}; for collections, one text of the federation says 6.")
    return declared(f"{months} months before, at {where}.")


@check("CON-3", profile="LP", kind="anonymous", source=FEDERATION_CONTRACT)
def has_support(node: Node) -> Verdict:
    """There is an address to which questions of users go"""
    links = items(node.get_document("/"), "links")
    contact = [
        str(link.get("href"))
        for link in links
        if str(link.get("rel")) in ("contact", "support") or str(link.get("href")).startswith("mailto:")
    ]
    if contact:
        return passed(f"The capabilities link {contact[0]}.")
    support = node.declares("provider", "support")
    if support is not None:
        good = re.fullmatch(r"[^@\s]+@[^@\s]+", str(support))
        if not good:
            return failed(f"{support!r} is no address.", expected="an e-mail address")
        return declared(f"The provider says {support}.")
    if node.is_local:
        return not_applicable("The back-end is not public, and no support address is declared.")
    return failed(
        "Neither a link `contact` in the capabilities nor [provider] support tells one.", expected="an e-mail address"
    )


@check("CON-4", profile="LP", kind="declared", source=FEDERATION_CONTRACT)
def has_signed(node: Node) -> Verdict:
    """The agreement is signed, privacy policy and terms of the federation are accepted"""
    agreement = node.declares("agreement")
    if not isinstance(agreement, Mapping):
        return not_applicable("Not declared: [agreement] with signed, privacy_policy and terms.")
    missing = [name for name in ("signed", "privacy_policy", "terms") if not agreement.get(name)]
    if missing:
        return failed(f"{', '.join(missing)}: not yet.", expected="all three")
    return declared(f"Signed on {agreement['signed']}.")


@check("CON-5", profile="LP", kind="anonymous", source=FEDERATION_CONTRACT)
def keeps_what_is_stable(node: Node) -> Verdict:
    """What was stable has not become experimental, and flags are true or false"""
    now = flags(node)
    wrong = [f"experimental of {name} is {flag!r}" for name, flag in now.items() if not isinstance(flag, bool)]
    before = node.declares("previous", "metadata", "experimental")
    if isinstance(before, Mapping):
        wrong += [f"{name} was stable" for name, flag in before.items() if flag is False and now.get(name) is True]
    return judged(wrong, "Flags are true or false" + (", and none was raised." if before else "."))


@check("CON-6", profile="LP", kind="anonymous", source=FEDERATION_API)
def has_latest_api(node: Node) -> Verdict:
    """The API is the latest stable one of version 1"""
    version = str(node.get_document("/").get("api_version"))
    if not re.fullmatch(r"1\.([2-9]|\d\d)\.\d+", version):
        return failed(f"`api_version` is {version}.", expected="1.2.0 or newer")
    return passed(f"The API is of version {version}.")


@check("CON-7", profile="LP", kind="declared", source=FEDERATION_CONTRACT)
def keeps_limits(node: Node) -> Verdict:
    """Retention, the time of synchronous requests and that of signed URLs are those of the contract"""
    found = [
        at_least(node, "retention", "results_days", _RESULTS_DAYS, "days"),
        at_least(node, "retention", "metadata_days", _METADATA_DAYS, "days"),
        at_least(node, "limits", "sync_seconds", _SYNC_SECONDS, "seconds"),
        at_least(node, "limits", "signed_url_days", _URL_DAYS, "days"),
    ]
    wrong = [verdict.message for verdict in found if verdict.status == "fail"]
    if wrong:
        return failed(" ".join(wrong), expected="90 days, 365 days, 300 seconds, 7 days")
    told = [verdict.message for verdict in found if verdict.status == "declared"]
    return declared(" ".join(told)) if told else not_applicable("Neither told by the capabilities nor declared.")


@check("CON-8", profile="LP", kind="declared", source=FEDERATION, level="recommended")
def tells_how_long(node: Node) -> Verdict:
    """The provider says how long the service will run"""
    until = node.declares("provider", "until")
    if until is None:
        return not_applicable("Not declared: until in [provider].")
    year = re.match(r"\d{4}", str(until))
    return declared(f"Until {until}.") if year else failed(f"{until!r} is no date or year.", expected="such as 2030")


def flags(node: Node) -> dict[str, Any]:
    """`experimental` of collections and processes."""
    return {str(entry.get("id")): entry.get("experimental", False) for entry in [*node.collections, *node.processes]}


def _ways(node: Node) -> list[str]:
    offered = node.endpoints
    ways = []
    if all("POST" in offered.get(path, ()) for path in ("/jobs", "/jobs/{}/results")):
        ways.append("batch jobs")
    if "POST" in offered.get("/result", ()):
        ways.append("synchronous processing")
    if "POST" in offered.get("/services", ()):
        ways.append("web services")
    return ways


def at_least(node: Node, section: str, name: str, least: float, unit: str) -> Verdict:
    """A figure of the declaration, or of the section of that name in the capabilities."""
    value, who = node.declares(section, name), "The provider says"
    if value is None:
        told = node.get_document("/").get(section)
        value, who = (told.get(name) if isinstance(told, Mapping) else None), "The capabilities say"
    if value is None:
        return not_applicable(f"Not declared: {name} in [{section}].")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
        return failed(f"{who} {name} = {value!r}.", expected=f"at least {least:g} {unit}")
    return declared(f"{who} {name} = {value:g}.")
