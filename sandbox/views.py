"""`python -m sandbox views`: the dashboard as a developer and as a lead sees it, for docs/dashboard.md.

The month is a real one, of an afternoon: people launch runs by comments, the shipped workflow and the native
engine carry them out, the ledger counts; only GitHub and Claude are stand-ins. Nothing is written into the
database by hand, so every run is of one day.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import click
from PIL import Image

from sandbox.browser import program
from sandbox.processes import ROOT
from sandbox.story import Broken
from sandbox.world_up import World, world

WIDE, HIGH, SMALL = 1_040, 800, 360
COLOURS = 96  # of a palette: light and dark pages have few
LEAD, DEVELOPER = "max", "dana"
POLICY = f"""
caps:
  everyone: $20
  people: {{{DEVELOPER}: $3}}
  repositories: {{acme/calendar: $60}}
lines:
  evals: {{monthly: $30, members: [{DEVELOPER}, lea]}}
viewers:
  people: [{LEAD}]
  admins: [{LEAD}]
"""
TIRELESS = "\n\nPlease be tireless with this task: polish everything again and again."
WRITERS = ("lea", "ivo", "noor", "sam", "kai")  # besides those who are there
# Who asks for what, in rounds: the runs of a round go side by side.
ROUNDS = (
    (
        (DEVELOPER, "/agent fix cost=$2"),
        ("lea", "/agent fix cost=$2 line=evals"),
        ("ivo", "/agent fix cost=$2"),
        ("kai", f"/agent refactor cost=$6{TIRELESS}"),
    ),
    (
        (DEVELOPER, "/agent fix cost=$2 line=evals"),
        ("noor", "/agent fix cost=$2"),
        ("sam", f"/agent fix cost=$0.40{TIRELESS}"),
        (LEAD, "/agent fix cost=$2"),
    ),
    (
        (DEVELOPER, f"/agent refactor cost=$3{TIRELESS}"),
        ("ada", "/agent fix cost=$2"),
        ("ivo", f"/agent fix steps=6{TIRELESS}"),
    ),
)
LONG = f"/agent refactor cost=$20 steps=80{TIRELESS}"
MORE = f"/agent fix cost=$0.60{TIRELESS}"  # what the developer asks for until the cap is reached


@dataclass(frozen=True)
class View:
    """One picture: whose page, in which colours, how wide, and how much of it (None: all). `path` may name
    one of RUNS, or the dearest merged pull request (THREAD)."""

    name: str
    login: str
    path: str
    dark: bool = False
    wide: int = WIDE
    high: int | None = None


# A run of each kind, as the ledger knows it: the one with the most steps.
RUNS = {
    "live": "SELECT id FROM runs WHERE state = 'running' ORDER BY steps DESC",
    "done": "SELECT id FROM runs WHERE state = 'done' ORDER BY steps DESC",
    "halted": "SELECT id FROM runs WHERE reason = 'cost_ceiling' ORDER BY steps DESC",
}
THREAD = """SELECT pulls.number FROM pulls JOIN runs ON runs.thread = pulls.number
WHERE merged_at IS NOT NULL ORDER BY spent_nanos DESC"""
OF_A_RUN = 1_720  # high
RUN_PAGES = tuple((f"run-{kind}", LEAD, f"/runs/{{{kind}}}") for kind in RUNS)
PAGES = (
    ("overview", LEAD, "/"),
    ("pulls", LEAD, "/pulls"),
    ("pull", LEAD, "/pulls/acme/calendar/{thread}"),
    ("lead", LEAD, "/people"),
    ("developer", DEVELOPER, "/me"),
    ("lines", LEAD, "/lines"),
    ("ceilings", LEAD, "/ceilings?cost=$1"),
    ("settings", LEAD, "/settings"),
    ("drift", LEAD, "/drift"),
    ("audit", LEAD, "/audit"),
)
VIEWS = (
    # Of each run both colours at once, and the live one's first, while it is.
    *(
        View(name + ("-dark" if dark else ""), login, path, dark, high=OF_A_RUN)
        for name, login, path in RUN_PAGES
        for dark in (False, True)
    ),
    View("runs", LEAD, "/runs"),
    View("runs-dark", LEAD, "/runs", dark=True),
    View("run-phone", LEAD, "/runs/{halted}", wide=SMALL, high=OF_A_RUN),
    *(View(name, login, path) for name, login, path in PAGES),
    *(View(f"{name}-dark", login, path, dark=True) for name, login, path in PAGES),
    View("developer-phone", DEVELOPER, "/me", wide=SMALL),
    View("overview-phone", LEAD, "/", wide=SMALL, high=2_400),
)


def rows(up: World, query: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(up.folder / "tollgate.db", timeout=30)) as connection:
        return list(connection.execute(query, values))


def asked(up: World, login: str, words: str, number: int) -> int:
    """A pull request of this person's with their comment on it."""
    branch = f"work-{number}"
    up.github.commit(login, branch, {f"{branch}.md": "For a picture.\n"}, "A branch", from_="faster-dates")
    thread = up.github.pull(login, branch, f"Faster dates, part {number}", "The tests fail since.")
    up.github.comment(login, thread, words)
    return thread


