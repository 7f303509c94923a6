"""A run's two tokens: its runner's, and one made of it that a program of others is given.

With the runner's the work is handed in; with the other one the model is asked, and nothing else: what that
program's commands find in their environment speaks for no runner. From the second the first cannot be told.
"""

from __future__ import annotations

import base64
import hashlib


def for_agent(token: str) -> str:
    """The agent's of a runner's token: of the same form."""
    made = hashlib.sha256(b"tollgate agent\0" + token.encode()).digest()
    return "run_" + base64.urlsafe_b64encode(made).decode().rstrip("=")
