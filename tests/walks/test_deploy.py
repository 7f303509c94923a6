"""docs/deploy.md, followed to the letter: each command in its order, each thing that it tells a person to do.

A block `sh` is typed and must succeed. `sh terminal` stays open in a terminal of its own; `sh asks` waits for
the person, and must have succeeded before the next one. `<!-- hands: … -->` is what a person is asked to do.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot import settings
from bot.core import onboarding
from sandbox.github.client import Client
from sandbox.processes import ROOT
from sandbox.story import Narrator, asked, try_tests, visible
from tests.browser import Browser
from tests.contracts.checker import contract

PAGE = ROOT / "docs" / "deploy.md"
# What is shown and not typed.
CONFIGURATION = {"ini", "nginx", "text"}
PART = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$|^<!-- hands: (?P<hands>.+?) -->$", re.M | re.S)


@dataclass(frozen=True)
class Part:
    """One block, or one thing for a person to do."""

    kind: str
    text: str


def parts() -> list[Part]:
    found = PART.finditer(PAGE.read_text(encoding="utf-8"))
    return [
        Part("hands", one["hands"]) if one["hands"] else Part(one["kind"].strip(), one["text"])
        for one in found
    ]


class Terminal:
    """A command that goes on while the next ones are typed."""

    def __init__(self, command: str, script: str, folder: Path, env: dict[str, str]) -> None:
        self.command = command
        self._log = folder / f"{time.monotonic_ns()}.log"
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", script], env=env, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to everything in it."""
        if self.process.poll() is None:
            _signal(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                _signal(self.process.pid, signal.SIGKILL)
                self.process.wait(10)


def _signal(group: int, number: signal.Signals) -> None:
    subprocess.run(["kill", f"-{int(number)}", "--", f"-{group}"], check=False, capture_output=True)


@dataclass
class Reader:
    """Somebody who follows the page in a folder of their own."""

    folder: Path
    outside: dict[str, str]
    terminals: list[Terminal] = field(default_factory=list)
    asks: Terminal | None = None
    shown: str = ""  # what a person has been told to type into a comment
    install_at: str = ""
    typed: dict[str, str] = field(default_factory=dict)  # command: what it said
    did: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._state, self._cwd = self.folder / "state", self.folder / "cwd"
        self._state.write_text("")
        self._cwd.write_text(str(self.folder))

    @property
    def here(self) -> Path:
        return Path(self._cwd.read_text().strip())

    @property
    def env(self) -> dict[str, str]:
        """What the sandbox has left for the service."""
        lines = (self.here / ".demo" / "env").read_text().splitlines()
        pairs = (shlex.split(line)[1].partition("=") for line in lines)
        return {name: value for name, _, value in pairs}

    def _script(self, text: str) -> str:
        return f'set -euo pipefail\n. {self._state}\ncd "$(cat {self._cwd})"\n{text}\n'

    def type(self, text: str) -> None:
        """All lines of a block, in the shell as the blocks before have left it."""
        self._answered()
        script = self._script(text) + f"export -p > {self._state}\npwd > {self._cwd}\n"
        done = subprocess.run(
            ["bash", "-c", script], env=self.outside, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}{done.stderr[-3000:]}\n{self._logs()}"
        self.typed[text] = done.stdout

    def open(self, text: str) -> Terminal:
        self._answered()
        made = Terminal(text, self._script(text), self.folder, self.outside)
        self.terminals.append(made)
        return made

    def _answered(self) -> None:
        if self.asks is not None:
            assert self.asks.process.wait(60) == 0, self.asks.said
            self.typed[self.asks.command] = self.asks.said
            self.asks = None

    def until(self, true: Callable[[], object], what: str, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if true():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"waited {seconds:g} s for {what}\n{self._logs()}")

    def _logs(self) -> str:
        return "\n".join(f"--- {one.command}{one.said[-3000:]}" for one in self.terminals)

    # -- what the page asks of a person --

    @property
    def github(self) -> Client:
        return Client(self.env["GITHUB_API_URL"])

    def the_stand_ins_are_up(self) -> None:
        self.until(lambda: self.env, "the sandbox")
        assert self.github.about["app_id"] is None, "nobody has registered an App"

    def register_the_app(self) -> None:
        asks = self.asks
        assert asks is not None
        self.until(lambda: "Open http" in asks.said, "the set-up's address")
        [address] = re.findall(r"^Open (http\S+)$", asks.said, re.M)
        browser = Browser()
        done = browser.send(browser.send(browser.open(address)))
        assert done.status == 200
        self._answered()
        said = self.typed[asks.command]
        assert "✗" not in said
        [self.install_at] = re.findall(r"http\S+/installations/new$", said, re.M)

    def the_service_is_ready(self) -> None:
        def ready() -> bool:
            answer = Browser().open(f"{self.env['PUBLIC_URL']}/readyz")
            return answer.status == 200 and json.loads(answer.text)["workers"] > 0

        self.until(ready, "the service")

    def install_the_app(self) -> None:
        browser = Browser()
        there = browser.send(browser.open(self.install_at))
        assert there.url.startswith(f"{self.env['PUBLIC_URL']}/setup?installation_id=")
        assert there.status == 200

    def merge_the_onboarding_pull_request(self) -> None:
        def proposed(github: Client) -> int | None:
            threads = github.repository()["threads"]
            return next((t["number"] for t in threads if t["head_ref"] == onboarding.BRANCH), None)

        number = self.github.wait(proposed, 60, "the onboarding pull request")
        assert self.github.thread(number)["title"] == onboarding.TITLE
        self.github.merge("ada", number)
        assert self.github.file(onboarding.WORKFLOW, "main")

    def ask_for_a_fix_and_read_the_report(self) -> None:
        github = self.github
        assert not try_tests(github, github.thread(2)["head_ref"]).passed
        report = asked(github, 2, self.shown, Narrator(0.0))
        assert "Done: tests pass" in visible(report)
        assert try_tests(github, github.thread(2)["head_ref"]).passed

    def end_the_service(self) -> None:
        self.terminals.pop().interrupt()

    def do(self, what: str) -> None:
        self.did.append(what)
        getattr(self, re.sub(r"\W+", "_", what.lower()))()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    known = settings.environment()
    left_out = (
        "GITHUB_",
        "ANTHROPIC_",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "CREDENTIALS_",
        "DATABASE_URL",
        "PUBLIC_URL",
    )
    env = {name: value for name, value in known.items() if not name.startswith(left_out)}
    # The address that people clone is this checkout.
    env |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/tollgate-dev/tollgate",
    }
    made = Reader(tmp_path, env)
    yield made
    for terminal in reversed(made.terminals):
        terminal.interrupt()


def test_every_block_is_a_command_that_is_run_or_the_text_of_a_file() -> None:
    assert {part.kind for part in parts()} - CONFIGURATION == {"sh", "sh terminal", "sh asks", "hands"}
    assert PAGE.read_text(encoding="utf-8").count("```") % 2 == 0


@pytest.mark.slow
def test_from_nothing_to_the_first_report_by_the_page_alone(reader: Reader) -> None:
    for part in parts():
        match part.kind:
            case "sh":
                reader.type(part.text)
            case "sh terminal":
                reader.open(part.text)
            case "sh asks":
                reader.asks = reader.open(part.text)
            case "hands":
                reader.do(part.text)
            case "text":
                reader.shown = part.text
            case _:
                pass  # a file's text
    last = next(said for command, said in reader.typed.items() if "bot metrics" in command)
    assert "✗" not in last
    assert f"{reader.github.repo}: proposed" in last
    assert "ask for a fix and read the report" in reader.did
    assert contract().check_traffic(reader.here / ".demo" / "traffic.ndjson") == []
