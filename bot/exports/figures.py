"""The values of every metric, read from the database: the same whichever process is asked, and after any
restart.

The first repositories that there were keep a label of their own for good, the others share one: so sums are
right, no label ever changes what it stands for, and no counter falls.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import OperationalError

from bot.core.caps import Cap, Caps, Scope, month_of, of_line
from bot.core.drift import KINDS
from bot.core.money import total
from bot.core.reconcile import COUNTERS
from bot.core.signals import MergedPull
from bot.core.times import DAY_MS
from bot.exports import families as f
from bot.exports.families import Family, Labels, Samples
from bot.services import Services
from bot.stores import cursor, vitals
from bot.stores.cursor import CursorEvents
from bot.stores.looks import DELIVERIES
from bot.stores.people import People
from bot.stores.signals import SignalStore
from bot.stores.totals import Group, Totals

MOST_REPOSITORIES = 200
MOST_VALUES = 40  # of any other label that somebody's configuration fills
OTHER, NONE = "other", "none"
STATEMENT_SECONDS = 8.0
# What a cost is for, and how its column is called.
_COST_OF = {
    "input": "input",
    "cache_write": "write",
    "cache_read": "read",
    "output": "output",
    "server_tools": "tools",
}

Figures = dict[Family, Samples]


class Names:
    """The value of a label for each name: its own if it is among the first so many, else OTHER. Each comes
    with a number, the least are first."""

    def __init__(self, numbered: Iterable[tuple[str, int]], most: int) -> None:
        first: dict[str, int] = {}
        for name, at in numbered:
            first[name] = min(at, first.get(name, at))
        self.kept = frozenset(sorted((name for name in first if name), key=lambda n: (first[n], n))[:most])

    def __getitem__(self, name: str) -> str:
        return name if name in self.kept else OTHER if name else NONE


def now(services: Services) -> Figures:
    """What was done since the beginning, and how things stand. Raises OperationalError where the database
    takes too long or is not there."""
    database = services.database.within(STATEMENT_SECONDS)
    store = Totals(database)
    groups, standing = store.groups(), store.standing()
    found = _work(groups, _repositories(groups))
    waiting, (looked_at, missed) = services.queue.waiting(), services.looks.standing(DELIVERIES)
    answered = [served for served in standing.served if served.state != "released"]
    found |= {
        f.POOLED: {(): standing.pooled},
        f.REFUSALS: {(reason,): count for reason, count in standing.refusals.items()},
        f.MISSED: {(): missed},
        f.IN_FLIGHT: {(): standing.in_flight},
        f.WAITED: {(): standing.waited},
        f.SERVED: {(one.state, str(one.status)): one.requests for one in standing.served},
        f.SERVED_SECONDS: {
            ("mean",): sum(one.ms for one in answered) / sum(one.requests for one in answered),
            ("longest",): max(one.longest for one in answered),
        }
        if answered
        else {},
        f.STORIES: {
            ("queued",): waiting.queued,
            ("told",): waiting.told,
            ("aside",): waiting.aside,
            ("failed",): waiting.failed,
        },
        f.OLDEST: {(): waiting.oldest},
        f.LOG_READ: {(): looked_at},
        f.WORKERS: {(): services.processes.alive("worker")},
        f.PAUSED: {(): standing.paused},
        f.LIMITED: {(): standing.limited},
        f.BOOK: {(services.prices.version,): 1},
    }
    if (free := vitals.free(services.database)) is not None:
        found |= {f.DISK_FREE: {(): free}}
    if services.settings.secrets.cursor_admin_key:
        found |= {f.CURSOR_THROUGH: {(): services.looks.reached(cursor.LOOK) or 0}}
    month = month_of(standing.now, services.policy.caps.zone)
    found |= _drift(services, standing.now)
    return found | _caps(services, People(database, services.runs), store.installations(month), month)


def window(services: Services) -> Figures:
    """The signals of the last WINDOW_DAYS; where the database takes too long for them, that they are not
    known."""
    try:
        return {**_window(services), f.WINDOW_KNOWN: {(): 1}}
    except OperationalError:
        return {f.WINDOW_KNOWN: {(): 0}}


def _window(services: Services) -> Figures:
    database = services.database.within(STATEMENT_SECONDS)
    until = database.now_ms() + 1
    signals = SignalStore(database).read(until - f.WINDOW_DAYS * DAY_MS, until)
    counted = Counter(pull.repository for pull in signals.merged)
    repositories = Names(((name, -count) for name, count in counted.items()), MOST_REPOSITORIES)
    merged: dict[str, list[MergedPull]] = defaultdict(list)
    for pull in signals.merged:
        merged[repositories[pull.repository]].append(pull)
    per_pull = {("direct",): signals.direct, ("fully_loaded",): signals.fully_loaded}
    rates = signals.exhaustion_by("task_class")
    return {
        f.CURSOR: _cursor(CursorEvents(database, services.looks), services.policy.caps, until),
        f.SPENT: {(): signals.spent.nanos},
        f.UNATTRIBUTED: {(): signals.unattributed.nanos},
        f.HALTED_SPEND: {(reason,): usd.nanos for reason, usd in signals.halted_by().items()},
        f.MERGED: {(name,): len(pulls) for name, pulls in merged.items()},
        f.OUTLIERS: {(name,): sum(pull.outlier for pull in pulls) for name, pulls in merged.items()},
        f.PER_PULL: {labels: usd.nanos for labels, usd in per_pull.items() if usd is not None},
        f.PER_PULL_BY_REPOSITORY: {
            (name,): total(pull.usd for pull in pulls).over(len(pulls)).nanos
            for name, pulls in merged.items()
        },
        f.ENDED: {(rate.name,): rate.runs for rate in rates},
        f.EXHAUSTED: {(rate.name,): rate.exhausted for rate in rates},
        f.BY_CEILING: {(reason,): count for reason, count in signals.halts_by_ceiling().items()},
        f.TASK_TOKENS: {
            (one.outcome, percentile): getattr(one, percentile)
            for one in signals.tokens
            for percentile in ("p50", "p90", "p99")
        },
    }


def _cursor(events: CursorEvents, caps: Caps, now_ms: int) -> Samples:
    sums: dict[Labels, int] = {("known",): 0, ("unknown",): 0}
    for email, usd in events.month(month_of(now_ms, caps.zone)).items():
        sums["known" if email in caps.accounts else "unknown",] += usd.nanos
    return sums


def _repositories(groups: Sequence[Group]) -> Names:
    return Names(((group.work.repository, group.opened_at) for group in groups), MOST_REPOSITORIES)


def _work(groups: Sequence[Group], repositories: Names) -> dict[Family, Mapping[Labels, int | float]]:
    def names(of: str) -> Names:
        return Names(((getattr(group.work, of), group.opened_at) for group in groups), MOST_VALUES)

    classes, engines, models, lines = (names(of) for of in ("task_class", "engine", "model", "line"))
    sums: dict[Family, Counter[Labels]] = defaultdict(Counter)
    latest: dict[Labels, int] = {}
    for group in groups:
        work, booked = group.work, group.booked
        repository, task_class = repositories[work.repository], classes[work.task_class]
        engine, model = engines[work.engine], models[work.model]
        whole = (repository, task_class, engine, model, lines[work.line])
        sums[f.COST][whole] += booked.usd.nanos
        sums[f.CORRECTIONS][whole] += group.corrected.usd.nanos
        sums[f.ESTIMATED][repository,] += group.estimated
        for kind, part in _COST_OF.items():
            sums[f.COST_BY_KIND][repository, model, kind] += getattr(booked, f"cost_{part}_nanos")
        for counter in COUNTERS:
            sums[f.TOKENS][repository, task_class, model, counter] += getattr(booked, counter)
        sums[f.STEPS][repository, task_class, engine] += group.steps
        sums[f.TOOL_CALLS][repository, task_class, engine] += group.tool_calls
        sums[f.OPENED][repository, task_class, engine, group.origin] += group.runs
        sums[f.RUNS][repository, task_class, engine, group.state, group.reason or NONE] += group.runs
        sums[f.HELD][()] += group.held
        sums[f.UNSPENT][()] += group.unspent
        if group.state == "halted":
            reason = (group.reason,)
            latest[reason] = max(latest.get(reason, 0), group.ended_at)
    return {**sums, f.HALTED_AT: latest}


def _drift(services: Services, now_ms: int) -> Figures:
    since = datetime.fromtimestamp((now_ms - f.WINDOW_DAYS * DAY_MS) / 1000, UTC).date().isoformat()
    stands = services.drifts.standing(since)
    # Every kind is there, so that a new drift is a change and no new line.
    rows: dict[Labels, int] = {(kind,): 0 for kind in KINDS}
    usd: dict[Labels, int] = {(kind, side): 0 for kind in KINDS for side in ("more", "less")}
    for one in stands:
        rows[one.kind,] = one.rows
        usd[one.kind, "more"], usd[one.kind, "less"] = one.more.nanos, one.less.nanos
    return {
        f.DRIFTS: rows,
        f.DRIFT: usd,
        f.RECONCILED: {(): services.drifts.reconciled_at() or 0},
    }


def _caps(services: Services, people: People, installations: Iterable[int], month: str) -> Figures:
    """Of lines, and of whole installations; never of people."""
    caps = [of_line(name, line) for name, line in services.policy.lines.items()]
    usd = services.policy.caps.installation
    if usd is not None:
        caps += [Cap(Scope.INSTALLATION, str(one), "the whole installation", usd) for one in installations]
    standings = people.standings(caps, month)
    named = {(str(one.cap.scope), one.cap.id): one for one in standings}
    return {
        f.CAP: {labels: one.most.nanos for labels, one in named.items()},
        f.CAP_SPENT: {labels: one.spent.nanos for labels, one in named.items()},
        f.CAP_HELD: {labels: one.held.nanos for labels, one in named.items()},
        f.CAP_LIVE: {labels: one.live for labels, one in named.items()},
    }
