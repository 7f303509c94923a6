"""`/metrics`: the figures in the text that Prometheus reads.

What is told is a few seconds old at most, so that many who scrape cost no more than one; as long as each
scrapes more seldom than that, none of them sees a counter fall, whichever process answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from bot.exports import figures
from bot.exports.families import Family, Samples
from bot.exports.figures import Figures
from bot.services import Services

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

FRESH_SECONDS = 5.0
WINDOW_FRESH_SECONDS = 60.0  # of figures of a month


class Kept:
    """What `read` told, for so many seconds; whoever comes meanwhile waits for it and does not ask again."""

    def __init__(self, read: Callable[[], Figures], seconds: float, clock: Callable[[], float]) -> None:
        self._read, self._seconds, self._clock = read, seconds, clock
        self._lock = threading.Lock()
        self._told: tuple[float, Figures] | None = None

    def __call__(self) -> Figures:
        with self._lock:
            if self._told is None or self._clock() >= self._told[0]:
                told = self._read()
                self._told = self._clock() + self._seconds, told
            return self._told[1]


class Exposition:
    """Safe from many threads; one for each process."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = (
            Kept(lambda: figures.now(services), FRESH_SECONDS, clock),
            Kept(lambda: figures.window(services), WINDOW_FRESH_SECONDS, clock),
        )

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type, OpenMetrics where that is asked for. Raises OperationalError."""
        from prometheus_client.exposition import choose_encoder

        try:
            encode, content_type = choose_encoder(accept.replace('"', ""))
        except (TypeError, ValueError):  # of a version that is no number, as of 0.26.0
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        for kept in self._kept:
            for family, samples in kept().items():
                yield _metric(family, samples)

    @cached_property
    def _registry(self) -> CollectorRegistry:
        # Here and not above: a megabyte that a process does without until it is scraped.
        from prometheus_client import CollectorRegistry

        made = CollectorRegistry(auto_describe=False)
        made.register(self)
        return made


def _metric(family: Family, samples: Samples) -> Metric:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made: CounterMetricFamily | GaugeMetricFamily = kind(family.name, family.help, labels=family.labels)
    for labels, value in sorted(samples.items()):
        made.add_metric(labels, value / family.scale)
    return made
