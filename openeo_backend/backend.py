"""The one object that is built at start and passed along."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openeo_backend.auth.user import User
from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.viewer import Viewer
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import Objects, open_objects
from openeo_backend.files.places import database_url, objects_place, open_signer
from openeo_backend.files.signing import Signer
from openeo_backend.formats.asset import Format
from openeo_backend.formats.registry import FORMATS
from openeo_backend.jobs.accounts import Accounts
from openeo_backend.processes.registry import Registry
from openeo_backend.run.engine import Engine
from openeo_backend.run.plan import Plan
from openeo_backend.run.remote import PinnedProcesses
from openeo_backend.run.runner import ChildRunner, Runner
from openeo_backend.sandbox.forkserver import Forks
from openeo_backend.settings import Settings, SettingsError
from openeo_backend.store.store import Store


@dataclass(frozen=True)
class Backend:
    """Settings and everything opened from them."""

    settings: Settings
    store: Store
    objects: Objects
    signer: Signer
    engine: Engine
    runner: Runner
    accounts: Accounts
    ring: Callable[[], None] = lambda: None
    """Tells the workers of this machine that there is a new job; others find it when they look next."""

    @classmethod
    def open(cls, settings: Settings, server: Forks | None = None, ready: int = 0) -> Backend:
        """Open the store, the files, the catalog and the processes that `settings` name.

        :param server: where children come from; by default a fork server of this process.
        :param ready: how many children are prepared in advance.
        :raises SettingsError, StoreError, OpenEOError: one line, when one of them cannot be used.
        """
        data = settings.data_dir
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"the data directory {data} cannot be made: {error.strerror}") from error
        if not os.access(data, os.W_OK | os.X_OK):
            raise SettingsError(f"the data directory {data} cannot be written")
        store = Store.open(database_url(settings))
        return cls(
            settings=settings,
            store=store,
            objects=open_objects(objects_place(settings)),
            signer=open_signer(settings),
            engine=Engine.open(settings),
            runner=ChildRunner(settings, "openeo_backend.jobs.child:work", server, ready),
            accounts=Accounts.open(settings),
        )

    @property
    def catalog(self) -> Catalog:
        return self.engine.catalog

    @property
    def processes(self) -> Registry:
        return self.engine.processes

    @property
    def formats(self) -> Mapping[str, Format]:
        return FORMATS

    def validate(
        self,
        process: Mapping[str, Any],
        user: User | None,
        most: float | None = None,
        remote: PinnedProcesses | None = None,
    ) -> list[OpenEOError]:
        """All problems of a process as `user` would run it; an empty list for a sound one.

        :param most: most samples that it may read, instead of those of a batch job.
        :param remote: processes by URL; those that the process uses are pinned there.
        """
        return self.plan(process, user, most, remote)[1]

    def plan(
        self,
        process: Mapping[str, Any],
        user: User | None,
        most: float | None = None,
        remote: PinnedProcesses | None = None,
        stored: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> tuple[Plan | None, list[OpenEOError]]:
        """The plan of a process as `user` would run it, or None, and all of its problems; see :meth:`validate`.

        :param stored: the stored processes of the user, where they are known already.
        """
        most = self.settings.limits.job_samples if most is None else most
        if stored is None:
            stored = self.stored(user.id) if user is not None else {}
        engine = self.engine.seen_by(Viewer.of(user))
        return engine.plan(process, stored=stored, most=most, remote=remote)

    def stored(self, user: str) -> dict[str, Mapping[str, Any]]:
        """The stored processes of a user by id."""
        return {stored.id: stored.process for stored in self.store.processes.list(user)}

    def close(self) -> None:
        self.store.close()
        if isinstance(self.runner, ChildRunner):
            self.runner.close()
