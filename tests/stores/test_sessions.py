"""Browsers that are signed in: for as long as was said, by a hash, and until they sign out."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bot.core.places import Repo
from bot.core.roles import Role
from bot.core.visibility import Access
from bot.stores.database import Database
from bot.stores.sessions import Sessions, hashed, new_cookie
from bot.stores.tables import sessions

ACCESS = (Access(Repo(1, 2, "acme/calendar"), Role.WRITE), Access(Repo(1, 3, "acme/ünï"), Role.READ))


@pytest.fixture
def store(database: Database) -> Sessions:
    return Sessions(database)


def test_a_cookie_finds_its_session_with_what_github_said(store: Sessions) -> None:
    cookie = new_cookie()
    store.open(cookie, 7, "dana", "sealed", 60, ACCESS)
    found = store.find(cookie)
    assert found is not None
    assert (found.person, found.login, found.sealed, found.access) == (7, "dana", "sealed", ACCESS)
    assert 0 <= found.age < 60_000
    assert store.find(new_cookie()) is None
    assert store.find(found.id) is None, "what the database keeps is no cookie"


def test_the_database_keeps_no_cookie(store: Sessions) -> None:
    cookie = new_cookie()
    store.open(cookie, 7, "dana", "sealed", 60, ACCESS)
    with store.database.read() as tx:
        row = tx.execute(sa.select(sessions)).one()
    assert cookie not in str(row)
    assert row.id == hashed(cookie)


def test_a_session_that_is_over_is_not_found_and_goes_with_the_next(store: Sessions) -> None:
    old = new_cookie()
    store.open(old, 7, "dana", "sealed", -1, ACCESS)
    assert store.find(old) is None
    store.open(new_cookie(), 8, "max", "sealed", 60, ACCESS)
    with store.database.read() as tx:
        assert tx.execute(sa.select(sessions.c.login)).scalars().all() == ["max"]


def test_a_session_that_was_ended_stays_ended_whatever_github_says_later(store: Sessions) -> None:
    cookie = new_cookie()
    store.open(cookie, 7, "dana", "sealed", 60, ACCESS)
    store.looked(hashed(cookie), "dana-2", ACCESS[:1])
    found = store.find(cookie)
    assert found is not None
    assert (found.login, found.access) == ("dana-2", ACCESS[:1])
    store.end(cookie)
    store.looked(hashed(cookie), "dana", ACCESS)
    assert store.find(cookie) is None
