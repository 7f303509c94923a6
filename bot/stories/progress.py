"""The comment of a running run shows what it has cost so far; edited seldom, and never after the end."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from bot.clients.github import GitHubError
from bot.core import reports
from bot.services import Services
from bot.stores.runs import Run
from bot.stories.names import repo_of


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
    report = services.runs.report(run.id)
    # The time alone is no news: it is shown when there is any.
    told = repr((report.spent, report.clamps, run.last_lines))
    digest = hashlib.sha256(told.encode()).hexdigest()
    if digest == services.handover.digest(run.id) or run.report_comment_id is None:
        return digest
    elapsed = (services.database.now_ms() - (run.started_at or 0)) // 1000
    shown = replace(report, spent=replace(report.spent, seconds=elapsed))
    text = reports.comment(shown, run.last_lines)
    services.github.edit_comment(repo_of(run), run.report_comment_id, text, live=True)
    return digest
