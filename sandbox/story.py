"""The demo's story: a comment, a bounded run, a commit whose test passes, a merge, its cost; then a runaway.

Nothing is staged but the mind: the workflow is the shipped file, the commit is made by the App, the figures
come from the product's own commands and are held against the invoice.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sandbox.browser import command, program
from sandbox.github.client import Client
from sandbox.processes import ROOT, Started

PULL = 2
FIX = "/agent fix cost=$2\n\nThe tests fail since this branch made the dates faster. Find the bug and fix it."
RUNAWAY = "/agent fix cost=$0.50\n\nPlease be tireless with this task: polish everything again and again."
NANOS = 1_000_000_000


class Broken(Exception):
    """What did not happen as it should; the demo then fails."""


class Narrator:
    """Lines with the seconds since the start."""

    def __init__(self, start: float) -> None:
        self._start = start

    def line(self, text: str, *, bold: bool = False) -> None:
        stamp = click.style(f"{time.monotonic() - self._start:6.1f}s  ", dim=True) if text else ""
        click.echo(stamp + click.style(text, bold=bold))

    def block(self, text: str) -> None:
        for line in text.strip("\n").splitlines():
            click.echo(f"         {line}")


def tell(
    github: Client,
    claude: Started,
    env: dict[str, str],
    folder: Path,
    say: Narrator,
    picture: Path | None = None,
) -> None:
    """Both acts and the reckoning. Raises Broken."""
    say.line(f"{github.repo}: pull request #{PULL}, whose test fails. {github.url}/{github.repo}/pull/{PULL}")
    head = github.thread(PULL)["head_ref"]
    outcome = try_tests(github, head)
    say.line(f"`python -m unittest` on {head}: {outcome.summary}")
    if outcome.passed:
        raise Broken("the seeded bug breaks no test")
    say.line("")
    say.line("Act one: a developer asks for a fix.", bold=True)
    report = asked(github, PULL, FIX, say)
    (folder / "report.md").write_text(report, encoding="utf-8")
    if picture is not None:
        photograph(f"{github.url}/{github.repo}/pull/{PULL}", picture, folder)
    outcome = try_tests(github, head)
    say.line(f"`python -m unittest` on {head}, with the commit: {outcome.summary}")
    if not outcome.passed:
        raise Broken("the commit does not make the tests pass")
    say.line(f"commit: {outcome.commit}")
    github.merge("dana", PULL)
    say.line(f"dana merges #{PULL}")
    metrics = merged(env, say)
    say.block(metrics)
    say.line("")
    say.line("Act two: a task that runs away.", bold=True)
    number = another_pull(github)
    report = asked(github, number, RUNAWAY, say)
    (folder / "runaway.md").write_text(report, encoding="utf-8")
    if "$0.50 cost ceiling reached" not in report:
        raise Broken("the runaway was not halted by its cost ceiling")
    say.line(f"its partial work is kept: {kept(github)}")
    say.line("")
    reckon(claude, env, say)


def photograph(url: str, to: Path, folder: Path) -> None:
    """The page as a person sees it. Raises Broken where there is no chromium."""
    browser = program()
    if browser is None:
        raise Broken("there is no chromium on PATH to make a picture with")
    line = command(browser, folder, 1060, 1640)
    line += ["--disable-quic", "--timeout=4000", f"--screenshot={to.resolve()}", url]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.suppress(subprocess.TimeoutExpired):  # the picture is made; its helpers may linger
        subprocess.run(line, check=True, timeout=60, **quiet)  # type: ignore[call-overload]
    if not to.exists():
        raise Broken(f"{browser} made no picture")


def asked(github: Client, number: int, words: str, say: Narrator) -> str:
    """Type a comment, watch the run live, and return the final report."""
    before = {comment["id"] for comment in github.comments(number)}
    runs = {run["id"] for run in github.runs()}
    mine = github.comment("dana", number, words)
    first = words.splitlines()[0]
    say.line(f"dana comments on #{number}: {first}")
    github.wait(lambda g: _reacted(g, number, mine), 30, "the eyes")
    say.line("👀")
    run = github.wait(
        lambda g: next((r for r in g.runs() if r["id"] not in runs), None), 30, "the workflow run"
    )
    say.line(f"workflow dispatched: {run['title']}")
    seen: list[str] = []
    logged = 0

    def final(g: Client) -> str | None:
        nonlocal logged
        state = g.repository()
        job = next(r for r in state["runs"] if r["id"] == run["id"])
        lines = job["log"]
        for text in lines[logged:]:
            if text.strip().startswith(("turn ", "step ", "$ ", "· ")):
                say.line("  " + text.strip())
        logged = len(lines)
        for comment in g.comments(number):
            if comment["id"] in before or comment["id"] == mine:
                continue
            headline = first_line(comment["body"])
            if headline not in seen:
                seen.append(headline)
                say.line(f"  comment: {headline}")
            if job["status"] == "completed" and is_final(comment["body"]):
                return str(comment["body"])
        return None

    report = str(github.wait(final, 120, "the report"))
    say.line("report:")
    say.block(visible(report))
    return report


def _reacted(github: Client, number: int, comment: int) -> bool:
    made = next(c for c in github.comments(number) if c["id"] == comment)
    return any(reaction["content"] == "eyes" for reaction in made["reactions"])


def is_final(body: str) -> bool:
    return bool(re.search(r"^\W*(?:Done|Halted|Failed|Lost)\b", visible(body), re.I))


def visible(body: str) -> str:
    """A comment without its marker, folded parts and charts: what a reader sees first."""
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.S)
    body = re.sub(r"<details>.*?</details>\s*", "", body, flags=re.S)
    return re.sub(r"```mermaid.*?```\s*", "", body, flags=re.S).strip()


def first_line(body: str) -> str:
    return visible(body).partition("\n")[0]


class Tests:
    """The repository's own tests, run on a fresh clone."""

    def __init__(self, passed: bool, summary: str, commit: str) -> None:
        self.passed = passed
        self.summary = summary
        self.commit = commit


