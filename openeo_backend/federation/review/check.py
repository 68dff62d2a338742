"""What a check is, and what it says."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from openeo_backend.errors import OpenEOError

if TYPE_CHECKING:
    from openeo_backend.federation.review.node import Node

Status = Literal["pass", "fail", "warning", "not-applicable", "declared"]
Level = Literal["required", "recommended", "optional"]
Kind = Literal["anonymous", "token", "job", "declared"]

#: The public documents that the requirements come from.
OPENEO_API_PROFILE = "https://openeo.org/documentation/1.0/developers/profiles/api.html"
OPENEO_PROCESSES_PROFILE = "https://openeo.org/documentation/1.0/developers/profiles/processes.html"
OPENEO_API = "https://api.openeo.org/"
_FEDERATION = "https://documentation.dataspace.copernicus.eu/APIs/openEO/federation"
FEDERATION_API = f"{_FEDERATION}/backends/api.html"
FEDERATION_PROCESSES = f"{_FEDERATION}/backends/processes.html"
FEDERATION_FILE_FORMATS = f"{_FEDERATION}/backends/fileformats.html"
FEDERATION_COLLECTIONS = f"{_FEDERATION}/backends/collections.html"
FEDERATION_CONTRACT = f"{_FEDERATION}/backends/contract.html"
FEDERATION_DESIGN = f"{_FEDERATION}/backends/design.html"
FEDERATION = f"{_FEDERATION}/openeo_federation.html"
JOB_OPTIONS = "https://documentation.dataspace.copernicus.eu/APIs/openEO/job_config.html"
CREDIT_USAGE = "https://documentation.dataspace.copernicus.eu/APIs/openEO/credit_usage.html"
AUTHENTICATION = "https://documentation.dataspace.copernicus.eu/APIs/openEO/authentication.html"
AGGREGATOR = "https://github.com/Open-EO/openeo-aggregator"

#: Failures that an answer of any shape may cause.
HOSTILE = (OpenEOError, ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)

#: How many problems a message lists before it only counts them.
MOST_PROBLEMS = 6


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, cut and without secrets, as a report shows it."""

    method: str
    url: str
    status: int | None
    """None where no answer came."""
    excerpt: str
    seconds: float = 0.0
    """How long the answer took."""


@dataclass(frozen=True)
class Verdict:
    status: Status
    message: str
    """What came, in plain words."""
    expected: str | None = None
    """What should have come, where it did not."""
    evidence: tuple[Exchange, ...] = ()
    """The exchanges that were looked at; who runs the check fills it in."""


@dataclass(frozen=True)
class Check:
    """A requirement and the function that looks whether a back-end meets it."""

    id: str
    profiles: tuple[str, ...]
    """Short names of the profiles that it belongs to, such as L1, or L1B and L2."""
    level: Level
    kind: Kind
    source: str
    """URL of the public document with the requirement."""
    title: str
    function: Callable[[Node], Verdict]


def check(
    id: str, *, profile: str, kind: Kind, source: str, level: Level = "required"
) -> Callable[[Callable[[Node], Verdict]], Check]:
    """Make a function the check of a requirement; the first line of its docstring is the title.

    :param profile: the profile that the requirement belongs to; several are divided by slashes (`L1B/L2`).
    """

    def register(function: Callable[[Node], Verdict]) -> Check:
        title = (function.__doc__ or "").strip().splitlines()[0].rstrip(".")
        return Check(id, tuple(profile.split("/")), level, kind, source, title, function)

    return register


def passed(message: str) -> Verdict:
    """The requirement holds."""
    return Verdict("pass", message)


def failed(message: str, *, expected: str | None = None) -> Verdict:
    """The requirement does not hold."""
    return Verdict("fail", message, expected)


def warned(message: str, *, expected: str | None = None) -> Verdict:
    """The requirement holds, but something about it should be better, or could not be seen wholly."""
    return Verdict("warning", message, expected)


def not_applicable(message: str) -> Verdict:
    """The requirement does not concern this back-end, or cannot be looked at; the message says why."""
    return Verdict("not-applicable", message)


def declared(message: str) -> Verdict:
    """Nobody can see it from outside; the provider says so (in the capabilities or the declaration file)."""
    return Verdict("declared", message)


def judged(problems: Iterable[str], holds: str, *, expected: str | None = None) -> Verdict:
    """Failed with the problems where there are any, else passed."""
    found = list(problems)
    if not found:
        return passed(holds)
    return failed(listed(found), expected=expected)


def listed(problems: list[str]) -> str:
    """Problems in one text, the first few in words."""
    text = "; ".join(problems[:MOST_PROBLEMS])
    more = len(problems) - MOST_PROBLEMS
    return f"{text}; and {more} more" if more > 0 else text


def checks() -> list[Check]:
    """All checks of the modules in `checks`, in the order of their ids."""
    from openeo_backend.federation.review import checks as package

    found: list[Check] = []
    for module in pkgutil.iter_modules(package.__path__):
        members = vars(importlib.import_module(f"{package.__name__}.{module.name}")).values()
        found.extend(member for member in members if isinstance(member, Check))
    return sorted(found, key=_order)


def weighed(verdict: Verdict, level: Level) -> Verdict:
    """A failure of what is not required is a warning."""
    return replace(verdict, status="warning") if verdict.status == "fail" and level != "required" else verdict


#: Kinds of requirements in the order of a report.
_FAMILIES = ("API", "PROC", "FF", "COL", "AUTH", "ACC", "JOB", "CON", "MERGE")


def _order(check: Check) -> tuple[int, str, int, str]:
    family, _, rest = check.id.partition("-")
    digits = "".join(letter for letter in rest if letter.isdigit())
    place = _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)
    numbered = rest[:1].isdigit()
    return place, "" if numbered else rest, int(digits) if numbered else 0, rest


def unexpected(error: Exception) -> OpenEOError:
    """What an answer of any shape caused, as an openEO error."""
    if isinstance(error, OpenEOError):
        return error
    return OpenEOError(
        "UnexpectedAnswer", f"The answer has an unexpected form ({type(error).__name__}: {str(error)[:200]})."
    )
