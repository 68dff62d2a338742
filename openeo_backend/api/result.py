"""`/result`: a process computed while its user waits, and the log of that."""

from __future__ import annotations

import json
import shutil
import tarfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.http import dump_options_header

from openeo_backend.api import errors
from openeo_backend.api.access import backend, current_user, unlisted
from openeo_backend.api.billing import budget_of, costs_header, plan_of
from openeo_backend.api.body import json_body
from openeo_backend.api.share import Shares
from openeo_backend.api.submission import log_level_of, process_of
from openeo_backend.api.sync import FOLDER, SLOTS, STOPPING, Journal, Watch
from openeo_backend.api.urls import url
from openeo_backend.auth.policy import limits_of
from openeo_backend.auth.user import User
from openeo_backend.errors import OpenEOError
from openeo_backend.jobs import options
from openeo_backend.jobs.accounts import Run, is_charged
from openeo_backend.observe import clock, logs
from openeo_backend.run.plain import is_plain
from openeo_backend.run.plan import Stored
from openeo_backend.run.request import Outcome, RunRequest

blueprint = Blueprint("result", __name__)

CHUNK = 1 << 20

#: Statuses that stay as they are on /result; other failures become 400 (the user's; also where they ask for what is not
#: there)
#: or 500 (ours), the two that clients show together with the log.
_KEPT = frozenset({401, 402, 403, 408, 413, 429, 503})


@blueprint.post("/result")
def compute() -> Response:
    """Compute a process and send what comes out: a file, several as TAR, or a bare JSON value."""
    user, body = current_user(), json_body()
    process, billed, budget = process_of(body), plan_of(body), budget_of(body)
    log_level, chosen = log_level_of(body), options.collect(body)
    remote = backend().engine.pinned()
    settings = backend().settings
    stored, allowed = Stored(lambda: backend().stored(user.id)), limits_of(settings, user.roles)
    plan, problems = backend().plan(process, user, allowed.sync_samples, remote, stored)
    if plan is None:
        raise _told(errors.combine(problems))
    backend().accounts.admit(user, billed, "request", budget)
    slots: Shares = current_app.extensions[SLOTS]
    with slots.hold(user.id, allowed.sync_slots):
        id = f"s-{uuid.uuid4().hex}"
        folder = settings.data_dir / FOLDER / id
        folder.mkdir(parents=True)
        limits = settings.limits
        run = RunRequest(
            id=id,
            process=process,
            folder=folder,
            user=user.id,
            roles=sorted(user.roles),
            title=body.get("title") if isinstance(body.get("title"), str) else None,
            processes=stored.used,
            remote=remote.pins(),
            options=chosen,
            log_level=log_level,
            limit_samples=allowed.sync_samples,
            seconds=limits.sync_seconds,
            memory_mb=limits.sync_memory_mb,
            threads=allowed.threads,
            is_plain=is_plain(plan.graph, backend().engine),
            is_checked=not process.get("parameters"),  # their defaults come in when it runs
        )
        try:
            outcome, costs = _run(run, user, billed, budget)
            response = _answer(outcome, run)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    if outcome.files and not outcome.error:
        response.call_on_close(partial(shutil.rmtree, folder, ignore_errors=True))
    else:
        shutil.rmtree(folder, ignore_errors=True)
    response.headers["Link"] = f'<{_monitor(id)}>; rel="monitor"'
    response.headers["OpenEO-Identifier"] = id
    if costs is not None:
        response.headers["OpenEO-Costs"] = costs_header(costs)
    return response


@blueprint.get("/result/logs/<request_id>")
@unlisted
def result_logs(request_id: str) -> Response:
    """The log of a synchronous request, for its user."""
    level, page = backend().store.requests.logs(current_user().id, request_id, None, "debug", None)
    return jsonify({"level": level, "logs": page.entries, "links": []})


def _run(run: RunRequest, user: User, plan: str, budget: float | None) -> tuple[Outcome, float | None]:
    """Run; however it ends, keep the log and charge for it. How it ended, and its costs where they are known."""
    limits, accounts, started = backend().settings.limits, backend().accounts, clock.now()
    connection = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    stopping = current_app.extensions.get(STOPPING, lambda: False)
    watch, journal = Watch(connection, limits.sync_seconds, stopping), Journal()

    def overrun() -> str | None:
        return accounts.overrun(plan, "request", budget, journal.usage)

    with logs.context(sync=run.id, user=user.id):
        outcome = backend().runner(run, journal.note, lambda: watch.is_over() or overrun() is not None)
    journal.usage |= outcome.usage
    if outcome.cancelled and (message := overrun()):
        outcome = Outcome(error=_json(OpenEOError("PaymentRequired", message)))
    elif outcome.cancelled or (outcome.error and outcome.error["code"] == "RequestTimeout"):
        outcome = Outcome(error=_json(_stopped(watch, limits.sync_seconds)))
    ended = Run(
        id=run.id,
        key=run.id,
        title=run.title,
        kind="request",
        plan=plan,
        budget=budget,
        payer=accounts.payer(user),
        status="finished" if outcome.error is None else "canceled" if watch.is_gone() else "error",
        started=started,
        finished=clock.now(),
        usage=journal.usage,
        charged=outcome.lost is None and is_charged(outcome.error),
    )
    if journal.usage:
        journal.add(_used(journal.usage))
    if entry := accounts.entry(ended):
        journal.add(entry)
    entries = journal.close(outcome)
    requests = backend().store.requests
    if ended.payer is None:
        requests.add_soon(user.id, run.id, run.log_level, entries)
    else:  # no answer without its report
        requests.add(user.id, run.id, run.log_level, entries, lambda c: accounts.file(c, ended))
    return outcome, accounts.costs(ended)


