"""A sweep's one comment and the boxes of its list: they follow what its runs say, edited seldom, never lost.

Everything here looks at what is there and brings GitHub up to it, so it may be done again at any time, by any
process, one at a time for each sweep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress

from bot.clients.github import GitHubError, Unavailable
from bot.core import sweeps, tasklist
from bot.core.caps import Scope, month_of, of_line
from bot.core.places import Repo
from bot.services import Services
from bot.stores.run_rows import Run
from bot.stores.sweeps import Sweep
from bot.stories.names import pull_url, thread_url
from bot.stories.post import post


def look(services: Services) -> None:
    """One look at all sweeps whose last word is not said."""
    every = int(services.settings.progress_seconds * 1000)
    for sweep in services.sweeps.to_tell(every):
        with suppress(GitHubError):  # the next look tells it
            once(services, sweep, every)


def once(services: Services, sweep_id: str, every_ms: int = 0) -> None:
    """Tell how it stands now, unless somebody else does, or has within that time. Raises GitHubError."""
    if services.sweeps.begin_telling(sweep_id, every_ms):
        try:
            _tell(services, sweep_id)
        finally:
            services.sweeps.end_telling(sweep_id)


def _tell(services: Services, sweep_id: str) -> None:
    """Tick what is done, and have the comment say what is."""
    services.sweeps.over(sweep_id)
    sweep, items = sweep_of(services, sweep_id), services.sweeps.items(sweep_id)
    _tick(services, sweep, items)
    services.sweeps.go_on_telling(sweep.id)
    text = sweeps.comment(told_of(services, sweep, items))
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != sweep.reported_digest or sweep.report_comment_id is None:
        _post(services, sweep, text)
    services.sweeps.told(sweep, digest)


def sweep_of(services: Services, sweep_id: str) -> Sweep:
    """A sweep that is known to exist."""
    sweep = services.sweeps.get(sweep_id)
    if sweep is None:
        raise KeyError(sweep_id)
    return sweep


def repo_of(sweep: Sweep) -> Repo:
    return Repo(sweep.installation, sweep.repository_id, sweep.repository)


def url_of(sweep: Sweep) -> str:
    """The issue at its comment, if that is there yet."""
    at = f"#issuecomment-{sweep.report_comment_id}" if sweep.report_comment_id else ""
    return f"{sweep.url}{at}"


def told_of(services: Services, sweep: Sweep, items: Sequence[Run]) -> sweeps.Told:
    """The sweep as it is shown."""
    line = services.policy.lines.get(sweep.line)
    month = month_of(services.database.now_ms(), services.policy.caps.zone)
    stand = services.people.standings((of_line(sweep.line, line),), month) if line else ()
    return sweeps.Told(
        sweep=sweep.id,
        attempt=sweep.attempt,
        actor=sweep.actor,
        line=sweep.line,
        parallel=sweep.parallel,
        total=sweep.total,
        each=sweep.each,
        entries=tuple(_entry(run) for run in items),
        live=sweep.live,
        stopped_by=sweep.stopped_by,
        month=next((one for one in stand if one.cap.scope is Scope.LINE), None),
        clamps=sweep.clamps,
        resumed_by=sweep.resumed_by,
    )


def _entry(run: Run) -> sweeps.Entry:
    url = pull_url(run) if run.published_pull else thread_url(run) if run.report_comment_id else ""
    return sweeps.Entry(
        number=run.item or 0,
        title=run.snapshot["item"]["title"],
        state=run.state,
        reason=run.reason,
        message=run.message,
        usd=run.spent.usd,
        estimated=run.estimated,
        begun=run.begun,
        pull=run.published_pull,
        url=url,
        published=run.published.kind if run.published else "",
        settled=run.settled_as or "",
    )


def _tick(services: Services, sweep: Sweep, items: Sequence[Run]) -> None:
    """The boxes of what has a pull request; an item that is gone from the list has the comment alone."""
    due = [run for run in items if run.published_pull and run.item not in sweep.ticked]
    if not due:
        return
    repo = repo_of(sweep)
    try:
        body = now = services.github.issue(repo, sweep.thread).body
        for run in due:
            text = run.snapshot["item"]["text"]
            now = tasklist.tick(now, text, run.published_pull or 0, pull_url(run)) or now
        if now != body:
            services.github.edit_issue(repo, sweep.thread, now)
    except Unavailable:
        raise
    except GitHubError:
        return  # the comment says it all the same, and the next look tries again
    services.sweeps.tick(sweep.id, [run.item or 0 for run in due])


def _post(services: Services, sweep: Sweep, text: str) -> None:
    """Into its comment; a new one if there is none, or none any more."""
    known, mark = sweep.report_comment_id, sweeps.marker(sweep.id, sweep.attempt)
    told = post(services, repo_of(sweep), sweep.thread, known, text, mark, live=sweep.live)
    if told != known:
        services.sweeps.set(sweep.id, report_comment_id=told)