def try_tests(github: Client, branch: str) -> Tests:
    with tempfile.TemporaryDirectory(prefix="look-") as folder:
        url = f"{github.url}/{github.repo}.git"
        git(folder, "clone", "--quiet", "--branch", branch, url, ".")
        ran = subprocess.run(
            [sys.executable, "-m", "unittest"], cwd=folder, capture_output=True, text=True, check=False
        )
        last = [line for line in ran.stderr.splitlines() if line.strip()][-1]
        return Tests(ran.returncode == 0, last, git(folder, "log", "-1", "--format=%h %an: %s").strip())


def git(folder: str, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout


def merged(env: dict[str, str], say: Narrator) -> str:
    """Wait until the merge is attributed; what `metrics` prints."""

    def attributed() -> bool:
        found = product(env, "metrics", "--json")
        return bool(json.loads(found)["merged"])

    patiently(attributed, 30, "the merge to be attributed")
    say.line("$ python -m bot metrics")
    return product(env, "metrics")


def another_pull(github: Client) -> int:
    readme = github.file("README.md", "main").decode() + "\nTime zones are somebody else's.\n"
    github.commit("dana", "time-zones", {"README.md": readme}, "Say what this is not", from_="main")
    return github.pull("dana", "time-zones", "Say what this is not", "A word about time zones.")


def kept(github: Client) -> str:
    branches = [name for name in github.repository()["branches"] if name.startswith("agent/run-")]
    if not branches:
        raise Broken("nothing was kept of the runaway's work")
    return ", ".join(branches)


def reckon(claude: Started, env: dict[str, str], say: Narrator) -> None:
    """The ledger against the invoice, to the nano-dollar."""
    invoice = claude.invoice()["total_nanos"]
    ledger = nanos(json.loads(product(env, "metrics", "--json"))["spend"]["usd"])
    say.line(f"invoice ${exact(invoice)} · ledger ${exact(ledger)}", bold=True)
    if invoice != ledger:
        raise Broken(f"the ledger differs from the invoice by {ledger - invoice} nano-dollars")
    say.line("equal to the nano-dollar")


def nanos(usd: str) -> int:
    whole, _, part = usd.partition(".")
    return int(whole) * NANOS + int(part.ljust(9, "0") or 0)


def exact(amount: int) -> str:
    return f"{amount // NANOS}.{amount % NANOS:09d}"


def product(env: dict[str, str], *words: str) -> str:
    """One of the product's own commands."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *words], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Broken(f"python -m bot {' '.join(words)}: {(done.stdout + done.stderr)[-1000:]}")
    return done.stdout


def patiently(true: Callable[[], Any], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.3)
