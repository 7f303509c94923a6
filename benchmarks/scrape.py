"""What a scrape of `/metrics` costs with a year of many runs in the ledger, and how that grows.

make bench-scrape
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import kept, peers, service
from bot import services, settings
from bot.exports.prometheus import FRESH_SECONDS, WINDOW_FRESH_SECONDS, Exposition

TIMES = 10
# How many seconds after the last one each comes: that old may be what is told, and the figures of a month.
KINDS = {
    "everything counted": WINDOW_FRESH_SECONDS,
    "the month kept": FRESH_SECONDS,
    "all kept": 0.0,
}


@dataclass(frozen=True, slots=True)
class Took:
    """A kind of scrape: milliseconds waited for, and of CPU in the web process and in PostgreSQL, a time."""

    scrape: str
    p50_ms: float
    p95_ms: float
    web_cpu_ms: float
    database_cpu_ms: float


@click.command()
@kept.sizes
def main(postgresql: int, sqlite: int) -> None:
    """The text of one scrape, made in this process, at a tenth of the runs and at all of them."""
    click.echo(f"Tollgate {peers.commit()}; {peers.machine()}")
    figures = []
    for name, urls in kept.each(postgresql, sqlite):
        for count, url in urls.items():
            about = {"database": name, "runs": count}
            figures += [about | asdict(took) for took in _scraped(f"{name}, {count:,} runs", url)]
    click.echo(json.dumps({"bench": "scrape", "figures": figures}))


@dataclass
class Clock:
    """It stands still until it is moved on."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def _scraped(title: str, url: str) -> Iterator[Took]:
    told = settings.read(service.environment(url))
    services.migrate(told)
    with services.opened(told, "web") as opened:
        clock = Clock()
        exposition = Exposition(opened, clock)
        text, _ = exposition.text()
        samples = sum(len(one.samples) for one in text_string_to_metric_families(text.decode()))
        click.echo(f"\n{title}: {samples:,} samples, {len(text) // 1024} kB")
        for took in _measured(exposition, clock, service.postgresql_pid(opened.database)):
            click.echo(
                f"  {took.scrape:<20}{took.p50_ms:>8.1f} ms, p95{took.p95_ms:>8.1f}; "
                f"CPU{took.web_cpu_ms:>8.1f} +{took.database_cpu_ms:>8.1f} ms"
            )
            yield took


def _measured(exposition: Exposition, clock: Clock, server: int | None) -> Iterator[Took]:
    for kind, later in KINDS.items():
        took, web = [], time.process_time()
        database = service.cpu_seconds(server) if server else 0.0
        for _ in range(TIMES):
            clock.now += later
            began = time.monotonic()
            exposition.text()
            took.append((time.monotonic() - began) * 1000)
        took.sort()
        web = (time.process_time() - web) * 1000 / TIMES
        database = (service.cpu_seconds(server) - database) * 1000 / TIMES if server else 0.0
        yield Took(kind, took[TIMES // 2], took[TIMES * 95 // 100 - 1], web, database)


if __name__ == "__main__":
    main()
