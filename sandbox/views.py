"""`python -m sandbox views`: the dashboard as a developer and as a lead sees it, for docs/dashboard.md.

The month is a real one, of an afternoon: people launch runs by comments, the shipped workflow and the native
engine carry them out, the ledger counts; only GitHub and Claude are stand-ins. Nothing is written into the
database by hand, so every run is of one day.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import click
from PIL import Image

from sandbox.github.client import Json
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
MORE = f"/agent fix cost=$0.60{TIRELESS}"  # what the developer asks for until the cap is reached


@dataclass(frozen=True)
class View:
    """One picture: whose page, in which colours, how wide."""

    name: str
    login: str
    path: str
    dark: bool = False
    wide: int = WIDE


PAGES = (("lead", LEAD, "/people"), ("developer", DEVELOPER, "/me"))
VIEWS = (
    *(View(name, login, path) for name, login, path in PAGES),
    *(View(f"{name}-dark", login, path, dark=True) for name, login, path in PAGES),
    View("developer-phone", DEVELOPER, "/me", wide=SMALL),
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
    numbers = count(1)
    for round in ROUNDS:
        over(up, [asked(up, login, words, next(numbers)) for login, words in round])
    for _ in range(8):
        thread = asked(up, DEVELOPER, MORE, next(numbers))
        over(up, [thread])
        if rows(up, "SELECT 1 FROM refusals WHERE thread = ?", thread):
            up.github.comment(DEVELOPER, thread, "/agent ack the release needs its leap years")
            up.github.wait(lambda _: rows(up, "SELECT 1 FROM acknowledgements"), 60, "the acknowledgement")
            return
    raise Broken(f"{DEVELOPER}'s cap was not reached")


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


def photograph(up: World, to: Path, program: str) -> Iterator[Path]:
    """Every view, as a browser has it whose person has signed in on GitHub's page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for view in VIEWS:
            size: Json = {"width": view.wide, "height": HIGH}
            context = browser.new_context(viewport=size, color_scheme="dark" if view.dark else "light")  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(f"{up.service}/sign-in")
            page.get_by_role("button", name=f"Continue as {view.login}").click()
            page.get_by_role("button", name="Sign out").wait_for()
            page.goto(up.service + view.path)
            file = to / f"{view.name}.png"
            page.screenshot(path=file, full_page=True)
            context.close()
            with Image.open(file) as picture:
                picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
            yield file
        browser.close()


@click.command()
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "docs" / "dashboard",
    show_default="docs/dashboard",
)
def main(to: Path) -> None:
    """The dashboard of an afternoon's runs, as a developer and as a lead sees it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise click.ClickException("no browser: pictures need chromium or google-chrome on PATH")
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="views-", ignore_cleanup_errors=True) as name:
        try:
            with world(
                Path(name), bug="leap", character="auto", think_ms=50, port=0, progress=5, policy=POLICY
            ) as up:
                live(up)
                for file in photograph(up, to, program):
                    click.echo(f"{file.stem}: {file.stat().st_size // 1024} KB")
        except (Broken, TimeoutError, RuntimeError) as error:
            raise click.ClickException(str(error)) from error
