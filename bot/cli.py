"""`python -m bot …`: what a person or a script types (INTERFACE section 6)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bot import figures, operations, settings
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


for _command in (exam, setup, *figures.COMMANDS, *operations.COMMANDS):
    main.add_command(_command)


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
