"""Accounts and tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from openeo_backend.store.database import StoreError
from openeo_backend.store.schema import tokens, users
from openeo_backend.store.store import Store
from openeo_backend.store.users import hash_password, matches


def test_a_password_opens_its_account_only(store: Store) -> None:
    store.users.add("ada", "lovelace", roles=["admin"])
    store.users.add("bob", "builder")
    account = store.users.check("ada", "lovelace")
    assert account is not None
    assert account.id == "ada"
    assert account.roles == {"admin"}
    assert store.users.check("ada", "builder") is None
    assert store.users.check("ada", "") is None
    assert store.users.check("eve", "lovelace") is None


def test_names_are_unique_unless_replaced(store: Store) -> None:
    store.users.add("ada", "one")
    with pytest.raises(StoreError, match="the user ada exists already"):
        store.users.add("ada", "two")
    token = store.tokens.issue("ada", timedelta(hours=1))
    store.users.add("ada", "two", replace=True)
    assert store.users.check("ada", "one") is None
    assert store.users.check("ada", "two") is not None
    assert store.tokens.account(token) is None


@pytest.mark.parametrize("name", ["", "a b", "a/b", "~a", "ä", "x" * 65, "a\n"])
def test_unusable_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="a user name has"):
        store.users.add(name, "secret")


def test_neither_passwords_nor_tokens_are_kept(store: Store) -> None:
    store.users.add("ada", "lovelace")
    token = store.tokens.issue("ada", timedelta(hours=1))
    with store.database.read() as connection:
        kept = str(connection.execute(select(users)).all()) + str(connection.execute(select(tokens)).all())
    assert "lovelace" not in kept
    assert token not in kept


def test_the_same_password_is_kept_differently_each_time() -> None:
    one, two = hash_password("x"), hash_password("x")
    assert one != two
    assert matches("x", one)
    assert matches("x", two)
    assert not matches("y", one)


def test_tokens_stand_for_their_user_until_they_end(store: Store) -> None:
    store.users.add("ada", "lovelace")
    token, old = (store.tokens.issue("ada", timedelta(seconds=s)) for s in (60, -1))
    account = store.tokens.account(token)
    assert account is not None
    assert account.id == "ada"
    assert store.tokens.account(old) is None
    assert store.tokens.account(token + "x") is None
    store.tokens.revoke(token)
    assert store.tokens.account(token) is None


def test_tokens_end_with_their_account(store: Store) -> None:
    store.users.add("ada", "lovelace")
    token = store.tokens.issue("ada", timedelta(hours=1))
    assert store.users.delete("ada")
    assert store.tokens.account(token) is None
    assert not store.users.delete("ada")
