"""A run on a person's own machine that counts with the service (P7): what is asked, and where it works."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bot.core.ceilings import NATIVE_ENGINE
from bot.core.commands import ENGINES, Options
from bot.core.steps import MOST_CHECK, MOST_TASK, STEP_CLASSES, Unclear, number, options, text

# A ceiling's option, and the variable of the environment that sets it too (R31).
BUDGETS = {"cost": "ANTHROPIC_COST_BUDGET", "tokens": "ANTHROPIC_TOKEN_BUDGET"}
MOST_MACHINE = 100  # characters of a machine's name
# Neither part may be `.` or `..`: it becomes part of an address at GitHub.
_NAME = re.compile(r"(?!\.{1,2}/)[\w.-]{1,100}/(?!\.{1,2}\Z)[\w.-]{1,100}", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_RUN = re.compile(r"[0-9a-f]{12}")
_URL = re.compile(r"(?:https?|ssh|git)://(?:[^/@]*@)?(?P<host>\[[^\]]+\]|[^/:]+)(?::\d+)?/(?P<path>.+)")
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/@:]+):(?P<path>[^/].*)")  # git@github.com:acme/calendar.git


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where it works: the host and repository (OWNER/NAME) of the checkout's `origin`, its branch and commit;
    "" for what it does not have."""

    host: str = ""
    repository: str = ""
    branch: str = ""
    sha: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a laptop asks of the service. `number`: chosen by it, the same when it asks again.

    `native`: one of our engines works (`run`), else `engine` is the name of the command that is bounded
    (`exec`); `model`: "" is the policy's; `budgets`: the options that come from the environment; `goes_on`:
    the run that it goes on with, "" for a new one.
    """

    number: int
    native: bool
    engine: str
    model: str
    task: str
    task_class: str
    options: Options
    budgets: tuple[str, ...]
    check: str
    checkout: Checkout
    goes_on: str


def read(raw: dict[str, Any]) -> Asked:
    """From the JSON of the request. Raises Unclear."""
    task_class = text(raw, "class", 40) or "default"
    if task_class not in STEP_CLASSES:
        raise Unclear(f"class must be one of {', '.join(STEP_CLASSES)}")
    goes_on, sha = text(raw, "run", 12), text(raw, "sha", 64)
    if goes_on and not _RUN.fullmatch(goes_on):
        raise Unclear("run must be the id of a run: 12 of 0-9 and a-f")
    if sha and not _SHA.fullmatch(sha):
        raise Unclear("sha must be the whole name of a commit")
    repository = text(raw, "repository", 201)
    if repository and not _NAME.fullmatch(repository):
        raise Unclear("repository must be OWNER/NAME")
    budgets = raw.get("budgets") or []
    if not isinstance(budgets, list) or not all(isinstance(one, str) and one in BUDGETS for one in budgets):
        raise Unclear(f"budgets must be a list of {', '.join(BUDGETS)}")
    native, engine = raw.get("native") is True, engine_name(text(raw, "engine", 255))
    if native and engine not in ENGINES:
        engine = NATIVE_ENGINE
    return Asked(
        number=number(raw),
        native=native,
        engine=engine,
        model=text(raw, "model", 100),
        task=text(raw, "task", MOST_TASK),
        task_class=task_class,
        options=options(raw | {"engine": None}),
        budgets=tuple(budgets),
        check=text(raw, "check", MOST_CHECK),
        checkout=Checkout(text(raw, "host", 255), repository, text(raw, "branch", 255), sha),
        goes_on=goes_on,
    )


def engine_name(command: str) -> str:
    """What a bounded command is called in the ledger: its file's name, without what a terminal would obey."""
    name = command.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:32] or "?"


def remote(url: str) -> tuple[str, str] | None:
    """(host, OWNER/NAME) of a git remote; None for a file, or what is no repository of a GitHub."""
    found = _URL.fullmatch(url.strip()) or _SCP.fullmatch(url.strip())
    if found is None:
        return None
    name = found["path"].strip("/").removesuffix(".git")
    return (found["host"].lower(), name) if _NAME.fullmatch(name) else None
