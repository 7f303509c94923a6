"""`python -m bot …`: what a person or a script types (INTERFACE section 6)."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bot import settings
from bot.core import reports
from bot.core.ceilings import CLASSES, Ceilings
from bot.core.explain import explain as explained
from bot.core.money import Usd
from bot.core.reports import Report
from bot.exam.command import exam
from bot.local import CannotStart, Local, opened, watched
from bot.options import (
    HALTED,
    MODEL,
    REFUSED,
    Bounded,
    ceilings_of,
    ceilings_options,
    keeping_options,
    key_and_upstream,
    policy_of,
    policy_option,
    price_book,
    refuse,
    who,
)
from bot.runner.engines import Event
from bot.runner.group import bounded
from bot.runner.joblog import event_line
from bot.runner.local import run_local
from bot.setup import setup
from bot.stores.ledger import Account

EXAMPLES = """\b
python -m bot exec --cost 2 -- claude -p "fix the failing test"
python -m bot run --cost 2 "make the leap year test pass"
python -m bot explain --comment '/agent fix cost=$9' --role write
python -m bot metrics --since 2026-11-01 --by developer
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXAMPLES
)
def main() -> None:
    """Claude under four hard ceilings: tokens, dollars, steps, wall-clock."""


@main.command(
    "exec",
    cls=Bounded,
    short_help="Run any program that speaks the Messages API under ceilings.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@ceilings_options
@policy_option
@keeping_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def exec_(
    command: tuple[str, ...],
    cost: Usd | None,
    tokens: int | None,
    steps: int | None,
    wall: int | None,
    model_prices: Path | None,
    policy: Path | None,
    state: Path | None,
    report: Path | None,
) -> None:
    """Run a program that speaks the Messages API under ceilings: exec --cost 2 -- CMD…

    CMD finds ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY pointing at a gateway on this machine, which forwards
    to the ones that were set here. At a halt CMD's whole process group is ended. Ceilings not given come
    from ANTHROPIC_COST_BUDGET and ANTHROPIC_TOKEN_BUDGET, else from the policy, else $10, 800k tokens, 50
    steps, 20m.

    Exit code: CMD's own; 3 after a halt; 4 when nothing was started.
    """
    env = settings.environment()
    said = policy_of(policy)
    ceilings, sources = ceilings_of(env, "default", cost, tokens, steps, wall, said)
    named = {"engine": command[0], "rules": said.rules}
    with _opened(env, "exec", ceilings, sources, model_prices, state, report, **named) as local:
        child = {k: v for k, v in env.items() if not k.startswith("ANTHROPIC_AUTH")}
        child |= {"ANTHROPIC_BASE_URL": local.url, "ANTHROPIC_API_KEY": local.token}
        try:
            with watched(local, _progress):
                code = bounded(list(command), child, local.halted)
            message = "" if code == 0 else f"the command exited with {code}"
        except FileNotFoundError:
            code, message = REFUSED, f"{command[0]}: there is no such command"
        local.end("failed" if message else "done", message)
        code = code if local.report().outcome != "halted" else HALTED
    raise click.exceptions.Exit(code)


@main.command(cls=Bounded, short_help="Let the native agent work on a local checkout under ceilings.")
@ceilings_options
@policy_option
@keeping_options
@click.option(
    "--repo",
    default=".",
    show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The checkout to work in; its files are edited in place.",
)
@click.option(
    "--class",
    "task_class",
    default="default",
    show_default=True,
    type=click.Choice([name for name in CLASSES if name not in ("sweep", "split")]),
    help="Kind of task: what holds where no ceiling is given, and how the agent is told to go about it.",
)
@click.option("--check", "check_command", help="A command that shows whether it works now, run at the end.")
@click.option("--model", default=MODEL, show_default=True)
@click.argument("task")
def run(
    task: str,
    cost: Usd | None,
    tokens: int | None,
    steps: int | None,
    wall: int | None,
    model_prices: Path | None,
    policy: Path | None,
    state: Path | None,
    report: Path | None,
    repo: Path,
    task_class: str,
    check_command: str | None,
    model: str,
) -> None:
    """Let the native agent work on a local checkout under ceilings: run --cost 2 "make the test pass"

    The agent's commands run as you, with an environment without keys; the gateway that holds the key is in
    this process. Exit code: 0 when the agent is done, 1 when it failed, 3 after a halt, 4 when nothing was
    started.
    """
    env = settings.environment()
    said = policy_of(policy)
    ceilings, sources = ceilings_of(env, task_class, cost, tokens, steps, wall, said)
    named = {
        "engine": "opus", "model": model, "task": task, "task_class": task_class, "rules": said.rules
    }  # fmt: skip
    with _opened(env, "run", ceilings, sources, model_prices, state, report, **named) as local:

        def tell(event: Event) -> None:
            if event.kind == "wrap_up":
                local.open_slice()
            if event.kind != "results":
                click.echo(click.style(event_line(event, ceilings.usd), dim=True), err=True)

        result = run_local(
            task,
            repo,
            local.url,
            local.token,
            model=model,
            ceilings=ceilings,
            env=env,
            task_class=task_class,
            check_command=check_command,
            on_event=tell,
            halted=local.halted,
        )
        local.keep(result.summary, result.check, result.tool_calls)
        local.ended(result.outcome, result.ending.reason, result.ending.message or "")
        outcome = local.report().outcome
        for path in result.changed:
            click.echo(f"changed: {path}", err=True)
    raise click.exceptions.Exit({"done": 0, "halted": HALTED}.get(outcome, 1))


@main.command(short_help="What a comment would start, and why: ceilings, sources, clamps.")
@click.option("--labels", default="", help="Labels with who applied them: 'agent:cost=$9@admin,bug'.")
@click.option("--comment", required=True, help="The comment, such as '/agent fix cost=$5'.")
@click.option("--role", default="write", show_default=True, help="The commenter's role in the repository.")
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .github/agent.yml that holds there.",
)
def explain(labels: str, comment: str, role: str, policy: Path | None) -> None:
    """Say what a comment would start: the ceilings, where each comes from, and every clamp, as JSON."""
    text = policy.read_text(encoding="utf-8") if policy else None
    click.echo(json.dumps(explained(labels, comment, role, text), indent=2))


