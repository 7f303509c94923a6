"""`python -m bot exec -- CMD…`: any program that speaks the Messages API, bounded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bot import settings
from bot.commands.bounded import ENDED_FOR_IT, Open, Wanted, started
from bot.commands.options import (
    HALTED,
    MODEL,
    REFUSED,
    Bounded,
    ceilings_options,
    keeping_options,
    policy_option,
    price_book,
    service_options,
)
from bot.core.laptop import engine_name
from bot.runner.engines import aider, claude_code
from bot.runner.group import bounded, interactive


@click.command(
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

    CMD finds ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY (claude: ANTHROPIC_AUTH_TOKEN) pointing at a gateway on
    this machine, which forwards to the ones that were set here. At a halt CMD is ended with all that it has
    started. Ceilings not given come from ANTHROPIC_COST_BUDGET and ANTHROPIC_TOKEN_BUDGET, else from the
    policy, else $10, 800k tokens, 50 steps, 20m.

    Where TOLLGATE_URL names a service, its gateway is used and no key of this machine: the run counts under
    your monthly cap there (`python -m bot login` first). --local uses this machine's all the same.

    Exit code: CMD's own; 3 after a halt; 4 when nothing was started.
    """
    env = settings.environment()
    name = engine_name(command[0])
    with started(env, Wanted("exec", name, **given), show=not interactive()) as run:
        hidden = ("ANTHROPIC_AUTH", "ANTHROPIC_API_KEY", "TOLLGATE_", *claude_code.ELSEWHERE)
        child = {name: value for name, value in env.items() if not name.startswith(hidden)}
        # Claude Code asks its person about each key that is new to it, and never about a token.
        variable = "ANTHROPIC_AUTH_TOKEN" if name == "claude" else "ANTHROPIC_API_KEY"
        child |= {"ANTHROPIC_BASE_URL": run.url, variable: run.token}
        try:
            with _told(name, run, given["model_prices"]) as told:
                code = bounded(list(command), child | told, run.halted)
            message = "" if code == 0 else f"the command exited with {code}"
        except FileNotFoundError:
            code, message = REFUSED, f"{command[0]}: there is no such command"
        except OSError as error:
            code, message = REFUSED, f"{command[0]} cannot be started: {error.strerror}"
        run.end("failed" if message else "done", message)
        code = code if run.outcome() not in ENDED_FOR_IT else HALTED
    raise click.exceptions.Exit(code)


@contextmanager
def _told(name: str, run: Open, model_prices: Path | None) -> Iterator[dict[str, str]]:
    """What a program needs besides, where it does not know the model by itself."""
    if name != "aider":
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="tollgate-") as folder:
        yield aider.by_hand(Path(folder), run.url, run.token, run.model or MODEL, price_book(model_prices))
