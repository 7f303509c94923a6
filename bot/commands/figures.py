"""What the ledger tells: `python -m bot metrics`, `whatif`, `export`.

Stores and what they bring are imported when a command asks for them, so that `exec` starts quickly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from bot import settings
from bot.commands.options import DAY, MONTH, Quantity, failed, named
from bot.core.money import Usd
from bot.core.quantities import duration, whole

if TYPE_CHECKING:
    from bot.core.caps import Caps
    from bot.stores.database import Database

BY = ("developer", "repo", "class", "engine", "model", "line")
FORMATS = ("ndjson", "csv", "parquet")


@click.command(short_help="What a merged pull request costs, whether the ceilings bite, who spent what.")
@click.option("--since", type=DAY, help="First day of the window, in the policy's time zone (UTC without).")
@click.option("--until", type=DAY, help="The day after its last.")
@click.option("--by", type=click.Choice(BY), help="Split the spend.")
@click.option("--repo", default="", help="Only this repository, OWNER/NAME.")
@click.option("--class", "task_class", default="", help="Only runs of this class.")
@click.option("--developer", default="", help="Only this person's runs, by their login.")
@click.option("--line", help='Only runs on this budget line; "" is on none.')
@click.option("--month", type=MONTH, help="The month by person, such as 2026-11, instead.")
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
    with _ledger() as (database, caps):
        if month is not None:
            now = database.utc()
            people = Rollups(database).read(f"{month:%Y-%m}", now, caps.zone, accounts=caps.accounts)
            click.echo(json.dumps(rollup.as_json(people), indent=2) if as_json else rollup.as_text(people))
            return
        only = Only(repo, task_class, line, developer)
        found = SignalStore(database).read(
            _ms(since, caps.zone) or 0, _ms(until, caps.zone), by, only, caps.zone
        )
    click.echo(json.dumps(overview.as_json(found), indent=2) if as_json else overview.as_text(found))


@click.command(short_help="Past runs under other ceilings; without any: the ceilings that they suggest.")
@click.option("--cost", type=Quantity("$", Usd.parse), help="Most dollars, such as 5 or $0.50.")
@click.option("--tokens", type=Quantity("N", whole), help="Most tokens, such as 800k.")
@click.option("--steps", type=Quantity("N", whole), help="Most answered requests to the model.")
@click.option("--wall", type=Quantity("TIME", duration), help="Most time, such as 90s or 20m.")
@click.option("--class", "task_class", default="", help="Only runs of this class.")
@click.option("--repo", default="", help="Only this repository, OWNER/NAME.")
@click.option("--since", type=DAY, help="First day on which they ended; four weeks ago.")
@click.option("--until", type=DAY, help="The day after the last; now.")
@click.option("--json", "as_json", is_flag=True, help="For machines: money as decimal strings.")
def whatif(
    cost: Usd | None,
    tokens: int | None,
    steps: int | None,
    wall: int | None,
    task_class: str,
    repo: str,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """Replay the turns of past runs under other ceilings: which would have halted earlier, at what saving.

    A ceiling that is not given is each run's own. Without any, ceilings are suggested for each class by what
    its successful runs needed, with what they would have halted. docs/metrics.md says what is approximated.
    """
    from bot.core import replay, suggest
    from bot.core.signals import Only
    from bot.stores.replays import Replays

    other, only = replay.Other(cost, tokens, steps, wall), Only(repo, task_class)
    with _ledger() as (database, caps):
        now, store = database.now_ms(), Replays(database)
        window = _ms(since, caps.zone) or now - 4 * suggest.WEEK, _ms(until, caps.zone) or now + 1
        count = store.count(*window, only)

        def past(what: str) -> Iterator[replay.Recorded]:
            found = store.recorded(*window, only)
            # Shown where somebody looks; elsewhere it says nothing.
            with click.progressbar(
                found, count, what, file=sys.stderr, hidden=not sys.stderr.isatty()
            ) as seen:
                yield from seen

        if other != replay.Other():
            tallies = replay.tally(past("Replaying"), lambda name: other)
            told = [suggest.tally_json(one) for one in tallies]
            click.echo(json.dumps(told, indent=2) if as_json else suggest.tallies_text(tallies, other))
            return
        made = {one.task_class: one for one in suggest.suggest(past("Reading"), now)}
        found = {
            one.task_class: one for one in replay.tally(past("Replaying"), lambda name: made[name].other)
        }
    shown = tuple(made.values())
    click.echo(
        json.dumps(suggest.suggestions_json(shown, found), indent=2)
        if as_json
        else suggest.suggestions_text(shown, found)
    )


@click.command(short_help="The ledger as a file for a warehouse: each row once.")
@click.option("--to", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file.")
@click.option("--format", "form", required=True, type=click.Choice(FORMATS))
@click.option(
    "--since-cursor",
    "--state",
    "state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only what is new since the cursor that this file keeps, which then moves on; --to is a new file.",
)
def export(to: Path, form: str, state: Path | None) -> None:
    """The ledger as one file of rows: turns, runs, pull requests, corrections, Cursor's events,
    refusals; in one schema.

    A row comes once for each (table, id, version), also when an export is killed. docs/metrics.md says how to
    load it; the schema for BigQuery and views for Looker are in bot/exports/warehouse/.
    """
    from bot.exports.warehouse import cursor, files
    from bot.exports.warehouse.export import export as exported
    from bot.stores.exported import Exported

    def say(count: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"{count:,} rows", err=True)

    with _ledger() as (database, _):
        try:
            count = exported(Exported(database), to, form, state, say)
        except (files.NoParquet, cursor.Unreadable) as error:
            raise failed([str(error)]) from None
        except cursor.NotNow as error:
            raise failed([f"{error}. Nothing was written."]) from None
        except OSError as error:
            raise failed([f"{error.filename or to}: {error.strerror}. Nothing was changed."]) from None
    click.echo(f"{count:,} rows in {to}", err=True)


@contextmanager
def _ledger() -> Iterator[tuple[Database, Caps]]:
    """The database and the policy's caps; one that cannot be read ends with why, exit code 1."""
    from sqlalchemy.exc import SQLAlchemyError

    from bot.services import database_of, service_policy_of
    from bot.stores import opening

    env = settings.environment()
    with named():
        caps = service_policy_of(env.get("POLICY_FILE", "").strip()).caps
        database = database_of(env.get("DATABASE_URL", "").strip() or settings.DATABASE)
    try:
        opening.check_to_read(database)
        yield database, caps
    except opening.Unusable as why:
        raise failed([f"{why}."]) from None
    except SQLAlchemyError as error:
        raise failed([f"{opening.unusable(database, error)}."]) from None
    finally:
        database.close()


def _ms(day: datetime | None, zone: str) -> int | None:
    """Midnight, as people in `zone` have it."""
    return None if day is None else int(day.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


COMMANDS = (metrics, whatif, export)
