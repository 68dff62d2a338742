"""What a provider says about what nobody can see from outside: a TOML file (docs/review.md)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from openeo_backend.errors import OpenEOError
from openeo_backend.observe.clock import now

#: Sections of the file and their members.
MEMBERS: dict[str, tuple[str, ...]] = {
    "provider": ("name", "support", "until", "announcements", "notice_months"),
    "agreement": ("signed", "privacy_policy", "terms"),
    "retention": ("results_days", "metadata_days"),
    "limits": ("sync_seconds", "signed_url_days"),
    "availability": ("monthly_percent", "collections_percent", "report"),
    "size_test": ("report", "date", "version", "processes"),
    "collections": ("limitations", "latency_hours", "whole_archive", "commercial"),
    "federation": ("collections",),
    "credits": ("tariff", "reporting"),
    "previous": ("report",),
    "trial": ("collection", "spatial_extent", "temporal_extent", "bands", "collections", "many", "job_seconds"),
    "accounts": ("other", "without_credits", "jobs_outlive_tokens", "entitlements"),
}


def read_declaration(file: Path) -> dict[str, Any]:
    """The content of a declaration file; the earlier report that it names is put in its place.

    :raises OpenEOError: FileContentInvalid for a file that is no such declaration.
    """
    try:
        found: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OpenEOError("FileNotFound", f"The declaration '{file}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise OpenEOError("FileContentInvalid", f"The declaration '{file}' is not TOML: {error}.") from None
    for section, values in found.items():
        known = MEMBERS.get(section)
        if known is None or not isinstance(values, dict):
            raise _unknown(file, section, tuple(MEMBERS))
        for name in values:
            if name not in known:
                raise _unknown(file, f"{section}.{name}", known)
    earlier = found.get("previous", {}).get("report")
    if earlier is not None:
        found["previous"] = {"metadata": _metadata(file.parent / str(earlier))}
    return found


def age_in_days(day: Any) -> int | None:
    """Days since a date or time of a declaration; None where it is none."""
    if isinstance(day, str):
        try:
            day = date.fromisoformat(day)
        except ValueError:
            return None
    if isinstance(day, datetime):
        day = day.astimezone(UTC).date()
    return (now().date() - day).days if isinstance(day, date) else None


def written(value: Any) -> str:
    """A value of a declaration for a message."""
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _metadata(file: Path) -> Any:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        found = report["summary"]["metadata"]
    except (OSError, ValueError, LookupError, TypeError):
        raise OpenEOError("FileContentInvalid", f"'{file}' is no earlier report of a review (JSON).") from None
    if not isinstance(found, Mapping):
        raise OpenEOError("FileContentInvalid", f"'{file}' has no metadata to compare with.")
    return found


def _unknown(file: Path, name: str, known: tuple[str, ...]) -> OpenEOError:
    return OpenEOError(
        "FileContentInvalid", f"The declaration '{file}' has an unknown member '{name}'; known are {', '.join(known)}."
    )
