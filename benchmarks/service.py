"""Our own side of a benchmark: the web process as deployed, with one worker, and runs opened in its store."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.services import migrate
from bot.settings import read
from bot.stores.account import Account
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from tests import servers

ROOT = Path(__file__).parent.parent
# Never reached in a benchmark: every ceiling is checked on every request all the same.
AMPLE = Ceilings(Usd.parse("1000000"), 10**12, 10**9, 24 * 3600)


@dataclass(frozen=True)
class Service:
    url: str
    database: Database
    process: subprocess.Popen[bytes]

    def run(self, ceilings: Ceilings = AMPLE) -> tuple[str, str]:
        """Open and claim a run; its id and token."""
        run, token, runs = new_id(), new_token(), Runs(self.database)
        new = NewRun(run, "github", ceilings, "default", "opus", "claude-opus-4-7", "benchmark")
        assert runs.open(new)
        assert runs.claim(run, 1, token_hash(token), 1)
        return run, token

    def account(self, run: str) -> Account:
        ledger = Ledger(self.database, "benchmark")
        try:
            return ledger.account_of(run)
        finally:
            ledger.close()


def environment(database_url: str) -> dict[str, str]:
    """All that a service must have."""
    return {
        "DATABASE_URL": database_url,
        "PUBLIC_URL": "http://127.0.0.1",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": _private_key(),
        "GITHUB_WEBHOOK_SECRET": "benchmark",
        "ANTHROPIC_API_KEY": "sk-benchmark",
    }


@contextmanager
def serving(database_url: str, upstream: str, **more: str) -> Iterator[Service]:
    """`gunicorn app:app` with the repository's gunicorn.conf.py and one worker process; `more`: of its
    environment."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        **os.environ,  # noqa: TID251 - a child's environment is this one and what is said here
        **environment(database_url),
        "PUBLIC_URL": url,
        "ANTHROPIC_BASE_URL": upstream,
        "WEB_CONCURRENCY": "1",
        **more,
    }
    migrate(read(env))
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"]
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    database = Database(database_url)
    try:
        await_http(f"{url}/healthz", process)
        yield Service(f"{url}/anthropic", database, process)
    finally:
        database.close()
        stop(process)


@contextmanager
def sqlite() -> Iterator[str]:
    """The URL of an SQLite file on this machine's disk; our settings make it synchronous=FULL."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT) as home:
        yield f"sqlite:///{home}/tollgate.db"


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database in a PostgreSQL server of our own, with its default durability."""
    with servers.postgresql() as server:
        url = sa.make_url(server).set(drivername="postgresql+psycopg")
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE bench")
        admin.dispose()
        yield url.set(database="bench").render_as_string(hide_password=False)


# -- processes --


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_http(url: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Until `url` answers 200. Raises RuntimeError when the process ends or the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
            return
        time.sleep(0.2)
    raise RuntimeError(f"{process.args!r} did not answer at {url}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], ())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far, those that have ended included."""
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def postgresql_pid(database: Database) -> int | None:
    """The process of PostgreSQL whose children work for us; None: it is SQLite, in our own."""
    if database.kind == "sqlite":
        return None
    with database.read() as tx:
        pid = tx.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[1])


def worker_mb(pid: int) -> float:
    """Resident memory of the largest process of a family: the worker."""
    sizes = [0.0]
    for one in family(pid):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{one}/status").read_text()
            sizes += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")]
    return max(sizes)


def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
