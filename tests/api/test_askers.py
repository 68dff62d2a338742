"""For whom threads and time are shared."""

from __future__ import annotations

from openeo_backend.api import askers
from openeo_backend.api.askers import Askers


def head(authorization: str = "", forwarded: str = "") -> bytes:
    lines = ["GET / HTTP/1.1", "Host: x"]
    lines += [f"Authorization: {authorization}"] if authorization else []
    lines += [f"X-Forwarded-For: {forwarded}"] if forwarded else []
    return "\r\n".join([*lines, "", "Authorization: in the body"]).encode()


def test_t16_all_tokens_of_a_user_are_that_user() -> None:
    found = Askers()
    found.learn("Bearer basic//one", "ada")
    found.learn("Bearer basic//two ", "ada")
    found.learn("Bearer basic//three", "bob")
    one, two, three = (found.of_head(head(f"Bearer basic//{name}"), "192.0.2.1") for name in ("one", "two", "three"))
    assert one == two != three
    assert found.of_environ({"HTTP_AUTHORIZATION": "Bearer basic//two", "REMOTE_ADDR": "192.0.2.9"}) == one


def test_t16_made_up_tokens_are_one_stranger() -> None:
    """However many somebody makes up, they wait behind each other."""
    found = Askers()
    keys = {found.of_head(head(f"Bearer {number}"), "192.0.2.1") for number in range(100)}
    assert keys == {found.of_head(head(), "192.0.2.1")}
    assert found.of_head(head(), "192.0.2.2") not in keys
    assert found.of_head(head(), "") not in keys


def test_strangers_are_told_apart_by_networks() -> None:
    found = Askers()
    assert found.of_head(head(), "2001:db8::1") == found.of_head(head(), "2001:db8::2:3")
    assert found.of_head(head(), "2001:db8::1") != found.of_head(head(), "2001:db8:0:1::1")
    assert found.of_head(head(), "::ffff:192.0.2.1") == found.of_head(head(), "192.0.2.1")


def test_proxies_tell_addresses_where_they_are_trusted() -> None:
    direct, behind = Askers(), Askers(proxies=1)
    assert direct.of_head(head(forwarded="192.0.2.7"), "10.0.0.1") == direct.of_head(head(), "10.0.0.1")
    one, other = (behind.of_head(head(forwarded=f"9.9.9.9, 192.0.2.{n}"), "10.0.0.1") for n in (7, 8))
    assert one == behind.of_environ({"HTTP_X_FORWARDED_FOR": "1.1.1.1,192.0.2.7", "REMOTE_ADDR": "10.0.0.1"}) != other


def test_only_so_many_are_remembered() -> None:
    found = Askers()
    for number in range(askers.MOST_KNOWN + 5):
        found.learn(f"Bearer {number}", f"user {number}")
    stranger = found.of_head(head(), "192.0.2.1")
    assert found.of_head(head("Bearer 4"), "192.0.2.1") == stranger
    assert found.of_head(head("Bearer 5"), "192.0.2.1") != stranger
