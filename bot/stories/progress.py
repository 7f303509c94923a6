"""The comment of a live run shows what it has cost so far, or its place in line; edited seldom, and never
after the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from bot.clients.github import GitHubError
from bot.core import reports
from bot.core.waiting import Place
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stories import waiting
from bot.stories.names import repo_of


def edit(services: Services) -> None:
    """One look at all live comments; each is edited if it would show something new."""
    every = int(services.settings.progress_seconds * 1000)
    due = services.handover.to_report(every)
    stands = waiting.standing(services) if any(run.state == "queued" for run in due) else {}
    for run in due:
        if services.handover.begin_report(run.id, every):
            shown = None
            try:
                shown = _edit(services, run, stands)
            except GitHubError:
                pass  # the next look shows it
            finally:
                services.handover.end_report(run.id, shown)


def _edit(services: Services, run: Run, stands: Mapping[str, Place]) -> str | None:
    report = waiting.report(services, run.id, stands)
    # The time alone is no news: it is shown when there is any.
    told = repr(
        (report.spent, report.clamps, run.last_lines, report.outcome, report.waits_for, report.position)
    )
    digest = hashlib.sha256(told.encode()).hexdigest()
    if digest == services.handover.digest(run.id) or run.report_comment_id is None:
        return digest
    elapsed = (services.database.now_ms() - (run.started_at or 0)) // 1000
    shown = replace(report, spent=replace(report.spent, seconds=elapsed))
    text = reports.comment(shown, run.last_lines)
    services.github.edit_comment(repo_of(run), run.report_comment_id, text, live=True)
    return digest
