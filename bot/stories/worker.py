"""The process that tells the stories: the durable engine, a heartbeat, the watchdog, the live comments."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from dbos import DBOS

from bot import logs
from bot.logs import Log
from bot.services import Services
from bot.stores.away import away
from bot.stores.queue import APPLICATION, STORIES, VERSION, system_url
from bot.stories import (
    admit,
    cursor,
    finish,
    forget,
    lost,
    missed,
    policy_file,
    progress,
    reconcile,
    tally,
    unsent,
)
from bot.stories.durable import Record, Shares, Tell, durably, register
from bot.stories.receive import ROUTES
from bot.terminated import Terminated

# Every story that this process can tell.
ALL: Sequence[Tell] = (
    *dict.fromkeys(ROUTES.values()),
    finish.finish,
    admit.admitted,
    reconcile.daily,
    cursor.hourly,
    unsent.gather,
)

POLL_SECONDS = 0.2  # between two looks for new stories
BEAT_SECONDS = 5.0
WATCH_SECONDS = 2.0
DAY_SECONDS = 600.0  # between two looks whether a new day's or hour's work is to be enqueued
ROLL_SECONDS = 300.0  # between two looks whether a quarter of an hour of spend is over
RETENTION_SECONDS = 3_600.0
AT_ONCE = 32  # stories told side by side
SHARE = 16  # of them, for any one installation
WAKE_SECONDS = 0.5
ADMIT_SECONDS = 0.5  # between two looks whether there is room for who waits in line
THREADS = 64
GRACE_SECONDS = 4  # for stories under way when the process is told to end; then they are taken over

log = Log("worker")


def work(
    services: Services,
    record: Record = durably,
    wait: Callable[[float], None] = time.sleep,
    more: Iterable[tuple[float, Callable[[], object]]] = (),
) -> None:
    """Tell stories until SIGTERM or SIGINT; then the process ends, whatever is under way. `more`: what else
    is to be done every so many seconds."""
    terminated, stop = Terminated(), threading.Event()
    logs.to_stderr("worker", services.settings.log_level, services.settings.secrets.values())
    unsent.enqueue(services)
    services.processes.start(services.process)
    policy_file.of_the_service(services)
    _launch(services, record, wait)
    loops = (
        (BEAT_SECONDS, lambda: services.processes.seen(services.process)),
        (WATCH_SECONDS, lambda: take_over(services)),
        (WATCH_SECONDS, lambda: lost.watch(services)),
        (WAKE_SECONDS, services.queue.wake),
        (ADMIT_SECONDS, lambda: admit.look(services)),
        (missed.LOOK_SECONDS, lambda: missed.regularly(services)),
        (DAY_SECONDS, lambda: reconcile.enqueue(services)),
        (DAY_SECONDS, lambda: cursor.enqueue(services)),
        (ROLL_SECONDS, lambda: services.signals.roll(services.policy.caps.zone)),
        (min(1.0, services.settings.progress_seconds), lambda: progress.edit(services)),
        (min(1.0, services.settings.progress_seconds), lambda: tally.look(services)),
        (RETENTION_SECONDS, lambda: forget.what_is_old(services)),
    )
    for every, do in (*loops, *more):
        threading.Thread(target=_repeat, args=(stop, every, do), daemon=True).start()
    sys.stdout.write(json.dumps({"worker": services.process.id}) + "\n")
    sys.stdout.flush()
    terminated.wait()
    stop.set()
    _end(services)


def take_over(services: Services) -> None:
    """Put the stories of workers that are gone back into the queue."""
    for process in services.processes.dead("worker", services.process):
        # Conditional on the dead executor's id, so that two who take over do not disturb each other.
        # resume_workflow is not: it would also restart a story that the other one already goes on with.
        DBOS._recover_pending_workflows([process])
        services.processes.stop(process)


def _launch(services: Services, record: Record, wait: Callable[[float], None]) -> None:
    # The engine makes its own connections: one pool for both would wait for itself.
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": system_url(services.database),
            "application_version": VERSION,
            "executor_id": services.process.id,
            "run_migrations": False,
            "log_level": "ERROR",
            "max_executor_threads": THREADS,
            # Stories wait for one another here rather than for PostgreSQL, which takes 100 connections.
            "db_engine_kwargs": {"pool_size": 6, "max_overflow": 4, "pool_timeout": 120},
        }
    )
    shares = Shares(SHARE)
    for tell in ALL:
        register(tell, services, shares, missed.nothing_before, record, wait)
    DBOS.launch()
    DBOS.register_queue(
        STORIES,
        worker_concurrency=AT_ONCE,
        partition_concurrency=1,
        polling_interval_sec=POLL_SECONDS,
        on_conflict="always_update",
    )


def _repeat(stop: threading.Event, every: float, do: Callable[[], object]) -> None:
    while not stop.is_set():
        try:
            do()
        except Exception as error:  # a loop outlives one bad turn, such as a database that restarts
            if why := away(error):
                log.error("database_away", f"{why}: what is to be done every {every:g} s waits")
            else:
                log.exception("task_failed", "a periodic task failed; it goes on")
        stop.wait(every)


def _end(services: Services) -> None:
    log.info("ends", f"stories under way have {GRACE_SECONDS} s; then another worker goes on with them")

    def close() -> None:
        DBOS.destroy(workflow_completion_timeout_sec=GRACE_SECONDS)
        services.processes.leave(services.process.id)

    ending = threading.Thread(target=close, daemon=True)
    ending.start()
    ending.join(GRACE_SECONDS + 2)
    # Threads that still wait for GitHub would hold the process: what they do is done again elsewhere.
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)
