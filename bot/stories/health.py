"""How the service is, asked of its database: reached, at this schema, written to; and what waits."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from bot.core.health import NO_TABLES, Health, Seen, judge, unmigrated
from bot.services import Services
from bot.stores import vitals
from bot.stores.away import AWAY, away

UNWRITTEN = "the database takes no writes"


def look(services: Services, at: Callable[[str], None] = lambda stage: None) -> Health:
    """One look, which leaves this process's sign of life: so it is known that writing works. `at` is told
    what comes next: reading, writing. It takes as long as the database does."""
    database = services.database
    at("reading")
    try:
        schema = vitals.schema(database)
    except SQLAlchemyError as error:
        return Health(away(error) or AWAY)
    if why := unmigrated(schema, vitals.WANTED):
        return Health(why)
    at("writing")
    try:
        services.processes.beat(services.process)
    except SQLAlchemyError as error:
        return Health(away(error) or UNWRITTEN)
    at("reading")
    try:
        waiting, workers = services.queue.waiting(), services.processes.alive("worker")
        unrecognized = services.looks.is_unrecognized()
    except SQLAlchemyError as error:
        return Health(away(error) or NO_TABLES)
    return judge(Seen(workers, waiting.oldest, vitals.free(database), unrecognized))
