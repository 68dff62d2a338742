"""Several providers: their keys and their changes, whom they know, and what happens when one is away."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from token_issuer import Accepting, Clock, TokenIssuer, issuing, jwk, signed

from openeo_backend.auth.oidc import user_id
from openeo_backend.auth.user import User
from openeo_backend.errors import OpenEOError


def code(verify: Any, id: str | None, token: str) -> str:
    """The error that a token meets; empty for a user."""
    try:
        verify(id, token)
    except OpenEOError as error:
        return error.code
    return ""


def test_nothing_is_asked_before_a_token_comes(issuer: TokenIssuer, accepting: Accepting) -> None:
    accepting({"test": issuer})
    assert issuer.asked == []


def test_keys_are_looked_up_once_for_many_tokens(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    verify = accepting({"test": issuer})
    for number in range(20):
        assert verify("test", issuer.token(now=clock.now, sub=f"u-{number}")).subject == f"u-{number}"
    assert len(issuer.asked) == 2  # the discovery document and the keys


def test_unknown_keys_cause_one_look_a_minute(
    issuer: TokenIssuer, other_rsa_key: rsa.RSAPrivateKey, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"test": issuer})
    assert code(verify, "test", issuer.token(now=clock.now)) == ""
    looks = []
    for second in range(180):
        for number in range(5):
            header = {"alg": "RS256", "kid": f"{second}-{number}"}
            assert code(verify, "test", signed(other_rsa_key, header, issuer.claims(clock.now))) == "TokenInvalid"
        looks.append(issuer.count("/jwks"))
        clock.now += 1
    assert looks == [1] * 60 + [2] * 60 + [3] * 60
    assert code(verify, "test", issuer.token(now=clock.now)) == ""


def test_keys_are_changed(
    issuer: TokenIssuer, other_rsa_key: rsa.RSAPrivateKey, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"test": issuer})
    old = issuer.token(now=clock.now, exp=clock.now + 10_000)
    assert code(verify, "test", old) == ""
    issuer.keys = {"two": other_rsa_key}
    new = issuer.token(kid="two", now=clock.now, exp=clock.now + 10_000)
    assert code(verify, "test", new) == "TokenInvalid"  # looked up a moment ago
    clock.now += 61
    assert code(verify, "test", new) == ""
    assert code(verify, "test", old) == "TokenInvalid"


def test_keys_that_are_withdrawn_stop_to_count(
    issuer: TokenIssuer, other_rsa_key: rsa.RSAPrivateKey, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"test": issuer})
    token = issuer.token(now=clock.now, exp=clock.now + 10_000)
    assert code(verify, "test", token) == ""
    issuer.published = []
    clock.now += 599
    assert code(verify, "test", token) == ""
    clock.now += 2
    assert code(verify, "test", token) == "TokenInvalid"


def test_the_same_key_id_with_another_key(
    issuer: TokenIssuer, other_rsa_key: rsa.RSAPrivateKey, accepting: Accepting, clock: Clock
) -> None:
    issuer.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    assert code(accepting({"test": issuer}), "test", issuer.token(kid="two", now=clock.now)) == "TokenInvalid"
    token = signed(other_rsa_key, {"alg": "RS256", "kid": "two"}, issuer.claims(clock.now))
    assert code(accepting({"test": issuer}), "test", token) == "TokenInvalid"


def test_a_wrong_key_that_is_published_for_a_moment_locks_nobody_out_for_long(
    issuer: TokenIssuer, other_rsa_key: rsa.RSAPrivateKey, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"test": issuer})
    issuer.published = [jwk(other_rsa_key, kid="one", use="sig")]
    assert code(verify, "test", issuer.token(now=clock.now)) == "TokenInvalid"
    issuer.published = None
    clock.now += 59
    assert code(verify, "test", issuer.token(now=clock.now)) == "TokenInvalid"
    assert issuer.count("/jwks") == 1
    clock.now += 2
    assert code(verify, "test", issuer.token(now=clock.now)) == ""


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def absent(free_port: int, rsa_key: rsa.RSAPrivateKey) -> TokenIssuer:
    """A provider that does not run."""
    return TokenIssuer(f"http://127.0.0.1:{free_port}/realms/test", rsa_key)


def test_a_provider_that_is_away_at_first_disturbs_no_other(
    issuer: TokenIssuer, absent: TokenIssuer, accepting: Accepting, clock: Clock, free_port: int
) -> None:
    verify = accepting({"here": issuer, "away": absent})
    with pytest.raises(OpenEOError) as caught:
        verify("away", absent.token(now=clock.now))
    error = caught.value
    assert (error.code, error.status) == ("InfrastructureBusy", 503)
    assert "'away'" in error.message
    assert absent.url in error.message
    assert error.data["retry_after"] > 0
    assert verify("here", issuer.token(now=clock.now)).subject == "u-1"
    with issuing(absent.keys["one"], free_port) as back:  # type: ignore[arg-type]
        assert code(verify, "away", absent.token(now=clock.now)) == "InfrastructureBusy"
        assert back.asked == []  # left alone for a moment
        clock.now += 11
        assert verify("away", absent.token(now=clock.now)).issuer == absent.url


def test_known_keys_count_for_an_hour_without_their_provider(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"test": issuer})
    assert code(verify, "test", issuer.token(now=clock.now)) == ""
    issuer.status = 500
    clock.now += 3590
    assert code(verify, "test", issuer.token(now=clock.now)) == ""
    clock.now += 20
    assert code(verify, "test", issuer.token(now=clock.now)) == "InfrastructureBusy"


def test_a_provider_that_hangs_takes_few_threads(
    issuer: TokenIssuer, other_issuer: TokenIssuer, accepting: Accepting, clock: Clock, monkeypatch: Any
) -> None:
    monkeypatch.setattr("openeo_backend.auth.issuer.SECONDS", 0.5)
    monkeypatch.setattr("openeo_backend.auth.issuer.TURN", 0.2)
    issuer.seconds = 1.5
    verify = accepting({"slow": issuer, "fast": other_issuer})
    codes: list[str] = []
    token = issuer.token(now=clock.now)
    threads = [threading.Thread(target=lambda: codes.append(code(verify, "slow", token))) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    assert verify("fast", other_issuer.token(now=clock.now)).subject == "u-1"
    for thread in threads:
        thread.join()
    assert codes == ["InfrastructureBusy"] * 8
    assert time.monotonic() - began < 3.5  # one after the other they would take four
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://elsewhere.example"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://10.0.0.1/jwks"},
    ],
)
def test_a_provider_that_describes_itself_wrongly(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, discovery: Any
) -> None:
    issuer.discovery = discovery
    assert code(accepting({"test": issuer}), "test", issuer.token(now=clock.now)) == "InfrastructureBusy"


def test_the_same_subject_of_two_issuers_is_two_users(
    issuer: TokenIssuer, other_issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"a": issuer, "b": other_issuer})
    first, second = (verify(id, one.token(now=clock.now)) for id, one in (("a", issuer), ("b", other_issuer)))
    assert first.subject == second.subject == "u-1"
    assert first.id != second.id
    for id, one in (("b", issuer), ("a", other_issuer)):
        assert code(verify, id, one.token(now=clock.now)) == "TokenInvalid"


def test_a_token_that_claims_another_issuer_is_refused(
    issuer: TokenIssuer, other_issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"a": issuer, "b": other_issuer})
    forged = other_issuer.token(now=clock.now, iss=issuer.url)
    assert [code(verify, id, forged) for id in ("a", "b", None)] == ["TokenInvalid"] * 3


def test_ids_of_users_hold_no_other_users() -> None:
    ids = {
        user_id("https://a.example", "b"),
        user_id("https://a.example/b", ""),
        user_id("https://a.example", "B"),
        user_id("https://a.example:443", "b"),
    }
    assert len(ids) == 4
    assert user_id("https://a.example/", "b") in ids
    assert all(id.startswith("oidc~") for id in ids)  # names of accounts of this back-end have no `~`


def test_bare_tokens_find_their_provider(
    issuer: TokenIssuer, other_issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"a": issuer, "b": other_issuer})
    assert verify(None, issuer.token(now=clock.now)).issuer == issuer.url
    assert verify(None, other_issuer.token(now=clock.now)).issuer == other_issuer.url
    for stray in (issuer.token(now=clock.now, iss=None), issuer.token(now=clock.now, iss="https://c.example")):
        assert code(verify, None, stray) == "TokenInvalid"


def test_bare_opaque_tokens_are_shown_to_one_provider_only(
    issuer: TokenIssuer, other_issuer: TokenIssuer, accepting: Accepting
) -> None:
    issuer.people["T"] = {"sub": "ada"}
    assert accepting({"a": issuer})(None, "T").subject == "ada"
    issuer.asked.clear()
    assert accepting({"a": issuer, "b": other_issuer})(None, "T") is None
    assert issuer.asked == other_issuer.asked == []


def test_unknown_providers(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    assert code(accepting({"a": issuer}), "c", issuer.token(now=clock.now)) == "TokenInvalid"


# -- opaque tokens ----------------------------------------------------------------------------------------------


def test_opaque_tokens_are_looked_up_and_remembered_for_a_minute(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    issuer.people["T.1_x~/+-="] = {"sub": "ada", "preferred_username": "Ada L."}
    verify = accepting({"test": issuer})
    for _ in range(3):
        user: User = verify("test", "T.1_x~/+-=")
        assert (user.subject, user.name, user.issuer) == ("ada", "Ada L.", issuer.url)
    assert issuer.count("/userinfo") == 1
    clock.now += 61
    issuer.people.clear()
    assert code(verify, "test", "T.1_x~/+-=") == "TokenInvalid"


def test_an_answer_counts_no_longer_than_its_token(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    issuer.people["T"] = {"sub": "ada", "exp": clock.now + 5}
    verify = accepting({"test": issuer})
    assert code(verify, "test", "T") == ""
    clock.now += 6
    issuer.people.clear()
    assert code(verify, "test", "T") == "TokenInvalid"


def test_wrong_opaque_tokens_are_asked_about_once(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    verify = accepting({"test": issuer})
    assert [code(verify, "test", "wrong") for _ in range(5)] == ["TokenInvalid"] * 5
    assert issuer.count("/userinfo") == 1
    for number in range(30):
        assert code(verify, "test", f"wrong-{number}") == "TokenInvalid"
    issuer.people["wrong"] = {"sub": "ada"}
    assert code(verify, "test", "wrong") == "TokenInvalid"
    clock.now += 31
    assert code(verify, "test", "wrong") == ""


def test_what_is_remembered_is_bounded(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, monkeypatch: Any
) -> None:
    monkeypatch.setattr("openeo_backend.auth.oidc.MOST", 3)
    issuer.people["T"] = {"sub": "ada"}
    verify = accepting({"test": issuer})
    assert code(verify, "test", "T") == ""
    for number in range(10):
        assert code(verify, "test", f"wrong-{number}") == "TokenInvalid"
    assert issuer.count("/userinfo") == 11
    assert code(verify, "test", "wrong-9") == "TokenInvalid"
    assert code(verify, "test", "T") == ""  # wrong ones do not push out right ones
    assert issuer.count("/userinfo") == 11
    assert code(verify, "test", "wrong-0") == "TokenInvalid"
    assert issuer.count("/userinfo") == 12


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Evil: 1", "ä", "\x00", "a" * 40_000])
def test_unusable_opaque_tokens_are_not_sent(issuer: TokenIssuer, accepting: Accepting, token: str) -> None:
    assert code(accepting({"test": issuer}), "test", token) == "TokenInvalid"
    assert issuer.asked == []


def test_jwts_are_never_taken_for_opaque_tokens(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    token = issuer.token(now=clock.now, azp="another-app")
    for variant in (token, f"{token}=", f"{token}.", f"{token}.x.y"):
        issuer.people[variant] = {"sub": "ada"}
        assert code(accepting({"test": issuer}), "test", variant) == "TokenInvalid"
    assert issuer.count("/userinfo") == 0


def test_opaque_tokens_can_be_refused(issuer: TokenIssuer, accepting: Accepting) -> None:
    issuer.people["T"] = {"sub": "ada"}
    assert code(accepting({"test": issuer}, userinfo="never"), "test", "T") == "TokenInvalid"
    assert issuer.asked == []


@pytest.mark.parametrize("claims", [{"name": "nobody"}, {"sub": ""}, {"sub": 1}, ["ada"]])
def test_answers_about_nobody(issuer: TokenIssuer, accepting: Accepting, claims: Any) -> None:
    issuer.people["T"] = claims
    assert code(accepting({"test": issuer}), "test", "T") == "InfrastructureBusy"


def test_a_failing_userinfo_endpoint_is_no_wrong_token(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    issuer.people["T"] = {"sub": "ada"}
    verify = accepting({"test": issuer})
    issuer.status = 503
    assert code(verify, "test", "T") == "InfrastructureBusy"
    issuer.status = 200
    clock.now += 11
    assert code(verify, "test", "T") == ""


# -- roles --------------------------------------------------------------------------------------------------------

VO = "urn:mace:egi.eu:group:vo.openeo.cloud:role={}#aai.egi.eu"
ROLES = {"trial": [VO.format("30-Day-Trial")], "basic": [VO.format("Basic_User"), "/openeo/*", "openeo-*"]}


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, set()),
        ({"eduperson_entitlement": [VO.format("30-Day-Trial")]}, {"trial"}),
        ({"eduperson_entitlement": VO.format("Basic_User")}, {"basic"}),
        ({"eduperson_entitlement": [VO.format("30-Day-Trial"), VO.format("Basic_User")]}, {"trial", "basic"}),
        ({"eduperson_entitlement": [VO.format("Basic_User") + "x"]}, set()),
        ({"eduperson_entitlement": [7, None, {"a": 1}]}, set()),
        ({"realm_access": {"roles": ["openeo-user", "offline_access"]}}, {"basic"}),
        ({"realm_access": {"roles": ["not-openeo-user"]}}, set()),
        ({"realm_access": "openeo-user"}, set()),
        ({"groups": ["/openeo/project-a"]}, {"basic"}),
        ({"roles": ["openeo-user"]}, set()),
    ],
)
def test_entitlements_give_roles(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock, claims: Any, roles: set[str]
) -> None:
    assert accepting({"test": issuer}, roles=ROLES)("test", issuer.token(now=clock.now, **claims)).roles == roles


def test_entitlements_of_a_client_and_with_dots_in_their_name(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    places = ["resource_access.openeo.roles", "https://example.org/roles"]
    verify = accepting({"test": issuer}, roles=ROLES, entitlements=places, default_roles=["guest"])
    own = issuer.token(now=clock.now, resource_access={"openeo": {"roles": ["openeo-a"]}, "x": {"roles": ["y"]}})
    other = issuer.token(now=clock.now, resource_access={"another": {"roles": ["openeo-a"]}})
    dotted = issuer.token(now=clock.now, **{"https://example.org/roles": [VO.format("30-Day-Trial")]})
    assert [verify("test", token).roles for token in (own, other, dotted)] == [
        {"guest", "basic"},
        {"guest"},
        {"guest", "trial"},
    ]


def test_who_lacks_a_role_is_told_which(issuer: TokenIssuer, accepting: Accepting, clock: Clock) -> None:
    verify = accepting({"test": issuer}, roles=ROLES, required_roles=["basic", "trial"])
    with pytest.raises(OpenEOError, match=r"'basic' or 'trial'") as caught:
        verify("test", issuer.token(now=clock.now, groups=["/other"]))
    assert (caught.value.code, caught.value.status) == ("PermissionsInsufficient", 403)
    assert verify("test", issuer.token(now=clock.now, groups=["/openeo/a"])).roles == {"basic"}


def test_the_provider_can_be_asked_for_more_than_tokens_tell(
    issuer: TokenIssuer, accepting: Accepting, clock: Clock
) -> None:
    verify = accepting({"test": issuer}, roles=ROLES, userinfo="always")
    token = issuer.token(now=clock.now, groups=["/openeo/a"])
    issuer.people[token] = {"sub": "u-1", "name": "Ada", "eduperson_entitlement": [VO.format("30-Day-Trial")]}
    user = verify("test", token)
    assert (user.name, user.roles) == ("Ada", {"basic", "trial"})
    revoked = issuer.token(now=clock.now, jti="2")
    assert code(verify, "test", revoked) == "TokenInvalid"
    swapped = issuer.token(now=clock.now, jti="3")
    issuer.people[swapped] = {"sub": "root"}
    assert code(verify, "test", swapped) == "TokenInvalid"
