"""How long a lead waits for a page, with a year of many runs in the ledger, and how that grows.

make bench-scale
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks import peers
from benchmarks.seed import YEAR, analyse, forget, seed, turns
from bot.core.caps import month_of
from bot.core.signals import Only
from bot.stores.database import Database
from bot.stores.quarters import Quarters
from bot.stores.rollups import Rollups
from bot.stores.signals import SignalStore
from tests import servers

DAY = 86_400_000
TIMES = 20


@click.command()
@click.option("--postgresql", default=200_000, show_default=True, help="Runs there; 0 leaves it out.")
@click.option("--sqlite", default=20_000, show_default=True, help="Runs there; 0 leaves it out.")
def main(postgresql: int, sqlite: int) -> None:
    """Milliseconds of each question, median and p95 of twenty, at a tenth of the runs and at all of them."""
    click.echo(f"Tollgate {peers.commit()}; {peers.machine()}")
    figures = []
    with ExitStack() as stack:
        places = []
        if sqlite:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            places.append(("sqlite", f"sqlite:///{home / 'tollgate.db'}", sqlite))
        if postgresql:
            places.append(("postgresql", stack.enter_context(servers.postgresql()), postgresql))
        for kind, url, runs in places:
            database = Database(url)
            database.migrate()
            now = database.now_ms()
            tenth = runs // 10
            for first, count in ((0, tenth), (tenth, runs - tenth)):
                began = time.monotonic()
                seed(database, first, count, now, lambda said: click.echo(said, err=True))
                seeded = time.monotonic()
                forget(database)
                Quarters(database).roll()
                analyse(database)
                click.echo(
                    f"{kind}: {first + count:,} runs, {turns(database):,} turns, seeded in "
                    f"{seeded - began:.0f} s, rolled up in {time.monotonic() - seeded:.0f} s"
                )
                click.echo(f"  {'ms':<40}{'median':>9}{'p95':>9}")
                for name, ask in questions(database, now).items():
                    median, p95 = timed(ask)
                    click.echo(f"  {name:<40}{median:>9.0f}{p95:>9.0f}")
                    figures.append(
                        {"database": kind, "runs": first + count, "of": name, "p50_ms": median, "p95_ms": p95}
                    )
            database.close()
    click.echo(json.dumps({"bench": "scale", "figures": figures}))


def questions(database: Database, now: int) -> dict[str, Callable[[], Any]]:
    store, month = SignalStore(database), now - 30 * DAY
    today = datetime.fromtimestamp(now / 1000, UTC)
    seen = frozenset(range(20))
    return {
        "overview, 30 days": lambda: store.read(month, now, "developer"),
        "overview, 30 days, 20 repositories": lambda: store.read(month, now, "repo", Only(visible=seen)),
        "overview, 90 days": lambda: store.read(now - 90 * DAY, now, "developer"),
        "overview, the year": lambda: store.read(now - YEAR, now, "developer"),
        "by model, 30 days": lambda: store.read(month, now, "model"),
        "one pull request": lambda: store.pull(3 * 31 % 120, 3),
        "people, one month": lambda: Rollups(database).read(month_of(now, "UTC"), today),
    }


def timed(ask: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds: median, and what nineteen in twenty do not exceed."""
    took = []
    for _ in range(TIMES):
        began = time.monotonic()
        ask()
        took.append((time.monotonic() - began) * 1000)
    took.sort()
    return took[TIMES // 2], took[TIMES * 95 // 100 - 1]


if __name__ == "__main__":
    main()
