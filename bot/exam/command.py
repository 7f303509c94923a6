"""`python -m bot exam`: who sits, under which ceilings, and what comes of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click

from bot import settings
from bot.clients.anthropic import Key
from bot.commands.options import (
    HALTED,
    MODEL,
    Bounded,
    Quantity,
    ceilings_of,
    ceilings_options,
    key_and_upstream,
    price_book,
    refuse,
    who,
)
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.exam import paper, sheet
from bot.exam.scripted import NoSandbox, scripted
from bot.exam.sitting import TASK_CLASS, Sitting, Terms
from bot.runner.engines import Event
from bot.runner.engines.named import UnknownEngine, named
from bot.runner.joblog import event_line

COST = Usd.parse("1")
EXAMINEE = "examinee"


@click.command(
    cls=Bounded, short_help="Small repositories with a failing test each: solved or not, at what cost."
)
@ceilings_options
@click.option("--total", type=Quantity("$", Usd.parse), help="Most dollars for all tasks together.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this task; may be given several times.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Tasks at a time.")
@click.option("--engine", default="opus", show_default=True)
@click.option("--model", default=MODEL, show_default=True)
@click.option(
    "--character",
    metavar="NAME",
    help="Who of the sandbox sits, also where a key is set. Without a key: examinee.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new directory in which each task's checkout, ledger and judged tests stay.",
)
@click.option("--json", "as_json", is_flag=True, help="The result for machines; what happens goes to stderr.")
def exam(
    cost: Usd | None,
    tokens: int | None,
    steps: int | None,
    wall: int | None,
    model_prices: Path | None,
    total: Usd | None,
    only: tuple[str, ...],
    jobs: int,
    engine: str,
    model: str,
    character: str | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Let an agent take the exam: small repositories with a failing test each, judged by tests it cannot see.

    With ANTHROPIC_API_KEY the model sits; without it a scripted character of the sandbox does, and the first
    line says so. Each task is a run of its own: at most $1 or --cost, and the other ceilings of a bug fix.
    --total holds for all together: a task that it does not cover is not begun. Without it the total is
    ANTHROPIC_COST_BUDGET, else what the tasks may cost together.

    Exit code: 0 when it ran to its end, whatever the score; 3 when the total or Ctrl-C ended it; 1 when there
    were no answers; 4 when nothing was started.
    """
    env = settings.environment()
    exercises = _chosen(only)
    ceilings, sources, total = _bounds(env, cost, tokens, steps, wall, total, len(exercises))
    prices = price_book(model_prices)
    try:
        named(engine)
    except UnknownEngine as error:
        refuse(str(error))
    key, upstream = key_and_upstream(env)
    sits = character or ("" if key else EXAMINEE)
    say = partial(click.echo, err=as_json)
    with ExitStack() as stack:
        place = stack.enter_context(_place(keep))
        sandbox = None
        if sits or key is None:
            try:
                sandbox = stack.enter_context(scripted(sits))
            except NoSandbox as error:
                refuse(str(error))
            key, upstream = Key("sandbox", "sandbox"), sandbox.url
        terms = Terms(upstream, key, prices, ceilings, sources, total, model, engine, env, place, who())
        for words in sheet.first(terms, sits, len(exercises), chosen=bool(character)):
            say(words)
        sitting = Sitting(terms, _teller(ceilings), lambda result: say(sheet.line(result)))
        results = sitting.sit(exercises, jobs)
        invoice = sandbox.invoice() if sandbox else None
        whole = sheet.Sheet(terms, results, sits, invoice, sitting.over)
    say("\n" + sheet.table(whole))
    if as_json:
        click.echo(json.dumps(sheet.as_json(whole), indent=2))
    raise click.exceptions.Exit(_code(whole))


def _code(whole: sheet.Sheet) -> int:
    if whole.over is None:
        return 0
    return HALTED if whole.over.answers else 1


def _chosen(only: Sequence[str]) -> list[paper.Exercise]:
    try:
        found = {each.name: each for each in paper.read()}
    except paper.PaperError as error:
        refuse(str(error))
    if unknown := [name for name in only if name not in found]:
        refuse(f"there is no task {', '.join(unknown)}; there are {', '.join(found)}")
    return [each for name, each in found.items() if not only or name in only]


def _bounds(
    env: dict[str, str],
    cost: Usd | None,
    tokens: int | None,
    steps: int | None,
    wall: int | None,
    total: Usd | None,
    count: int,
) -> tuple[Ceilings, dict[str, str], Usd]:
    """A task's ceilings, their sources, and the total."""
    if total is None and (budget := env.get("ANTHROPIC_COST_BUDGET", "").strip()):
        try:
            total = Usd.parse(budget)
        except ValueError as error:
            refuse(str(error))
    each = cost if cost is not None else COST
    if total is not None:
        each = min(each, total)
    ceilings, sources = ceilings_of(env, TASK_CLASS, each, tokens, steps, wall)
    return ceilings, sources, total if total is not None else each * count


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="tollgate-exam-") as scratch:
            yield Path(scratch)
        return
    if keep.exists() and any(keep.iterdir()):
        refuse(f"{keep} is not empty")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


def _teller(ceilings: Ceilings) -> Callable[[str, Event], None]:
    def tell(name: str, event: Event) -> None:
        if event.kind not in ("tool", "results"):
            click.echo(click.style(f"  {name}: {event_line(event, ceilings.usd)}", dim=True), err=True)

    return tell
