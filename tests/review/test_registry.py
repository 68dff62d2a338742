"""Every published requirement has a check, with what a report needs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from openeo_backend.federation.review.check import Check, check, checks, passed
from openeo_backend.federation.review.review import PROFILES, holds, selected

#: The rows that the openEO profiles L1, L1A, L1B and L2 and the federation's API profile have.
API = """
    1-7 9 11-14 20 21 30-35 40-49 90 100-102 110 112 113 118 120 121 200-202 204-209 300-304 306-311 313 320-327
    400 401 403-405 410-414 420-422 430 431 700-705 710 711 713-715 730 731 734 736 737 750-752 754 780 781 800 801
    804-808 850-852 860 861 863 865 866 869-873 890 891 900 901 905 906 910 920
"""
#: Further rows of the profile L3 and of its part on user-defined functions.
L3 = """
    8 10 22 60 61 71-75 111 203 305 330 402 490-497 712 732 733 735 753 755 760 764 802 803 820 821 824-826 864 867
    902-904 907-909
"""
OTHERS = """
    PROC-L1/L2/L2A PROC-L2P PROC-EXP PROC-SIZE PROC-PAR PROC-SCHEMA PROC-L3P PROC-L4P PROC-ML
    FF-1 FF-2 FF-3 FF-4 FF-5 FF-6 FF-7 FF-8 FF-9 FF-10
    COL-0a COL-0b COL-0c COL-1 COL-2 COL-3 COL-4 COL-5 COL-6 COL-7 COL-8 COL-9 COL-9b COL-10 COL-11 COL-12 COL-13
    COL-14 COL-15
    AUTH-1 AUTH-2 AUTH-3 AUTH-4 AUTH-5 AUTH-6 AUTH-7 AUTH-8
    ACC-1 ACC-2 ACC-3 ACC-4 ACC-5 ACC-6 JOB-1 JOB-2 JOB-3 JOB-4 JOB-5
    CON-1 CON-2 CON-3 CON-4 CON-5 CON-6 CON-7 CON-8 CON-9 CON-10
"""


def numbered(rows: str) -> set[str]:
    found = set()
    for part in rows.split():
        first, _, last = part.partition("-")
        found |= {f"API-{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def test_every_published_requirement_has_a_check() -> None:
    there = {check.id for check in checks()}
    assert (numbered(API) | numbered(L3) | set(OTHERS.split())) - there == set()


def test_ids_and_titles_are_there_once() -> None:
    everything = checks()
    assert len({check.id for check in everything}) == len(everything)
    assert all(check.title and not check.title.endswith(".") for check in everything)


def test_sources_are_public_documents() -> None:
    assert {urlsplit(check.source).scheme for check in checks()} == {"https"}


def test_profiles_are_known() -> None:
    labels = {label for rows in PROFILES.values() for label in rows}
    assert {label for check in checks() for label in check.profiles} <= labels


def one(id: str, profile: str, level: str = "required") -> Check:
    @check(id, profile=profile, kind="anonymous", source="https://example.org", level=level)  # type: ignore[arg-type]
    def holds_always(node: object) -> object:
        """Holds always"""
        return passed("It does.")

    found: Check = holds_always
    return found


ROWS = [one("A-1", "L1"), one("A-2", "L1B/L2"), one("A-3", "L3", "recommended"), one("A-4", "LP"), one("A-5", "L1A")]


@pytest.mark.parametrize(
    ("profiles", "ids"),
    [
        (["L1"], "A-1"),
        (["L1A"], "A-1 A-5"),
        (["L1B"], "A-1 A-2"),
        (["L2"], "A-1 A-2"),
        (["L3"], "A-1 A-2 A-3"),
        (["LP"], "A-1 A-2 A-3 A-4 A-5"),
        (["L1A", "L1B"], "A-1 A-2 A-5"),
    ],
)
def test_profiles_build_on_each_other(profiles: list[str], ids: str) -> None:
    assert [check.id for check in selected(profiles, ROWS)] == ids.split()


def test_advanced_rows_are_required_of_who_asks_for_them() -> None:
    levels = {name: {c.id: c.level for c in selected([name], ROWS)} for name in ("LP", "L3")}
    assert levels["LP"]["A-3"] == "recommended"
    assert levels["L3"]["A-3"] == "required"


def test_no_findings_hold() -> None:
    assert holds([])


def test_the_federation_requires_what_it_publishes() -> None:
    """43 of L1, 5 of L1A, 30 of L1B and 76 of L2 are 119 rows, and 15 are the federation's own."""
    published = numbered(API)
    assert len(published) == 119 + 15
    required = {check.id for check in selected(["LP"]) if check.level == "required"}
    assert published - required == set()
    assert all(re.fullmatch(r"[A-Z]+-[A-Za-z0-9/-]+", id) for id in required)
