"""`python -m sandbox up --fresh`: GitHub and Claude alone, for a service that somebody sets up by hand."""

from __future__ import annotations

import secrets
import shlex
import threading
from collections.abc import Callable
from pathlib import Path

from sandbox.github.client import Client
from sandbox.processes import start

KEY, ADMIN_KEY = "sk-ant-sandbox-only", "sk-ant-admin-sandbox-only"


def stay(
    folder: Path,
    *,
    bug: str,
    character: str,
    think_ms: int,
    port: int,
    service: str,
    say: Callable[[str], None],
) -> None:
    """Until Ctrl-C. `service` is where the service is going to be; what it must be told is left in a file."""
    log = folder / "invoice.ndjson"
    with (
        start(
            "claude", character=character, key=KEY, admin_key=ADMIN_KEY, invoice=log, think_ms=think_ms,
            log=folder / "claude.log",
        ) as claude,
        start(
            "github", "--fresh", port=port, bug=bug, data=folder / "github", log=folder / "github.log",
            traffic=folder / "traffic.ndjson",
        ) as hub,
    ):  # fmt: skip
        github = Client(hub.url)
        told = {
            "PUBLIC_URL": service,
            "PORT": service.rpartition(":")[2],
            "DATABASE_URL": f"sqlite:///{folder / 'tollgate.db'}",
            "CREDENTIALS_FILE": str(folder / "app.json"),
            "SESSION_SECRET": secrets.token_hex(32),
            "GITHUB_API_URL": github.url,
            "GITHUB_OIDC_ISSUER": github.about["oidc_issuer"],
            "ANTHROPIC_BASE_URL": claude.url,
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_ADMIN_KEY": ADMIN_KEY,
        }
        file = folder / "env"
        lines = [f"export {name}={shlex.quote(value)}" for name, value in told.items()]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        say(f"GitHub is {github.url}, with the repository {github.repo}.")
        say(f"A service finds its environment in {file}. Ctrl-C ends everything.")
        threading.Event().wait()
