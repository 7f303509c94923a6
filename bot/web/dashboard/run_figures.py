"""One run, as far as a visitor may see it: what its page and the API show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flask import g

from bot.core import comments, headlines, reports, run_list, steps, timeline
from bot.core.money import total
from bot.core.offers import offers
from bot.core.outcomes import Report
from bot.core.run_list import Listed, how
from bot.core.timeline import Timeline
from bot.services import Services
from bot.stores.run_rows import LAPTOP, STEP, Run
from bot.stories import waiting
from bot.web.answers import Problem
from bot.web.who import Visitor

SETTLING_MS = 120_000  # after its end, in which its work is published and its report written


@dataclass(frozen=True, slots=True)
class Gauge:
    """A ceiling in figures, of its own unit: what is used and in flight of it. `shown`: used, most and in
    flight in words; `per_cent`: rounded down; `source`: who or what set it."""

    name: str
    used: int
    held: int
    most: int
    shown: tuple[str, str, str]
    per_cent: int
    source: str


@dataclass(frozen=True, slots=True)
class Seen:
    """`report` and `listed` have only what may be told: of a repository that may not be read (`hidden`) that
    is the figures. `live`: there is more to come."""

    run: Run
    listed: Listed
    report: Report
    hidden: bool
    live: bool
    now: int

    @property
    def outcome(self) -> str:
        """How it stands, in a line."""
        if not self.hidden:
            return headlines.outcome(self.report, lambda text: " ".join(text.split()))
        return how(self.run.state, self.run.reason).capitalize()

    @property
    def came_of(self) -> str:
        """What became of its work, and what can be done next, in Markdown of ours."""
        if self.hidden or self.run.live:
            return ""
        here = {STEP: lambda: steps.here(self.report), LAPTOP: lambda: _on_a_laptop(self.report)}
        return comments.came_of(self.report, here.get(self.run.origin, str)())


def seen(services: Services, visitor: Visitor, id: str) -> Seen:
    """Raises Problem 404, for a run that may not be seen too: nobody learns whether there is one."""
    sight = visitor.sight
    listed, run = services.run_list.one(id, sight), services.runs.get(id)
    if listed is None or run is None:
        raise Problem(404, _nobody(id))
    g.whose = run.actor  # who looks at their own run looks at nobody else
    now = services.database.now_ms()
    report = waiting.report(services, id)
    if run.state == "running":
        report = replace(report, spent=replace(report.spent, seconds=listed.seconds(now) or 0))
    if run.actor_id is None or not sight.months_of(run.actor_id):
        report = replace(report, notice="")  # it tells of the whole month
    hidden = not sight.name(run.repository_id, run.actor_id)
    ended = run.finished_at is None and run.ended_at is not None and now - run.ended_at < SETTLING_MS
    return Seen(run, listed, _without_words(report) if hidden else report, hidden, run.live or ended, now)


def gauges(seen: Seen, requests: Timeline) -> tuple[Gauge, ...]:
    """Each ceiling, in the order of `headlines.rows`."""
    used, most = seen.report.spent, seen.report.ceilings
    flying = requests.in_flight
    usd, tokens = total(one.hold for one in flying), sum(one.hold_tokens for one in flying)
    figures = [
        (used.usd.nanos, usd.nanos, most.usd.nanos, str(usd)),
        (used.tokens, tokens, most.tokens, f"{tokens:,}"),
        (used.steps, len(flying), most.steps, str(len(flying))),
        (used.seconds, 0, most.seconds, ""),
        (used.cache_read, 0, most.cached_tokens or 0, ""),
    ]
    rows = zip(headlines.rows(seen.report), figures, strict=False)
    return tuple(
        Gauge(name, had, held, full, (told, limit, flies), percent, source)
        for (name, told, limit, percent, source), (had, held, full, flies) in rows
    )


def as_json(seen: Seen, requests: Timeline) -> dict[str, Any]:
    """For machines: `report` is that of `--report`; money as decimal strings."""
    return run_list.as_json(seen.listed) | {
        "report": reports.to_json(seen.report),
        "outcome": seen.outcome,
        "sources": seen.report.sources or {},
        "requests": [
            {
                "kind": one.kind,
                "requests": one.requests,
                "held_usd": one.held.exact,
                "usd": one.used.exact,
                "back_usd": one.back.exact,
            }
            for one in requests.holds
        ],
        "next": []
        if seen.hidden
        else [{"command": one.command, "does": one.does} for one in offers(seen.report)],
    }


def turns_json(requests: Timeline, after: int, most: int) -> dict[str, Any]:
    """So many of its requests after the one with that id (0: from the first), in the order of the ledger."""
    later = sorted((one for one in requests.requests if one.id > after), key=lambda one: one.id)
    shown = later[:most]
    return {
        "turns": [timeline.request_json(one) for one in shown],
        "next": shown[-1].id if later[most:] else None,
    }


def _nobody(id: str) -> str:
    return (
        f"There is no run {id[:40]!r} that you may see. One's own runs are seen, and other people's by "
        "whoever the service's policy names in `viewers`, by role or by name"
    )


def _on_a_laptop(report: Report) -> str:
    return " ".join(reports.next_here(report)) or "What it made is on the machine on which it ran."


def _without_words(report: Report) -> Report:
    """Nothing that the repository, its people or its agent have written."""
    return replace(
        report,
        message="",
        notice="",
        clamps=(),
        sources={},
        summary="",
        check=None,
        published=None,
        workflow_url="",
        settled_by="",
        resumed=None,
        pieces=(),
        waits_for="",
    )
