"""What the ledger tells: `python -m bot metrics`.

Stores and what they bring are imported when a command asks for them, so that `exec` starts quickly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from bot import settings
from bot.options import named

if TYPE_CHECKING:
    from bot.stores.database import Database

BY = ("developer", "repo", "class", "engine", "model", "line")
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(short_help="What a merged pull request costs, whether the ceilings bite, who spent what.")
@click.option("--since", type=_DAY, help="First day of the window, in the policy's time zone (UTC without).")
@click.option("--until", type=_DAY, help="The day after its last.")
@click.option("--by", type=click.Choice(BY), help="Split the spend.")
@click.option("--repo", default="", help="Only this repository, OWNER/NAME.")
@click.option("--class", "task_class", default="", help="Only runs of this class.")
@click.option("--developer", default="", help="Only this person's runs, by their login.")
@click.option("--line", help='Only runs on this budget line; "" is on none.')
@click.option(
    "--month", type=click.DateTime(["%Y-%m"]), help="The month by person, such as 2026-11, instead."
)
@click.option("--json", "as_json", is_flag=True, help="For machines: money as decimal strings.")
def metrics(
    since: datetime | None,
    until: datetime | None,
    by: str | None,
    repo: str,
    task_class: str,
    developer: str,
    line: str | None,
    month: datetime | None,
    as_json: bool,
) -> None:
    """Cost per merged pull request, budget exhaustion rate, tokens per task, spend and what it was for.

    With --month instead: who spent what on what. docs/metrics.md says how each figure is counted.
    """
    from bot.core import overview, rollup
    from bot.core.signals import Only
    from bot.stores.rollups import Rollups
    from bot.stores.signals import SignalStore

    if month is not None and (since or until or by or repo or task_class or developer or line is not None):
        raise click.UsageError("--month is a roll-up of its own: leave the other options out")
    with _ledger() as (database, zone):
        if month is not None:
            now = datetime.fromtimestamp(database.now_ms() / 1000, UTC)
            people = Rollups(database).read(f"{month:%Y-%m}", now, zone)
            click.echo(json.dumps(rollup.as_json(people), indent=2) if as_json else rollup.as_text(people))
            return
        only = Only(repo, task_class, line, developer)
        found = SignalStore(database).read(_ms(since, zone) or 0, _ms(until, zone), by, only, zone)
    click.echo(json.dumps(overview.as_json(found), indent=2) if as_json else overview.as_text(found))


@contextmanager
def _ledger() -> Iterator[tuple[Database, str]]:
    """The database and the policy's time zone; without tables it says what makes them, exit code 1."""
    from sqlalchemy.exc import SQLAlchemyError

    from bot.services import service_policy_of
    from bot.stores.database import Database

    env = settings.environment()
    with named():
        zone = service_policy_of(env.get("POLICY_FILE", "").strip()).caps.zone
    database = Database(env.get("DATABASE_URL", "").strip() or settings.DATABASE)
    try:
        yield database, zone
    except SQLAlchemyError:
        click.echo(
            "There is no ledger in this DATABASE_URL (yet): run `python -m bot migrate` first.", err=True
        )
        raise click.exceptions.Exit(1) from None
    finally:
        database.close()


def _ms(day: datetime | None, zone: str) -> int | None:
    """Midnight, as people in `zone` have it."""
    return None if day is None else int(day.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


COMMANDS = (metrics,)
