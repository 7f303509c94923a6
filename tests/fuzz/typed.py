"""What somebody types: every command of `python -m bot` with any values, in an environment of any kind."""

from __future__ import annotations

import os
from contextlib import chdir

import click
from click.testing import CliRunner
from hypothesis import strategies as st

from bot import settings
from bot.cli import main
from tests.fuzz.target import Target
from tests.fuzz.trying import Law
from tests.fuzz.values import words
from tests.fuzz.worlds import Worlds

Given = tuple[list[str], dict[str, str]]
NOWHERE = "http://127.0.0.1:9"
# Whatever they are told, with an App these go on until somebody ends them, or ask others over the network.
WITHOUT_AN_APP = ("worker", "serve", "setup", "reconcile", "cursor")
VALUES = (
    "5", "$0.50", "800k", "20m", "2026-11-01", "0001-01-01", "9999-12-31", "2026-11", "0001-01", "9999-12",
    "dana",
    "acme/calendar", "bugfix", "opus", "claude-opus-4-7", "/agent fix cost=$9", "agent:cost=$9@admin,bug",
    "write",
    "evals", "--", "-h", "--json", "-", "0", "65536", "99999999999999999999", "http://127.0.0.1:9",
    "https://[::1", "file:///x",
)  # fmt: skip
PATHS = (
    "{folder}",
    "{folder}/new",
    "{folder}/none/new",
    "{folder}/text",
    "{folder}/bytes",
    "{folder}/state",
    "/dev/null",
    "",
)
ENVIRONMENTS = {
    "DATABASE_URL": (
        "sqlite:///{folder}/ledger.db", "sqlite:///{folder}/empty.db", "sqlite:///{folder}/none/x.db",
        "sqlite:///{folder}/bytes", "sqlite://", "postgresql://127.0.0.1:9/x", "mysql://x/y", "no address",
        "",
    ),
    "POLICY_FILE": PATHS,
    "TOLLGATE_URL": (NOWHERE, "nowhere", "ftp://x", ""),
    "ANTHROPIC_COST_BUDGET": ("5", "0", "-1", "much", ""),
    "ANTHROPIC_TOKEN_BUDGET": ("800k", "0", "1e6", ""),
    "XDG_STATE_HOME": ("{folder}", ""),
    "HOME": ("{folder}", ""),
    "PUBLIC_URL": (NOWHERE, "", "x"),
}  # fmt: skip
APP = {
    "PUBLIC_URL": "https://tollgate.example", "GITHUB_APP_ID": "1",
    "GITHUB_WEBHOOK_SECRET": "a secret of the webhook",
    "GITHUB_API_URL": NOWHERE, "ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": NOWHERE,
}  # fmt: skip


def typable(text: str) -> bool:
    """Whether it can be an argument of a program."""
    try:
        return b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


odd = words.filter(typable)
values = st.one_of(st.sampled_from(VALUES), st.sampled_from(PATHS), odd)


@st.composite
def lines(draw: st.DrawFn) -> Given:
    """The arguments, and what of the environment is another than on most machines."""
    name = draw(st.sampled_from(sorted(main.commands)))
    typed: list[str] = []
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Argument):
            typed += draw(st.lists(_value(parameter), max_size=2)) if name not in ("exec",) else []
        elif draw(st.integers(0, 3)) == 0:
            typed.append(parameter.opts[0])
            typed += [] if getattr(parameter, "is_flag", False) else [draw(_value(parameter))]
    typed += draw(st.lists(values, max_size=1))
    if name == "exec":
        typed += ["--", draw(st.sampled_from(["true", "{folder}/none", "{folder}", "{folder}/text"]))]
    env = {key: draw(st.sampled_from(some)) for key, some in ENVIRONMENTS.items() if draw(st.booleans())}
    if name not in WITHOUT_AN_APP and draw(st.booleans()):
        env = APP | env
    return [name, *typed], env


def _value(parameter: click.Parameter) -> st.SearchStrategy[str]:
    match parameter.type:
        case click.Choice(choices=choices):
            return st.one_of(st.sampled_from([str(one) for one in choices]), values)
        case click.Path():
            return st.one_of(st.sampled_from(PATHS), odd)
        case _:
            return values


def on_a_machine(worlds: Worlds) -> Law:
    folder = worlds.folder("a machine")
    (folder / "text").write_text("classes: {bugfix: {cost: $4}}\n")
    (folder / "bytes").write_bytes(bytes(range(256)))
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / "ledger.db").write_bytes(b"no ledger")
    clean: dict[str, str | None] = dict.fromkeys(settings.environment())
    base = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
        "LANG": "C.UTF-8",
    }
    CliRunner().invoke(main, ["migrate"], env=clean | base)

    def law(given: Given) -> None:
        typed, odd = given
        env = {name: value.replace("{folder}", str(folder)) for name, value in (base | odd).items()}
        with chdir(folder):
            done = CliRunner().invoke(
                main, [one.replace("{folder}", str(folder)) for one in typed], env=clean | env
            )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code in (0, 1, 2, 3, 4, 127)
        assert "Traceback" not in done.output
        if done.exit_code:
            assert done.output.strip(), "a refusal says why"

    return law


TARGETS = (
    Target(
        "commands that are typed",
        "a command does it, or ends with a sentence and a code",
        lines(),
        on_a_machine,
        40,
        2,
    ),
)
