"""Each command that docs/agents.md gives for programs of others, run as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import peers
from sandbox.processes import ROOT, Started, start

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PAGE = (ROOT / "docs" / "agents.md").read_text("utf-8")
SDK, TYPESCRIPT = "anthropic==", "@anthropic-ai/sdk@"


@dataclass
class Section:
    """What the page says of one program: its words, its command, and the files that this needs."""

    text: str
    command: str
    files: dict[str, str] = field(default_factory=dict)

    def version(self, package: str) -> str:
        found = re.search(re.escape(package) + r"([0-9.]+[0-9])", self.text)
        assert found, f"the page does not name a version of {package}"
        return found[1]


def section(title: str) -> Section:
    text = PAGE.split(f"### {title}\n")[1].split("\n### ")[0].split("\n## ")[0]
    (command,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    files = re.findall(r"```(?:python|js)\n(?:#|//) (\S+)\n(.*?)```", text, re.DOTALL)
    return Section(text, command, dict(files))


@dataclass
class Here:
    """A folder with a project whose test fails, a model, and what a program of others needs besides."""

    folder: Path
    claude: Started
    path: str
    more: dict[str, str] = field(default_factory=dict)

    def run(self, command: str, *, character: str, exec_: str = "--cost 2") -> tuple[int, str]:
        """Its exit code and what it wrote, with these options of exec, against this mind."""
        self.claude.ask("/_sandbox/character", {"character": character})
        asked = command.replace("--cost 2", f"{exec_} --report report.json")
        done = subprocess.run(
            ["bash", "-c", asked],
            cwd=self.folder, capture_output=True, text=True, timeout=300, check=False,
            stdin=subprocess.DEVNULL,
            env={
                "PATH": self.path, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8",
                "ANTHROPIC_BASE_URL": self.claude.url, "ANTHROPIC_API_KEY": "sk-test", **self.more,
            },
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    @property
    def billed(self) -> list[int]:
        """Nano-dollars of each request so far."""
        return [row["nanos"] for row in self.claude.invoice()["rows"]]

    @property
    def spent(self) -> str:
        told: str = json.loads((self.folder / "report.json").read_text())["spent"]["usd"]
        return told


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    (tmp_path / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (tmp_path / "test_calc.py").write_text(
        "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    own = os.environ.get("PATH", os.defpath)  # noqa: TID251 - where node and bash are
    with start("claude", character="echo") as claude:
        yield Here(tmp_path, claude, f"{Path(sys.executable).parent}{os.pathsep}{own}")


def curl(here: Here, about: Section) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not tested here: it is not installed")


def python_sdk(here: Here, about: Section) -> None:
    assert about.version(SDK) == peers.version("anthropic")


def typescript_sdk(here: Here, about: Section) -> None:
    package = TYPESCRIPT + about.version(TYPESCRIPT)
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"{package} is not tested here: it needs Node")
    try:
        home = peers.npm_package("typescript-sdk", package)
    except peers.NotInstalled as error:
        pytest.skip(f"{package} is not tested here: {error}")
    (here.folder / "node_modules").symlink_to(home / "node_modules")


def mini(here: Here, about: Section) -> None:
    version = about.version("mini-swe-agent==")
    assert version == peers.MINI_SWE_AGENT
    try:
        programs = peers.python("mini", f"mini-swe-agent=={version}").parent
    except peers.NotInstalled as error:
        pytest.skip(f"mini-swe-agent is not tested here: {error}")
    (here.folder / "bin").mkdir()
    (here.folder / "bin" / "mini").symlink_to(programs / "mini")
    here.path = f"{here.folder / 'bin'}{os.pathsep}{here.path}"
    # LiteLLM would fetch its list of prices from GitHub.
    here.more = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "MSWEA_GLOBAL_CONFIG_DIR": str(here.folder / "cfg")}


Install = Callable[[Here, Section], None]


def laid_out(here: Here, title: str, install: Install) -> Section:
    """That part of the page, with its program and its files in place."""
    about = section(title)
    install(here, about)
    for name, text in about.files.items():
        (here.folder / name).write_text(text)
    return about


PROGRAMS = pytest.mark.parametrize(
    ("title", "install", "character"),
    [
        pytest.param("curl", curl, "echo", id="curl"),
        pytest.param("The Anthropic SDK for Python", python_sdk, "echo", id="python"),
        pytest.param("The Anthropic SDK for TypeScript", typescript_sdk, "echo", id="typescript"),
        pytest.param("mini-swe-agent", mini, "fixer", id="mini-swe-agent"),
    ],
)


@PROGRAMS
def test_as_it_stands_it_works_and_the_ledger_is_the_invoice(
    here: Here, title: str, install: Install, character: str
) -> None:
    about = laid_out(here, title, install)
    code, wrote = here.run(about.command, character=character)
    assert code == 0, wrote
    assert here.billed, wrote
    assert here.spent == f"{sum(here.billed) / 10**9:.9f}".rstrip("0")
    if character == "echo":
        assert "Hello from the sandbox." in wrote
    else:
        assert "return a + b" in (here.folder / "calc.py").read_text(), wrote


@PROGRAMS
def test_it_is_ended_within_one_request_of_a_ceiling(
    here: Here, title: str, install: Install, character: str
) -> None:
    about = laid_out(here, title, install)
    # Who asks once only is bounded by what pays for nothing.
    for options, requests in (("--cost 0.000001", 0), ("--steps 2", 2)):
        if requests and title == "curl":
            continue
        mind = "runaway" if character == "fixer" else character
        before = len(here.billed)
        code, wrote = here.run(about.command, character=mind, exec_=options)
        assert (code, len(here.billed) - before) == (3, requests), wrote
        assert "was left; the next request could have used" in wrote or "--steps" in wrote
