"""Looking into HDF5 files before they are read: they may refer to other files, or hold far more than they seem to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO

import h5py

from openeo_backend.errors import OpenEOError

#: Most bytes of a chunk, unpacked: it is unpacked whole, whatever is read of it.
MOST_CHUNK = 512 * 2**20

#: Most coordinates along a dimension; they are read at once.
MOST_COORDINATES = 10**7


def refuse_hostile(source: Path | IO[bytes], shown: str) -> None:
    """Refuse a file that takes data from other files (external links, external storage, virtual datasets), or whose
    chunks or coordinates unpack to more than any should.

    :param source: the file, or a file object.
    :param shown: its name for messages.
    :raises OpenEOError: FileContentInvalid.
    :raises OSError: where it is no HDF5 file.
    """
    with h5py.File(source, "r") as file:
        groups: list[h5py.Group] = [file]
        seen = set()
        while groups:
            group = groups.pop()
            for name in group:
                if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                    raise _refused(shown, name, "takes its data from another file")
                entry = group.get(name)
                if isinstance(entry, h5py.Dataset):
                    _check(entry, shown, name)
                elif isinstance(entry, h5py.Group) and (address := h5py.h5o.get_info(entry.id).addr) not in seen:
                    seen.add(address)
                    groups.append(entry)


def _check(dataset: h5py.Dataset, shown: str, name: str) -> None:
    if dataset.is_virtual or dataset.id.get_create_plist().get_external_count():
        raise _refused(shown, name, "takes its data from another file")
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > MOST_CHUNK:
        size = math.prod(dataset.chunks) * dataset.dtype.itemsize / 1e6
        raise _refused(shown, name, f"has chunks of {size:,.0f} MB, over {MOST_CHUNK / 1e6:,.0f} MB")
    if dataset.is_scale and dataset.size is not None and dataset.size > MOST_COORDINATES:
        raise _refused(shown, name, f"has {dataset.size:,} coordinates, over {MOST_COORDINATES:,}")


def _refused(shown: str, name: str, reason: str) -> OpenEOError:
    return OpenEOError("FileContentInvalid", f"The file {shown} is not read: '{name[:80]}' in it {reason}.")
