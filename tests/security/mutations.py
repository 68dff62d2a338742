"""Takes away each defence against a threat in turn, in a copy, and looks whether its test fails: `make mutations`.

The exit status is 1 where a test passes without the defence, or where the text of a defence is not found any more.
Names of threats as arguments run these only.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = (
    "openeo_backend",
    "tests",
    "docs",
    "requirements",
    "process_graphs",
    "pyproject.toml",
    "README.md",
    "Makefile",
)


class Mutation(NamedTuple):
    """A defence, the text that stands for its absence, and the test that must fail then."""

    threat: str
    file: str
    old: str
    new: str
    test: str


S, A = "tests/security", "openeo_backend"
MUTATIONS = (
    Mutation(
        "T1",
        f"{A}/store/jobs.py",
        "return and_(jobs.c.id == id, jobs.c.user_id == user)",
        "return jobs.c.id == id",
        f"{S}/test_ownership.py::test_another_user_finds_nothing_and_changes_nothing",
    ),
    Mutation(
        "T2",
        f"{A}/api/access.py",
        "    if not is_public(current_app",
        "    if False and not is_public(current_app",
        "tests/api/test_access.py::test_a_forgotten_mark_refuses",
    ),
    Mutation(
        "T3",
        f"{A}/store/jobs.py",
        "select(*_SHORT).where(jobs.c.user_id == user)",
        "select(*_SHORT)",
        f"{S}/test_ownership.py::test_lists_hold_nothing_of_others",
    ),
    Mutation(
        "T4",
        f"{A}/api/health.py",
        'blueprint = Blueprint("health", __name__)\n',
        'blueprint = Blueprint("health", __name__)\nblueprint.post("/jobs/<job_id>/claim")(lambda job_id: "")\n',
        f"{S}/test_ownership.py::test_every_route_with_an_id_is_listed_here",
    ),
    Mutation(
        "T7",
        f"{A}/auth/throttle.py",
        "if len(failures) < self._most:",
        "if True:",
        "tests/api/test_access.py::test_guessing_is_slowed_down",
    ),
    Mutation(
        "T8",
        f"{A}/files/signing.py",
        "not hmac.compare_digest(expected.encode(), given) or key is None",
        "False",
        "tests/files/test_signing.py",
    ),
    Mutation(
        "T9",
        f"{A}/api/jobs.py",
        "    if fixed:",
        "    if False:",
        "tests/api_jobs/test_api_jobs.py::test_what_is_ours_cannot_be_changed",
    ),
    Mutation(
        "T10",
        f"{A}/graph/parse.py",
        "if depth > self.max_depth:",
        "if False:",
        f"{S}/test_bombs.py::test_json_that_is_nested_too_deeply",
    ),
    Mutation(
        "T10",
        f"{A}/api/app.py",
        "backend.settings.server.body_limit_mb * 1_000_000",
        "10**12",
        "tests/api/test_errors.py",
    ),
    Mutation(
        "T11", f"{A}/graph/expand.py", "if self.count > self.max_nodes:", "if False:", "tests/graph/test_expand.py"
    ),
    Mutation(
        "T12",
        f"{A}/run/engine.py",
        "            if samples > most:",
        "            if False:",
        f"{S}/test_endless_catalogs.py::test_t12_what_reads_too_much_is_refused_without_a_request",
    ),
    Mutation(
        "T12",
        f"{A}/catalog/load.py",
        "        if self.most is not None and samples > self.most:",
        "        if False:",
        f"{S}/test_endless_catalogs.py::test_t12_dates_count_once_they_are_known_but_nothing_is_opened",
    ),
    Mutation(
        "T13",
        f"{A}/catalog/budget.py",
        "        if self._read > self._documents:",
        "        if False:",
        f"{S}/test_endless_catalogs.py::test_t13_trees_without_end_are_given_up[wide]",
    ),
    Mutation(
        "T13",
        f"{A}/catalog/budget.py",
        "        if place in self._seen:",
        "        if False:",
        f"{S}/test_endless_catalogs.py::test_t13_searches_without_end_are_given_up[a page that follows itself]",
    ),
    Mutation(
        "T13",
        f"{A}/catalog/budget.py",
        "        if time.monotonic() > self._end:",
        "        if False:",
        f"{S}/test_endless_catalogs.py::test_t13_trees_without_end_are_given_up[slow]",
    ),
    Mutation(
        "T13",
        f"{A}/net/deadline.py",
        "                cut()",
        "                pass",
        f"{S}/test_endless_catalogs.py::test_t13_servers_that_drip_are_cut_off",
    ),
    Mutation(
        "T13",
        f"{A}/net/door.py",
        "retry_after_max=MOST_RETRY_AFTER",
        "retry_after_max=10**6",
        f"{S}/test_endless_catalogs.py::test_t13_nobody_makes_us_wait_until_tomorrow",
    ),
    Mutation(
        "T14",
        f"{A}/cube/bounds.py",
        "    if values > most or max(",
        "    if False and max(",
        f"{S}/test_blow_ups.py::test_t14_cubes_that_would_be_huge_are_refused[padding]",
    ),
    Mutation(
        "T14",
        f"{A}/cube/bounds.py",
        "    if count > most:",
        "    if False:",
        f"{S}/test_blow_ups.py::test_t14_cubes_that_would_be_huge_are_refused[long kernel]",
    ),
    Mutation(
        "T14",
        f"{A}/processes/arrays.py",
        "if len(array) * times * pixels > env.limits.elements:",
        "if times > 10**12:",
        f"{S}/test_bombs.py::test_values_of_processes_are_bounded[repeat]",
    ),
    Mutation(
        "T15",
        f"{A}/sandbox/blocks.py",
        "    if size > MOST_CHUNK:",
        "    if False:",
        f"{S}/test_packed_bombs.py::test_t15_tiles_of_a_gigabyte_in_assets",
    ),
    Mutation(
        "T15",
        f"{A}/sandbox/hdf5.py",
        "    if dataset.chunks and",
        "    if False and",
        f"{S}/test_packed_bombs.py::test_t15_chunks_and_coordinates_of_netcdf[chunk]",
    ),
    Mutation(
        "T15",
        f"{A}/sandbox/hdf5.py",
        "    if dataset.is_scale and",
        "    if False and",
        f"{S}/test_packed_bombs.py::test_t15_chunks_and_coordinates_of_netcdf[coordinates]",
    ),
    Mutation(
        "T15",
        f"{A}/catalog/remote.py",
        "        if size > MOST_CHUNK:",
        "        if False:",
        f"{S}/test_packed_bombs.py::test_t15_parts_of_zip_files_in_catalogs",
    ),
    Mutation(
        "T15",
        f"{A}/net/door.py",
        "                if size > limit:",
        "                if False:",
        f"{S}/test_packed_bombs.py::test_t15_bodies_that_unpack_without_end",
    ),
    Mutation(
        "T16",
        f"{A}/api/share.py",
        "            if self._held[user] >= each:",
        "            if False:",
        f"{S}/test_floods.py::test_t16_one_user_cannot_take_all_slots",
    ),
    Mutation(
        "T16", f"{A}/api/jobs.py", ">= allowed.stored_jobs", ">= 10**9", f"{S}/test_floods.py::test_t16_stored_jobs"
    ),
    Mutation(
        "T16",
        f"{A}/api/job_results.py",
        "    if stored >= most_gb:",
        "    if False:",
        f"{S}/test_floods.py::test_t16_stored_results",
    ),
    Mutation(
        "T16",
        f"{A}/api/patience.py",
        "self._client.shutdown(socket.SHUT_RD)",
        "pass",
        f"{S}/test_floods.py::test_t16_bodies_get_time_by_their_length",
    ),
    Mutation(
        "T17",
        f"{A}/processes/text.py",
        "texts[1] in texts[0]",
        "bool(__import__('re').search(texts[1], texts[0]))",
        f"{S}/test_bombs.py::test_patterns_of_texts_are_plain_text",
    ),
    Mutation(
        "T18",
        f"{A}/net/policy.py",
        "        if not self.trusts(host, port):",
        "        if False:",
        "tests/net/test_door.py",
    ),
    Mutation(
        "T19",
        f"{A}/net/door.py",
        "for address in policy.addresses(url, self.host, self.port or 80):",
        "for address in [self.host]:",
        "tests/net/test_door.py",
    ),
    Mutation("T20", f"{A}/catalog/hrefs.py", "            self._check(href)\n", "", f"{S}/test_no_connections.py"),
    Mutation(
        "T21",
        f"{A}/catalog/hrefs.py",
        " and urlsplit(href).netloc in self._buckets",
        "",
        f"{S}/test_credentials_stay.py::test_t21_keys_are_used_for_named_buckets_only",
    ),
    Mutation(
        "T21",
        f"{A}/net/door.py",
        'if k.lower() != "authorization"',
        "if k",
        f"{S}/test_credentials_stay.py::test_t21_headers_of_a_request_are_not_sent_on",
    ),
    Mutation(
        "T22",
        f"{A}/catalog/read.py",
        "driver=list(DRIVERS)",
        'driver=["VRT", *DRIVERS]',
        "tests/catalog/test_load_synthetic.py::test_a_vrt_called_tif_is_not_followed",
    ),
    Mutation(
        "T22",
        f"{A}/sandbox/hdf5.py",
        "if dataset.is_virtual or dataset.id.get_create_plist().get_external_count():",
        "if False:",
        f"{S}/test_packed_bombs.py::test_t22_assets_that_take_data_from_other_files",
    ),
    Mutation(
        "T23",
        f"{A}/formats/reading.py",
        "    if not _begins_as(path, format.name):",
        "    if False:",
        f"{S}/test_bombs.py::test_files_of_another_kind_are_refused",
    ),
    Mutation(
        "T28",
        f"{A}/files/user_files.py",
        "        if not found.is_relative_to(folder):",
        "        if False:",
        "tests/processes/platform/test_uploads.py",
    ),
    Mutation(
        "T29",
        f"{A}/api/download.py",
        'dump_options_header("attachment"',
        'dump_options_header("inline"',
        f"{S}/test_ownership.py::test_files_are_never_shown_by_a_browser",
    ),
    Mutation(
        "T30",
        f"{A}/observe/logs.py",
        "        return conceal(line)",
        "        return line",
        "tests/observe/test_operator_log.py::test_secrets_are_concealed",
    ),
    Mutation(
        "T31",
        f"{A}/net/policy.py",
        "from openeo_backend.errors import OpenEOError\n",
        'from openeo_backend.errors import OpenEOError\n\nsocket.getaddrinfo("example.com", 80)\n',
        f"{S}/test_supply_chain.py::test_t31_importing_asks_nobody",
    ),
    Mutation(
        "T32",
        f"{A}/api/query.py",
        "    if not value.isascii()",
        "    if False and not value.isascii()",
        "tests/api_jobs/test_api_jobs.py::test_bad_pages_are_refused",
    ),
    Mutation(
        "T33",
        f"{A}/files/scoped.py",
        "    if not key.startswith(prefix)",
        "    if False and not key.startswith(prefix)",
        f"{S}/test_children.py",
    ),
    Mutation(
        "T33",
        f"{A}/jobs/input.py",
        "return self._store.jobs.get(user, id)",
        "return self._store.jobs.get(self._store.jobs.owner(id) or user, id)",
        f"{S}/test_children.py::test_t33_results_of_others_do_not_exist",
    ),
)


#: What takes long to import and nothing here changes; nothing that loads GDAL, which the tests configure first.
HEAVY = ("numpy", "pandas", "xarray", "dask.array", "scipy.ndimage", "sqlalchemy", "flask", "zarr", "h5py", "pydantic",
         "numba", "pyproj", "shapely", "jsonschema", "pytest")  # fmt: skip

#: Longest time of one test; without its defence it may go on for ever.
SECONDS = 150


def tried(mutation: Mutation, folder: Path) -> str:
    """`failed`, which is as it should be; or what is wrong."""
    file = folder / mutation.file
    before = file.read_text(encoding="utf-8")
    if mutation.old not in before:
        return "the defence is not found in this text"
    _write(file, before.replace(mutation.old, mutation.new))
    try:
        status, output = _run(mutation.test, folder)
    finally:
        _write(file, before)
    if status is None:
        return "failed (it goes on for ever)"
    if status == 1 and re.search(r"\b\d+ (failed|error)", output):
        return "failed"
    return "PASSED" if status == 0 else f"could not run: {output[-300:]}"


def _write(file: Path, text: str) -> None:
    """Write a file whose compiled form is not used again: its time goes on by more than a second."""
    then = file.stat().st_mtime
    file.write_text(text, encoding="utf-8")
    os.utime(file, (then + 10, then + 10))


def _run(test: str, folder: Path) -> tuple[int | None, str]:
    """Exit status of a test (None after its time) and what it told, in a copy of this process."""
    told = folder / "told.txt"
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        with told.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        options = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore", f"--basetemp={folder / 'tmp'}"]
        os._exit(int(import_module("pytest").main([*options, test])))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), told.read_text(errors="replace")
        time.sleep(0.1)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None, ""


def main(wanted: list[str]) -> int:
    lost = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            (shutil.copytree(source, folder / part) if source.is_dir() else shutil.copy2(source, folder))
        for module in HEAVY:
            import_module(module)
        for mutation in MUTATIONS:
            if wanted and mutation.threat not in wanted:
                continue
            begun = time.monotonic()
            result = tried(mutation, folder)
            lost += not result.startswith("failed")
            where = f"{mutation.file.removeprefix(f'{A}/')}: `{mutation.old.strip().splitlines()[0][:60]}`"
            test = mutation.test.removeprefix("tests/")
            print(f"| {mutation.threat} | {where} | {test} | {result} | {time.monotonic() - begun:.0f} s |", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
