"""What commands that start a bounded run have in common: their options, what those mean, how they refuse."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from bot import settings
from bot.clients.anthropic import Key
from bot.core import policy as policies
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.policy import Policy, PolicyError
from bot.core.prices import PriceBook, PriceFileError
from bot.core.quantities import duration, whole

HALTED, REFUSED = 3, 4
MODEL = "claude-opus-4-7"
F = TypeVar("F", bound=Callable[..., Any])


class Bounded(click.Command):
    """A command whose exit codes tell: words that cannot be read are a refusal like any other (4)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.exit_code = REFUSED  # type: ignore[misc]  # click asks the instance
            raise


class Quantity(click.ParamType[Any]):
    """An option's value, read as the comment's are."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self.read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Dated(click.DateTime):
    """A day, or a month, of a year in which there can be a ledger."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not 1971 <= found.year < 2900:
            self.fail(f"there can be no ledger of {value}", param, ctx)
        return found


DAY, MONTH = Dated(["%Y-%m-%d"]), Dated(["%Y-%m"])


def ceilings_options(command: F) -> F:
    """--cost --tokens --steps --wall, and whose prices hold."""
    for option in reversed(
        [
            click.option("--cost", type=Quantity("$", Usd.parse), help="Most dollars, such as 5 or $0.50."),
            click.option("--tokens", type=Quantity("N", whole), help="Most tokens, such as 800k."),
            click.option("--steps", type=Quantity("N", whole), help="Most answered requests to the model."),
            click.option("--wall", type=Quantity("TIME", duration), help="Most time, such as 90s or 20m."),
            click.option(
                "--model-prices",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="JSON of prices that rule over the list's, $ per million tokens.",
            ),
        ]
    ):
        command = option(command)
    return command


def keeping_options(command: F) -> F:
    """Where the run's counters are kept, and where its report goes."""
    for option in reversed(
        [
            click.option(
                "--state",
                type=click.Path(file_okay=False, path_type=Path),
                help="Keep the counters here: the same directory goes on with them after a crash.",
            ),
            click.option(
                "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as JSON."
            ),
        ]
    ):
        command = option(command)
    return command


def service_options(command: F) -> F:
    """--line --local: which budget it counts for where TOLLGATE_URL names a service, or none of it."""
    for option in reversed(
        [
            click.option("--line", metavar="NAME", help="With a service: the budget line that it is on."),
            click.option(
                "--local",
                "alone",
                is_flag=True,
                help="Without the service that TOLLGATE_URL names: by a gateway and a key of this machine.",
            ),
        ]
    ):
        command = option(command)
    return command


def policy_option(command: F) -> F:
    """--policy: the file of whoever holds the key here, as POLICY_FILE is the service's."""
    return click.option(
        "--policy",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A policy file: its classes, allow, admission and stuck hold for this run.",
    )(command)


def policy_of(file: Path | None) -> Policy:
    """What the file says, else the default; a file that cannot be read is a refusal with line and key."""
    if file is None:
        return Policy.default()
    try:
        return policies.parse(file.read_bytes(), service=True)
    except PolicyError as error:
        refuse(f"{file}: {error}")
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}")


def ceilings_of(
    env: dict[str, str],
    task_class: str,
    cost: Usd | None,
    tokens: int | None,
    steps: int | None,
    wall: int | None,
    policy: Policy | None = None,
) -> tuple[Ceilings, dict[str, str]]:
    """Each ceiling from its option, else the budget variables, else the class as the policy has it."""
    policy = policy or Policy.default()
    default = policy.classes[task_class]
    sources = {
        name: "policy" if f"classes.{task_class}.{key}" in policy.given else f"class {task_class}"
        for key, name in (("cost", "usd"), ("tokens", "tokens"), ("steps", "steps"), ("wall", "seconds"))
    }
    for name, given in (("usd", cost), ("tokens", tokens), ("steps", steps), ("seconds", wall)):
        if given is not None:
            sources[name] = "option"
    try:
        if cost is None and env.get("ANTHROPIC_COST_BUDGET", "").strip():
            cost, sources["usd"] = Usd.parse(env["ANTHROPIC_COST_BUDGET"]), "ANTHROPIC_COST_BUDGET"
        if tokens is None and env.get("ANTHROPIC_TOKEN_BUDGET", "").strip():
            tokens, sources["tokens"] = whole(env["ANTHROPIC_TOKEN_BUDGET"]), "ANTHROPIC_TOKEN_BUDGET"
    except ValueError as error:
        refuse(str(error))
    usd = cost if cost is not None else default.usd
    if usd <= Usd(0):
        refuse("a cost ceiling of nothing would start nothing")
    ceilings = replace(
        default,
        usd=usd,
        tokens=tokens or default.tokens,
        steps=steps or default.steps,
        seconds=wall or default.seconds,
    )
    return ceilings, sources


def key_and_upstream(env: dict[str, str]) -> tuple[Key | None, str]:
    """The key that the gateway sends, None where there is none, and the address that it asks."""
    names = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    key = next((Key(name, value) for name in names if (value := env.get(name, "").strip())), None)
    return key, env.get("ANTHROPIC_BASE_URL", "").strip() or settings.ANTHROPIC


def price_book(model_prices: Path | None) -> PriceBook:
    """The list, and over it what the file says; a file that cannot be read is a refusal."""
    try:
        return PriceBook.with_file(model_prices.read_bytes()) if model_prices else PriceBook()
    except PriceFileError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{model_prices} cannot be read: {error.strerror}")


def who() -> str:
    """The name of this machine's user, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def failed(problems: Iterable[str]) -> click.exceptions.Exit:
    """Each problem on a line of its own; what is to be raised then: exit code 1."""
    for problem in problems:
        click.echo(problem, err=True)
    return click.exceptions.Exit(1)


@contextmanager
def named() -> Iterator[None]:
    """Name what of the settings is missing or wrong, all of it, and start nothing."""
    try:
        yield
    except settings.SettingsError as error:
        raise failed(error.problems) from None


def refuse(why: str) -> NoReturn:
    """Nothing is started: say why, and exit with 4."""
    click.echo(f"Not started: {why}. Nothing was spent.", err=True)
    sys.exit(REFUSED)
