"""People's laptops before a served world: homes of their own, logins, `python -m bot` as they type it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from bot.commands.logins import Login, Logins
from sandbox.processes import ROOT, Started, start
from tests.runner.world import git
from tests.stories.service import Service, serving

KEY = "sk-ant-test"  # of the service, and what the sandbox's Claude takes
ONE = """
    import anthropic
    answer = anthropic.Anthropic(max_retries=0).messages.create(
        model="claude-opus-4-7", max_tokens=500, messages=[{"role": "user", "content": "one"}]
    )
    print(answer.usage.output_tokens, flush=True)
"""


def greedy(threads: int = 8) -> str:
    """A program of which each thread asks for as long as it is answered."""
    return f"""
    import threading, anthropic
    def work():
        client = anthropic.Anthropic(max_retries=0)
        while True:
            client.messages.create(
                model="claude-opus-4-7", max_tokens=1_500, messages=[{{"role": "user", "content": "more"}}]
            )
    threads = [threading.Thread(target=work) for _ in range({threads})]
    [t.start() for t in threads]
    [t.join() for t in threads]
"""


def program(folder: Path, text: str) -> list[str]:
    """How it is started."""
    path = folder / "program.py"
    path.write_text(dedent(text))
    return [sys.executable, str(path)]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str
    report: dict[str, Any]


class Laptop:
    """One person's machine."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "HOME": str(folder)}
        self.env = {**kept, "PYTHONPATH": str(ROOT), "TOLLGATE_URL": service.url}
        self.checkout = folder / "work"
        self.checkout.mkdir(exist_ok=True)

    @property
    def logins(self) -> Logins:
        return Logins(self.env)

    @property
    def login(self) -> Login:
        found = self.logins.of(self.service.url)
        assert found is not None
        return found

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, Any]:
        """What the laptops' door says."""
        mine = self.login.token if token is None else token
        return self.reach(method, f"/api/laptop{path}", body, mine)

    def reach(self, method: str, path: str, body: object, token: str) -> tuple[int, Any]:
        """What any door of the service says."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"}
        asked = urllib.request.Request(self.service.url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - as above
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def log_in(self, who: str) -> None:
        """As after `python -m bot login`, without its waiting."""
        token = self.service.github.app_token(who)
        status, made = self.ask("POST", "/login", {"token": token, "machine": self.folder.name}, token="none")
        assert status == 200, made
        url = self.service.url
        self.logins.keep(Login(url, made["login"], made["id"], made["expires_at"], made["token"]))

    def clone(self, branch: str = "main") -> None:
        """The checkout is one of the repository at GitHub, on this branch."""
        git(self.checkout, "init", "--quiet", "--initial-branch", branch)
        github = self.service.github
        git(self.checkout, "remote", "add", "origin", f"{github.url}/{github.repo}.git")
        git(self.checkout, "commit", "--quiet", "--allow-empty", "--message", "first")

    def program(self, text: str) -> list[str]:
        return program(self.folder, text)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "bot", *words]
        return subprocess.Popen(
            command, env=self.env | env, cwd=self.checkout, stdout=pipe, stderr=pipe, text=True
        )

    def bot(self, *words: str, **env: str) -> Ran:
        with self.start(*words, **env) as process:
            out, err = process.communicate(timeout=180)
        return Ran(process.returncode, out, err, self.report)

    def exec(self, *words: str, program: str = ONE, **env: str) -> Ran:
        self._report.unlink(missing_ok=True)
        return self.bot("exec", "--report", str(self._report), *words, "--", *self.program(program), **env)

    def killed(self, *words: str) -> str:
        """The command has had one answer and goes on; then this machine fails. Its output."""
        hold = "import os\nprint(os.getpid(), flush=True)" + dedent(ONE) + "import time\ntime.sleep(600)\n"
        with self.start("exec", *words, "--", *self.program(hold)) as running:
            assert running.stdout is not None
            lines = [running.stdout.readline() for _ in range(2)]
            for pid in (running.pid, int(lines[0])):
                os.kill(pid, signal.SIGKILL)
        return lines[1]

    @property
    def _report(self) -> Path:
        return self.folder / "report.json"

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self._report.read_text()) if self._report.exists() else {}


@dataclass(frozen=True)
class World:
    service: Service
    claude: Started
    folder: Path

    def laptop(self, who: str = "dana", name: str = "") -> Laptop:
        """A new machine of this person, logged in."""
        made = Laptop(self.service, self.folder / "laptops" / (name or f"{who}-{len(self.rows('laptops'))}"))
        made.log_in(who)
        return made

    def rows(self, table: str, columns: str = "id") -> list[Any]:
        return self.service.rows(f"SELECT {columns} FROM {table}")

    @property
    def nanos(self) -> int:
        """Of the invoice."""
        return int(self.claude.invoice()["total_nanos"])

    def over(self, run: str) -> Any:
        """The run's state, reason and nano-dollars once nothing more happens to it."""
        query = f"SELECT count(*) = 1 FROM runs WHERE id = '{run}' AND finished_at IS NOT NULL"
        self.service.until(query)
        return self.service.rows(f"SELECT state, reason, spent_nanos FROM runs WHERE id = '{run}'")[0]

    def silence(self, run: str) -> None:
        """Its lease is over, as after ninety seconds without a word."""
        self.service.write(f"UPDATE runs SET lease_until_at = 1 WHERE id = '{run}'")


@contextmanager
def world(folder: Path, database_url: str, policy: str = "", **claude: object) -> Iterator[World]:
    """A service with its worker, and a Claude that answers plainly."""
    options: dict[str, Any] = {"character": "echo", "answer_tokens": 300} | claude
    with (
        start("claude", key=KEY, invoice=folder / "invoice", **options) as upstream,
        serving(folder, database_url, service_policy=policy, upstream=upstream.url) as service,
    ):
        service.worker()
        yield World(service, upstream, folder)
