"""A PostgreSQL server that goes and comes back: nothing meets a connection that has died meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.prices import Cost
from bot.core.usage import Usage
from bot.stores.account import Ask, Hold, Settlement
from bot.stores.database import STEADY, STEADY_SESSION, Database
from bot.stores.ledger import Ledger
from bot.stores.looks import Looks
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from tests import servers

AMPLE = Ceilings(Usd.parse("1000"), 10**9, 10**6, 3600)
ASK = Ask(nanos=1_000_000, tokens=1_000, cached=0, max_tokens=100, model="claude-opus-4-7", prefix="")
USED = Settlement(Cost(input=Usd(700_000)), Usage(model=ASK.model), False, "json", 200)


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Restartable]:
    with servers.restartable() as made:
        yield made


@pytest.fixture
def database(server: servers.Restartable) -> Iterator[Database]:
    with servers.database(server.url) as url:
        made = Database(url)
        made.migrate()
        yield made
        made.close()


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    made = Ledger(database, "test")
    yield made
    made.close()


@pytest.fixture
def run(database: Database) -> str:
    made, runs = new_id(), Runs(database)
    assert runs.open(NewRun(made, "github", AMPLE, "default", "opus", "claude-opus-4-7", "test"))
    assert runs.claim(made, 1, token_hash(new_token()), 1)
    return made


def held(ledger: Ledger, run: str) -> Hold:
    hold = ledger.hold(run, 1, ASK)
    assert isinstance(hold, Hold)
    return hold


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_after_a_restart_no_hold_is_refused_for_a_connection_that_died_with_the_server(
    server: servers.Restartable, ledger: Ledger, run: str, mode: str
) -> None:
    at_once = threading.Barrier(8)

    def hold(_: int) -> Hold:
        at_once.wait(30)
        return held(ledger, run)

    with ThreadPoolExecutor(8) as pool:  # each has had a connection of its own
        before = list(pool.map(hold, range(8)))
        server.stop(mode)
        server.start()
        after = list(pool.map(hold, range(8)))
    assert len({one.turn for one in before + after}) == 16


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_an_answer_that_ends_while_the_server_is_away_is_booked_for_what_it_used(
    server: servers.Restartable, ledger: Ledger, run: str, mode: str
) -> None:
    settled, released = held(ledger, run), held(ledger, run)
    server.stop(mode)
    with ThreadPoolExecutor(2) as pool:
        booking = pool.submit(ledger.settle, settled, USED)
        giving_back = pool.submit(ledger.release, released, 529, "error")
        server.start()
        booking.result(90)
        giving_back.result(90)
    account = ledger.account_of(run)
    assert (account.spent, account.held, account.steps) == (USED.cost.total, Usd(0), 1)
    assert ledger.expire(run) == 0


def test_a_look_whose_end_the_database_was_not_told_holds_nobody_up(
    server: servers.Restartable, database: Database
) -> None:
    looks, other = Looks(database, "this one"), Looks(database, "another")
    assert looks.begin("deliveries") is not None
    assert looks.begin("deliveries") is None, "it is under way here"
    server.stop("immediate")
    with pytest.raises(sa.exc.OperationalError):
        looks.end("deliveries", 1)
    server.start()
    assert other.begin("deliveries") is None, "another process cannot know"
    assert looks.begin("deliveries") is not None


def test_both_ends_of_every_connection_give_up_on_a_host_that_says_nothing(
    database: Database, ledger: Ledger
) -> None:
    names = ", ".join(f"'{name}'" for name in STEADY_SESSION)
    asked = f"SELECT name, setting FROM pg_settings WHERE name IN ({names})"
    with database.read() as tx:
        told = {row[0]: row[1] for row in tx.execute(sa.text(asked))}
        own: Any = tx.connection.driver_connection
        assert STEADY.items() <= own.info.get_parameters().items()
    with ledger.driver.write() as send:
        assert told == dict(send(asked, ())) == dict(ledger.driver.read(asked, ())) == STEADY_SESSION


def test_who_sets_them_in_the_address_is_obeyed() -> None:
    url = Database("postgresql://nobody@nowhere/nothing?connect_timeout=3").url
    assert "connect_timeout=3" in url
    assert "keepalives_idle=5" in url
