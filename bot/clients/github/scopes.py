"""What a token may do, by what the call is for; the token is for one repository besides."""

from __future__ import annotations

LOOK = {
    "actions": "read",
    "checks": "read",
    "contents": "read",
    "issues": "read",
    "metadata": "read",
    "pull_requests": "read",
}
TALK = {"contents": "read", "issues": "write", "metadata": "read", "pull_requests": "write"}
CHECK = {"checks": "write", "metadata": "read"}
RUN = {"actions": "write", "metadata": "read"}
PUSH = {"contents": "write", "metadata": "read"}
# The onboarding branch alone: it adds a workflow file. What an agent made is committed with PUSH.
ONBOARD = {"contents": "write", "metadata": "read", "workflows": "write"}
