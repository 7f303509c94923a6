"""What whoever runs the service types: migrate, backup, restored, worker, serve, reconcile, cursor, pause …

The service's parts are imported when a command asks for them, so that `exec` starts quickly.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot import settings
from bot.commands.options import DAY, failed, named, who
from bot.core.money import Usd

if TYPE_CHECKING:
    from bot.services import Services


@click.command()
def migrate() -> None:
    """Bring the database to this version's schema. Run it before web and worker, also after an upgrade."""
    from bot import services

    # The App is registered after the database is there: only DATABASE_URL counts here.
    with named():
        services.migrate(settings.look(settings.environment())[0])


@click.command(short_help="Copy the SQLite database into FILE while it is served.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Copy the SQLite database into FILE, as it is at one moment, while it is served; each page is looked at.

    FILE must not be there yet. With PostgreSQL use pg_dump or the server's own backups. Nothing is served
    from a copy before `python -m bot restored`.
    """
    from bot.services import database_of
    from bot.stores.backup import CannotCopy, copy
    from bot.stores.opening import Unusable

    with named():
        database = database_of(settings.look(settings.environment())[0].database_url)
    try:
        size = copy(database, file)
    except (CannotCopy, Unusable) as error:
        raise failed([str(error)]) from None
    finally:
        database.close()
    click.echo(f"{file}: {size} bytes, looked through and whole")


@click.command(short_help="Say that the database is an older copy, before anything is served from it.")
def restored() -> None:
    """Say that the database of DATABASE_URL is an older copy, before web and worker start on it.

    Everything is paused; runs that were live in it are over, and stories that were under way are not told
    again. What was spent since is in nobody's month: `python -m bot reconcile` shows it, `unpause` goes on.
    """
    from bot.services import make_old

    with named():
        found = make_old(settings.look(settings.environment())[0], who())
    at = (
        f"; it knows nothing since {datetime.fromtimestamp(found.at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        if found.at
        else ""
    )
    click.echo(
        f"Everything is paused: {found.runs} runs and {found.stories} stories of then do not go on{at}."
    )
    click.echo("Next: `python -m bot reconcile`, then `python -m bot unpause`.")


@click.command(short_help="Tell the stories that the web process enqueues.")
def worker() -> None:
    """The durable worker: tells the stories that the web process (gunicorn app:app) enqueues.

    With SETUP=1 it waits until there is an App.
    """
    while settings.set_up_mode(settings.environment()):
        time.sleep(1)
    from bot import services
    from bot.stories.worker import work

    with named(), services.opened(_settings(), "worker") as opened_services:
        work(opened_services, more=_telling(opened_services))


def _telling(opened: Services) -> Iterable[tuple[float, Callable[[], object]]]:
    """What a collector is told periodically; where there is none, nothing is imported for it either."""
    if not (opened.settings.telemetry.traces or opened.settings.telemetry.metrics):
        return ()
    from bot.exports import otel

    return otel.loops(opened)


@click.command(short_help="Web and worker together on this machine.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
def serve(host: str, port: int) -> None:
    """Web and worker together on this machine; prints one line of JSON with the URL when both are ready.

    With SETUP=1 and no App yet, only the set-up page is: its address is shown first.
    """
    from bot.web.serve import serve as serve_both

    if not settings.set_up_mode(settings.environment()):
        _settings()
    raise click.exceptions.Exit(serve_both(settings.environment(), host, port))


@click.command(short_help="The ledger against Anthropic's reports; deliveries against GitHub's log.")
@click.option("--deliveries", is_flag=True, help="Receive what GitHub's log has and this service missed.")
@click.option("--from", "since", type=DAY, help="First day, UTC; three days ago.")
@click.option("--to", "until", type=DAY, help="The day after the last, UTC; now.")
@click.option("--threshold", help="Drift up to which all is well, such as $0.50; else `drift` of the policy.")
@click.option("--json", "as_json", is_flag=True, help="For machines: money as decimal strings.")
def reconcile(
    deliveries: bool, since: datetime | None, until: datetime | None, threshold: str | None, as_json: bool
) -> None:
    """The ledger against Anthropic's usage and cost reports; needs ANTHROPIC_ADMIN_KEY.

    What was charged whole because its usage was never told is corrected in further rows; where ledger and
    invoice differ still, the drift is shown with its kind and runs. Exit code: 1 when the usage report could
    not be read, and nothing was changed; 3 when the drift is above the threshold, or the cost report could
    not be read.

    With --deliveries: GitHub's log of what it delivered since the last look against what came, which a
    worker does every five minutes. What did not come is received now and told, one line of JSON each.
    """
    if deliveries:
        _deliveries()
        return
    from bot import services
    from bot.clients.usage_api import UsageError
    from bot.core import statement
    from bot.core.reconcile import Finding
    from bot.core.times import DAY_MS
    from bot.stories.reconcile import DAYS
    from bot.stories.reconcile import reconcile as reconciled

    def say(finding: Finding) -> None:
        if finding.books:
            at = datetime.fromtimestamp(finding.stretch.since / 1000, UTC)
            click.echo(f"{at:%Y-%m-%d %H:%M} corrected by {finding.correction.usd}", err=True)

    def read(report: str, pages: int) -> None:
        click.echo(f"{report}: page {pages}", err=True)

    most = _amount(threshold)
    with named(), services.opened(_settings(), "reconcile") as opened_services:
        now = opened_services.database.now_ms()
        first = _ms(since) or (now // DAY_MS - DAYS) * DAY_MS
        most = opened_services.policy.drift if most is None else most
        try:
            found = reconciled(opened_services, first, min(now, _ms(until) or now), now, say=say, read=read)
        except UsageError as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(1) from None
    told = found.findings, found.drifts, found.unread
    click.echo(json.dumps(statement.as_json(*told), indent=2) if as_json else statement.as_text(*told))
    if found.loud > most:
        click.echo(f"ledger and invoice differ by {found.loud}, more than {most}", err=True)
    raise click.exceptions.Exit(3 if found.loud > most or found.unread else 0)


@click.command(short_help="Import what Cursor's admin API tells, into people's months.")
@click.option("--from", "since", type=DAY, help="First day, UTC; three days ago.")
@click.option("--to", "until", type=DAY, help="The day after the last, UTC; now.")
@click.option("--json", "as_json", is_flag=True, help="For machines: money as decimal strings.")
def cursor(since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Import what people used with Cursor, as its admin API tells, now; needs CURSOR_ADMIN_KEY.

    A worker does it every hour. Done again nothing changes, unless Cursor tells otherwise by now: then the
    difference is booked as a further row. Exit code: 1 when something could not be read; what was booked
    before that stands, and the next import goes on.
    """
    from bot import services
    from bot.clients.cursor import CursorError
    from bot.core import cursor_words
    from bot.core.times import DAY_MS
    from bot.stores.cursor import Superseded
    from bot.stories.cursor import DAYS, imported

    def say(report: str, page: int) -> None:
        click.echo(f"{report}: page {page}", err=True)

    def tell(words: str) -> None:
        click.echo(words, err=True)

    with named(), services.opened(_settings(), "cursor") as opened_services, _registered(opened_services):
        now = opened_services.database.now_ms()
        first = _ms(since) or (now // DAY_MS - DAYS) * DAY_MS
        try:
            found = imported(opened_services, first, min(now, _ms(until) or now), say, tell)
        except (CursorError, Superseded) as error:
            raise failed([str(error)]) from None
    click.echo(json.dumps(cursor_words.as_json(found), indent=2) if as_json else cursor_words.as_text(found))
    raise click.exceptions.Exit(1 if found.unread else 0)


@click.command(short_help="Stop everything, or one repository: nothing starts, what runs is halted.")
@click.option("--repo", default="", help="Only this repository, OWNER/NAME.")
@click.option("--reason", default="", help="Why; it stands in every refusal.")
def pause(repo: str, reason: str) -> None:
    """Stop everything, or one repository: nothing starts any more, and live runs are halted at once.

    What they made is kept, and each can be resumed after `unpause`. Who paused and why stands in every
    refusal and in the audit log.
    """
    from bot import services

    with named(), services.opened(_settings(), "pause") as opened_services:
        halted = opened_services.switch.pause(repo, who(), reason)
        runs = f"{halted} live run{'s were' if halted != 1 else ' was'} halted"
        click.echo(f"{opened_services.switch.paused(repo)}. {runs}. `python -m bot unpause` lifts it.")


@click.command(short_help="Lift a pause.")
@click.option("--repo", default="", help="Of this repository, OWNER/NAME.")
def unpause(repo: str) -> None:
    """Lift a pause. What it has halted stays halted, and can be resumed. Exit code: 1 if there was none."""
    from bot import services

    with named(), services.opened(_settings(), "pause") as opened_services:
        lifted = opened_services.switch.unpause(repo, who())
        still = [str(one) for one in opened_services.switch.all()]
    where = f"in {repo}" if repo else "everywhere"
    click.echo(f"Agent runs go on {where}." if lifted else f"Nothing was paused {where}.")
    for one in still:
        click.echo(f"Still: {one}.")
    raise click.exceptions.Exit(0 if lifted else 1)


@click.command(short_help="Which laptops are logged in; end a login.")
@click.option("--revoke", default="", metavar="ID", help="End this one: what it runs is halted.")
def logins(revoke: str) -> None:
    """Which laptops are logged in to this service, of whom, until when; the newest first.

    With --revoke a login is good for nothing any more; exit code 1 if there is none of that id.
    """
    from bot import services
    from bot.stories.login import log_out

    with named(), services.opened(_settings(), "logins") as opened_services:
        if revoke:
            halted = log_out(opened_services, revoke, who())
            if halted is None:
                raise failed([f"There is no login {revoke}."])
            runs = f"{halted} live run{'s were' if halted != 1 else ' was'} halted"
            click.echo(f"Login {revoke} is ended; {runs}.")
            return
        for one in opened_services.laptops.all():
            until = datetime.fromtimestamp(one.expires_at / 1000, UTC)
            click.echo(f"{one.id}  {one.actor}  {one.machine}  until {until:%Y-%m-%d}")


@contextmanager
def _registered(opened: Services) -> Iterator[None]:
    """So that others see when this process is gone."""
    opened.processes.start(opened.process)
    try:
        yield
    finally:
        opened.processes.stop(opened.process.id)


def _deliveries() -> None:
    from bot import services
    from bot.clients.github import GitHubError
    from bot.stories import missed

    with named(), services.opened(_settings(), "reconcile") as opened_services:
        try:
            looked = missed.look(opened_services, lambda found: click.echo(json.dumps(asdict(found))))
        except GitHubError as error:
            click.echo(f"{error}; the rest is found by the next look", err=True)
            raise click.exceptions.Exit(1) from None
    click.echo("nothing else was missed" if looked else "another process is looking just now", err=True)


def _settings() -> settings.Settings:
    with named():
        return settings.read(settings.environment())


def _amount(text: str | None) -> Usd | None:
    try:
        return None if text is None else Usd.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--threshold") from None


def _ms(day: datetime | None) -> int | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp() * 1000)


COMMANDS = (migrate, backup, restored, worker, serve, reconcile, cursor, pause, unpause, logins)