def _json(error: OpenEOError) -> dict[str, Any]:
    return {**error.json(), "status": error.status}


def _used(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The log entry that tells what a request used."""
    told = (f"{name} {metric['value']:,.6g} {metric['unit']}" for name, metric in usage.items())
    return {
        "level": "info",
        "message": f"Used: {', '.join(told)}.",
        "usage": dict(usage),
    }


def _stopped(watch: Watch, seconds: float) -> OpenEOError:
    if watch.is_gone():
        return OpenEOError("RequestTimeout", "The client closed the connection; the computation was stopped.")
    if watch.is_stopping():
        return OpenEOError("InfrastructureMaintenance", "The server is being stopped.", hint="Try again in a minute.")
    return OpenEOError(
        "RequestTimeout",
        f"The computation took longer than the {seconds:g} s of a synchronous request and was stopped.",
        hint="Use a batch job, or a smaller extent.",
    )


def _answer(outcome: Outcome, run: RunRequest) -> Response:
    if outcome.error is not None:
        return _failed(outcome.error, run.id)
    if len(outcome.files) == 1:
        return _file(run.folder, outcome.files[0])
    if outcome.files:
        return _tar(run.folder, outcome.files, run.id)
    # Infinities and NaN have no name in JSON; the tokens here are those that most parsers take.
    return Response(json.dumps(outcome.value, ensure_ascii=False), mimetype="application/json")


def _failed(error: Mapping[str, Any], id: str) -> Response:
    told = OpenEOError(error["code"], error["message"], status=error.get("status"))
    link = {"rel": "monitor", "href": _monitor(id), "type": "application/json", "title": "Log of this request"}
    return errors.answer(_told(told), links=[link])


def _told(error: OpenEOError) -> OpenEOError:
    """An error of a computation with one of the statuses that clients of /result expect."""
    if error.status in _KEPT:
        return error
    status = 400 if error.status < 500 or error.status == 501 else 500
    return OpenEOError(error.code, error.message, hint=error.hint, path=error.path, status=status, data=error.data)


def _monitor(id: str) -> str:
    return url(f"/result/logs/{id}")


def _file(folder: Path, file: Mapping[str, Any]) -> Response:
    path = _path(folder, file)
    response = Response(_chunks(path), content_type=file["media_type"])
    response.content_length = path.stat().st_size
    response.headers["Content-Disposition"] = dump_options_header("attachment", {"filename": path.name})
    return response


def _tar(folder: Path, files: Sequence[Mapping[str, Any]], id: str) -> Response:
    """All files as one TAR, written while it is sent."""
    folder = folder.resolve()
    paths = [_path(folder, file) for file in files]
    entries = [(_header(path, folder), path) for path in paths]
    response = Response(_tar_chunks(entries), content_type="application/x-tar")
    sizes = (len(header) + _padded(path.stat().st_size) for header, path in entries)
    response.content_length = sum(sizes) + 2 * tarfile.BLOCKSIZE
    response.headers["Content-Disposition"] = dump_options_header("attachment", {"filename": f"{id}.tar"})
    return response


def _header(path: Path, folder: Path) -> bytes:
    info = tarfile.TarInfo(path.relative_to(folder).as_posix())
    info.size, info.mtime = path.stat().st_size, int(path.stat().st_mtime)
    return info.tobuf(tarfile.PAX_FORMAT)


def _tar_chunks(entries: Sequence[tuple[bytes, Path]]) -> Iterator[bytes]:
    for header, path in entries:
        yield header
        yield from _chunks(path)
        size = path.stat().st_size
        yield bytes(_padded(size) - size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _path(folder: Path, file: Mapping[str, Any]) -> Path:
    """Where a file of a result lies; never outside of its folder."""
    path = folder / file["name"]
    if path.name == file["name"] and path.is_file() and not path.is_symlink():  # no way out of the folder
        return path
    path = path.resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise RuntimeError(f"the run describes a file that it did not write: {file['name']!r}")
    return path
