"""A job in CI whose engine is a program of others, behind a gateway of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.core.ceilings import Ceilings, Reason
from bot.core.money import Usd
from bot.core.outcomes import Report
from bot.runner.runner import main_ci
from bot.stores.database import Database
from sandbox.processes import Started, start
from tests.peers import ENV
from tests.runner.test_ci import Ci, job
from tests.runner.world import Json, git
from tests.web.gates import Gate, gated

AMPLE = Ceilings(Usd.parse("5"), 500_000, 60, 600)


def bodies(claude: Started) -> list[Json]:
    """What the model was asked, each time."""
    asked = claude.ask("/_sandbox/requests")
    return [json.loads(each["body"]) for each in asked if each["path"].endswith("/messages")]


@contextmanager
def running(
    tmp_path: Path,
    engine: str,
    character: str,
    ceilings: Ceilings,
    brief: dict[str, Any],
    answers: int = 0,
    **api: Any,
) -> Iterator[tuple[Ci, Gate, str, Started]]:
    """The job, its gateway, its run and the model; `brief` goes over what the service would say. `answers`:
    tokens of each answer, for characters that mind it."""
    tmp_path.mkdir(exist_ok=True)
    database = Database(f"sqlite:///{tmp_path / 'tollgate.db'}")
    database.migrate()
    try:
        with (
            start("claude", character=character, answer_tokens=answers) as claude,
            gated(database, claude.url) as gate,
            job(tmp_path / "job", gate.url, **api) as ci,
        ):
            run, token = gate.run(ceilings)
            most = {
                "usd": ceilings.usd.exact, "tokens": ceilings.tokens, "steps": ceilings.steps,
                "seconds": ceilings.seconds,
            }  # fmt: skip
            ci.env["PATH"] += os.pathsep + ENV["PATH"]
            given = {"engine": engine, "token": token, "ceilings": most, "seconds_left": ceilings.seconds}
            ci.api.brief |= given | brief
            yield ci, gate, run, claude
    finally:
        database.close()


def halted_at(reason: Reason, ceilings: Ceilings, ci: Ci, gate: Gate, run: str, claude: Started) -> Report:
    """The job to its end, which this ceiling makes within one request, with what it had made."""
    told: list[str] = []
    gate.gateway.on_halt = lambda account: told.append(account.message)
    assert main_ci(ci.env) == 0
    invoice, report = claude.invoice(), gate.report(run)
    result = ci.result()
    assert (result.outcome, result.reason) == ("halted", reason), result
    assert [file.path for file in result.changeset.files], "what it had made by then"
    assert report.spent.usd <= ceilings.usd
    assert report.spent.usd - report.estimated <= Usd(invoice["total_nanos"]) <= report.spent.usd
    assert len(told) <= 3, "the halt, one request that was refused, and the runner's question"
    return report


def branches(ci: Ci, files: Callable[[str], dict[str, str]]) -> None:
    """The job's base branch and its head, with these files of BASE and of HEAD."""
    source, bare = ci.folder / "source", ci.folder / "acme" / "calendar.git"
    for branch, whose in (("release", "BASE"), ("change", "HEAD")):
        git(source, "checkout", "--quiet", "-B", branch, "main")
        for path, text in files(whose).items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        git(source, "add", "--all", "--force")
        git(source, "commit", "--quiet", "--message", whose)
        git(source, "push", "--quiet", str(bare), branch)
    sha = git(source, "rev-parse", "change")
    ci.api.brief |= {"head": {"ref": "change", "sha": sha}, "base_ref": "release"}
