"""Users that log in with a password, and their tokens. Neither passwords nor tokens are kept, only hashes."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from openeo_backend.store.database import Database, StoreError
from openeo_backend.store.schema import tokens, users
from openeo_backend.store.types import now

#: Work factors of scrypt: 16 MB and some 50 ms per guess.
COST, BLOCK, PARALLEL = 2**14, 8, 1

NAME = re.compile(r"\w[\w.\-]{0,63}", re.ASCII)


#: Every request asks this: building the query would take as long as answering it.
_OF_TOKEN = select(users).join(tokens).where(tokens.c.hash == bindparam("digest"), tokens.c.expires > now())


@dataclass(frozen=True)
class Account:
    """A user with a password."""

    id: str
    roles: frozenset[str]
    created: datetime


class Users:
    """Accounts by name. The name is the user's id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, password: str, roles: Iterable[str] = (), *, replace: bool = False) -> None:
        """Create an account; with `replace`, an existing one gets the password and roles.

        :raises StoreError: for an unusable name, an empty password, or a name that is taken.
        """
        if not NAME.fullmatch(name):
            raise StoreError(
                "a user name has 1 to 64 letters, digits, '_', '-' or '.', and starts with a letter or digit"
            )
        if not password:
            raise StoreError("the password is empty")
        values = {"password": hash_password(password), "roles": sorted(roles)}
        with self._database.write() as connection:
            if replace and connection.execute(update(users).where(users.c.id == name).values(**values)).rowcount:
                connection.execute(delete(tokens).where(tokens.c.user_id == name))
                return
            try:
                connection.execute(insert(users).values(id=name, created=now(), **values))
            except IntegrityError as error:
                raise StoreError(f"the user {name} exists already") from error

    def get(self, name: str) -> Account | None:
        with self._database.read() as connection:
            row = connection.execute(select(users).where(users.c.id == name)).one_or_none()
        return None if row is None else _account(row)

    def check(self, name: str, password: str) -> Account | None:
        """The account, if the password is right. Unknown names take as long as wrong passwords."""
        with self._database.read() as connection:
            row = connection.execute(select(users).where(users.c.id == name)).one_or_none()
        right = matches(password, row.password if row is not None else _NOBODY)
        return _account(row) if row is not None and right else None

    def delete(self, name: str) -> bool:
        """Remove an account with its tokens; False if there was none."""
        with self._database.write() as connection:
            return connection.execute(delete(users).where(users.c.id == name)).rowcount > 0


class Tokens:
    """Tokens that stand for a user for some hours."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, user: str, lifetime: timedelta) -> str:
        """A new token for an account."""
        token = secrets.token_urlsafe(32)
        with self._database.write() as connection:
            connection.execute(delete(tokens).where(tokens.c.expires < now()))
            connection.execute(
                insert(tokens).values(
                    hash=_digest(token), user_id=user, created=now(), expires=now() + lifetime.total_seconds()
                )
            )
        return token

    def account(self, token: str) -> Account | None:
        """The account a token stands for; None if it is unknown or has expired."""
        with self._database.read() as connection:
            row = connection.execute(_OF_TOKEN, {"digest": _digest(token)}).one_or_none()
        return None if row is None else _account(row)

    def revoke(self, token: str) -> None:
        with self._database.write() as connection:
            connection.execute(delete(tokens).where(tokens.c.hash == _digest(token)))


def hash_password(password: str) -> str:
    """The salted hash to keep instead of a password."""
    salt = os.urandom(16)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${salt.hex()}${_scrypt(password, salt, COST, BLOCK, PARALLEL).hex()}"


def matches(password: str, kept: str) -> bool:
    """Whether `kept` is the hash of `password`, in constant time."""
    _, cost, block, parallel, salt, expected = kept.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, bytes.fromhex(expected))


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=cost, r=block, p=parallel, maxmem=2**27, dklen=32
    )


#: What passwords of unknown users are compared with: no password has this hash.
_NOBODY = f"scrypt${COST}${BLOCK}${PARALLEL}${'00' * 16}${'00' * 32}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _account(row: Any) -> Account:
    return Account(row.id, frozenset(row.roles), row.created)
