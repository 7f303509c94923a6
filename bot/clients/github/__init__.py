"""GitHub, over its REST and GraphQL APIs: `GitHub` and the values it speaks in."""

from bot.clients.github.apps import App, Hook, Registered
from bot.clients.github.client import GitHub
from bot.clients.github.errors import GitHubError, Unavailable, Unrecognized
from bot.clients.github.hooks import Attempt
from bot.clients.github.onboarding import Proposal, Standing
from bot.clients.github.shapes import (
    AppliedLabel,
    Committed,
    Dispatched,
    Issue,
    Pull,
    Repo,
    WorkflowRun,
)
from bot.clients.github.users import User

__all__ = [
    "App",
    "AppliedLabel",
    "Attempt",
    "Committed",
    "Dispatched",
    "GitHub",
    "GitHubError",
    "Hook",
    "Issue",
    "Proposal",
    "Pull",
    "Registered",
    "Repo",
    "Standing",
    "Unavailable",
    "Unrecognized",
    "User",
    "WorkflowRun",
]
