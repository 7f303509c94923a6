"""`python -m bot login`, `logout`, `cost`: a person's machine and the service that it counts with (P7)."""

from __future__ import annotations

import json
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot import settings
from bot.commands.logins import Login, Logins, LoginsError, service_url
from bot.commands.options import ceilings_options, failed
from bot.core import person_month
from bot.core.money import total
from bot.core.shell_init import PROGRAMS, SHELLS, STATES, Wrap, script
from bot.runner.runner import client
from bot.runner.service import Service, ServiceError

if TYPE_CHECKING:
    from bot.clients.github.oauth import Device, Granted

TELL_SECONDS = 15.0

_url = click.option("--url", default="", help="The service's address; TOLLGATE_URL where it is not given.")


@click.command(short_help="Log this machine in to the service that TOLLGATE_URL names.")
@_url
@click.option("--list", "listed", is_flag=True, help="Show which of your machines are logged in, instead.")
@click.option("--header", is_flag=True, help="Print the header that reads the service's API, instead.")
def login(url: str, listed: bool, header: bool) -> None:
    """Log this machine in to a service: type the code that is shown on GitHub's page, say yes.

    Then `exec` and `run` count under your monthly cap there, wherever TOLLGATE_URL names the service. What is
    kept is a token of the service for this machine, for 90 days, in a file that only you can read. It reads
    the service's API, too: curl -H @<(python -m bot login --header) "$TOLLGATE_URL/api/v1/rollup"
    """
    env = settings.environment()
    with _asking() as http:
        where, logins = _where(env, url), Logins(env)
        service = Service(where, http)
        if header:
            click.echo(f"Authorization: Bearer {_known(logins, where).token}")
            return
        if listed:
            _list(service, _known(logins, where))
            return
        about = service.laptop("GET", "", "")
        granted = _granted(str(about["github"]), str(about["client_id"]))
        said = {"token": granted.token, "machine": platform.node() or "?"}
        made = service.laptop("POST", "/login", "", said)
        kept = Login(where, str(made["login"]), str(made["id"]), int(made["expires_at"]), str(made["token"]))
        before = logins.of(where)
        try:
            logins.keep(kept)
        except LoginsError:
            service.laptop("DELETE", f"/logins/{kept.id}", kept.token)
            raise
        if before is not None:
            _forget(service, before)
    click.echo(f"Logged in to {where} as {kept.actor}, until {_day(kept.expires_at)}.")
    click.echo(f"`exec` and `run` count there where TOLLGATE_URL={where} is set.")


@click.command(short_help="End this machine's login, or another one of yours.")
@_url
@click.argument("id", default="")
def logout(url: str, id: str) -> None:
    """End this machine's login, or that of the machine ID of yours (`login --list`): its token is good for
    nothing any more, and what it runs is halted."""
    env = settings.environment()
    with _asking() as http:
        where, logins = _where(env, url), Logins(env)
        known = _known(logins, where)
        service = Service(where, http)
        try:
            ended = service.laptop("DELETE", f"/logins/{id or known.id}", known.token)
        except ServiceError as error:
            if id:
                raise
            said = str(error).rstrip(".")
            click.echo(
                f"{said}. This machine forgets it; `login --list` on another one shows if it lives on."
            )
            ended = {}
        if not id or id == known.id:
            logins.drop(where)
    halted = int(ended.get("halted") or 0)
    runs = f"; {halted} live run{'s were' if halted != 1 else ' was'} halted" if halted else ""
    click.echo(f"Logged out of {where}{runs}.")


@click.command(short_help="What you have spent this month, against your caps.")
@_url
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Without a service: a state directory of `exec` or `run`; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines: money as decimal strings.")
def cost(url: str, states: tuple[Path, ...], as_json: bool) -> None:
    """What you have spent this month, by run, against your caps; what is on budget lines apart.

    From the service that TOLLGATE_URL names; with --state, or without a service, from the ledgers of runs on
    this machine: those named, else those of the shells that `shell-init` has set up.
    """
    env = settings.environment()
    kept = _kept(env) if not (states or url or env.get("TOLLGATE_URL", "").strip()) else ()
    if states or kept:
        found = _of_states(states or kept)
    else:
        with _asking() as http:
            where = _where(env, url)
            found = Service(where, http).laptop("GET", "/cost", _known(Logins(env), where).token)
    click.echo(json.dumps(found, indent=2) if as_json else person_month.as_text(found))


@click.command("shell-init", short_help="Print what makes every `claude` and `aider` of a shell bounded.")
@click.argument("shell", type=click.Choice(SHELLS), default=SHELLS[0])
@click.option("--program", "programs", multiple=True, default=PROGRAMS, show_default=True, metavar="NAME")
@ceilings_options
def shell_init(shell: str, programs: tuple[str, ...], **given: Any) -> None:
    """Print functions for a shell, in which every `claude` and `aider` runs as `exec -- claude …`:

    \b
    eval "$(python -m bot shell-init bash --wall 4h --steps 500)"     # in ~/.bashrc; zsh: the same
    python -m bot shell-init fish | source                            # in config.fish

    The ceilings hold for each program that is started; those not given are `exec`'s. Inside of a program that
    is bounded already nothing is done.
    """
    for name in programs:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII):
            raise failed([f"{name!r} is not the name of a program that a shell's function may have."])
    cost, prices = given["cost"], given["model_prices"]
    asked = {
        "--cost": cost.exact if cost is not None else None,
        "--tokens": given["tokens"],
        "--steps": given["steps"],
        "--wall": f"{given['wall']}s" if given["wall"] else None,
        "--model-prices": prices.resolve() if prices else None,
    }
    options = [str(word) for pair in asked.items() if pair[1] is not None for word in pair]
    # Not by -m: that would look for our modules in whatever folder the person is in.
    root = str(Path(__file__).parent.parent.parent)
    start = f"import sys; sys.path.insert(0, {root!r}); from bot.cli import main; main(prog_name='tollgate')"
    command = [sys.executable, "-P", "-c", start, "exec", *options]
    click.echo(script(shell, Wrap(command, programs)), nl=False)


