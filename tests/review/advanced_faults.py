"""A fault for each check of what the profile L3 asks of jobs, lists and requests."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import Any

from anonymous_faults import ROOT, becomes, fault, headers, sets
from fault import Fault, edited

JOBS = rf"{ROOT}/jobs"
JOB = rf"{JOBS}/[^/]+"
LOGS = rf"{JOB}/logs"
RESULT = rf"{ROOT}/result"
ESTIMATE = rf"{JOB}/estimate"

#: What cannot be seen without a job.
DRAFTED = ("API-732", "API-733", "API-755", "API-760", "API-764", "API-820", "API-821", "API-824", "API-825", "API-826")


def _packed(*names: str) -> Any:
    """An archive with other files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return lambda answer: replace(answer, content=packed.getvalue())


def _without_items(body: dict[str, Any]) -> None:
    body["links"] = [link for link in body["links"] if link["rel"] not in ("item", "child")]


def _first_time(**members: Any) -> Any:
    """A job as it was created, not as it was changed."""
    change = sets(**members)
    return lambda answer: answer if answer.json["title"] == "Changed" else change(answer)


ADVANCED_FAULTS: list[Fault] = [
    fault("API-10", RESULT, _packed("a.tif"), method="POST", body='"second"'),
    fault("API-402", rf"{ROOT}/process_graphs", sets(processes=[{"id": "a"}, {"id": "b"}])),
    fault("API-712", rf"{JOBS}\?limit=1", sets(jobs=[])),
    fault("API-732", JOB, _first_time(budget=None), login=True),
    fault("API-733", JOB, _first_time(log_level="info"), login=True),
    fault("API-735", JOBS, becomes(400), *DRAFTED, method="POST", login=True),
    fault("API-753", JOB, sets(usage=None), login=True),
    fault("API-755", JOB, _first_time(openeo_review=None, job_options={}), login=True),
    fault("API-760", JOB, becomes(405), method="PATCH"),
    fault("API-764", JOB, sets(title="Draft")),
    fault("API-802", rf"{LOGS}\?level=.*", sets(logs=[{"id": "1", "level": "debug", "message": "x"}])),
    fault("API-803", rf"{LOGS}\?limit=1", sets(links=[])),
    fault("API-864", rf"{JOB}/results", headers(openeo_costs=None)),
    fault("API-867", rf"{JOB}/results", edited(_without_items)),
    fault("API-902", RESULT, becomes(400), method="POST", body='"budget"'),
    fault("API-903", RESULT, becomes(400), method="POST", body='"log_level"'),
    fault("API-904", RESULT, becomes(400), method="POST", body='"openeo_review"'),
    fault("API-907", RESULT, headers(openeo_costs=None), method="POST", body="netCDF"),
    fault("API-908", RESULT, headers(link=None), method="POST", body="netCDF"),
    fault("API-909", RESULT, lambda answer: replace(answer, content=b"II*"), "API-10", method="POST", body='"second"'),
    fault("API-820", ESTIMATE, lambda answer: answer.says({}), "API-821", "API-825"),
    fault("API-821", ESTIMATE, sets(costs="cheap")),
    fault("API-824", ESTIMATE, sets(downloads_included="all")),
    fault("API-825", ESTIMATE, sets(expires="tomorrow")),
    fault("API-826", ESTIMATE, becomes(500)),
]