main.add_command(exam)
main.add_command(setup)


# -- the service; its parts are imported when they are asked for, so that `exec` starts quickly --


@main.command()
def migrate() -> None:
    """Bring the database to this version's schema. Run it before web and worker, also after an upgrade."""
    from bot import services

    # The App is registered after the database is there: only DATABASE_URL counts here.
    services.migrate(settings.look(settings.environment())[0])


@main.command(short_help="Tell the stories that the web process enqueues.")
def worker() -> None:
    """The durable worker: tells the stories that the web process (gunicorn app:app) enqueues.

    With SETUP=1 it waits until there is an App.
    """
    while settings.set_up_mode(settings.environment()):
        time.sleep(1)
    from bot import services
    from bot.stories.worker import work

    with _named(), services.opened(_settings(), "worker") as opened_services:
        work(opened_services)


@main.command(short_help="Web and worker together on this machine.")
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


@main.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day of the window, UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The day after its last, UTC.")
@click.option("--by", type=click.Choice(["developer", "repo", "class"]), help="Split the spend.")
@click.option(
    "--month", type=click.DateTime(["%Y-%m"]), help="The month by person, such as 2026-11, instead."
)
@click.option("--json", "as_json", is_flag=True, help="For machines: money as decimal strings.")
def metrics(
    since: datetime | None,
    until: datetime | None,
    by: str | None,
    month: datetime | None,
    as_json: bool,
) -> None:
    """Cost per merged pull request, budget exhaustion rate, spend; or with --month who spent what on what."""
    from sqlalchemy.exc import SQLAlchemyError

    from bot.core import rollup, signals
    from bot.services import service_policy_of
    from bot.stores.database import Database
    from bot.stores.rollups import Rollups
    from bot.stores.signals import SignalStore

    env = settings.environment()
    if month is not None and (since or until or by):
        raise click.UsageError("--month is a roll-up of its own: leave --since, --until and --by out")
    database = Database(env.get("DATABASE_URL", "").strip() or settings.DATABASE)
    try:
        if month is not None:
            with _named():
                zone = service_policy_of(env.get("POLICY_FILE", "").strip()).caps.zone
            now = datetime.fromtimestamp(database.now_ms() / 1000, UTC)
            people = Rollups(database).read(f"{month:%Y-%m}", now, zone)
            click.echo(json.dumps(rollup.as_json(people), indent=2) if as_json else rollup.as_text(people))
            return
        found = SignalStore(database).read(_ms(since) or 0, _ms(until), by)
    except SQLAlchemyError:
        click.echo(
            "There is no ledger in this DATABASE_URL (yet): run `python -m bot migrate` first.", err=True
        )
        raise click.exceptions.Exit(1) from None
    finally:
        database.close()
    click.echo(json.dumps(signals.as_json(found), indent=2) if as_json else signals.as_text(found))


