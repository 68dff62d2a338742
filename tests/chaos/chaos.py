"""A back-end under load while each of its parts fails in turn: `python tests/chaos/chaos.py` (`make chaos`).

Starts `openeo-backend serve` and a second worker on PostgreSQL and S3, with a STAC API and an identity provider, each
behind a front that can stop, slow down and lie. Users run jobs and requests in a quiet run first; then one fault after
the other is drawn. In the end, what users were promised is compared with what there is. The exit status is 1 where
something is lost, published twice or wrong, or does not recover by itself.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
from cryptography.hazmat.primitives.asymmetric import rsa
from dependencies import BUCKET, S3, S3_LIES, STAC_LIES, StacServer, oidc_lies, s3_environment, write_archive
from disturbed import DatabaseFront, HttpFront
from record import write_record
from servers import PostgreSQL
from sqlalchemy import select
from token_issuer import TokenIssuer, issuing, jwk
from users import FINAL, SINGLE, Ledger, Promise, User, digest, make_graphs, plain
from verdict import Fault, Row, judge_files, judge_jobs

from openeo_backend.store.schema import job_logs, jobs, trash
from openeo_backend.store.store import Store, upgrade

#: Seconds until everything has to be as it should be again once nothing is disturbed any more.
RECOVERY = 240.0
#: Of memory of the api and of a worker, in MB.
MOST_MEMORY = 900.0
USERS = ("ada", "bob", "eve", "joe")
ROOT = Path(__file__).resolve().parent.parent.parent

_CONFIG = """
data_dir = "{data}"
[server]
port = 0
[store]
url = "{database}"
files = "s3://{bucket}/openeo"
signing_key = "chaos"
[catalog]
sources = ["{stac}/api/"]
[auth.oidc.chaos]
issuer = "{issuer}"
clients = ["*"]
[jobs]
poll_seconds = 0.5
lease_seconds = 15
workers = 2
per_user = 3
[compute]
threads = 1
"""

_HTTP = ("stopped", "hanging", "slow", "dripping", "reset", "broken off", "shortened", "500", "503")
_DATABASE = ("stopped", "hanging", "slow", "reset", "full", "garbage", "commits unanswered", "crashed", "read only")
_PROCESSES = ("killed", "paused")


class Site:
    """Everything that runs."""

    def __init__(self, stack: ExitStack, folder: Path, seed: int) -> None:
        self.folder = folder
        self.archive = folder / "archive"
        write_archive(self.archive)
        self.postgresql = PostgreSQL()
        stack.callback(self.postgresql.remove)
        self.postgresql.start()
        self.database = self.postgresql.url + "/postgres"
        upgrade(self.database)
        self.s3 = S3()
        stack.callback(self.s3.process.kill)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.issuer: TokenIssuer = stack.enter_context(issuing(key))
        stac = StacServer(self.archive)
        other = jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        port = int(self.issuer.url.split(":")[2].split("/")[0])
        self.fronts: dict[str, Any] = {
            "postgresql": DatabaseFront(("127.0.0.1", int(self.postgresql.url.rsplit(":", 1)[1])), seed),
            "s3": HttpFront(self.s3.address, S3_LIES, seed + 1),
            "stac": HttpFront(stac.address, STAC_LIES, seed + 2),
            "oidc": HttpFront(("127.0.0.1", port), oidc_lies({"n": other["n"]}), seed + 3, share=1.0),
        }
        self.issuer.url = f"{self.fronts['oidc'].url}/realms/test"
        stac.public = self.fronts["stac"].url
        self.s3.open()
        config = _CONFIG.format(
            data=folder / "data",
            database=f"postgresql://tests@127.0.0.1:{self.fronts['postgresql'].port}/postgres",
            bucket=BUCKET,
            stac=self.fronts["stac"].url,
            issuer=self.issuer.url,
        )
        (folder / "config.toml").write_text(config, encoding="utf-8")
        self._environment = {**s3_environment(self.fronts["s3"].url), "PYTHONUNBUFFERED": "1"}
        self._logs = [stack.enter_context((folder / f"{name}.log").open("w")) for name in ("serve", "worker")]
        self._closing = threading.Event()
        stack.callback(self.close)
        self.server = self._start("serve", self._logs[0], subprocess.PIPE)
        assert self.server.stdout is not None
        announced = self.server.stdout.readline()
        assert announced.startswith("openEO back-end at "), (folder / "serve.log").read_text(encoding="utf-8")
        self.root = announced.split()[3].rstrip("/")
        threading.Thread(target=self.server.stdout.read, daemon=True).start()
        self.second = self._start("worker", self._logs[1], subprocess.DEVNULL)
        self.restarts = 0
        threading.Thread(target=self._keep_second, daemon=True).start()

    def _start(self, command: str, log: Any, out: int) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "openeo_backend.cli", command, "--config", str(self.folder / "config.toml")]
        return subprocess.Popen(
            words, stdout=out, stderr=log, text=True, start_new_session=True, env=self._environment, cwd=ROOT
        )

    def _keep_second(self) -> None:
        """What a service manager does: start the second worker again when it ends."""
        while not self._closing.wait(1.0):
            if self.second.poll() is not None:
                self.restarts += 1
                self.second = self._start("worker", self._logs[1], subprocess.DEVNULL)

    def close(self) -> list[str]:
        """End everything; the processes that are left behind."""
        self._closing.set()
        sessions = {self.server.pid, self.second.pid}
        for process in (self.server, self.second):
            process.terminate()
        for process in (self.server, self.second):
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
        time.sleep(2)
        left = [process for process in psutil.process_iter() if _session(process) in sessions]
        told = [f"process {process.pid}: {' '.join(process.cmdline()[:4])}" for process in left]
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        return told

    def token(self, user: str) -> str:
        """A fresh token: a JWT for half of the users, one that only the provider can read for the others."""
        if USERS.index(user) % 2:
            opaque = f"opaque-{user}-{time.time_ns()}"
            self.issuer.people[opaque] = {"sub": user}
            return f"oidc/chaos/{opaque}"
        return f"oidc/chaos/{self.issuer.token(kid=list(self.issuer.keys)[-1], sub=user)}"

    def new_key(self) -> None:
        """The provider signs with another key from now on, and keeps the one before."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        last = list(self.issuer.keys.items())[-1:]
        self.issuer.keys = {**dict(last), f"k{time.time_ns()}": key}

    # ---- processes

    def process(self, name: str, chance: random.Random) -> psutil.Process | None:
        """One of the running processes."""
        roles = self._roles()
        found = roles.get(name, [])
        return chance.choice(found) if found else None

    def _roles(self) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {"second worker": [psutil.Process(self.second.pid)]}
        tops = [psutil.Process(self.server.pid), psutil.Process(self.second.pid)]
        for top in tops:
            for process in top.children(recursive=True):
                with suppress(psutil.Error):
                    found.setdefault(self._role(process), []).append(process)
        return found

    def _role(self, process: psutil.Process) -> str:
        parent = process.parent()
        above = "" if parent is None else self._own_role(parent)
        return {"fork server": "child", "api's parent": "api"}.get(above) or self._own_role(process)

    def _own_role(self, process: psutil.Process) -> str:
        """The role of a process that is no child of one with a role."""
        if "the fork server" in " ".join(process.cmdline()):  # that of a worker without a supervisor
            return "fork server"
        names = {"openeo fork ser": "fork server", "openeo api": "api's parent", "openeo worker": "worker"}
        return names.get(process.name(), "other")

    def memory(self) -> dict[str, float]:
        """MB that the api and the workers hold."""
        found: dict[str, float] = {}
        with suppress(psutil.Error):
            for name, processes in self._roles().items():
                if name in ("api", "worker", "second worker"):
                    for process in processes:
                        with suppress(psutil.Error):
                            found[name] = max(found.get(name, 0.0), process.memory_info().rss / 1e6)
        return found

    # ---- what there is

    def rows(self) -> dict[str, Row]:
        store = Store.open(self.database)
        try:
            with store.database.read() as connection:
                found = {}
                for row in connection.execute(select(jobs)).mappings():
                    files = (row["result"] or {}).get("files", ())
                    sums = {file["name"]: file["checksum"].removeprefix("1220") for file in files}
                    times = [row[name].timestamp() if row[name] else None for name in ("started", "finished")]
                    values = (row["status"], row["attempt"], row["result_attempt"], sums, *times)
                    found[row["id"]] = Row(row["id"], row["user_id"], *values, logs={})
                for entry in connection.execute(select(job_logs)):
                    found[entry.job_id].logs[f"{entry.number:08d}"] = entry.entry  # type: ignore[index]
                return found
        finally:
            store.close()

    def trash(self) -> list[str]:
        store = Store.open(self.database)
        try:
            with store.database.read() as connection:
                return list(connection.execute(select(trash.c.prefix)).scalars())
        finally:
            store.close()

    def objects(self) -> dict[str, str]:
        return {key.removeprefix("openeo/"): checksum for key, checksum in self.s3.objects().items()}


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else -1
    except (OSError, psutil.Error):
        return -1


