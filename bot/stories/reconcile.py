"""The ledger against the upstream's reports: estimates are corrected, what nothing explains is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.clients.usage_api import Counted, Say, UsageApi, UsageError, silent
from bot.core import drift as drifting
from bot.core.drift import Drift, Looked, day_of, judge
from bot.core.invoice import LONG_INPUT, Used, misprices, others
from bot.core.money import Usd
from bot.core.money import total as money
from bot.core.prices import PriceBook, UnknownModel, undated
from bot.core.reconcile import LAG, Entry, Finding, Minute, Sums, compare, stretches, total
from bot.core.times import DAY_MS
from bot.logs import Log
from bot.services import Services
from bot.stores.drifts import LOOK
from bot.stories.durable import Story, name_of

DAYS = 3  # each minute is looked at so often, for what the reports learn late
MOST_DAYS = 31  # looked back at, after an outage
LOOSE = "it goes on beyond what is looked at"

log = Log("reconcile")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of it. `drifts`: what stands of the days that were looked at; `unread`: why prices and other
    keys were not looked at, if so."""

    findings: tuple[Finding, ...]
    drifts: tuple[Drift, ...]
    unread: str = ""

    @property
    def loud(self) -> Usd:
        """What invoice and ledger differ by, whichever has more, without what is late or not ours."""
        return money(Usd(abs(each.usd.nanos)) for each in self.drifts if each.loud)


def daily(story: Story) -> str:
    """The last days' ledger against the reports; a sentence of what came of it."""
    return str(story.step("reconcile", _recent, story.services))


def enqueue(services: Services) -> None:
    """Have it done once a day (UTC), by whichever worker is first."""
    if services.usage is not None:
        day = day_of(services.database.now_ms())
        services.queue.put(name_of(daily), f"reconcile-{day}")


def _recent(services: Services) -> str:
    now = services.database.now_ms()
    services.looks.begin(LOOK, -DAYS * DAY_MS)
    reached = services.looks.reached(LOOK) or now
    # Back to where the last one that came to its end began to judge: a worker may have been away for days.
    since = max(min(now, reached) // DAY_MS - DAYS, now // DAY_MS - MOST_DAYS) * DAY_MS
    try:
        found = reconcile(services, since, now, now)
    except UsageError as error:
        services.looks.end(LOOK, None)
        log.warning("unread", str(error))
        return str(error)
    services.looks.end(LOOK, None if found.unread else now)
    if found.unread:
        log.warning("unread", found.unread)
    if found.loud > services.policy.drift:
        log.warning("drift", f"the invoice and the ledger differ by {found.loud}: python -m bot reconcile")
    corrected = total(finding.correction for finding in found.findings).usd
    told = f"corrected by {corrected}, drift {found.loud}"
    return f"{told}; {found.unread}" if found.unread else told


def reconcile(
    services: Services,
    since: int,
    until: int,
    now: int,
    lag: int = LAG,
    say: Callable[[Finding], None] = lambda finding: None,
    read: Say = silent,
) -> Reconciled:
    """Correct every stretch that touches the days of [since, until) ms, tell `say` of each, keep the drift.

    `read` hears of each page. A run that a ceiling has halted stays halted, whatever its spend is afterwards.
    Doing it again changes nothing, unless the reports have changed. Raises UsageError.
    """
    if services.usage is None:
        raise UsageError("ANTHROPIC_ADMIN_KEY is not set: without it the usage report cannot be read")
    store = services.reconciliation
    first, end = since // DAY_MS * DAY_MS, -(-until // DAY_MS) * DAY_MS
    known = services.usage.known(services.keys.all())
    names = {key.id: name for name, key in known.items()}
    booked = store.read(first, end, now - lag)
    counted = services.usage.report(booked.since, min(booked.until, now), list(names), read)
    minutes = _minutes(counted, names, services.prices)
    inside = (each for each in minutes if booked.looks_at(each.key, each.model, each.at))
    looked = []
    for stretch, entries, invoice in stretches(booked.entries, inside):
        key = known.get(stretch.key)
        if key is None or stretch.since < key.created_at:
            finding = Finding(stretch, Sums(), invoice, left="its key is not the one of that name now")
        else:
            finding = compare(stretch, entries, booked.pooled, invoice, now, lag)
            if stretch in booked.loose and not finding.left:
                finding = Finding(stretch, finding.ledger, invoice, left=LOOSE)
        if finding.books:
            finding = store.book(stretch, invoice, now, lag, services.prices.version)
        say(finding)
        looked.append(Looked(finding, tuple(entries)))
    days = {day_of(at) for at in range(first, end, DAY_MS)}
    found = [each for each in judge(looked, now) if each.day in days]
    left = [each.finding.stretch for each in looked if each.finding.left]
    unjudged = {
        (day_of(at), stretch.key, stretch.model)
        for stretch in left
        for at in range(stretch.since // DAY_MS * DAY_MS, stretch.until, DAY_MS)
    }
    services.drifts.keep(drifting.MINUTES, days, found, unjudged)
    try:
        found += _by_day(
            services, services.usage, names, booked.entries, first, min(end, now - lag), now, read
        )
        unread = ""
    except UsageError as error:
        unread = f"prices and other keys were not looked at: {error}"
    return Reconciled(tuple(each.finding for each in looked), tuple(found), unread)


def _by_day(
    services: Services,
    usage: UsageApi,
    names: dict[str, str],
    entries: tuple[Entry, ...],
    first: int,
    end: int,
    now: int,
    read: Say,
) -> list[Drift]:
    """Other keys' use on the days that are over, and the prices of those that are final."""
    over, final = end // DAY_MS * DAY_MS, min(end, now - drifting.FINAL) // DAY_MS * DAY_MS
    if over <= first:
        return []
    called = {id: f"{name} ({id})" if name else id for id, name in usage.names().items()} | names
    used = [
        Used(
            day_of(row.at),
            called.get(row.key_id, row.key_id or "the Console")[:200],
            row.key_id in names,
            row.workspace,
            row.usage,
            row.long,
        )
        for row in usage.days(first, over, read)
    ]
    found = others(used, services.prices)
    services.drifts.keep(drifting.DAYS, {day_of(at) for at in range(first, over, DAY_MS)}, found)
    if final <= first:
        return list(found)
    days = {day_of(at) for at in range(first, final, DAY_MS)}
    settled = [each for each in used if each.day in days]
    priced = misprices(settled, usage.costs(first, final, read), entries, services.prices)
    services.drifts.keep(drifting.PRICES, days, priced)
    return [*found, *priced]


def _minutes(counted: Iterable[Counted], names: dict[str, str], prices: PriceBook) -> Iterable[Minute]:
    """The report at our prices. Of batches nothing passes the gateway: they are others' use, and left out."""
    for row in counted:
        if row.key_id not in names or row.usage.service_tier == "batch":
            continue
        usage = row.usage
        try:
            at = datetime.fromtimestamp(row.at / 1000, UTC)
            cost = prices.cost(usage, at, LONG_INPUT if row.long else 0)
        except UnknownModel as error:  # nothing of it passed the gateway, which prices before it asks
            log.warning("row_left_out", f"a row of the usage report is left out: {error}")
            continue
        sums = Sums(
            usage.input,
            usage.cache_write_5m,
            usage.cache_write_1h,
            usage.cache_read,
            usage.output,
            cost.input.nanos,
            cost.cache_write.nanos,
            cost.cache_read.nanos,
            cost.output.nanos,
            cost.server_tools.nanos,
        )
        yield Minute(row.at, names[row.key_id], undated(usage.model), sums)
