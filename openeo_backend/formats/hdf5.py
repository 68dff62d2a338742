"""Looking into HDF5 files before they are read: they may refer to other files, which are then read as well."""

from __future__ import annotations

from pathlib import Path

import h5py

from openeo_backend.errors import OpenEOError


def refuse_outside(path: Path) -> None:
    """Refuse a file that takes data from other files: by external links, external storage or virtual datasets.

    :raises OpenEOError: FileContentInvalid.
    :raises OSError: where it is no HDF5 file.
    """
    with h5py.File(path, "r") as file:
        groups: list[h5py.Group] = [file]
        seen = set()
        while groups:
            group = groups.pop()
            for name in group:
                if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                    raise _refused(path, name)
                entry = group.get(name)
                if isinstance(entry, h5py.Dataset):
                    if entry.is_virtual or entry.id.get_create_plist().get_external_count():
                        raise _refused(path, name)
                elif isinstance(entry, h5py.Group) and (address := h5py.h5o.get_info(entry.id).addr) not in seen:
                    seen.add(address)
                    groups.append(entry)


def _refused(path: Path, name: str) -> OpenEOError:
    return OpenEOError(
        "FileContentInvalid", f"The file {path.name} is not read: '{name}' in it takes its data from another file."
    )
