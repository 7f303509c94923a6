"""What deploy/ ships: units that systemd takes, and an image that has what it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bot.settings import environment
from bot.stories.onboard import WORKFLOW_FILE
from sandbox.github.server import pem, private_key

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PAGE = ROOT / "docs" / "deploy.md"
HOME = "/opt/tollgate"
MOST_EXPOSED = 20  # tenths, as systemd-analyze counts: "OK"


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed: the units were not checked")
    return found


@pytest.fixture(params=UNITS, ids=lambda unit: unit.stem)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """As it is shipped, with this checkout and its programs for those of a real machine."""
    shipped: Path = request.param
    text = shipped.read_text(encoding="utf-8")
    text = text.replace(f"{HOME}/.venv/bin", os.path.dirname(sys.executable)).replace(HOME, str(ROOT))
    here = tmp_path / shipped.name
    here.write_text(text, encoding="utf-8")
    return here


def test_systemd_takes_each_unit_as_it_is(analyze: str, unit: Path) -> None:
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    own = [line for line in done.stderr.splitlines() if unit.name in line]
    assert own == []


def test_no_unit_is_more_exposed_than_it_has_to_be(analyze: str, unit: Path) -> None:
    asked = [analyze, "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", str(unit)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than 250: it cannot look at a file")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", [unit.name for unit in UNITS])
def test_the_page_has_every_unit(name: str) -> None:
    assert name.removesuffix(".service") in PAGE.read_text(encoding="utf-8")


# -- the image --


def lines() -> list[tuple[str, str]]:
    """Each instruction and what follows it."""
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in found]


def last(instruction: str) -> str:
    return [rest for name, rest in lines() if name == instruction][-1]


def commands(text: str) -> list[str]:
    """The JSON array of a command, which no shell stands in front of."""
    made = json.loads(text[text.index("[") :])
    assert isinstance(made, list)
    return made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The files of the image's second stage, and nothing else of the checkout."""
    made = tmp_path / "image"
    made.mkdir()
    for name, rest in lines():
        if name != "COPY" or rest.startswith("--from"):
            continue
        *sources, to = rest.split()
        if to == "./" and sources == ["requirements.lock"]:
            continue  # the first stage's
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, made / to)
            else:
                shutil.copy2(ROOT / source, made / to)
    return made


@pytest.mark.slow
def test_what_is_copied_is_all_that_the_service_needs(image: Path, tmp_path: Path) -> None:
    env = environment() | {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'it.db'}",
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": pem(private_key(None)),
        "GITHUB_WEBHOOK_SECRET": "it is not told",
        "ANTHROPIC_API_KEY": "sk-ant-test",
        "SESSION_SECRET": "s" * 32,
        "GITHUB_CLIENT_ID": "Iv1.1",
        "GITHUB_CLIENT_SECRET": "it is not told",
    }
    assert (image / WORKFLOW_FILE.relative_to(ROOT)).is_file()
    for command in (
        ["-m", "bot", "migrate"],
        ["-m", *commands(last("CMD"))[:1], "--check-config", *commands(last("CMD"))[1:]],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=image, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_image_runs_as_nobody_in_particular_and_is_installed_by_hash() -> None:
    names = [name for name, _ in lines()]
    assert last("USER") == "10001"
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in ("RUN", "COPY"))
    for name, rest in lines():
        if name in ("RUN", "CMD"):
            assert commands(rest)
    [install] = [commands(rest) for name, rest in lines() if name == "RUN" and '"install"' in rest]
    assert {"--require-hashes", "--only-binary", "requirements.lock"} <= {*install}
    assert last("STOPSIGNAL") == "SIGTERM"


def test_its_commands_are_those_of_the_page() -> None:
    typed = "".join(re.findall(r"^```sh[^\n]*\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))
    assert f".venv/bin/{' '.join(commands(last('CMD')))}\n" in typed
    for unit in UNITS:
        [start] = re.findall(r"^ExecStart=(.+)$", unit.read_text(encoding="utf-8"), re.M)
        told = start.removeprefix(f"{HOME}/").replace(" --bind ${BIND}", "")
        assert f"{told}\n" in typed, told


class _Answers(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class _Fails(_Answers):
    status = 503


@pytest.fixture(params=[_Answers, _Fails])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A port, and the status that the check there must end with."""
    with ThreadingHTTPServer(("127.0.0.1", 0), request.param) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield server.server_port, 0 if request.param is _Answers else 1
        finally:
            server.shutdown()


def test_its_health_check_is_what_healthz_says(answering: tuple[int, int]) -> None:
    port, expected = answering
    _, *command = commands(last("HEALTHCHECK"))
    env = environment() | {"PORT": str(port)}
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, check=False)
    assert done.returncode == expected
