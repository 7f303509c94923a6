"""`python -m sandbox pictures`: how every kind of end looks, as PNG files for docs/reports.md.

Each is the report of a real run: the shipped workflow, the native engine, the product's web and worker, a
ledger; only GitHub and Claude are stand-ins.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from PIL import Image, ImageChops

from sandbox.browser import command, program
from sandbox.github.client import Refusal
from sandbox.markdown import render
from sandbox.processes import ROOT
from sandbox.story import Broken, is_final, visible
from sandbox.world_up import World, world

WIDTH, TALLEST = 820, 2_400
COLOURS = 48  # of a palette: text on white needs no more
STYLE = ROOT / "sandbox" / "github" / "static" / "page.css"
AGENT = ".github/workflows/agent.yml"
POLICY = ".github/agent.yml"
TIRELESS = "Please be tireless with this task: polish everything again and again."
PAGE = """<!doctype html><meta charset="utf-8"><style>{style}
body {{ padding: 14px; background: #fff }} details > :not(summary) {{ display: none }}</style>
<article class="comment bot"><header><strong>tollgate</strong> <span class="tag">bot</span></header>
<div class="md">{body}</div></article>"""


@dataclass(frozen=True)
class Shot:
    """One picture: what is asked for, and what else has to happen so that the run ends this way."""

    name: str
    words: str
    reads: str  # of the report's first line, or it is not the picture that it is meant to be
    files: dict[str, str] = field(default_factory=dict)  # on the default branch, for as long as it takes
    during: Callable[[World, int, str], None] | None = None  # once it runs: world, thread, run
    after: tuple[str, ...] = ()  # comments once it has ended


def stop(up: World, number: int, run: str) -> None:
    up.github.comment("dana", number, "/agent stop")


KEEP_OUT = "paths:\n  forbidden: [acme_calendar]\n"
TIGHT = "classes:\n  default:\n    cached_tokens: 20k\n"
SHOTS = (
    Shot("done", "/agent fix cost=$2", "Done: tests pass"),
    Shot("held", "/agent fix cost=$2", "Done: its changes wait", {POLICY: KEEP_OUT}),
    Shot("cost", f"/agent fix cost=$0.40\n\n{TIRELESS}", "$0.40 cost ceiling"),
    Shot("tokens", f"/agent fix tokens=30k\n\n{TIRELESS}", "token ceiling"),
    Shot("steps", f"/agent fix steps=5\n\n{TIRELESS}", "5 step ceiling"),
    Shot("wall-clock", f"/agent fix cost=$20 tokens=1M steps=80 wall=5s\n\n{TIRELESS}", "wall-clock ceiling"),
    Shot("cached-tokens", f"/agent run\n\n{TIRELESS}", "cached token ceiling", {POLICY: TIGHT}),
    Shot("stuck-loop", "/agent fix\n\nGet stuck, please.", "stuck_loop"),
    Shot("stopped", f"/agent fix\n\n{TIRELESS}", "stopped by dana", during=stop),
    Shot("upstream-limit", "/agent fix\n\nas:upstream-limit", "spend limit of the API key"),
    Shot("bound-exceeded", "/agent fix tokens=12k\n\nas:bills-above", "more than its bound"),
    Shot("failed", "/agent fix\n\nas:refuses", "Failed"),
    Shot("lost", "/agent fix", "Lost", {AGENT: ""}),
    Shot("accepted", f"/agent fix cost=$0.40\n\n{TIRELESS}", "accepted", after=("/agent accept",)),
    Shot("discarded", f"/agent fix cost=$0.40\n\n{TIRELESS}", "discarded", after=("/agent discard",)),
    Shot(
        "split",
        "/agent split\n\nFix the leap years. Add ISO weeks, and rename the module of months.",
        "split into",
    ),
)  # fmt: skip


def database(up: World, query: str, *values: object) -> Any:
    connection = sqlite3.connect(up.folder / "tollgate.db", timeout=30)
    try:
        with connection:
            return connection.execute(query, values).fetchone()
    finally:
        connection.close()


def take(up: World, shot: Shot) -> str:
    """Have it happen; the report's text. Raises Broken when it ended in another way."""
    github = up.github
    branch = f"picture-{shot.name}"
    github.commit("dana", branch, {f"{branch}.md": "For a picture.\n"}, "A branch", from_="faster-dates")
    number = github.pull("dana", branch, f"Faster dates ({shot.name})", "The tests fail since.")
    before = {path: _file(up, path) for path in shot.files}
    if shot.files:
        files = {path: text or _quits(before[path] or "") for path, text in shot.files.items()}
        github.commit("ada", "main", files, "For a picture")
    try:
        github.comment("dana", number, shot.words)
        if shot.during is not None:
            run = github.wait(lambda _: _running(up, number), 60, f"{shot.name} to run")
            shot.during(up, number, run)
        report = _report(up, number, lambda body: True)
        for words in shot.after:
            github.comment("dana", number, words)
            report = _report(up, number, lambda body: shot.reads in first(body))
    finally:
        if shot.files:
            github.commit("ada", "main", before, "As it was")
    if shot.reads not in first(report):
        raise Broken(f"{shot.name}: the report begins with {first(report)!r}")
    return report


def _file(up: World, path: str) -> str | None:
    try:
        return up.github.file(path, "main").decode()
    except Refusal:
        return None


def _quits(workflow: str) -> str:
    """The same workflow, whose job ends before the run is claimed."""
    return workflow.replace("    steps:\n", "    steps:\n      - run: exit 1\n", 1)


def _running(up: World, number: int) -> str | None:
    row = database(up, "SELECT id FROM runs WHERE thread = ? AND state = 'running' AND steps >= 2", number)
    return str(row[0]) if row else None


def _report(up: World, number: int, right: Callable[[str], bool]) -> str:
    def final(_: Any) -> str | None:
        row = database(up, "SELECT count(*) FROM runs WHERE thread = ? AND finished_at IS NULL", number)
        bodies = [c["body"] for c in up.github.comments(number) if "tollgate-run:" in c["body"]]
        found = [body for body in bodies if is_final(body) and right(body)]
        return found[-1] if found and not row[0] else None

    return str(up.github.wait(final, 150, f"the report on #{number}"))


def first(body: str) -> str:
    return visible(body).partition("\n")[0]


def photograph(body: str, to: Path, browser: str, folder: Path) -> None:
    """The comment as a person sees it, its folded parts folded. Raises Broken."""
    page, raw = folder / f"{to.stem}.html", folder / f"{to.stem}.png"
    shown = render(re.sub(r"```mermaid.*?```\s*", "", body, flags=re.S))
    page.write_text(PAGE.format(style=STYLE.read_text(), body=shown))
    line = [*command(browser, folder, WIDTH, TALLEST), f"--screenshot={raw}", page.as_uri()]
    with suppress(subprocess.TimeoutExpired):  # the picture is made; its helpers may linger
        subprocess.run(line, check=False, timeout=60, capture_output=True)
    if not raw.exists():
        raise Broken(f"{browser} made no picture of {to.stem}")
    with Image.open(raw) as picture:
        plain = picture.convert("RGB")
        box = ImageChops.difference(plain, Image.new("RGB", plain.size, "white")).getbbox()
        height = min(plain.height, box[3] + 14) if box else plain.height
        small = plain.crop((0, 0, plain.width, height)).quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(to, optimize=True)


@click.command()
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "docs" / "reports",
    show_default="docs/reports",
)
@click.option("--only", multiple=True, help="Names of pictures; all without it.")
def main(to: Path, only: tuple[str, ...]) -> None:
    """A picture of each way in which a run can end, made by runs that end so."""
    browser = program()
    if browser is None:
        raise click.ClickException("no browser: pictures need chromium or google-chrome on PATH")
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with world(folder, bug="leap", character="auto", think_ms=100, port=0, progress=1) as up:
            for shot in SHOTS:
                if only and shot.name not in only:
                    continue
                try:
                    photograph(take(up, shot), to / f"{shot.name}.png", browser, folder)
                except (Broken, TimeoutError) as error:
                    raise click.ClickException(str(error)) from error
                size = (to / f"{shot.name}.png").stat().st_size
                click.echo(f"{shot.name}: {size // 1024} KB")
