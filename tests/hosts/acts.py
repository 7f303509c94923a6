"""What may befall hosts, each while runs are started, streamed, told and ended on both of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

from tests.hosts.books import Books, audit
from tests.hosts.world import Place, World
from tests.stories.service import ROOT

MINUTE = 60.0
LONGEST = 400.0  # until everything has ended: GitHub's log of deliveries is looked at every five minutes
AGAIN = 4.0  # seconds until somebody asks for one more
TOGETHER = 3  # commands at once; one of them is a runaway


@dataclass(frozen=True)
class Seen:
    """Seconds from the blow until every story of the host that was struck is told, and until every run that
    was live has had another answer."""

    what: str
    stories: int
    told: float
    live: int
    answered: float
    books: Books


def commands(world: World, asks: int = 6) -> None:
    for _ in range(TOGETHER - 1):
        world.command("cost=$5", ask=asks, **{"as": "slow"})
    world.command("cost=$0.60", ask=1_000, **{"as": "expensive"})


def through(
    world: World,
    what: str,
    victim: Place,
    strike: Callable[[], object],
    mend: Callable[[], object] = lambda: None,
) -> Seen:
    """Strike while the victim tells a story and agents stream; mend once all of that has gone on."""
    click.echo(f"  {what} …", err=True)
    known = len(world.written)
    commands(world, 12)
    world.until(lambda: len(world.live()) >= TOGETHER - 1, MINUTE, "agents")
    worker = victim.worker_id()
    commands(world)
    stories: set[str] = set()
    again = time.monotonic() + AGAIN

    def in_the_middle() -> bool:
        nonlocal again
        if time.monotonic() >= again:  # so quick that no look fell into it
            world.command("cost=$5", ask=6, **{"as": "slow"})
            again = time.monotonic() + AGAIN
        streaming = world.rows("SELECT count(DISTINCT owner) FROM turns WHERE state = 'held'")[0][0]
        stories.clear()
        stories.update(world.told_by(worker))
        return bool(stories) and streaming == len(world.balancer.ready())

    world.until(in_the_middle, MINUTE, "a story of the victim's, and streams on every host")
    live, since = world.live(), world.rows("SELECT extract(epoch FROM clock_timestamp()) * 1000")[0][0]
    began = time.monotonic()
    beside = ThreadPoolExecutor(1)
    blow = beside.submit(strike)  # a roll-out takes its time, and what goes on meanwhile counts
    world.command("cost=$5", ask=2, **{"as": "echo"})

    def silent() -> bool:
        names = ", ".join(f"'{run}'" for run in live) or "''"
        query = (
            f"SELECT count(*) FROM runs WHERE id IN ({names}) AND state = 'running' AND NOT EXISTS (SELECT 1 "
            f"FROM turns WHERE run = runs.id AND state = 'settled' AND settled_at > {since})"
        )
        return bool(world.rows(query)[0][0])

    told: list[float] = []
    answered: list[float] = []

    def both() -> bool:
        if not told and not world.untold(stories):
            told.append(time.monotonic() - began)
        if not answered and not silent():
            answered.append(time.monotonic() - began)
        return bool(told and answered)

    world.until(both, LONGEST, "what was under way to go on")
    blow.result()
    beside.shutdown()
    mend()
    threads = world.written[known:]
    over = f"SELECT count(*) = {len(threads)} FROM runs WHERE finished_at IS NOT NULL AND thread IN "
    names = ", ".join(map(str, threads))
    world.until(lambda: world.rows(f"{over}({names})")[0][0], LONGEST, "the end of every run")
    world.until(lambda: not pending(world), LONGEST, "the end of every story")
    return Seen(what, len(stories), told[0], len(live), answered[0], audit(world, threads))


def pending(world: World) -> int:
    query = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
    return int(world.rows(query)[0][0])


# -- the blows --


def cut(world: World) -> Seen:
    victim = world.places[1]
    return through(
        world, "a host's cable is pulled, and put back later", victim, victim.host.cut, victim.host.mend
    )


def lost_database(world: World) -> Seen:
    victim, there = world.places[1], world.network.beside
    return through(
        world,
        "a host loses the database alone, and finds it later",
        victim,
        lambda: victim.host.lose(there),
        lambda: victim.host.find(there),
    )


def killed(world: World) -> Seen:
    victim = world.places[1]
    return through(
        world, "a host loses its power", victim, victim.host.kill, lambda: world.again(world.places[1])
    )


def restarted(world: World, mode: str) -> Seen:
    def blow() -> None:
        world.server.stop(mode)
        time.sleep(3)
        world.server.start()

    words = {"fast": "the database is restarted", "immediate": "the database is killed, and recovers"}
    return through(world, f"{words[mode]} (3 s)", world.places[0], blow)


def rolled(world: World) -> Seen:
    """One host after the other: worker, then web, each drained by SIGTERM."""
    return through(world, "a new version is rolled out", world.places[0], lambda: forward(world))


def rolled_back(world: World, old: Path) -> Seen:
    """To the version before, in the other order; and then it is this one again."""

    def back() -> None:
        for place in world.places:
            another_web(world, place, old)
            another_worker(world, place, old)

    what = "the version before is brought back"
    return through(world, what, world.places[0], back, lambda: forward(world))


def forward(world: World) -> None:
    """To this version: workers first, for they must know whatever story the new web processes ask for."""
    for place in world.places:
        another_worker(world, place, ROOT)
        another_web(world, place, ROOT)


def another_worker(world: World, place: Place, of: Path) -> None:
    assert place.worker is not None
    place.worker.end(30)
    world.worker(place, of)
    place.worker_id()


def another_web(world: World, place: Place, of: Path) -> None:
    assert place.web is not None
    place.web.end(60)
    world.web(place, of)
    world.ready(place)


def compiled(folder: Path) -> Path | None:
    """The library by which a process has a clock of its own; None: there is no C compiler."""
    made, compiler = folder / "clock.so", shutil.which("cc")
    if compiler is None:
        return None
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def wrong_clock(world: World, library: Path) -> Seen:
    """All of the service is on one host, whose clock goes an hour wrong in the middle."""
    alone, other = world.places[1], world.places[0]
    clock = world.folder / "clock"
    clock.write_text("0")
    wrong = {"LD_PRELOAD": str(library), "CLOCK_OFF_BY": str(clock)}
    for place in (alone, other):
        world.down(place)
    world.up(alone, ROOT, **wrong)

    def blow() -> None:
        clock.write_text("3600")

    def mend() -> None:
        refused = world.places[1].host.start(
            [sys.executable, "-m", "bot", "worker"],
            ROOT,
            world.env | wrong,
            world.folder / "refused.log",
        )
        assert refused.entered.wait(60) != 0
        assert "3600 s off the database's" in refused.said, refused.said
        world.up(other)

    seen = through(world, "every clock of the service goes an hour wrong", alone, blow, mend)
    world.down(alone)
    world.up(alone)
    return seen


def older(folder: Path) -> tuple[Path, str] | None:
    """A checkout of the first commit that had today's schema, and its name; None: there is no history."""
    schema = ["bot/stores/tables.py", "bot/stores/migrations"]
    log = ["git", "log", "-1", "--format=%h", "HEAD", "--", *schema]
    found = subprocess.run(log, cwd=ROOT, capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *schema], cwd=ROOT, check=False)
    name = found.stdout.strip()
    if not name or changed.returncode:
        return None
    folder.mkdir()
    packed = subprocess.run(["git", "archive", name], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=packed.stdout, check=True)
    return folder, name