def live(up: World) -> None:
    """The month happens. Raises TimeoutError or Broken when it does not."""
    for login in WRITERS:
        up.github.user(login, "write")
    up.github.user(LEAD, "admin")
    numbers = count(1)
    threads = []
    for round in ROUNDS:
        threads.append([asked(up, login, words, next(numbers)) for login, words in round])
        over(up, threads[-1])
    # What was halted is finished by hand; of the last round nothing is ready yet.
    merge(up, [thread for round in threads[:-1] for thread in round])
    for _ in range(8):
        thread = asked(up, DEVELOPER, MORE, next(numbers))
        over(up, [thread])
        if rows(up, "SELECT 1 FROM refusals WHERE thread = ?", thread):
            up.github.comment(DEVELOPER, thread, "/agent ack the release needs its leap years")
            up.github.wait(lambda _: rows(up, "SELECT 1 FROM acknowledgements"), 60, "the acknowledgement")
            return
    raise Broken(f"{DEVELOPER}'s cap was not reached")


def merge(up: World, threads: Sequence[int]) -> None:
    """A person merges these, and what was spent on them has followed."""
    for thread in threads:
        up.github.merge("ada", thread)
    marks = ", ".join("?" for _ in threads)
    merged = f"SELECT count(*) FROM pulls WHERE merged_at IS NOT NULL AND number IN ({marks})"
    up.github.wait(lambda _: rows(up, merged, *threads)[0][0] == len(threads), 60, f"the spend of {threads}")


def begin(up: World) -> dict[str, str]:
    """A run that goes on while its picture is taken; the run of each kind."""
    thread = asked(up, LEAD, LONG, 100)
    alive = "SELECT 1 FROM runs WHERE thread = ? AND state = 'running' AND steps >= 12"
    up.github.wait(lambda _: rows(up, alive, thread), 120, "a run that is well on its way")
    return {kind: str(rows(up, query)[0][0]) for kind, query in (RUNS | {"thread": THREAD}).items()}


def over(up: World, threads: Sequence[int]) -> None:
    """Until each of these comments has led to a run that is over, or to a refusal."""
    marks = ", ".join("?" for _ in threads)
    many = (
        f"SELECT (SELECT count(*) FROM runs WHERE finished_at IS NOT NULL AND thread IN ({marks}))"
        f" + (SELECT count(*) FROM refusals WHERE thread IN ({marks}))"
    )
    up.github.wait(
        lambda _: rows(up, many, *threads, *threads)[0][0] == len(threads), 400, f"the answers on {threads}"
    )


def photograph(up: World, to: Path, executable: str, runs: dict[str, str]) -> Iterator[Path]:
    """Every view, as a browser has it whose person has signed in on GitHub's page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        pages = {login: signed_in(browser, up, login) for login in sorted({view.login for view in VIEWS})}
        for view in VIEWS:
            page = pages[view.login]
            page.set_viewport_size({"width": view.wide, "height": HIGH})
            page.emulate_media(color_scheme="dark" if view.dark else "light")
            page.goto(up.service + view.path.format(**runs))
            if "{live}" in view.path and not page.locator("[data-live]").count():
                raise Broken(f"{view.name}: the run had ended before its picture was taken")
            file = to / f"{view.name}.png"
            page.screenshot(path=file, full_page=True)
            with Image.open(file) as picture:
                box = 0, 0, picture.width, min(picture.height, view.high or picture.height)
                picture.convert("RGB").crop(box).quantize(COLOURS, dither=Image.Dither.NONE).save(
                    file, optimize=True
                )
            yield file
        browser.close()


def signed_in(browser: Any, up: World, login: str) -> Any:
    page = browser.new_context().new_page()
    page.goto(f"{up.service}/sign-in")
    page.get_by_role("button", name=f"Continue as {login}").click()
    page.get_by_role("button", name="Sign out").wait_for()
    return page


@click.command()
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "docs" / "dashboard",
    show_default="docs/dashboard",
)
def main(to: Path) -> None:
    """The dashboard of an afternoon's runs, as a developer and as a lead sees it."""
    browser = program()
    if browser is None:
        raise click.ClickException("no browser: pictures need chromium or google-chrome on PATH")
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="views-", ignore_cleanup_errors=True) as name:
        try:
            with world(
                Path(name), bug="leap", character="auto", think_ms=50, port=0, progress=5, policy=POLICY
            ) as up:
                live(up)
                for file in photograph(up, to, browser, begin(up)):
                    click.echo(f"{file.stem}: {file.stat().st_size // 1024} KB")
        except (Broken, TimeoutError, RuntimeError) as error:
            raise click.ClickException(str(error)) from error
