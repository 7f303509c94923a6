"""The real service for tests: gunicorn and workers as processes, before the sandbox's GitHub over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bot import services, settings
from bot.stores.database import Database
from sandbox.actions import Jobs
from sandbox.github.client import Client
from sandbox.github.server import GitHub, Options
from sandbox.world_up import free_port

ROOT = Path(__file__).resolve().parents[2]
# A workflow whose agent is twenty lines of Python: it claims, and hands in what it was told to.
WORKFLOW = """
name: agent
run-name: "Tollgate run ${{{{ inputs.run }}}}.${{{{ inputs.attempt }}}}"
on:
  workflow_dispatch:
    inputs:
      run: {{required: true}}
      attempt: {{required: true}}
      service: {{required: true}}
permissions: {{contents: read, id-token: write}}
jobs:
  agent:
    runs-on: ubuntu-latest
    steps:
      - name: Agent
        run: {python} {agent} "${{{{ inputs.run }}}}" "${{{{ inputs.attempt }}}}" "${{{{ inputs.service }}}}"
"""


@dataclass
class Service:
    """What runs, and what a test may ask of it."""

    github: Client
    url: str
    env: dict[str, str]
    folder: Path
    database: Database
    roof: str
    web: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def kill(self) -> None:
        """The web process is gone, as when its machine fails."""
        os.killpg(self.web.pid, signal.SIGKILL)
        self.web.wait()

    def again(self) -> None:
        """And another one is there."""
        self.web = _web(self.folder, self.url, self.env, self.roof)

    def worker(self, *command: str) -> subprocess.Popen[bytes]:
        """Another worker; `command` instead of the product's own."""
        asked = command or ("-m", "bot", "worker")
        with (self.folder / "worker.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, *asked], env=self.env, cwd=ROOT, stdout=log, stderr=log
            )
        self.workers.append(started)
        return started

    def rows(self, query: str) -> list[Any]:
        with self.database.read() as tx:
            return list(tx.execute(sa.text(query)).all())

    def write(self, statement: str) -> None:
        """What a test has happen without a model."""
        with self.database.begin() as tx:
            tx.execute(sa.text(statement))

    def until(self, query: str, seconds: float = 60) -> Any:
        """The first row of a query, once there is one that is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (rows := self.rows(query)) and rows[0][0]:
                return rows[0]
            time.sleep(0.05)
        log = self.folder / "worker.log"
        tail = log.read_text()[-3000:] if log.exists() else ""
        raise TimeoutError(f"waited {seconds:g} s for {query}\n{tail}")


class Told:
    """A thread, and the run on it."""

    def __init__(self, service: Service, number: int) -> None:
        self.service, self.github, self.number = service, service.github, number

    def fix(self, **told: Any) -> None:
        self.github.comment("dana", self.number, f"/agent fix\n{json.dumps(told)}")

    def until(self, what: str) -> None:
        self.service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {self.number} AND {what}")

    def row(self, columns: str) -> Any:
        return self.service.rows(f"SELECT {columns} FROM runs WHERE thread = {self.number}")[0]

    def ended(self) -> tuple[str, str]:
        """The state and the report, once it is the last one."""
        self.until("finished_at IS NOT NULL")
        run, state = self.row("id, state")
        bodies = [c["body"] for c in self.github.comments(self.number)]
        [report] = [body for body in bodies if f"tollgate-run:{run}:1" in body]
        return state, report

    def check(self) -> Any:
        """The App's check run on the head that the run was given."""
        sha = json.loads(self.row("snapshot")[0])["head"]["sha"]
        found = self.github.do("dana", "GET", f"/commits/{sha}/check-runs")["check_runs"]
        run = self.row("id")[0]
        return next(one for one in found if one["external_id"] == f"{run}.1")


@contextmanager
def serving(
    folder: Path,
    database_url: str,
    agent: str | None = None,
    policy: str | None = None,
    service_policy: str = "",
    upstream: str = "http://127.0.0.1:9",
    jobs: Jobs | None = None,
    roof: str = "app:app",
    now_ms: int | None = None,
    more: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """GitHub and the web process, no worker yet. `agent`: Python source of the workflow's one step; `jobs`:
    who carries workflows out instead of `act`; `upstream`: where the gateway forwards to; `roof`: another
    than the product's; `now_ms`: what time it is at GitHub; `more`: of its environment."""
    if agent is not None:
        (folder / "agent.py").write_text(agent)
    workflow = folder / "agent.yml"
    workflow.write_text(WORKFLOW.format(python=sys.executable, agent=folder / "agent.py"))
    rules = folder / "policy.yml"
    if policy is not None:
        rules.write_text(policy)
    options = Options(
        data=folder / "github",
        app_key=folder / "app.pem",
        actions={},
        workflow=workflow,
        policy=None if policy is None else rules,
    )
    url = f"http://127.0.0.1:{free_port()}"
    with GitHub(options, jobs) as hub:
        github = Client(hub.url)
        if now_ms is not None:
            github.forward(now_ms / 1000 - time.time())
        env = environment(github, folder, url, database_url, upstream) | dict(more or {})
        if service_policy:
            (folder / "service.yml").write_text(service_policy)
            env["POLICY_FILE"] = str(folder / "service.yml")
        services.migrate(settings.read(env))
        database = Database(database_url)
        made = Service(github, url, env, folder, database, roof, _web(folder, url, env, roof))
        try:
            github.hook(f"{url}/webhooks/github")
            yield made
        finally:
            with suppress(ProcessLookupError):  # it may have been killed already
                made.kill()
            for process in made.workers:
                process.kill()
                process.wait()
            database.close()


def environment(github: Client, folder: Path, url: str, database_url: str, upstream: str) -> dict[str, str]:
    """What a service at `url` has to be told to be the App of this GitHub."""
    about = github.about
    return settings.environment() | {
        "DATABASE_URL": database_url,
        "PUBLIC_URL": url,
        "GITHUB_APP_ID": str(about["app_id"]),
        "GITHUB_APP_PRIVATE_KEY": str(folder / "app.pem"),
        "GITHUB_CLIENT_ID": about["client_id"],
        "GITHUB_CLIENT_SECRET": about["client_secret"],
        "GITHUB_WEBHOOK_SECRET": about["webhook_secret"],
        "GITHUB_API_URL": github.url,
        "GITHUB_OIDC_ISSUER": about["oidc_issuer"],
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "ANTHROPIC_BASE_URL": upstream,
        "PROGRESS_SECONDS": "0.3",
        # Tests are in a greater hurry than GitHub allows.
        "GITHUB_CONTENT_PER_MINUTE": "5000",
        "GITHUB_CONTENT_PER_HOUR": "50000",
    }


def _web(folder: Path, url: str, env: dict[str, str], roof: str) -> subprocess.Popen[bytes]:
    with (folder / "web.log").open("ab") as log:
        web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", url.removeprefix("http://"), roof],
            env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        ready(web, url, folder / "web.log")
    except RuntimeError:
        with suppress(ProcessLookupError):
            os.killpg(web.pid, signal.SIGKILL)  # gunicorn's own worker would go on for a while
        web.wait()
        raise
    return web


def ready(web: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until it answers. Raises RuntimeError with its log if it does not."""
    end = time.monotonic() + 30
    while web.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(log.read_text())
