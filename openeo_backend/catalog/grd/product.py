"""The images of an item and the documents that belong to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from openeo_backend.catalog.bands import item_bands
from openeo_backend.catalog.grd.annotation import (
    LARGEST,
    Annotation,
    read_annotation,
    read_calibration,
    read_noise,
)
from openeo_backend.catalog.grid import asset_grid
from openeo_backend.catalog.hrefs import Gate, is_url
from openeo_backend.catalog.item import Item
from openeo_backend.cube.backscatter import Noise, Table
from openeo_backend.errors import OpenEOError

_POLARISATION = re.compile(r"(?<![a-z])(vv|vh|hh|hv)(?![a-z])", re.I)


class Door(Protocol):
    """The guarded way out, as :mod:`openeo_backend.net.door` offers it."""

    def get(self, url: str, *, limit_mb: float | None = None) -> bytes: ...


@dataclass(frozen=True, eq=False)
class Image:
    """One polarisation of an item; its documents are read when they are first needed."""

    item: str
    band: str
    address: str
    """Of the measurement, as GDAL opens it."""

    index: int
    _annotation: str
    _calibration: str
    _noise: str | None
    _read: Callable[[str], bytes]

    @cached_property
    def annotation(self) -> Annotation:
        return read_annotation(self._read(self._annotation), self._name("annotation"))

    @cached_property
    def tables(self) -> dict[str, Table]:
        return read_calibration(self._read(self._calibration), self._name("calibration"))

    @cached_property
    def noise(self) -> Noise:
        """The thermal noise.

        :raises OpenEOError: AssetUnreadable where the item has no noise document.
        """
        if self._noise is None:
            raise OpenEOError(
                "AssetUnreadable",
                f"The item '{self.item}' has no noise document for the band '{self.band}'.",
                hint="Set 'noise_removal' to false.",
            )
        return read_noise(self._read(self._noise), self._name("noise"))

    def _name(self, document: str) -> str:
        return f"{document} of band '{self.band}' of item '{self.item}'"


def is_grd(item: Item) -> bool:
    """Whether the item has images in radar geometry with what is needed to calibrate them."""
    if not any("calibration" in key.lower() for key in item.assets):
        return False
    return any(
        _documents(item, band.asset) and asset_grid(item, item.assets[band.asset]) is None
        for band in item_bands(item).values()
    )


def images(item: Item, gate: Gate, door: Any) -> dict[str, Image]:
    """The images of an item by band name."""
    found = {}
    for name, band in item_bands(item).items():
        documents = _documents(item, band.asset)
        if documents:
            found[name] = Image(
                item=item.id,
                band=name,
                address=gate.admit(str(item.assets[band.asset]["href"])),
                index=band.index,
                _annotation=documents["annotation"],
                _calibration=documents["calibration"],
                _noise=documents.get("noise"),
                _read=Reader(gate, door),
            )
    return found


def _documents(item: Item, measurement: str) -> dict[str, str]:
    """Addresses of the documents for a measurement asset; empty where it lacks annotation or calibration.

    Catalogs name these assets by their purpose and the polarisation (`schema-calibration-vv`, `annotation-vh` ...).
    """
    polarisation = _POLARISATION.search(measurement)
    if polarisation is None:
        return {}
    found: dict[str, str] = {}
    for key, asset in item.assets.items():
        match = _POLARISATION.search(key)
        if key == measurement or match is None or match.group(1).lower() != polarisation.group(1).lower():
            continue
        for purpose, words in (
            ("calibration", ("calibration",)),
            ("noise", ("noise",)),
            ("annotation", ("annotation", "product")),
        ):
            if any(word in key.lower() for word in words):
                found.setdefault(purpose, str(asset["href"]))
                break
    return found if {"annotation", "calibration"} <= found.keys() else {}


@dataclass(frozen=True)
class Reader:
    """Reads whole documents: local ones below the catalog's folder, remote ones through the door or from S3."""

    gate: Gate
    door: Any

    def __call__(self, href: str) -> bytes:
        address = self.gate.admit(href)
        if is_url(href):
            content: bytes = self.door.get(href, limit_mb=LARGEST / 1e6)
            return content
        if address.startswith("/vsis3/"):
            return _read_s3(href)
        try:
            with Path(address).open("rb") as file:
                return file.read(LARGEST + 1)
        except OSError as error:
            raise OpenEOError("AssetUnreadable", f"The document {href} cannot be read: {error.strerror}.") from error


def _read_s3(url: str) -> bytes:
    """An object of a bucket that the gate admitted, with the AWS_* credentials of the environment."""
    place = urlsplit(url)
    try:
        found = obstore.get(S3Store.from_url(f"s3://{place.netloc}"), place.path.lstrip("/"))
        if found.meta["size"] > LARGEST:
            raise OpenEOError("FileSizeExceeded", f"The document {url} is larger than {LARGEST // 2**20} MB.")
        return bytes(found.bytes())
    except (BaseError, OSError) as error:
        raise OpenEOError("AssetUnreadable", f"The document {url} cannot be read: {error}.") from error
