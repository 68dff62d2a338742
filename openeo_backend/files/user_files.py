"""The files of users: a folder for each, in which their paths are."""

from __future__ import annotations

import hashlib
from pathlib import Path

from openeo_backend.errors import OpenEOError
from openeo_backend.settings import Settings


class UserFiles:
    """Files that users keep here, below one folder.

    The folder of a user is named by a hash of the user's id, which may hold any letters.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, settings: Settings) -> UserFiles:
        """The files where the settings say, or in the data directory."""
        return cls(settings.files.dir or settings.data_dir / "user-files")

    def folder(self, user: str) -> Path:
        """The folder of a user, which may not exist."""
        return self.root / hashlib.sha256(user.encode()).hexdigest()

    def find(self, user: str, path: str) -> Path:
        """The file at a path of a user; `/a/b`, `a/b` and `./a/b` are the same.

        :raises OpenEOError: FileNotFound, for folders and for whatever lies outside of the user's folder, too.
        """
        folder = self.folder(user).resolve()
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                if not parts:
                    raise _missing(path)
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        try:
            found = folder.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise _missing(path) from None
        if not found.is_relative_to(folder):
            raise _missing(path)
        if found.is_dir():
            raise _missing(path, "It is a folder; name the files in it.")
        return found


def _missing(path: str, hint: str = "Check the path; it is relative to your own folder.") -> OpenEOError:
    return OpenEOError("FileNotFound", f"You have no file '{path}'.", hint=hint)
