"""`python -m bot run "task"`: an agent on a local checkout, bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bot import settings
from bot.commands.bounded import ENDED_FOR_IT, Wanted, started
from bot.commands.options import (
    HALTED,
    MODEL,
    Bounded,
    ceilings_options,
    keeping_options,
    policy_option,
    service_options,
)
from bot.core.ceilings import CLASSES
from bot.core.commands import ENGINES
from bot.runner.engines import Event
from bot.runner.joblog import event_line, plain
from bot.runner.local import run_local


@click.command(cls=Bounded, short_help="Let an agent work on a local checkout under ceilings.")
@ceilings_options
@policy_option
@keeping_options
@service_options
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
@click.option("--model", show_default=f"{MODEL}; with a service its policy's")
@click.option(
    "--engine", default=ENGINES[0], show_default=True, type=click.Choice(ENGINES), help="Which agent."
)
@click.argument("task")
def run(
    task: str,
    repo: Path,
    task_class: str,
    check_command: str | None,
    model: str | None,
    engine: str,
    **given: Any,
) -> None:
    """Let an agent work on a local checkout under ceilings: run --cost 2 "make the test pass"

    The agent's commands run as you, with an environment without keys; the gateway that holds the key is in
    this process. Where TOLLGATE_URL names a service, it is the service's, and the run counts under your
    monthly cap there. Exit code: 0 when the agent is done, 1 when it failed, 3 after a halt, 4 when nothing
    was started.
    """
    env = settings.environment()
    words: dict[str, Any] = {"task": task, "task_class": task_class, "check": check_command, "repo": repo}
    with started(env, Wanted("run", engine, model=model or "", **words, **given)) as open_run:
        most = open_run.ceilings

        def tell(event: Event) -> None:
            if event.kind == "wrap_up":
                open_run.open_slice()
            if event.kind != "results":
                click.echo(click.style(event_line(event, most.usd), dim=True), err=True)

        result = run_local(
            task,
            repo,
            open_run.url,
            open_run.token,
            model=open_run.model,
            ceilings=most,
            env=env,
            task_class=task_class,
            engine=engine,
            effort=open_run.effort,
            context=open_run.context,
            check_command=check_command,
            on_event=tell,
            halted=open_run.halted,
        )
        open_run.keep(result.summary, result.check, result.tool_calls, result.ending.own)
        open_run.ended(result.outcome, result.ending.reason, result.ending.message or "")
        outcome = open_run.outcome()
        for path in result.changed:
            click.echo(f"changed: {plain(path)}", err=True)
    code = HALTED if outcome in ENDED_FOR_IT else int(outcome != "done")
    raise click.exceptions.Exit(code)
