"""Everything a story may use, built once from the settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from bot.clients.github import GitHub
from bot.clients.keys import Keys
from bot.core import policy
from bot.core.outcomes import Report
from bot.core.policy import Policy, PolicyError
from bot.core.prices import PriceBook, PriceFileError
from bot.settings import Settings, SettingsError
from bot.stores import opening
from bot.stores.approvals import Approvals
from bot.stores.blobs import Blobs
from bot.stores.cursor import CursorEvents
from bot.stores.database import Database
from bot.stores.deliveries import Deliveries, Refusals
from bot.stores.drifts import Drifts
from bot.stores.forgetting import Forgetting
from bot.stores.handover import Handover
from bot.stores.labelings import Labelings
from bot.stores.laptops import Laptops
from bot.stores.ledger import Ledger
from bot.stores.looks import Looks
from bot.stores.onboardings import Onboardings
from bot.stores.pace import DatabasePace
from bot.stores.people import People
from bot.stores.policies import Policies
from bot.stores.processes import Process, Processes
from bot.stores.pulls import Pulls
from bot.stores.queue import Queue
from bot.stores.queue import migrate as migrate_queue
from bot.stores.reconciliation import Reconciliation
from bot.stores.rollups import Rollups
from bot.stores.run_list import RunList
from bot.stores.runs import Runs
from bot.stores.sessions import Sessions
from bot.stores.signals import SignalStore
from bot.stores.sweeps import Sweeps
from bot.stores.switch import Switch
from bot.stores.thread_list import ThreadList
from bot.stores.threads import Threads
from bot.stores.timelines import Timelines
from bot.stores.views import Views
from bot.stores.waiting import WaitingLine

if TYPE_CHECKING:
    from bot.clients.cursor import CursorApi
    from bot.clients.usage_api import UsageApi
    from bot.stores.backup import Restored

MOST_OFF_MS = 5_000


@dataclass(frozen=True, slots=True)
class Services:
    """Stores, clients, prices. Safe from many threads; one for each process."""

    settings: Settings
    process: Process
    database: Database
    queue: Queue
    runs: Runs
    run_list: RunList
    thread_list: ThreadList
    timelines: Timelines
    people: People
    waiting: WaitingLine
    sweeps: Sweeps
    switch: Switch
    threads: Threads
    handover: Handover
    forgetting: Forgetting
    deliveries: Deliveries
    looks: Looks
    refusals: Refusals
    approvals: Approvals
    labelings: Labelings
    laptops: Laptops
    pulls: Pulls
    onboardings: Onboardings
    policies: Policies
    rollups: Rollups
    sessions: Sessions
    views: Views
    signals: SignalStore
    processes: Processes
    ledger: Ledger
    reconciliation: Reconciliation
    drifts: Drifts
    prices: PriceBook
    policy: Policy  # the service's own; a repository's can only tighten it
    github: GitHub
    keys: Keys
    usage: UsageApi | None  # without an admin key, and in the web process, there is none
    cursor_events: CursorEvents
    cursor: CursorApi | None  # the same

    def report(self, run: str) -> Report:
        """The run as the doors show it, with where the dashboard does, if there is one. Raises KeyError."""
        page = f"{self.settings.public_url}/runs/{run}" if self.settings.secrets.session else ""
        return replace(self.runs.report(run), page=page)

    def close(self) -> None:
        if self.usage is not None:
            self.usage.close()
        if self.cursor is not None:
            self.cursor.close()
        self.github.close()
        self.ledger.close()
        self.queue.close()
        self.database.close()


def build(settings: Settings, kind: str, clock: str = "") -> Services:
    """`kind` of process: web or worker; `clock` as Database has it. Raises SettingsError."""
    prices, rules = price_book(settings), service_policy(settings)
    database = Database(settings.database_url, clock)
    try:
        _usable(database)
        _same_time(database)
    except SettingsError:
        database.close()
        raise
    process = Process.this(kind)
    queue, blobs, store = Queue(database), Blobs(database), Runs(database)
    looks = Looks(database, process.id)
    # Only a gateway sends many statements at once.
    ledger = Ledger(database, process.id, settings.hold_lease_ms, 15 if kind == "web" else 3)
    return Services(
        settings=settings,
        process=process,
        database=database,
        queue=queue,
        runs=store,
        run_list=RunList(database),
        thread_list=ThreadList(database),
        timelines=Timelines(database),
        people=People(database, store),
        waiting=WaitingLine(database, queue),
        sweeps=Sweeps(database, store),
        switch=Switch(database),
        threads=Threads(database),
        handover=Handover(database, queue, blobs),
        forgetting=Forgetting(database),
        deliveries=Deliveries(database, queue, ledger.driver),
        looks=looks,
        refusals=Refusals(database),
        approvals=Approvals(database),
        labelings=Labelings(database),
        laptops=Laptops(database),
        pulls=Pulls(database),
        onboardings=Onboardings(database),
        policies=Policies(database),
        rollups=Rollups(database),
        sessions=Sessions(database),
        views=Views(database),
        signals=SignalStore(database),
        processes=Processes(database),
        ledger=ledger,
        reconciliation=Reconciliation(database),
        drifts=Drifts(database),
        prices=prices,
        policy=rules,
        github=GitHub(
            settings.github_app_id,
            settings.secrets.github_private_key,
            settings.github_api_url,
            DatabasePace(database, settings.content_per_minute, settings.content_per_hour),
            lambda: database.own_ms() / 1000,
        ),
        keys=Keys(settings.secrets.anthropic_keys),
        usage=None if kind == "web" else usage_api(settings),
        cursor_events=CursorEvents(database, looks),
        cursor=None if kind == "web" else cursor_api(settings),
    )


def usage_api(settings: Settings) -> UsageApi | None:
    # Here and not above: an HTTP client that a web process never needs.
    from bot.clients.usage_api import UsageApi

    key = settings.secrets.anthropic_admin_key
    return UsageApi(settings.anthropic_base_url, key) if key else None


def cursor_api(settings: Settings) -> CursorApi | None:
    from bot.clients.cursor import CursorApi  # here for the same reason

    key = settings.secrets.cursor_admin_key
    return CursorApi(settings.cursor_api_url, key) if key else None


@contextmanager
def opened(settings: Settings, kind: str, clock: str = "") -> Iterator[Services]:
    services = build(settings, kind, clock)
    try:
        yield services
    finally:
        services.close()


def migrate(settings: Settings) -> None:
    """Our tables and the durable engine's. Several processes may call it at once. Raises SettingsError."""
    database = database_of(settings.database_url)
    try:
        opening.check_to_migrate(database)
        database.migrate()
        migrate_queue(database)
    except opening.Unusable as error:
        raise SettingsError([str(error)]) from error
    except sa.exc.OperationalError as error:
        raise SettingsError([str(opening.unusable(database, error))]) from error
    finally:
        database.close()


