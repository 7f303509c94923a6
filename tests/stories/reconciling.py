"""Runs through a gateway whose upstream keeps an invoice, for those who reconcile the two."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anthropic

from bot import settings
from sandbox.processes import Started
from tests.web.gates import Gate

MODEL, KEY, ADMIN, HOUR = "claude-opus-4-7", "sk-test", "sk-ant-admin-test", 3_600_000


def environment(database_url: str, claude: Started, private_key: str) -> dict[str, str]:
    return settings.environment() | {
        "DATABASE_URL": database_url,
        "PUBLIC_URL": "https://tollgate.example",
        "GITHUB_APP_ID": "1",
        "GITHUB_APP_PRIVATE_KEY": private_key,
        "GITHUB_WEBHOOK_SECRET": "s",
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_ADMIN_KEY": ADMIN,
        "ANTHROPIC_BASE_URL": claude.url,
    }


def used(gate: Gate, claude: Started, *characters: str, model: str = MODEL, **asked: Any) -> str:
    """A run that asked once of each character, and has ended; its id."""
    run, token = gate.run()
    with anthropic.Anthropic(api_key=token, base_url=gate.url, max_retries=0) as sdk:
        for character in characters:
            claude.ask("/_sandbox/character", {"character": character})
            with suppress(anthropic.APIStatusError):  # 502, where the upstream broke off
                sdk.messages.create(
                    model=model,
                    max_tokens=300,
                    messages=[{"role": "user", "content": "hello"}],
                    metadata={"user_id": run},
                    **asked,
                )
    gate.runs.end(run, "done")
    return run
