"""`exec` and `run`: a bounded run by the service that TOLLGATE_URL names, else by this machine alone.

Which of the two is decided here and said; where the service cannot or will not, nothing is started.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from bot.commands import served
from bot.commands.local import CannotStart, Local, opened, watched
from bot.commands.logins import Login, Logins, LoginsError, service_url
from bot.commands.options import MODEL, ceilings_of, key_and_upstream, policy_of, price_book, refuse, who
from bot.core import reports
from bot.core.ceilings import Ceilings
from bot.core.laptop import BUDGETS
from bot.core.money import Usd
from bot.core.reports import Check
from bot.runner.origin import checkout
from bot.runner.service import Standing
from bot.stores.account import Account

ENDED_FOR_IT = ("halted", "lost")  # outcomes: not by itself


class Open(Protocol):
    """A run that is open, wherever its gateway is. `halted` is set when it goes on no more."""

    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def effort(self) -> str | None: ...
    @property
    def context(self) -> int | None: ...
    @property
    def ceilings(self) -> Ceilings: ...
    @property
    def halted(self) -> threading.Event: ...

    def keep(self, summary: str, check: Check | None, tool_calls: int, own: Usd | None = None) -> None: ...
    def ended(self, outcome: str, reason: str | None, message: str) -> None: ...
    def end(self, state: str, message: str = "") -> None: ...
    def open_slice(self) -> None: ...
    def outcome(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for. `command`: exec or run; `model` "": whoever has the key decides."""

    command: str
    engine: str
    cost: Usd | None
    tokens: int | None
    steps: int | None
    wall: int | None
    model_prices: Path | None
    policy: Path | None
    state: Path | None
    report: Path | None
    line: str | None
    alone: bool
    task: str = ""
    task_class: str = "default"
    model: str = ""
    check: str | None = None
    repo: Path = Path()


@contextmanager
def started(env: dict[str, str], wanted: Wanted, show: bool = False) -> Iterator[Open]:
    """A bounded run; its report is printed and written at the end, however it ends. `show` its progress.

    Exits with 4, and says why, where nothing can be started.
    """
    where = env.get("TOLLGATE_URL", "").strip()
    try:
        if where and not wanted.alone:
            with _by_service(env, wanted, where, show) as run:
                yield run
        else:
            with _alone(env, wanted, show) as local:
                yield local
    except CannotStart as error:
        refuse(str(error))


@contextmanager
def _alone(env: dict[str, str], wanted: Wanted, show: bool) -> Iterator[Local]:
    if wanted.line is not None:
        refuse("--line names a budget of a service: set TOLLGATE_URL, or leave it out")
    if wanted.state and (wanted.state / served.KEPT).exists():
        refuse(f"{wanted.state} holds a run of a service, which goes on there only: set TOLLGATE_URL to it")
    said = policy_of(wanted.policy)
    limits = wanted.cost, wanted.tokens, wanted.steps, wanted.wall
    ceilings, sources = ceilings_of(env, wanted.task_class, *limits, said)
    key, upstream = key_and_upstream(env)
    if key is None:
        refuse("ANTHROPIC_API_KEY is not set: the key that the gateway sends upstream")
    prices = price_book(wanted.model_prices)
    with tempfile.TemporaryDirectory(prefix="tollgate-") as scratch:
        with opened(
            origin=wanted.command,
            ceilings=ceilings,
            sources=sources,
            prices=prices,
            upstream=upstream,
            key=key,
            state=wanted.state or Path(scratch),
            actor=who(),
            model=wanted.model or (MODEL if wanted.command == "run" else ""),
            engine=wanted.engine,
            task=wanted.task,
            task_class=wanted.task_class,
            rules=said.rules,
        ) as local:
            click.echo(reports.terminal_start(local.report()), err=True)
            try:
                with watched(local, _progress) if show else nullcontext():
                    yield local
            finally:
                local.end("failed", "interrupted")
        told = local.report()
        click.echo(reports.terminal(told), err=True)
        _write(wanted.report, reports.to_json(told))


@contextmanager
def _by_service(env: Mapping[str, str], wanted: Wanted, where: str, show: bool) -> Iterator[served.Served]:
    login = _login(env, where)
    if wanted.policy is not None or wanted.model_prices is not None:
        refuse(
            "with a service its own policy and prices hold: leave --policy and --model-prices out, or --local"
        )
    seen: list[tuple[str, str]] = []

    def heard(standing: Standing, most: Ceilings) -> None:
        left = standing.remaining or {}
        now = (str(left.get("steps")), str(left.get("usd")))
        if show and left and now not in seen[-1:]:
            seen.append(now)
            if len(seen) > 1:  # the first is what it begins with
                _say_left(most, left)

    with served.opened(login, _asked(env, wanted), wanted.state, heard) as run:
        click.echo(f"At {login.url}, as {login.actor}.\n{run.start}", err=True)
        try:
            yield run
        finally:
            run.end("failed", "interrupted")
            run.outcome()
    if run.told is None:
        click.echo(run.unreported, err=True)
        return
    click.echo(run.told["terminal"], err=True)
    _write(wanted.report, run.told["report"])


def _login(env: Mapping[str, str], where: str) -> Login:
    try:
        url = service_url(where)
        login = Logins(env).of(url)
    except LoginsError as error:
        refuse(str(error))
    if login is None:
        refuse(
            f"this machine is not logged in to {url}: `python -m bot login` first; --local uses the gateway "
            "and the key of this machine instead"
        )
    return login


def _asked(env: Mapping[str, str], wanted: Wanted) -> dict[str, Any]:
    """What the service is asked for; what is not given here it decides itself."""
    limits = wanted.cost, wanted.tokens, wanted.steps, wanted.wall
    most, sources = ceilings_of(dict(env), wanted.task_class, *limits)
    given = {"cost": most.usd.exact, "tokens": most.tokens, "steps": most.steps, "wall": most.seconds}
    said = {
        "cost": sources["usd"],
        "tokens": sources["tokens"],
        "steps": sources["steps"],
        "wall": sources["seconds"],
    }
    return served.asked_of(
        checkout(wanted.repo),
        **{kind: value for kind, value in given.items() if said[kind] in ("option", *BUDGETS.values())},
        budgets=[kind for kind in BUDGETS if said[kind] == BUDGETS[kind]],
        native=wanted.command == "run",
        engine=wanted.engine,
        line=wanted.line,
        task=wanted.task,
        model=wanted.model,
        check=wanted.check,
        **{"class": wanted.task_class},
    )


def _write(to: Path | None, told: Mapping[str, object]) -> None:
    if to is not None:
        to.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _progress(account: Account) -> None:
    most = account.ceilings
    flight = f", {account.held_steps} in flight" if account.held_steps else ""
    _dim(f"step {account.steps} of {most.steps} · {account.spent} of {most.usd}{flight}")


def _say_left(most: Ceilings, left: Mapping[str, Any]) -> None:
    steps = most.steps - int(left.get("steps", most.steps))
    _dim(f"step {steps} of {most.steps} · {Usd.parse(str(left.get('usd', '0')))} of {most.usd} left")


def _dim(text: str) -> None:
    click.echo(click.style(text, dim=True), err=True)
