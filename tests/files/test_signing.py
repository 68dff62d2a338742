"""Signed links: what they open, and that nothing else does."""

from __future__ import annotations

import hashlib
import hmac
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from openeo_backend.errors import OpenEOError
from openeo_backend.files.signing import Key, Signer, read_keys

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=7)
KEY = Key("k1", b"secret")


def signer(*keys: Key, now: datetime = NOW) -> Signer:
    return Signer(keys or (KEY,), lambda: now)


def refused(parts: tuple[str, ...], query: dict[str, str], by: Signer | None = None) -> str:
    with pytest.raises(OpenEOError) as caught:
        (by or signer()).verify(parts, query)
    return caught.value.code


def test_a_link_works_until_it_expires() -> None:
    query = signer().sign(("file", "j-1", "a.tif"), LATER)
    assert signer().verify(("file", "j-1", "a.tif"), query) == LATER
    assert signer(now=NOW + timedelta(days=6, hours=23)).verify(("file", "j-1", "a.tif"), query)
    late = signer(now=NOW + timedelta(days=7, hours=1))
    assert refused(("file", "j-1", "a.tif"), query, late) == "ResultLinkExpired"
    with pytest.raises(OpenEOError) as caught:
        late.verify(("file", "j-1", "a.tif"), query)
    assert caught.value.status == 410


def test_the_signature_is_hmac_sha256_over_members_led_by_their_lengths() -> None:
    query = signer().sign(("file", "j-1"), LATER)
    message = b"".join(
        len(m).to_bytes(8, "big") + m for m in (b"k1", str(int(LATER.timestamp())).encode(), b"file", b"j-1")
    )
    assert query["signature"] == hmac.new(b"secret", message, hashlib.sha256).hexdigest()


@given(st.data(), st.sampled_from(["expires", "key", "signature"]))
def test_any_changed_character_is_refused(data: st.DataObject, member: str) -> None:
    query = signer().sign(("file", "j-1", "a.tif"), LATER)
    place = data.draw(st.integers(0, len(query[member]) - 1))
    other = data.draw(st.characters(codec="utf-8"))
    assume(other != query[member][place])
    query[member] = query[member][:place] + other + query[member][place + 1 :]
    assert refused(("file", "j-1", "a.tif"), query) == "PermissionsInsufficient"


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_a_link_opens_nothing_else(parts: list[str], others: list[str]) -> None:
    assume(parts != others)
    query = signer().sign(parts, LATER)
    assert refused(tuple(others), query) == "PermissionsInsufficient"


@pytest.mark.parametrize("missing", ["expires", "key", "signature"])
def test_a_missing_member_is_refused(missing: str) -> None:
    query = signer().sign(("file",), LATER)
    del query[missing]
    assert refused(("file",), query) == "PermissionsInsufficient"


def test_old_keys_open_until_they_are_revoked() -> None:
    new = Key("k2", b"other")
    query = signer().sign(("file",), LATER)
    assert signer(new, KEY).verify(("file",), query)
    assert signer(new, KEY).sign(("file",), LATER)["key"] == "k2"
    assert refused(("file",), query, signer(new)) == "PermissionsInsufficient"
    forged = {**query, "key": "k2"}
    assert refused(("file",), forged, signer(new, KEY)) == "PermissionsInsufficient"


def test_the_key_is_made_once_and_readable_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "data" / "keys.json"
    keys = read_keys(file)
    assert read_keys(file) == keys
    assert len(keys) == 1
    assert len(keys[0].secret) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]
    assert keys[0].secret.hex() not in repr(read_keys(tmp_path / "other.json"))


def test_the_key_of_the_settings_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert [key.secret for key in read_keys(file, "given")] == [b"given"]
    assert not file.exists()
    kept = read_keys(file)
    assert [key.secret for key in read_keys(file, "given")] == [b"given", kept[0].secret]
