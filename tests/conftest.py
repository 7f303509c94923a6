"""What every test may use: a database of each kind, made anew for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from bot.stores.database import Database
from tests import servers
from tests.copies import Copies

# No test is measured against a clock: a busy machine would fail it.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A real PostgreSQL server of this test process; its URL."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return Copies(tmp_path_factory.mktemp("copies"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each in turn."""
    return str(request.param)


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'tollgate.db'}"
        return
    with servers.database(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def migrated_url(
    database_kind: str, copies: Copies, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """The URL of one with all tables, as `python -m bot migrate` makes them, and nothing in them."""
    if database_kind == "sqlite":
        yield copies.sqlite(tmp_path / "tollgate.db", queue=True)
        return
    with copies.postgresql(request.getfixturevalue("postgresql"), queue=True) as url:
        yield url


@pytest.fixture
def database(
    database_kind: str, copies: Copies, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Database]:
    """An empty database at this version's schema."""
    with ExitStack() as stack:
        if database_kind == "sqlite":
            url = copies.sqlite(tmp_path / "tollgate.db")
        else:
            url = stack.enter_context(copies.postgresql(request.getfixturevalue("postgresql")))
        made = Database(url)
        stack.callback(made.close)
        yield made
