"""`python -m sandbox up`: GitHub, Claude and the product's own processes, and with --story the whole tale."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from sandbox import fresh as alone
from sandbox.fresh import ADMIN_KEY, KEY
from sandbox.github.client import Client
from sandbox.processes import ROOT, Started, serving, start
from sandbox.story import Broken, Narrator, tell


@dataclass(frozen=True)
class World:
    """Everything that runs, and where its files are."""

    github: Client
    claude: Started
    service: str
    env: dict[str, str]
    folder: Path


@contextmanager
def world(
    folder: Path,
    *,
    bug: str,
    character: str,
    think_ms: int,
    port: int,
    progress: float,
    policy: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[World]:
    """Start the four programs over real HTTP: GitHub, Claude, and the product's web and worker. `policy`:
    the text of the service's own."""
    service = f"http://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        say("starting Claude's stand-in, with its own invoice")
        claude = stack.enter_context(
            start(
                "claude",
                character=character,
                key=KEY,
                admin_key=ADMIN_KEY,
                invoice=folder / "invoice.ndjson",
                think_ms=think_ms,
                log=folder / "claude.log",
            )
        )
        say("starting GitHub's stand-in, with a repository that has a bug")
        hub = stack.enter_context(
            start(
                "github",
                port=port,
                bug=bug,
                data=folder / "github",
                app_key=folder / "app.pem",
                traffic=folder / "traffic.ndjson",
                webhook_url=f"{service}/webhooks/github",
                log=folder / "github.log",
            )
        )
        github = Client(hub.url)
        env = environment(folder, github, claude, service, progress)
        if policy:
            (folder / "service.yml").write_text(policy, encoding="utf-8")
            env["POLICY_FILE"] = str(folder / "service.yml")
        say("starting the service: web and worker, on SQLite")
        run("migrating the database", [sys.executable, "-m", "bot", "migrate"], env)
        command = [sys.executable, "-m", "bot", "serve", "--port", service.rpartition(":")[2]]
        stack.enter_context(serving(command, env=env, log=folder / "service.log", wait=40))
        yield World(github, claude, service, env, folder)


def environment(
    folder: Path, github: Client, claude: Started, service: str, progress: float
) -> dict[str, str]:
    """What the service is told: exactly what a deployment sets, with the sandbox's addresses."""
    about = github.about
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "ANTHROPIC_"))}  # noqa: TID251
    return kept | {
        "DATABASE_URL": f"sqlite:///{folder / 'tollgate.db'}",
        "PUBLIC_URL": service,
        "GITHUB_APP_ID": str(about["app_id"]),
        "GITHUB_APP_PRIVATE_KEY": str(folder / "app.pem"),
        "GITHUB_WEBHOOK_SECRET": about["webhook_secret"],
        "GITHUB_CLIENT_ID": about["client_id"],
        "GITHUB_CLIENT_SECRET": about["client_secret"],
        "SESSION_SECRET": secrets.token_hex(32),
        "GITHUB_API_URL": github.url,
        "GITHUB_OIDC_ISSUER": about["oidc_issuer"],
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_ADMIN_KEY": ADMIN_KEY,
        "ANTHROPIC_BASE_URL": claude.url,
        "PROGRESS_SECONDS": str(progress),
        "PYTHONUNBUFFERED": "1",
    }


def run(what: str, command: list[str], env: dict[str, str]) -> str:
    """A command that must succeed; its output. Raises Broken with what it said."""
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"{what} failed with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def free_port() -> int:
    """A port that nobody has, below those that systems give to clients: it stays free until it is wanted."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = random.randrange(20_000, 32_768)
            probe.bind(("0.0.0.0", port))
            return port


@click.command()
@click.option("--story", is_flag=True, help="Tell the whole story on the terminal, with real parts.")
@click.option("--fresh", is_flag=True, help="No App and no service: you set both up (docs/deploy.md).")
@click.option("--once", is_flag=True, help="End by itself when the story has been told.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep a picture of the first report as a PNG (needs chromium on PATH).",
)
@click.option("--bug", default="leap", show_default=True, help="The bug, as for `github --bug`.")
@click.option("--character", default="auto", show_default=True, help="Claude's, as for `claude --character`.")
@click.option("--think-ms", default=150, show_default=True, help="Claude's pause before each answer.")
@click.option("--port", default=0, show_default="a free one", help="Of the page where comments are typed.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".demo",
    show_default=".demo",
    help="Emptied at the start; keeps database, invoice, logs and traffic.",
)
def main(
    story: bool,
    fresh: bool,
    once: bool,
    picture: Path | None,
    bug: str,
    character: str,
    think_ms: int,
    port: int,
    folder: Path,
) -> None:
    """GitHub, Claude and the service on loopback; a page where a person types `/agent fix`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _interrupt())
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say = Narrator(time.monotonic())
    try:
        if fresh:
            place = f"http://127.0.0.1:{free_port()}"
            alone.stay(
                folder,
                bug=bug,
                character=character,
                think_ms=think_ms,
                port=port,
                service=place,
                say=say.line,
            )
            return
        with world(
            folder, bug=bug, character=character, think_ms=think_ms, port=port, progress=1, say=say.line
        ) as up:
            if story:
                tell(up.github, up.claude, up.env, folder, say, picture)
            if not once:
                pull = f"{up.github.url}/{up.github.repo}/pull/2"
                say.line("")
                say.line(f"Type another comment: {pull}")
                say.line("Everything stays up until Ctrl-C.")
                threading.Event().wait()
    except KeyboardInterrupt:
        say.line("")
        say.line("Down.")
    except (Broken, TimeoutError, RuntimeError) as error:
        click.echo(f"\nThe story broke off: {error}", err=True)
        for log in sorted(folder.glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-15:]
            click.echo(f"--- {log}\n" + "\n".join(tail), err=True)
        sys.exit(1)


def _interrupt() -> None:
    raise KeyboardInterrupt
