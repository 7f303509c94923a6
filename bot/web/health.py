"""`/healthz`: this process answers. `/readyz`: it may be sent requests; docs/operations.md says what each
answer means. Both answer within seconds, whatever the database does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Blueprint, Response

from bot.core.health import Health
from bot.logs import Log
from bot.services import Services
from bot.stores.away import AWAY
from bot.stories import health
from bot.web.answers import answer
from bot.web.ending import ENDING, Ending

WAIT_SECONDS = 2.0  # for the database
FRESH_SECONDS = 1.0  # whoever asks more often is told the same
BUSY_SECONDS = 60.0  # that others may be writing to an SQLite file before it counts as stuck
LOST_SECONDS = 10.0  # after which a look that hangs is given up, and another begins
MOST_LOST = 3  # threads that may hang
ENDS = "this process ends: send to another one"
SILENT = f"{AWAY} within {WAIT_SECONDS:g} s"
STUCK = f"the database has taken no write for {BUSY_SECONDS:g} s"

log = Log("web")


Look = Callable[[Callable[[str], None]], Health]
"""One look; it tells at what stage it is."""


class Probe:
    """Looks when asked, one look at a time, in a thread of its own: what hangs is that, and no door."""

    def __init__(self, look: Look, seconds: float = WAIT_SECONDS) -> None:
        self._look = look
        self._seconds = seconds
        self._seen = threading.Condition()
        self._last = Health(SILENT)
        self._last_at = -BUSY_SECONDS  # monotonic; of what was seen
        self._well_at = -BUSY_SECONDS
        self._begun_at: list[float] = []  # of those that are under way
        self._stage = ""

    def ask(self) -> Health:
        """How it is, as seen a moment ago at the most; within the time, or that it took longer."""
        now = time.monotonic()
        with self._seen:
            if now - self._last_at < FRESH_SECONDS:
                return self._last
            hang = [began for began in self._begun_at if now - began > LOST_SECONDS]
            if len(hang) == len(self._begun_at) < MOST_LOST:
                self._begun_at.append(now)
                threading.Thread(target=self._run, args=(now,), name="health", daemon=True).start()
            if self._seen.wait_for(lambda: self._last_at >= now, self._seconds):
                return self._last
            if self._stage != "writing":
                return Health(SILENT)
            if now - self._well_at > BUSY_SECONDS:
                return Health(STUCK)
            return Health(workers=self._last.workers, warnings=("others are writing to the database",))

    def _run(self, began: float) -> None:
        found = Health(AWAY)
        try:
            found = self._look(self._at)
        except Exception:
            log.exception("health_failed", "how the service is could not be seen")
        finally:
            with self._seen:
                self._begun_at.remove(began)
                if found.ready != self._last.ready:
                    told = log.info if found.ready else log.warning
                    told("ready" if found.ready else "not_ready", found.why or "it may be sent requests")
                self._last, self._last_at = found, time.monotonic()
                if found.ready:
                    self._well_at = self._last_at
                self._seen.notify_all()

    def _at(self, stage: str) -> None:
        self._stage = stage


def door(services: Services, ending: Ending = ENDING) -> Blueprint:
    made = Blueprint("health", __name__)
    probe = Probe(lambda at: health.look(services, at))

    @made.get("/healthz")
    def healthz() -> Response:
        return answer(200, ok=True)

    @made.get("/readyz")
    def readyz() -> Response:
        found = Health(ENDS) if ending.begun else probe.ask()
        if not found.ready:
            return answer(503, ok=False, why=found.why)
        # Without a worker the doors still take deliveries, and nothing of them is lost.
        return answer(200, ok=True, workers=found.workers, warnings=found.warnings)

    return made