@main.command(short_help="The ledger against Anthropic's usage report; deliveries against GitHub's log.")
@click.option("--deliveries", is_flag=True, help="Receive what GitHub's log has and this service missed.")
@click.option("--from", "since", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC; two days ago.")
@click.option("--to", "until", type=click.DateTime(["%Y-%m-%d"]), help="The day after the last, UTC; now.")
@click.option("--json", "as_json", is_flag=True, help="For machines: money as decimal strings.")
def reconcile(deliveries: bool, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """The ledger against Anthropic's usage report, minute by minute; needs ANTHROPIC_ADMIN_KEY.

    What was charged whole because its usage was never told is corrected in further rows; what the report
    has beyond that is shown. Exit code: 1 when the report could not be read, and nothing was changed.

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
    from bot.stories.reconcile import DAY, DAYS
    from bot.stories.reconcile import reconcile as reconciled

    def say(finding: Finding) -> None:
        if finding.books:
            at = datetime.fromtimestamp(finding.stretch.since / 1000, UTC)
            click.echo(f"{at:%Y-%m-%d %H:%M} corrected by {finding.correction.usd}", err=True)

    with _named(), services.opened(_settings(), "reconcile") as opened_services:
        now = opened_services.database.now_ms()
        first = _ms(since) or (now // DAY - DAYS + 1) * DAY
        try:
            found = reconciled(opened_services, first, min(now, _ms(until) or now), now, say=say)
        except UsageError as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(1) from None
    click.echo(json.dumps(statement.as_json(found), indent=2) if as_json else statement.as_text(found))


@main.command(short_help="Stop everything, or one repository: nothing starts, what runs is halted.")
@click.option("--repo", default="", help="Only this repository, OWNER/NAME.")
@click.option("--reason", default="", help="Why; it stands in every refusal.")
def pause(repo: str, reason: str) -> None:
    """Stop everything, or one repository: nothing starts any more, and live runs are halted at once.

    What they made is kept, and each can be resumed after `unpause`. Who paused and why stands in every
    refusal and in the audit log.
    """
    from bot import services

    with _named(), services.opened(_settings(), "pause") as opened_services:
        halted = opened_services.switch.pause(repo, who(), reason)
        runs = f"{halted} live run{'s were' if halted != 1 else ' was'} halted"
        click.echo(f"{opened_services.switch.paused(repo)}. {runs}. `python -m bot unpause` lifts it.")


@main.command(short_help="Lift a pause.")
@click.option("--repo", default="", help="Of this repository, OWNER/NAME.")
def unpause(repo: str) -> None:
    """Lift a pause. What it has halted stays halted, and can be resumed. Exit code: 1 if there was none."""
    from bot import services

    with _named(), services.opened(_settings(), "pause") as opened_services:
        lifted = opened_services.switch.unpause(repo, who())
        still = [str(one) for one in opened_services.switch.all()]
    where = f"in {repo}" if repo else "everywhere"
    click.echo(f"Agent runs go on {where}." if lifted else f"Nothing was paused {where}.")
    for one in still:
        click.echo(f"Still: {one}.")
    raise click.exceptions.Exit(0 if lifted else 1)


def _deliveries() -> None:
    from bot import services
    from bot.clients.github import GitHubError
    from bot.stories import missed

    with _named(), services.opened(_settings(), "reconcile") as opened_services:
        try:
            looked = missed.look(opened_services, lambda found: click.echo(json.dumps(asdict(found))))
        except GitHubError as error:
            click.echo(f"{error}; the rest is found by the next look", err=True)
            raise click.exceptions.Exit(1) from None
    click.echo("nothing else was missed" if looked else "another process is looking just now", err=True)


def _settings() -> settings.Settings:
    with _named():
        return settings.read(settings.environment())


@contextmanager
def _named() -> Iterator[None]:
    """Name what is missing or wrong, all of it, and start nothing."""
    try:
        yield
    except settings.SettingsError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise click.exceptions.Exit(1) from None


def _ms(day: datetime | None) -> int | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp() * 1000)


@contextmanager
def _opened(
    env: dict[str, str],
    origin: str,
    ceilings: Ceilings,
    sources: dict[str, str],
    model_prices: Path | None,
    state: Path | None,
    report: Path | None,
    **named: Any,
) -> Iterator[Local]:
    """A bounded run on this machine; its report is printed and written at the end, however it ends."""
    key, upstream = key_and_upstream(env)
    if key is None:
        refuse("ANTHROPIC_API_KEY is not set: the key that the gateway sends upstream")
    prices = price_book(model_prices)
    with tempfile.TemporaryDirectory(prefix="tollgate-") as scratch:
        place = state or Path(scratch)
        try:
            with opened(
                origin=origin,
                ceilings=ceilings,
                sources=sources,
                prices=prices,
                upstream=upstream,
                key=key,
                state=place,
                actor=who(),
                model=named.pop("model", ""),
                engine=named.pop("engine", ""),
                **named,
            ) as local:
                click.echo(reports.terminal_start(local.report()), err=True)
                try:
                    yield local
                finally:
                    local.end("failed", "interrupted")
            _show(local.report(), report)
        except CannotStart as error:
            refuse(str(error))


def _show(report: Report, to: Path | None) -> None:
    click.echo(reports.terminal(report), err=True)
    if to is not None:
        to.write_text(json.dumps(reports.to_json(report), indent=2) + "\n", encoding="utf-8")


def _progress(account: Account) -> None:
    ceilings = account.ceilings
    flight = f", {account.held_steps} in flight" if account.held_steps else ""
    line = f"step {account.steps} of {ceilings.steps} · {account.spent} of {ceilings.usd}{flight}"
    click.echo(click.style(line, dim=True), err=True)