def database_of(url: str) -> Database:
    """Not yet connected to. Raises SettingsError for what is no address of a database that we know."""
    try:
        return Database(url)
    except (ValueError, ImportError, sa.exc.SQLAlchemyError) as error:
        raise SettingsError([f"DATABASE_URL is no database's: {error}"]) from error


def make_old(settings: Settings, by: str) -> Restored:
    """Of a database that is an older copy: see stores/backup. Raises SettingsError."""
    from bot.stores.backup import restored

    database = database_of(settings.database_url)
    try:
        opening.check(database, copy=True)
        queue = Queue(database)
        try:
            return restored(database, queue, by)
        finally:
            queue.close()
    except opening.Unusable as error:
        raise SettingsError([str(error)]) from error
    finally:
        database.close()


def check_database(settings: Settings) -> None:
    """Whether the database answers, has its tables and our time. Raises SettingsError."""
    database = database_of(settings.database_url)
    try:
        _usable(database)
        _same_time(database)
    finally:
        database.close()


def _usable(database: Database) -> None:
    try:
        opening.check(database)
    except opening.Unusable as error:
        raise SettingsError([str(error)]) from error


def _same_time(database: Database) -> None:
    # L7: leases and deadlines are the database's time; a process that lives in another one does harm.
    off = abs(database.own_ms() - time.time() * 1000)
    if off > MOST_OFF_MS:
        raise SettingsError([f"this machine's clock is {off / 1000:.0f} s off the database's: set it first"])


def price_book(settings: Settings) -> PriceBook:
    if settings.price_file is None:
        return PriceBook()
    try:
        return PriceBook.with_file(settings.price_file.read_bytes())
    except (OSError, PriceFileError) as error:
        raise SettingsError([f"PRICE_FILE {settings.price_file}: {error}"]) from error


def service_policy(settings: Settings) -> Policy:
    return service_policy_of(settings.policy_file)


def service_policy_of(file: Path | str | None) -> Policy:
    """The service's own policy. Raises SettingsError that names line and key."""
    if not file:
        return Policy.default()
    try:
        return policy.parse(Path(file).read_bytes(), service=True)
    except (OSError, PolicyError) as error:
        raise SettingsError([f"POLICY_FILE {file}: {error}"]) from error
