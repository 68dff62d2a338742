"""What reads text and JSON from outside: sound input means the same as before, all else is refused in words."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shapely
from cryptography.hazmat.primitives.asymmetric import ed25519
from explore import explore
from hypothesis import strategies as st
from token_issuer import base64url, jwk, signature, signed

from openeo_backend.auth import jwt
from openeo_backend.auth.basic import read_basic
from openeo_backend.auth.bearer import Authenticator
from openeo_backend.cube.extent import parse_area, parse_crs, parse_interval, parse_surroundings, parse_time
from openeo_backend.cube.geometry import parse_geometries
from openeo_backend.errors import OpenEOError
from openeo_backend.files.scoped import refuse_outside
from openeo_backend.files.signing import Key, Signer
from openeo_backend.files.user_files import UserFiles
from openeo_backend.formats.names import slug
from openeo_backend.formats.options import check_options
from openeo_backend.formats.registry import FORMATS
from openeo_backend.jobs import options
from openeo_backend.sections.identity import ProviderSettings
from openeo_backend.settings import Settings, SettingsError, names
from openeo_backend.settings import read as read_settings

sys.path.insert(0, str(Path(__file__).parent.parent / "security"))
from test_hostile_stac import ABSENT, SOUND, URL, changed, load, places, publish  # noqa: E402

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        [10**400, -(10**30), "nan", "1e999", "9" * 5000, "\x00", "\ud800", "../..", "EPSG:4326", "2025-02-30"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def tried(read: Callable[..., Any], *arguments: Any) -> Any:
    """What comes out; None where it is refused by an error of our own."""
    try:
        return read(*arguments)
    except (OpenEOError, SettingsError) as error:
        assert getattr(error, "code", "") != "Internal", error  # noqa: PT017
        str(error).encode("utf-8", "surrogatepass")
        return None


def test_authorization_headers() -> None:
    known: dict[str, Any] = {"right": object()}
    asked = Authenticator({"basic": lambda provider, token: known.get(token) if not provider else None})
    words = st.sampled_from(
        ["Bearer", "bearer", "Basic", "basic//", "right", " ", "/", "\t", "oidc/x/", "\x00", "=", "é"]
    )
    headers = st.lists(words | st.text(max_size=5), max_size=6).map("".join) | st.none() | st.text()

    def check(header: str | None) -> None:
        user = tried(asked, header)
        assert user is None or str(header).rpartition("/")[2].strip().rpartition(" ")[2] == "right"
        found = tried(read_basic, header)
        assert found is None or (found[0] and ":" not in found[0])

    explore(check, headers, examples=100)


def test_tokens() -> None:
    """Whatever is changed in a token, it is refused, or it says the same."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    keys = jwt.read_keys({"keys": [jwk(key, kid="one", use="sig")]})
    settings = ProviderSettings(issuer="https://idp.example.org", clients=["app"])
    claims = {"iss": "https://idp.example.org", "sub": "u", "azp": "app", "exp": 2000, "iat": 900}
    token = signed(key, {"alg": "EdDSA", "kid": "one"}, claims)

    def accept(text: str) -> Any:
        read = jwt.read(text)
        algorithm = jwt.check_algorithm(read, ["EdDSA"])
        jwt.check_claims(read.claims, settings, 1000.0)
        fitting = jwt.candidates(read, algorithm, keys)
        return read.claims if jwt.is_signed(read, algorithm, fitting) else None

    assert tried(accept, token) == claims
    parts = token.split(".")

    def whole(parts: list[Any]) -> str:
        encoded = [base64url(json.dumps(part).encode("utf-8", "surrogatepass")) for part in parts]
        text = ".".join(encoded)
        return f"{text}.{base64url(signature(key, text.encode()))}"  # signed as it should be, but saying what it likes

    flips = st.tuples(st.integers(0, len(token) - 1), st.characters(codec="ascii")).map(
        lambda flip: token[: flip[0]] + flip[1] + token[flip[0] + 1 :]
    )
    moved = st.lists(st.sampled_from([*parts, "", "."]), max_size=5).map(".".join)
    members = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]), JSON, max_size=3)
    said = st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "azp", "cnf", "typ"]), JSON, max_size=3)
    signed_ones = st.tuples(members, said).map(
        lambda drawn: whole([{"alg": "EdDSA", "kid": "one", **drawn[0]}, {**claims, **drawn[1]}])
    )

    def check(text: str) -> None:
        jwt.looks_like_jwt(text)
        found = tried(accept, text)
        if found is not None:
            assert (found["azp"], found["iss"]) == ("app", claims["iss"])
            assert found["exp"] >= 1000 - 30
            assert isinstance(found["sub"], str)

    explore(check, flips | moved | signed_ones | st.text(), examples=150)

    def unchanged(text: str) -> None:
        found = tried(accept, text)
        assert found is None or text.rpartition(".")[0] == token.rpartition(".")[0]

    explore(unchanged, flips | moved, examples=100, share=0.5)