class Faults:
    """Draws one fault after the other: each part equally often, each of its kinds before one comes again."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._parts: list[str] = []
        self._kinds: dict[str, list[str]] = {}
        self.done: list[Fault] = []
        self.missed = 0

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            part = self._next_part()
            kind = self._next_kind(part)
            seconds = 2 + 18 * self._random.random() ** 2
            begin = time.time()
            print(f"{datetime.now(UTC):%H:%M:%S} {part}: {kind}, {seconds:.0f} s", flush=True)
            if self._do(part, kind, min(seconds, max(2.0, until - time.monotonic()))):
                self.done.append(Fault(part, kind, begin, time.time()))
            else:
                self.missed += 1
            time.sleep(self._random.uniform(2, 6))

    def _next_part(self) -> str:
        if not self._parts:
            self._parts = ["worker", "second worker", "child", "api", "postgresql", "s3", "stac", "oidc"]
            self._random.shuffle(self._parts)
        return self._parts.pop()

    def _next_kind(self, part: str) -> str:
        if not self._kinds.get(part):
            kinds: dict[str, tuple[str, ...]] = {
                "worker": (*_PROCESSES, "fork server killed"),
                "api": (*_PROCESSES, "its parent killed"),
                "postgresql": _DATABASE,
                "s3": (*_HTTP, *self._site.fronts["s3"].lies),
                "stac": (*_HTTP, *self._site.fronts["stac"].lies),
                "oidc": ("stopped", "hanging", "slow", "500", *self._site.fronts["oidc"].lies),
            }
            self._kinds[part] = list(kinds.get(part, _PROCESSES))
            self._random.shuffle(self._kinds[part])
        return self._kinds[part].pop()

    def _do(self, part: str, kind: str, seconds: float) -> bool:
        if part == "postgresql" and kind in ("crashed", "read only"):
            return self._do_to_server(kind, seconds)
        if part in self._site.fronts:
            front = self._site.fronts[part]
            if part == "oidc":
                self._site.new_key()
            front.begin(kind)
            time.sleep(seconds)
            front.end()
            return True
        names = {"fork server killed": "fork server", "its parent killed": "api's parent"}
        return self._do_to_process(names.get(kind, part), kind, seconds)

    def _do_to_server(self, kind: str, seconds: float) -> bool:
        server = self._site.postgresql
        if kind == "crashed":
            server.stop()
            time.sleep(seconds)
            server.start()
            return True
        _set_read_only(self._site.database, True)
        time.sleep(seconds)
        _set_read_only(self._site.database, False)
        return True

    def _do_to_process(self, name: str, kind: str, seconds: float) -> bool:
        process = None
        end = time.monotonic() + 10
        while process is None and time.monotonic() < end:
            with suppress(psutil.Error):
                process = self._site.process(name, self._random)
            time.sleep(0.05)
        if process is None:
            return False
        try:
            if kind == "paused":
                process.send_signal(signal.SIGSTOP)
                time.sleep(seconds)
                process.send_signal(signal.SIGCONT)
            else:
                process.kill()
        except psutil.Error:
            return kind == "paused"
        return True


def _set_read_only(url: str, on: bool) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def sampling(site: Site) -> Iterator[list[dict[str, float]]]:
    """Memory, every few seconds."""
    found: list[dict[str, float]] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(5):
            with suppress(psutil.Error):
                found.append(site.memory())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    yield found
    stop.set()
    thread.join()


def quiet_run(site: Site, graphs: Mapping[str, Any]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Digests of the files of each graph, as a job and (with one file) at once, and what went wrong."""
    ledger = Ledger()
    user = User(USERS[0], site.root, site.token, graphs, {}, ledger, site.folder, 0)
    reference: dict[str, dict[str, str]] = {}
    for graph in graphs:
        promise = user.create(graph)
        user.start_job(promise)
        while (state := user.state(promise)) not in FINAL:
            time.sleep(0.5)
        user.read_log(promise)
        assert state == "finished", promise.logs
        files = user.download(promise)
        reference[graph] = {plain(name): digest(content, name, site.folder) for name, content in files.items()}
    for graph in SINGLE:
        reply = user.ask("POST", "/result", {"process": {"process_graph": graphs[graph]}})
        assert reply.status == 200, reply.body
        name = {"greenness": "a.tif", "file of all": "a.nc", "number": "a.json"}[graph]
        reference[f"{graph} at once"] = {name: digest(reply.body, name, site.folder)}
    return reference, ledger.problems