def _kept(env: Mapping[str, str]) -> tuple[Path, ...]:
    """The states that the shells of `shell-init` have kept."""
    home = env.get("XDG_STATE_HOME") or f"{env.get('HOME', '')}/.local/state"
    return tuple(sorted(found.parent for found in (Path(home) / STATES).glob("*/ledger.db")))


@contextmanager
def _asking() -> Iterator[Any]:
    """An HTTP client; what goes wrong is one sentence and exit code 1."""
    from bot.clients.github import GitHubError

    try:
        with client() as http:
            yield http
    except (ServiceError, LoginsError, GitHubError) as error:
        raise failed([f"{str(error).rstrip('.')}."]) from None
    except (KeyError, TypeError, ValueError) as error:
        raise failed([f"The service's answer cannot be read: {error!r}."]) from None


def _where(env: dict[str, str], url: str) -> str:
    """Raises LoginsError."""
    named = url or env.get("TOLLGATE_URL", "").strip()
    if not named:
        raise LoginsError("which service? Set TOLLGATE_URL to its address, or give --url")
    return service_url(named)


def _known(logins: Logins, where: str) -> Login:
    """Raises LoginsError."""
    if (known := logins.of(where)) is None:
        raise LoginsError(f"this machine is not logged in to {where}: `python -m bot login`")
    return known


def _granted(github: str, client_id: str) -> Granted:
    """GitHub's token for the person who types the code. Raises GitHubError."""
    # Here and not above: with it comes what no other command needs.
    from bot.clients.github import Unavailable
    from bot.clients.github.oauth import Waiting, begin_device, poll_device

    device = begin_device(github, client_id)
    _show(device)
    wait, waited, told = device.interval, 0.0, 0.0
    while True:
        time.sleep(wait)
        waited += wait
        try:
            answer = poll_device(github, client_id, device)
        except Unavailable:
            if waited > device.expires_in:
                raise
            continue  # GitHub's bad minute is not the person's
        if not isinstance(answer, Waiting):
            return answer
        wait = answer.seconds
        if waited - told >= TELL_SECONDS:
            told = waited
            click.echo(f"waiting for you at {device.verification_uri}, {waited:.0f} s", err=True)


def _show(device: Device) -> None:
    click.echo(f"Open {device.verification_uri} and type {device.user_code}")
    click.echo(f"It is good for {device.expires_in // 60} minutes.", err=True)


def _forget(service: Service, before: Login) -> None:
    """The login that this machine had until now."""
    try:
        service.laptop("DELETE", f"/logins/{before.id}", before.token)
    except ServiceError:
        return  # it has ended already


def _list(service: Service, known: Login) -> None:
    found = service.laptop("GET", "/logins", known.token)
    for one in found["logins"]:
        here = "  (this one)" if one["id"] == found["this"] else ""
        seen = f", last run {_day(one['seen_at'])}" if one["seen_at"] else ""
        until = f"since {_day(one['made_at'])}, until {_day(one['expires_at'])}{seen}"
        click.echo(f"{one['id']}  {one['machine']}  {until}{here}")


def _of_states(states: tuple[Path, ...]) -> dict[str, Any]:
    """What the ledgers in these directories hold, one run each; as the service tells a month."""
    from sqlalchemy.exc import SQLAlchemyError

    from bot.stores import opening
    from bot.stores.database import Database
    from bot.stores.runs import Runs

    runs = []
    for state in states:
        if not (state / "ledger.db").exists():
            raise failed([f"{state} holds no ledger of a run without a service."])
        database = Database(f"sqlite:///{state / 'ledger.db'}")
        try:
            store = Runs(database)
            if (id := store.latest()) is not None and (run := store.get(id)) is not None:
                runs.append(run)
        except SQLAlchemyError as error:
            raise failed([f"{opening.unusable(database, error)}."]) from None
        finally:
            database.close()
    runs.sort(key=lambda run: -run.spent.usd.nanos)
    return {
        "login": "",
        "month": "",
        "usd": total(run.spent.usd for run in runs).exact,
        "caps": [],
        "lines": [],
        "runs": [
            {
                "run": run.id,
                "class": run.task_class,
                "state": run.state,
                "reason": run.reason,
                "usd": run.spent.usd.exact,
                "repository": run.engine,
                "thread": None,
                "line": "",
                "url": "",
            }
            for run in runs
        ],
    }


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"


COMMANDS = (login, logout, cost, shell_init)