def test_published_keys() -> None:
    members = st.sampled_from(["kty", "n", "e", "crv", "x", "y", "kid", "use", "alg"])
    usual = st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "sig"])
    entries = st.dictionaries(members, JSON | usual)

    def check(document: Any) -> None:
        try:
            jwt.read_keys(document)
        except ValueError as error:
            assert "list of keys" in str(error)  # noqa: PT017

    explore(check, JSON | st.lists(entries).map(lambda keys: {"keys": keys}), examples=100)


def test_signed_links() -> None:
    """No change of a link or of what it is for is accepted; parts do not run into each other."""
    now = datetime(2025, 1, 1, tzinfo=UTC)
    signer = Signer([Key("a", b"one"), Key("b", b"two")], lambda: now)
    texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
        ["file", "item", "results", "", "/", "j-1"]
    )
    parts = st.lists(texts, min_size=1, max_size=4)
    drawn = st.tuples(parts, parts, st.sampled_from(["expires", "key", "signature"]), texts, st.integers(0, 63), texts)

    def check(drawn: Any) -> None:
        own, other, member, value, place, letter = drawn
        query = signer.sign(own, now + timedelta(days=1))
        assert signer.verify(own, query) == now + timedelta(days=1)
        if other != own:
            assert tried(signer.verify, other, query) is None
        shifted = [own[0][:-1], own[0][-1:] + "".join(own[1:2]), *own[2:]]
        if shifted != own:
            assert tried(signer.verify, shifted, query) is None
        if query[member] != value:
            assert tried(signer.verify, own, {**query, member: value}) is None
        changed = query["signature"][:place] + letter + query["signature"][place + 1 :]
        if changed != query["signature"]:
            assert tried(signer.verify, own, {**query, "signature": changed}) is None
        later = {**query, "expires": str(int(query["expires"]) + 1)}
        assert tried(signer.verify, own, later) is None
        without = {name: entry for name, entry in query.items() if name != member}
        assert tried(signer.verify, own, without) is None

    explore(check, drawn, examples=80)


PARTS = st.sampled_from(["..", ".", "", "a", "a.tif", "\x00", "~", "%2e%2e", "\\..\\", "é", "link", "out", "..a", "-"])
PATHS = st.lists(PARTS | st.text(max_size=4), max_size=7).map("/".join) | st.text()


def test_paths_stay_below_their_prefix(tmp_path: Path) -> None:
    files = UserFiles(tmp_path / "users")
    own, outside = files.folder("ada"), tmp_path / "out"
    (own / "a").mkdir(parents=True)
    (own / "a" / "a.tif").write_text("mine")
    files.folder("bob").mkdir()
    (files.folder("bob") / "a.tif").write_text("of bob")
    outside.mkdir()
    (outside / "a.tif").write_text("outside")
    (own / "link").symlink_to(outside)
    inside = own.resolve()

    def check(path: str) -> None:
        found = tried(files.find, "ada", path)
        assert found is None or (found.is_relative_to(inside) and found.read_text() == "mine")
        key = f"jobs/j-1/{path}"
        try:
            refuse_outside(key, "jobs/j-1/")
        except OpenEOError as error:
            assert error.status == 403  # noqa: PT017
        else:
            assert tmp_path not in Path(key).parents
            assert Path("/x", key).resolve().is_relative_to("/x/jobs/j-1")
        assert Path("/x", slug(path)).resolve().parent == Path("/x")

    explore(check, PATHS | st.just("a/a.tif") | st.just("../x/a/a.tif"), examples=200)


def members_changed() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Documents of STAC with up to three members changed, and from which one to read."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
        documents = dict(SOUND)
        for _ in range(draw(st.integers(1, 3))):
            url = draw(st.sampled_from(sorted(documents)))
            place = draw(st.sampled_from(list(places(documents[url]))))
            value = draw(JSON | (st.just(ABSENT) if place else JSON))
            documents[url] = changed(documents[url], place, value)
        return draw(st.sampled_from(sorted(SOUND))), documents

    return draw_one()


def test_stac_documents() -> None:
    def check(drawn: tuple[str, dict[str, Any]]) -> None:
        url, documents = drawn
        tried(load, documents, url)
        tried(publish, documents, f"{URL}/catalog")

    explore(check, members_changed(), examples=60)


