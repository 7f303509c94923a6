"""`python -m bot …`: what a person or a script types (INTERFACE section 6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bot import figures, laptop, operations, settings
from bot.bounded import Wanted, started
from bot.core.ceilings import CLASSES
from bot.core.explain import explain as explained
from bot.core.laptop import engine_name
from bot.exam.command import exam
from bot.options import (
    HALTED,
    MODEL,
    REFUSED,
    Bounded,
    ceilings_options,
    keeping_options,
    policy_option,
    service_options,
)
from bot.runner.engines import Event
from bot.runner.group import bounded
from bot.runner.joblog import event_line
from bot.runner.local import run_local
from bot.setup import setup

ENDED_FOR_IT = ("halted", "lost")  # not by itself
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
@service_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def exec_(command: tuple[str, ...], **given: Any) -> None:
    """Run a program that speaks the Messages API under ceilings: exec --cost 2 -- CMD…

    CMD finds ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY pointing at a gateway on this machine, which forwards
    to the ones that were set here. At a halt CMD's whole process group is ended. Ceilings not given come
    from ANTHROPIC_COST_BUDGET and ANTHROPIC_TOKEN_BUDGET, else from the policy, else $10, 800k tokens, 50
    steps, 20m.

    Where TOLLGATE_URL names a service, its gateway is used and no key of this machine: the run counts under
    your monthly cap there (`python -m bot login` first). --local uses this machine's all the same.

    Exit code: CMD's own; 3 after a halt; 4 when nothing was started.
    """
    env = settings.environment()
    with started(env, Wanted("exec", engine_name(command[0]), **given), show=True) as run:
        hidden = ("ANTHROPIC_AUTH", "TOLLGATE_")
        child = {name: value for name, value in env.items() if not name.startswith(hidden)}
        child |= {"ANTHROPIC_BASE_URL": run.url, "ANTHROPIC_API_KEY": run.token}
        try:
            code = bounded(list(command), child, run.halted)
            message = "" if code == 0 else f"the command exited with {code}"
        except FileNotFoundError:
            code, message = REFUSED, f"{command[0]}: there is no such command"
        run.end("failed" if message else "done", message)
        code = code if run.outcome() not in ENDED_FOR_IT else HALTED
    raise click.exceptions.Exit(code)


@main.command(cls=Bounded, short_help="Let the native agent work on a local checkout under ceilings.")
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
@click.argument("task")
def run(
    task: str, repo: Path, task_class: str, check_command: str | None, model: str | None, **given: Any
) -> None:
    """Let the native agent work on a local checkout under ceilings: run --cost 2 "make the test pass"

    The agent's commands run as you, with an environment without keys; the gateway that holds the key is in
    this process. Where TOLLGATE_URL names a service, it is the service's, and the run counts under your
    monthly cap there. Exit code: 0 when the agent is done, 1 when it failed, 3 after a halt, 4 when nothing
    was started.
    """
    env = settings.environment()
    words: dict[str, Any] = {"task": task, "task_class": task_class, "check": check_command, "repo": repo}
    with started(env, Wanted("run", "opus", model=model or "", **words, **given)) as open_run:
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
            effort=open_run.effort,
            context=open_run.context,
            check_command=check_command,
            on_event=tell,
            halted=open_run.halted,
        )
        open_run.keep(result.summary, result.check, result.tool_calls)
        open_run.ended(result.outcome, result.ending.reason, result.ending.message or "")
        outcome = open_run.outcome()
        for path in result.changed:
            click.echo(f"changed: {path}", err=True)
    code = HALTED if outcome in ENDED_FOR_IT else int(outcome != "done")
    raise click.exceptions.Exit(code)


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


for _command in (exam, setup, *figures.COMMANDS, *laptop.COMMANDS, *operations.COMMANDS):
    main.add_command(_command)