def settle(site: Site, promises: list[Promise]) -> tuple[float, list[str]]:
    """Wait until all jobs that users started have ended; seconds that took, and what did not."""
    begin = time.monotonic()
    while True:
        rows = site.rows()
        busy = [row.id for row in rows.values() if row.status in ("queued", "running")]
        if not busy or time.monotonic() - begin > RECOVERY:
            return time.monotonic() - begin, [f"the job {id} is still {rows[id].status}" for id in busy]
        time.sleep(1)


def ask_again(user: User, promises: list[Promise]) -> list[str]:
    """Whether users can list their jobs, and use what they used before."""
    problems = []
    listed: set[str] = set()
    path: str | None = "/jobs?limit=200"
    while path:
        page = user.ask("GET", path).json()
        listed |= {job["id"] for job in page["jobs"]}
        path = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    for promise in promises:
        if promise.user == user.name and (promise.deleted is None) != (promise.id in listed):
            problems.append(f"the list of jobs is wrong about {promise.id}")
    collections = [found["id"] for found in user.ask("GET", "/collections").json()["collections"]]
    if not collections:
        problems.append("there are no collections any more")
    for graph in SINGLE:
        reply = user.ask("POST", "/result", {"process": {"process_graph": user.graphs[graph]}})
        if reply.status != 200:
            problems.append(f"a synchronous request fails although nothing is disturbed: {reply.body[:200]!r}")
    return problems


