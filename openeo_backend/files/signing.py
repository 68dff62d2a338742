"""Signatures of links: who holds the link may read what it names until it expires, and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from openeo_backend.errors import OpenEOError
from openeo_backend.observe import clock


@dataclass(frozen=True)
class Key:
    id: str
    secret: bytes


class Signer:
    """Signs with the first of its keys, accepts all of them: keys are replaced without breaking links.

    :param keys: at least one.
    """

    def __init__(self, keys: Sequence[Key], now: Callable[[], datetime] = clock.now) -> None:
        self._keys = tuple(keys)
        self._now = now

    def now(self) -> datetime:
        """The instant that links are judged by."""
        return self._now()

    def sign(self, parts: Sequence[str], expires: datetime) -> dict[str, str]:
        """The query members that make a link to what `parts` name valid until `expires` (to the second)."""
        end, key = str(int(expires.timestamp())), self._keys[0]
        return {"expires": end, "key": key.id, "signature": _signature(key, end, parts)}

    def verify(self, parts: Sequence[str], query: Mapping[str, str]) -> datetime:
        """Let pass who holds a valid link; returns when it expires.

        :raises OpenEOError: PermissionsInsufficient for a signature that is not ours or for something else;
            ResultLinkExpired for one that was valid.
        """
        expires = query.get("expires", "")
        key = next((key for key in self._keys if key.id == query.get("key")), None)
        expected = _signature(key or Key("", b"none"), expires, parts)
        given = query.get("signature", "").encode("utf-8", "replace")
        if not hmac.compare_digest(expected.encode(), given) or key is None:
            raise OpenEOError(
                "PermissionsInsufficient",
                "The signature of this link is missing or wrong.",
                hint="Take the whole link from GET /jobs/{job_id}/results.",
            )
        end = datetime.fromtimestamp(int(expires), UTC)
        if end < self._now():
            raise OpenEOError(
                "ResultLinkExpired",
                "This link has expired.",
                hint="Request a new one with GET /jobs/{job_id}/results.",
            )
        return end


def _signature(key: Key, expires: str, parts: Sequence[str]) -> str:
    """HMAC-SHA256 over all members, each led by its length: no two lists of members give the same bytes."""
    message = bytearray()
    for member in (key.id, expires, *parts):
        raw = member.encode("utf-8", "surrogatepass")
        message += len(raw).to_bytes(8, "big") + raw
    return hmac.new(key.secret, bytes(message), hashlib.sha256).hexdigest()


def read_keys(file: Path, secret: str | None = None) -> list[Key]:
    """The keys to sign with: the one of the settings, before those kept in `file`; one is made if there is none.

    The file is readable for its owner only. To replace a key, put a new one before it.
    """
    keys = [Key(hashlib.sha256(secret.encode()).hexdigest()[:8], secret.encode())] if secret else []
    if not keys and not file.exists():
        _make(file)
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))["keys"]
        keys += [Key(entry["id"], bytes.fromhex(entry["secret"])) for entry in kept]
    return keys


def _make(file: Path) -> None:
    """Write a new key, whole or not at all; of several processes at once, the first wins."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    content = json.dumps({"keys": [{"id": secrets.token_hex(4), "secret": secrets.token_hex(32)}]})
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(content)
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
