"""The notice at three quarters of a month: a run's report tells its person, once a month (R21)."""

from __future__ import annotations

from bot.core.caps import Cap, Scope, applying, due, notice
from bot.services import Services
from bot.stores.runs import Run
from bot.stories.names import run_of


def tell(services: Services, run_id: str) -> None:
    """Put it into the run's report, once a month, that most of its person's money is gone (R21)."""
    run = run_of(services, run_id)
    for cap in _own(services, run):
        (standing,) = services.people.standings((cap,), run.month)
        if due(standing) and services.people.tell(cap, run.month, run.id, run.attempt):
            text = notice(standing, services.policy.caps.mention)
            services.runs.set(run.id, notice=text)


def _own(services: Services, run: Run) -> tuple[Cap, ...]:
    if run.actor_id is None or not run.month or run.line:
        return ()
    before = services.people.names(run.actor_id, None)
    caps = applying(services.policy.caps, (run.actor_id, run.actor), (0, ""), 0, before=before)
    return tuple(cap for cap in caps if cap.scope is Scope.PERSON)
