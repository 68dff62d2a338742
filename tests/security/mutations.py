"""Takes away each defence against a threat in turn, in a copy, and looks whether its test fails: `make mutations`.

The exit status is 1 where a test passes without the defence, or where the text of a defence is not found any more.
Names of threats as arguments run these only.
"""

from __future__ import annotations

import gc
import os
import pkgutil
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
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
    endless: bool = False
    """Whether the test is about time or memory, and without the defence may go on for ever, or until the system ends it
    for its memory: that is a failure, too."""
    also: tuple[tuple[str, str, str], ...] = ()
    """File, text and its absence of further defences that would do alone."""
    fresh: bool = False
    """Whether to start anew: the drivers of GDAL are those of the environment in which it was loaded."""


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
        "T5",
        f"{A}/auth/jwt.py",
        "or algorithm not in allowed:",
        "or False:",
        "tests/auth/test_oidc_tokens.py::test_forged_tokens_are_refused",
    ),
    Mutation(
        "T5",
        f"{A}/auth/oidc.py",
        "if not jwt.is_signed(token, algorithm, keys):",
        "if False:",
        "tests/auth/test_oidc_tokens.py::test_forged_tokens_are_refused",
    ),
    Mutation(
        "T5",
        f"{A}/auth/jwt.py",
        "    if now >= expires + leeway:",
        "    if False:",
        "tests/auth/test_oidc_tokens.py::test_tokens_are_refused_before_and_after_their_time",
    ),
    Mutation(
        "T5",
        f"{A}/auth/jwt.py",
        "if settings.audiences and not any(",
        "if False and not any(",
        "tests/auth/test_oidc_tokens.py::test_tokens_for_others_are_refused",
    ),
    Mutation(
        "T5",
        f"{A}/auth/jwt.py",
        "    if clients and not (",
        "    if False and not (",
        "tests/auth/test_oidc_tokens.py::test_tokens_for_others_are_refused",
    ),
    Mutation(
        "T5",
        f"{A}/auth/issuer.py",
        "if self._clock() >= self._next_look:",
        "if True:",
        "tests/auth/test_oidc_providers.py::test_unknown_keys_cause_one_look_a_minute",
    ),
    Mutation(
        "T6",
        f"{A}/auth/oidc.py",
        '"\\n".join((issuer.rstrip("/"), subject)).encode()',
        "subject.encode()",
        "tests/auth/test_oidc_providers.py::test_the_same_subject_of_two_issuers_is_two_users",
    ),
    Mutation(
        "T6",
        f"{A}/auth/oidc.py",
        'if token.issuer != self.settings.issuer.rstrip("/"):',
        "if False:",
        "tests/auth/test_oidc_providers.py::test_a_token_that_claims_another_issuer_is_refused",
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
        "T10",
        f"{A}/api/body.py",
        '    if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS:',
        "    if False:",
        f"{S}/test_bombs.py::test_t10_bodies_of_millions_of_arrays_are_refused",
    ),
    Mutation(
        "T11",
        f"{A}/graph/expand.py",
        "if self.count > self.max_nodes:",
        "if False:",
        "tests/graph/test_expand.py::test_recursion_and_blow_up_are_refused_fast",
        endless=True,
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
        endless=True,
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
        endless=True,
    ),
    Mutation(
        "T13",
        f"{A}/net/deadline.py",
        "                cut()",
        "                pass",
        f"{S}/test_endless_catalogs.py::test_t13_servers_that_drip_are_cut_off",
        endless=True,
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
        endless=True,
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
        endless=True,
    ),
    Mutation(
        "T16",
        f"{A}/api/pace.py",
        "            if holder is None:",
        "            if True:",
        "tests/api/test_pace.py::test_t16_requests_of_a_user_are_computed_one_by_one_and_others_beside_them",
    ),
    Mutation(
        "T16",
        f"{A}/api/pace.py",
        "                if self._disturbs(turn.key, now):",
        "                if False:",
        "tests/api/test_pace.py::test_t16_a_flood_leaves_time_to_others[True]",
    ),
    Mutation(
        "T16",
        f"{A}/api/askers.py",
        '            self._known[known] = b"user " + _digest(user.encode())',
        '            self._known[known] = b"user " + known',
        "tests/api/test_askers.py::test_t16_all_tokens_of_a_user_are_that_user",
    ),
    Mutation(
        "T16",
        f"{A}/api/askers.py",
        "            if user is not None:\n                return user",
        "            return user or _digest(authorization)",
        "tests/api/test_askers.py::test_t16_made_up_tokens_are_one_stranger",
    ),
    Mutation(
        "T17",
        f"{A}/processes/text.py",
        "texts[1] in texts[0]",
        "bool(__import__('re').search(texts[1], texts[0]))",
        f"{S}/test_bombs.py::test_patterns_of_texts_are_plain_text",
        endless=True,
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
    Mutation(
        "T19",
        f"{A}/net/tunnel.py",
        'in self._policy.addresses(f"//{host}:{port}", host, port):',
        "in [host]:",
        f"{S}/test_gdal_redirects.py::test_a_redirect_to_a_private_address_is_not_followed",
    ),
    Mutation(
        "T20",
        f"{A}/cube/crs.py",
        "    if _FILES.search(text):",
        "    if False:",
        "tests/fuzz/test_found.py::test_t20_reference_systems_open_no_files",
    ),
    Mutation("T20", f"{A}/catalog/hrefs.py", "            self._check(href)\n", "", f"{S}/test_no_connections.py"),
    Mutation(
        "T21",
        f"{A}/catalog/hrefs.py",
        " and split(href).netloc in self._buckets",
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
        f"{A}/catalog/raster.py",
        "driver=list(DRIVERS)",
        'driver=["VRT", *DRIVERS]',
        "tests/sandbox/test_gdal.py::test_readers_name_their_drivers_whatever_the_environment",
        fresh=True,
    ),
    Mutation(
        "T22",
        f"{A}/sandbox/gdal.py",
        "USGSDEM VICAR VRT WCS",
        "USGSDEM VICAR WCS",
        "tests/sandbox/test_gdal.py::test_only_allowed_drivers_are_there_and_a_vrt_named_tif_is_not_followed",
        fresh=True,
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
        also=((f"{A}/sandbox/gdal.py", "USGSDEM VICAR VRT WCS", "USGSDEM VICAR WCS"),),
        fresh=True,
    ),
    Mutation(
        "T23",
        f"{A}/catalog/grd/annotation.py",
        'or "<!" in text',
        'or "<NOTHING" in text',
        "tests/processes/ard/test_radar_passed.py::test_documents_with_declarations_are_refused",
    ),
    Mutation(
        "T24",
        f"{A}/catalog/documents.py",
        "        shape.check(value, address)\n",
        "",
        f"{S}/test_hostile_stac.py::test_errors_name_the_document_and_the_member",
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
        'SCHEMES = ("http", "https")\n',
        'SCHEMES = ("http", "https")\ntry:\n    socket.getaddrinfo("example.com", 80)\nexcept Exception:\n    pass\n',
        f"{S}/test_supply_chain.py::test_t31_importing_asks_nobody",
    ),
    Mutation(
        "T31",
        f"{A}/errors.py",
        "        message = conceal_urls(message if",
        "        message = (message if",
        f"{S}/test_secrets.py::test_t31_errors_quote_addresses_without_their_secrets",
    ),
    Mutation(
        "T31",
        f"{A}/cli/admin.py",
        'SECRET = ("store.url", "store.signing_key")',
        "SECRET = ()",
        f"{S}/test_secrets.py::test_t31_check_shows_no_secret",
    ),
    Mutation(
        "T32",
        f"{A}/store/jobs.py",
        "return and_(jobs.c.id == id, jobs.c.user_id == user)",
        """return __import__("sqlalchemy").text(f"jobs.id = '{id}' AND jobs.user_id = '{user}'")""",
        f"{S}/test_ownership.py::test_t32_ids_are_no_sql",
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
    Mutation(
        "T35",
        f"{A}/catalog/viewer.py",
        "return self.is_operator or not settings.roles or not self.roles.isdisjoint(settings.roles)",
        "return True",
        "tests/catalog/test_restricted.py::test_who_has_no_role_finds_nothing",
    ),
    Mutation(
        "T35",
        f"{A}/catalog/viewer.py",
        "        if error is not None:\n            raise error",
        "        if False:\n            raise error",
        "tests/catalog/test_restricted.py::test_addresses_of_the_source_lead_around_nothing",
    ),
)


#: The environment before this process changed it.
_ENVIRONMENT = dict(os.environ)

#: Most memory of one test, in bytes: without its defence it may take all there is.
MEMORY = 6_000_000_000

#: Longest time of one test.
SECONDS = float(os.environ.get("MUTATION_SECONDS", "240"))


def tried(mutation: Mutation, folder: Path) -> str:
    """`failed`, which is as it should be; or what is wrong."""
    texts = {}
    try:
        for name, old, new in ((mutation.file, mutation.old, mutation.new), *mutation.also):
            file = folder / name
            before = texts.setdefault(file, file.read_text(encoding="utf-8"))
            if old not in before:
                return f"the defence is not found in {name}"
            _write(file, before.replace(old, new))
        status, output = _run(mutation, folder)
    finally:
        for file, before in texts.items():
            _write(file, before)
    if status is None:
        return "failed (it goes on for ever)" if mutation.endless else f"NO END within {SECONDS:g} s"
    if status == os.EX_SOFTWARE and "MemoryError" in output and mutation.endless:
        return "failed (it takes all memory)"
    if status < 0 and mutation.endless:
        return f"failed (ended by signal {-status})"
    if status == 1 and re.search(r"\b\d+ (failed|error)", output):
        return "failed"
    return "PASSED" if status == 0 else f"could not run: {output[-300:]}"


def _write(file: Path, text: str) -> None:
    """Write a file whose compiled form is not used again: its time goes on by more than a second."""
    then = file.stat().st_mtime
    file.write_text(text, encoding="utf-8")
    os.utime(file, (then + 10, then + 10))


def _run(mutation: Mutation, folder: Path) -> tuple[int | None, str]:
    """Exit status of a test (None after its time) and what it told, in a copy of this process."""
    told = folder / "told.txt"
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        with told.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        options = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore", f"--basetemp={folder / 'tmp'}", mutation.test]
        if mutation.fresh:
            os.execve(
                sys.executable, [sys.executable, "-m", "pytest", *options], _ENVIRONMENT | {"PYTHONPATH": str(folder)}
            )
        status = os.EX_SOFTWARE
        try:
            status = int(import_module("pytest").main(options))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # what encloses this belongs to the other process
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), told.read_text(errors="replace")
        time.sleep(0.1)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None, ""


def _import_all(folder: Path) -> None:
    """Import all packages of other makers that the code in a copy needs, but not that code itself."""
    sys.path[:0] = [str(folder), str(folder / "tests")]
    os.environ.update(import_module("openeo_backend.sandbox.gdal").gdal_environment())
    import_module("pytest")
    package = import_module("openeo_backend")
    for module in pkgutil.walk_packages(package.__path__, "openeo_backend."):
        if not module.name.endswith(("__main__", "migrations.env", "dask_worker")):
            import_module(module.name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "openeo_backend"]:
        del sys.modules[name]
    del sys.path[:2]
    gc.freeze()


def main(wanted: list[str]) -> int:
    lost = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            (shutil.copytree(source, folder / part) if source.is_dir() else shutil.copy2(source, folder))
        _import_all(folder)
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
