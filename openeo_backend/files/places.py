"""Where this back-end keeps what it keeps, by the settings or else in its data directory."""

from __future__ import annotations

from openeo_backend.files.signing import Signer, read_keys
from openeo_backend.settings import Settings


def database_url(settings: Settings) -> str:
    """The SQLAlchemy URL of the database."""
    return settings.store.url or f"sqlite:///{settings.data_dir / 'openeo.sqlite'}"


def objects_place(settings: Settings) -> str:
    """The folder or s3:// URL of the objects."""
    return settings.store.files or str(settings.data_dir / "files")


def open_signer(settings: Settings) -> Signer:
    """The signer of links, with the keys of the settings or of the data directory."""
    return Signer(read_keys(settings.data_dir / "signing-keys.json", settings.store.signing_key))
