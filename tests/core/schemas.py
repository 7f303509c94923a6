"""`python -m tests.core.schemas` (`make schemas`): the policy's schemas in docs/ anew, from its keys."""

from __future__ import annotations

import json
from pathlib import Path

from bot.core import policy_keys

DOCS = Path(__file__).parents[2] / "docs"
SERVICE = {"policy.schema.json": False, "service-policy.schema.json": True}  # whether it is the service's own


def text(name: str) -> str:
    """The file of that name, whole."""
    return json.dumps(policy_keys.schema(service=SERVICE[name]), indent=2) + "\n"


if __name__ == "__main__":
    for name in SERVICE:
        (DOCS / name).write_text(text(name), encoding="utf-8")
