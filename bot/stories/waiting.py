"""What a run in line waits for, and where it stands: for those who let in, and for those who tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache

from bot.core.policy import Policy, PolicyError, tighten
from bot.core.reports import Report
from bot.core.waiting import MOST_LINKS, Limit, Place, Waiting, places, told
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stores.sweeps import Sweep
from bot.stores.waiting import counted
from bot.stories.names import repo_of, run_of, thread_url
from bot.stories.ruling import limits_of


def as_waiting(services: Services, runs: Iterable[Run]) -> list[Waiting]:
    """As they stand in line now."""
    sweep_of = cache(services.sweeps.get)  # many are of one sweep
    return [
        Waiting(
            counted(run),
            limits(services, run, sweep_of(run.sweep) if run.sweep else None),
            run.queued_at or run.opened_at,
        )
        for run in runs
    ]


def limits(services: Services, run: Run, sweep: Sweep | None) -> tuple[Limit, ...]:
    """As the service's policy has them now, tightened by the repository's of its trigger; and its sweep's."""
    try:
        ruling = tighten(services.policy, _read(run.snapshot.get("policy")))
    except PolicyError:
        ruling = services.policy  # which has changed since, and no longer goes with this run's
    found = limits_of(ruling, (run.actor_id or 0, run.actor), repo_of(run), run.line)
    return found if sweep is None else (sweep.limit, *found)


@lru_cache(maxsize=256)
def _read(text: str | None) -> Policy:
    """A snapshot's policy: every look asks for those of the whole line."""
    return Policy.parse(text)


def standing(services: Services) -> dict[str, Place]:
    """Where every run in line stands."""
    line = as_waiting(services, services.waiting.all())
    return places(line, services.waiting.live()) if line else {}


def report(services: Services, run_id: str, stands: Mapping[str, Place] | None = None) -> Report:
    """The run as every door shows it; one in line with its place, of those in `stands` if they are known."""
    run, found = run_of(services, run_id), services.report(run_id)
    mine = (standing(services) if stands is None else stands).get(run_id) if run.state == "queued" else None
    if mine is None:
        return found
    return replace(found, position=mine.position, waits_for=told(mine, _links(services, run, mine)))


def _links(services: Services, mine: Run, stands: Place) -> list[str]:
    """To what it waits for in its own repository: who reads here need not know of any other."""
    runs = (services.runs.get(id) for id in stands.live)
    here = [run for run in runs if run is not None and run.repository_id == mine.repository_id]
    return [f"[`{run.id}`]({thread_url(run)})" for run in here[:MOST_LINKS] if run.snapshot.get("thread")]