DIGITS = st.sampled_from(["0", "1", "2025", "-", "T", ":", ".", "Z", "+", "10", "31", "02", " ", "٣", "9" * 30, "\x00"])
TIMES = st.lists(DIGITS, max_size=12).map("".join) | st.datetimes().map(datetime.isoformat) | st.text()


def test_dates_and_periods() -> None:
    def check(drawn: Any) -> None:
        first, second, other = drawn
        tried(parse_time, first)
        found = tried(parse_interval, [first, second])
        assert found is None or found.start is None or found.end is None or found.start < found.end
        tried(parse_interval, other)
        tried(options.check, {"max_runtime": first, "memory": second}, LIMITS, SETTINGS.jobs)
        tried(options.check, {"max_runtime": other, "memory": other}, LIMITS, SETTINGS.jobs)

    durations = st.lists(DIGITS | st.sampled_from(["P", "D", "H", "M", "S", "PT", "9" * 5000, "GB", "m"]), max_size=6)
    texts = TIMES | durations.map("".join)
    explore(check, st.tuples(texts, texts | st.none(), JSON), examples=150)


SETTINGS = Settings.model_validate({})


def _limits() -> Any:
    from openeo_backend.auth.policy import limits_of

    return limits_of(SETTINGS, ())


LIMITS = _limits()

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 180, -180, 1e308, 10**400, "5", None, [1]])
POSITIONS = st.lists(NUMBERS | st.floats(-180, 180), max_size=4)
LINES = st.lists(POSITIONS, max_size=5)
GEOMETRIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["Point", "LineString", "Polygon", "MultiPolygon", "GeometryCollection", "x"]) | JSON},
    optional={
        "coordinates": POSITIONS | LINES | st.lists(LINES, max_size=2) | JSON,
        "crs": JSON | st.just({"type": "name", "properties": {"name": "EPSG:32632"}}),
        "geometries": JSON,
    },
)  # fmt: skip
FEATURES = st.fixed_dictionaries({"type": st.just("Feature"), "geometry": GEOMETRIES | JSON, "properties": JSON})
COLLECTIONS = st.fixed_dictionaries(
    {"type": st.just("FeatureCollection"), "features": st.lists(FEATURES | JSON, max_size=3) | JSON},
    optional={"crs": JSON},
)
BOXES = st.dictionaries(st.sampled_from(["west", "south", "east", "north", "crs", "base"]), NUMBERS, min_size=3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_areas_and_geometries() -> None:
    def check(value: Any) -> None:
        area = tried(parse_area, value)
        assert area is None or isinstance(area.geometry, shapely.Geometry)
        if area is not None:
            area.describe()
            tried(area.bounds, parse_crs(32632))
        tried(parse_surroundings, value)
        tried(parse_geometries, value)

    explore(check, GEOMETRIES | FEATURES | COLLECTIONS | BOXES | JSON, examples=150)


def test_format_options() -> None:
    def check(drawn: Any) -> None:
        name, chosen = drawn
        found = tried(check_options, FORMATS[name], chosen, lambda message: None)
        assert found is None or set(found) <= set(FORMATS[name].parameters)

    @st.composite
    def drawn(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
        name = draw(st.sampled_from(sorted(FORMATS)))
        known = st.sampled_from(sorted(FORMATS[name].parameters) or ["x"])
        return name, draw(st.dictionaries(known | st.text(max_size=5), JSON, max_size=3))

    explore(check, drawn(), examples=80)


def test_settings(tmp_path: Path) -> None:
    known = sorted(names())

    def nested(drawn: list[tuple[str, Any]]) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        for name, value in drawn:
            place: Any = whole
            *sections, last = name.split(".")
            for section in sections:
                place = place.setdefault(section, {})
                if not isinstance(place, dict):
                    break
            else:
                place[last] = value
        return whole

    def check(drawn: Any) -> None:
        chosen, text = drawn
        try:
            read_settings(overrides=nested(chosen))
        except SettingsError as error:
            assert "\n" not in str(error)  # noqa: PT017
        file = tmp_path / "config.toml"
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            read_settings(file)
        except SettingsError as error:
            assert str(error)  # noqa: PT017
        else:
            tomllib.loads(file.read_text(encoding="utf-8"))

    one = st.tuples(st.sampled_from(known) | st.text(max_size=10), JSON)
    lines = st.lists(
        st.sampled_from(["[server]", "port = 1", "port = 'x'", "[net]", "allow = [1]", "x", '"""', "=", "\x00"])
    )
    explore(check, st.tuples(st.lists(one, max_size=2), lines.map("\n".join) | st.text(max_size=30)), examples=40)
