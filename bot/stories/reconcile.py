"""The ledger against the upstream's usage report: estimates are corrected, what nothing explains is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from bot.clients.usage_api import Counted, UsageError
from bot.core.prices import PriceBook, UnknownModel, undated
from bot.core.reconcile import LAG, MINUTE, Finding, Minute, Sums, compare, stretches, total
from bot.services import Services
from bot.stories.durable import Story, name_of

DAY = 86_400_000
DAYS = 3  # each minute is looked at so often, for what the report learns late
LONG_INPUT = 200_001  # tokens; the report says no more of a request than that it was above 200,000

log = logging.getLogger("tollgate.reconcile")


def daily(story: Story) -> str:
    """The last days' ledger against the report; a sentence of what came of it."""
    return str(story.step("reconcile", _recent, story.services))


def enqueue(services: Services) -> None:
    """Have it done once a day (UTC), by whichever worker is first."""
    if services.usage is not None:
        day = datetime.fromtimestamp(services.database.now_ms() / 1000, UTC).date()
        services.queue.put(name_of(daily), f"reconcile-{day.isoformat()}")


def _recent(services: Services) -> str:
    now = services.database.now_ms()
    try:
        found = reconcile(services, (now // DAY - DAYS) * DAY, now, now)
    except UsageError as error:
        log.warning("%s", error)
        return str(error)
    drift = total(finding.drift for finding in found)
    if drift:
        log.warning("the invoice and the ledger differ by %s: python -m bot reconcile", drift.usd)
    return f"corrected by {total(finding.correction for finding in found).usd}, drift {drift.usd}"


def reconcile(
    services: Services,
    since: int,
    until: int,
    now: int,
    lag: int = LAG,
    say: Callable[[Finding], None] = lambda finding: None,
) -> tuple[Finding, ...]:
    """Correct every stretch that touches [since, until) ms, and tell `say` of each. Raises UsageError.

    A run that a ceiling has halted stays halted, whatever its spend is afterwards. Doing it again changes
    nothing, unless the report has grown.
    """
    if services.usage is None:
        raise UsageError("ANTHROPIC_ADMIN_KEY is not set: without it the usage report cannot be read")
    store = services.reconciliation
    known = services.usage.known(services.keys.all())
    names = {key.id: name for name, key in known.items()}
    booked = store.read(since // MINUTE * MINUTE, until)
    counted = services.usage.report(booked.since, min(booked.until, now), list(names))
    report = _minutes(counted, names, services.prices)
    found = []
    for stretch, entries, invoice in stretches(booked.entries, report):
        key = known.get(stretch.key)
        if key is None or stretch.since < key.created_at:
            finding = Finding(stretch, Sums(), invoice, left="its key is not the one of that name now")
        else:
            finding = compare(stretch, entries, booked.pooled, invoice, now, lag)
        if finding.books:
            finding = store.book(stretch, invoice, now, lag, services.prices.version)
        say(finding)
        found.append(finding)
    return tuple(found)


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
            log.warning("a row of the usage report is left out: %s", error)
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
