"""The comment of a running run shows what it has cost so far; edited seldom, and never after the end."""

from __future__ import annotations

import hashlib

from bot.clients.github import GitHubError
from bot.core import replies
from bot.services import Services
from bot.stores.runs import Run
from bot.stories.names import marker, repo_of


def edit(services: Services) -> None:
    """One look at all live comments; each is edited if it would show something new."""
    every = int(services.settings.progress_seconds * 1000)
    for run in services.handover.to_report(every):
        if services.handover.begin_report(run.id, every):
            shown = None
            try:
                shown = _edit(services, run)
            except GitHubError:
                pass  # the next look shows it
            finally:
                services.handover.end_report(run.id, shown)


def _edit(services: Services, run: Run) -> str | None:
    text = f"{marker(run)}\n{replies.report_text(services.runs.report(run.id))}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != services.handover.digest(run.id) and run.report_comment_id is not None:
        services.github.edit_comment(repo_of(run), run.report_comment_id, text)
    return digest
