"""`make hosts`: every blow, one after the other, and what became of the runs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from tests.hosts import acts
from tests.hosts.acts import Seen
from tests.hosts.books import reconciled
from tests.hosts.network import why_not
from tests.hosts.world import World, world

HEAD = (
    "what befell them", "stories under way", "all told", "runs live", "all answered", "runs", "turns",
    "of them estimated", "ledger", "invoice",
)  # fmt: skip
ACTS: dict[str, Callable[[World], Seen]] = {
    "deploy": acts.rolled,
    "cut": acts.cut,
    "database-lost": acts.lost_database,
    "kill": acts.killed,
    "restart": lambda it: acts.restarted(it, "fast"),
    "crash": lambda it: acts.restarted(it, "immediate"),
}


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice([*ACTS, "rollback", "clock"]), help="Nothing but these."
)
@click.option("--keep", type=click.Path(path_type=Path), help="An empty folder for the logs, which stays.")
def main(only: tuple[str, ...], keep: Path | None) -> None:
    """Two hosts in network namespaces over one PostgreSQL; some minutes. Needs root, on Linux."""
    if why := why_not():
        raise click.ClickException(f"this cannot be tried here: {why}")
    with tempfile.TemporaryDirectory(prefix="hosts-") as made:
        folder = keep or Path(made)
        folder.mkdir(exist_ok=True)
        deploys = not only or "deploy" in only
        old = acts.older(folder / "old") if deploys or "rollback" in only else None
        with world(folder, *(old[:1] if old and deploys else ())) as it:
            if old:
                click.echo(f"The version before is commit {old[1]}.", err=True)
            seen = _all(it, only, acts.compiled(folder), old[0] if old else None)
            ledger, invoice = reconciled(it)
            click.echo(f"\nReconciled: ledger {usd(ledger)}, invoice {usd(invoice)}.")
            late = [one.what for one in seen if max(one.told, one.answered) > acts.MINUTE]
            if late or ledger != invoice:
                click.echo(f"NOT as promised: {', '.join(late) or 'the ledger'}", err=True)
                sys.exit(1)


def _all(it: World, only: tuple[str, ...], library: Path | None, old: Path | None) -> list[Seen]:
    asked = {name: act for name, act in ACTS.items() if not only or name in only}
    if not only or "rollback" in only:
        if old is None:
            click.echo("There is no version before with this schema: none was brought back.", err=True)
        else:
            asked["rollback"] = lambda world: acts.rolled_back(world, old)
    if not only or "clock" in only:
        if library is None:
            click.echo("There is no C compiler: no clock went wrong.", err=True)
        else:
            asked["clock"] = lambda world: acts.wrong_clock(world, library)
    for row in (HEAD, ("---",) * len(HEAD)):
        click.echo(f"| {' | '.join(row)} |")
    seen = []
    for act in asked.values():
        seen.append(act(it))
        click.echo(f"| {' | '.join(shown(seen[-1]))} |")
    return seen


def shown(one: Seen) -> tuple[str, ...]:
    return (
        one.what, str(one.stories), f"{one.told:.0f} s", str(one.live), f"{one.answered:.0f} s",
        str(one.books.runs), str(one.books.turns), f"{one.books.estimates} ({usd(one.books.estimated)})",
        usd(one.books.spent), usd(one.books.billed),
    )  # fmt: skip


def usd(nanos: int) -> str:
    return f"${nanos / 1e9:.4f}"


if __name__ == "__main__":
    main(prog_name="python -m tests.hosts")
