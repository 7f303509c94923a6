"""Schemathesis on the API's OpenAPI file: the real service, asked by a session, by a login and by nobody.

It pins an older jsonschema-rs than ours, so it has an environment of its own; see `benchmarks/peers.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.peers import python
from bot import settings
from sandbox.world_up import free_port
from tests.fuzz.worlds import Place, Worlds
from tests.stories.service import ready

SCHEMATHESIS = "schemathesis==4.32.5"  # the standard tool for an API that says what it is
KIND = "postgresql"
EACH = 10  # of our inputs is one example of its for each operation and visitor: it makes more of each
LONG = 10  # from so many examples on, it goes through its other phases too, which take as long as they take
WHO = ("admin", "laptop", "signed out")
ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Schemathesis:
    """Its own inputs, made from our file."""

    name: str = "the API by its file"
    law: str = "what the OpenAPI file says is what is answered, whoever asks"
    few: int = 3 * EACH
    share: int = 4

    def tried(self, worlds: Worlds, seed: int, inputs: int, count: Callable[[int], None]) -> str:
        folder, place = worlds.folder("schemathesis"), worlds.place(KIND)
        url: str = worlds.once("the product's own web process", partial(served, place, folder))
        wrong = ""
        for who in WHO:
            many, said = checked(url, place.credentials(who), seed, max(1, inputs // EACH), folder)
            count(many)
            wrong += f"{who}\n{said}\n" if said else ""
        log = (folder / "web.log").read_text()
        return wrong or (log if "Traceback" in log else "")


@contextmanager
def served(place: Place, folder: Path) -> Iterator[str]:
    """The product's own `gunicorn app:app` over the ledger of a place; its address."""
    url, log = f"http://127.0.0.1:{free_port()}", folder / "web.log"
    with log.open("ab") as written:
        web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", url.removeprefix("http://"), "app:app"],
            env=settings.environment() | place.office.world.env,
            cwd=ROOT,
            stdout=written,
            stderr=written,
        )
    try:
        ready(web, url, log)
        yield url
    finally:
        web.terminate()
        web.wait()


def program() -> Path:
    """Installed at the first call. Raises benchmarks.peers.NotInstalled."""
    return python("schemathesis", SCHEMATHESIS).parent / "schemathesis"


def checked(url: str, headers: dict[str, str], seed: int, examples: int, folder: Path) -> tuple[int, str]:
    """How many requests there were, and what was wrong with them, in its own words."""
    # One of our refusals no schema can say: `since` is before `until`.
    left_out = ["positive_data_acceptance"]
    words = [str(program()), "run", f"{url}/api/v1/openapi.json", "--no-color", "--continue-on-failure"]
    words += ["--seed", str(seed), "--max-examples", str(examples), "--generation-database", "none"]
    if headers:
        # What it makes up would go out in the place of our credentials, which it does not know for any.
        words += ["--generation-with-security-parameters", "false"]
        left_out.append("ignored_auth")
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    if examples < LONG:
        words += ["--phases", "fuzzing"]
    words += ["--exclude-checks", ",".join(left_out)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    found = re.search(r"([0-9,]+) generated", done.stdout)
    if found is None:
        raise RuntimeError(f"schemathesis did not run: {done.stdout[-2_000:]}{done.stderr[-2_000:]}")
    return int(found[1].replace(",", "")), done.stdout if done.returncode else ""


TARGETS = (Schemathesis(),)