def run(options: argparse.Namespace, stack: ExitStack, folder: Path) -> int:
    site = Site(stack, folder, options.seed)
    graphs = make_graphs(11.9690, 48.5030, 11.9900, 48.5200)
    print("quiet run ...", flush=True)
    began = datetime.now(UTC)
    reference, problems = quiet_run(site, graphs)
    quiet = site.memory()
    ledger, faults = Ledger(), Faults(site, options.seed)
    users = [
        User(name, site.root, site.token, graphs, reference, ledger, folder, options.seed + number)
        for number, name in enumerate(USERS)
    ]
    print("chaos ...", flush=True)
    with sampling(site) as memory:
        for user in users:
            user.start()
        faults.run(time.monotonic() + 60 * options.minutes)
        over = time.time()
        for user in users:
            user.stopping.set()
        for user in users:
            user.join(RECOVERY)
            if user.is_alive():
                problems.append(f"{user.name} is still busy {RECOVERY:.0f} s after the last fault")
        settled, unsettled = settle(site, ledger.promises)
    recovered = time.time() - over
    problems += unsettled + ledger.problems
    for user in users:
        try:
            problems += ask_again(user, ledger.promises)
        except Exception as error:
            problems.append(f"{user.name} cannot go on: {error!r}")
    rows = site.rows()
    problems += judge_jobs(ledger.promises, rows, faults.done)
    problems += judge_files(rows.values(), site.objects(), site.trash())
    most = {name: max((sample.get(name, 0.0) for sample in memory), default=0.0) for name in quiet}
    problems += [f"{name} held {mb:.0f} MB" for name, mb in most.items() if mb > MOST_MEMORY]
    problems += [f"left behind: {process}" for process in site.close()]
    work = [path.name for path in (folder / "data" / "work").glob("*")]
    problems += [f"left behind: the folder work/{name}" for name in work]
    text = write_record(
        options=options,
        began=began,
        faults=faults.done,
        missed=faults.missed,
        ledger=ledger,
        rows=rows,
        recovered=recovered,
        quiet=quiet,
        most=most,
        problems=problems,
        disturbed={name: front.disturbed for name, front in site.fronts.items()},
        restarts=site.restarts,
    )
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20, help="how long faults are drawn [20]")
    parser.add_argument("--seed", type=int, default=7, help="of the faults and of what users do [7]")
    parser.add_argument("--output", type=Path, help="file for the record; without one it is only shown")
    parser.add_argument("--keep", type=Path, help="folder to keep logs in, which is made")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end what was started
    folder = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            return run(options, stack, folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
