"""The notice at three quarters of a month: a run's report tells its person, once a month (R21)."""

from __future__ import annotations

from bot.core.caps import due, notice
from bot.services import Services
from bot.stories.names import run_of
from bot.stories.ruling import own_cap


def tell(services: Services, run_id: str) -> None:
    """Put it into the run's report, once a month, that most of its person's money is gone (R21)."""
    run = run_of(services, run_id)
    if run.actor_id is None or not run.month or run.line:
        return
    cap = own_cap(services, (run.actor_id, run.actor))
    if cap is None:
        return
    (standing,) = services.people.standings((cap,), run.month)
    if due(standing) and services.people.tell(cap, run.month, run.id, run.attempt):
        services.runs.set(run.id, notice=notice(standing, services.policy.caps.mention))
