"""The real web process, several times over one database, to be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot import services, settings
from bot.core.ceilings import Ceilings
from bot.stores.database import Database
from bot.stores.ledger import Ledger
from bot.stores.run_rows import NewRun
from bot.stores.runs import Runs, new_id, new_token, token_hash
from sandbox.world_up import free_port
from tests import samples

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Gateway:
    """One gunicorn at one address, whatever process it is just now."""

    port: int
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/anthropic"

    def start(self, *flags: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", *flags, "app:app"],
                env=self.env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        raise RuntimeError(self.log.read_text()[-3000:])

    def kill(self) -> None:
        """kill -9, master and worker at once."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def workers(self) -> list[int]:
        """The process ids under the master."""
        assert self.process is not None
        return children(self.process.pid)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass
class World:
    """The gateways, and the ledger as the worker's watchdog and the reports see it."""

    gateways: list[Gateway]
    database: Database
    runs: Runs
    ledger: Ledger
    env: dict[str, str]
    opened: list[str] = field(default_factory=list)

    def run(self, ceilings: Ceilings) -> tuple[str, str]:
        """Open and claim a run; its id and token."""
        run, token = new_id(), new_token()
        self.opened.append(run)
        new = NewRun(run, "github", ceilings, "default", "opus", "claude-opus-4-7", "test")
        assert self.runs.open(new)
        assert self.runs.claim(run, 1, token_hash(token), 1)
        return run, token


@contextmanager
def gateways(
    folder: Path, database_url: str, upstream: str, private_key: str, count: int = 1, **more: str
) -> Iterator[World]:
    """`count` of them, ready. `more`: further environment, in lower case."""
    env = settings.environment() | {
        "DATABASE_URL": database_url,
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": private_key,
        "GITHUB_WEBHOOK_SECRET": samples.SECRET,
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": upstream,
        **{name.upper(): value for name, value in more.items()},
    }
    services.migrate(settings.read(env))
    database = Database(database_url)
    ledger = Ledger(database, "test")
    made = [Gateway(free_port(), env, folder / f"gateway-{number}.log") for number in range(count)]
    try:
        for each in made:
            each.start()
        for each in made:
            each.ready()
        yield World(made, database, Runs(database), ledger, env)
    finally:
        for each in made:
            each.kill()
        ledger.close()
        database.close()
