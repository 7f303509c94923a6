"""A pull request was merged, closed or opened again: what was spent follows (R17).

GitHub's word of now counts, not the event's: events come late, twice and in any order.
See docs/attribution.md.
"""

from __future__ import annotations

from bot.clients.github import Pull
from bot.core.attribution import Place, reverts
from bot.core.events import PullClosed
from bot.core.places import Repo
from bot.services import Services
from bot.stores.pulls import Facts
from bot.stories import admit, finish
from bot.stories.durable import Story


def on_closed(story: Story, event: PullClosed) -> int | None:
    """Attribute every run on it, on the issues it closes and on the attempts before it; how many it has."""
    services, repo = story.services, event.repo
    waits = story.step("who waits in line here", _waits, services, repo, event.number)
    if waits is not None:
        admit.leave(story, waits)
    if not event.merged and not story.step("spent on it", services.pulls.spent_on, repo.id, event.number):
        return None
    pull = story.step("the pull request", services.github.pull, repo, event.number)
    closes = story.step("the issues it closes", services.github.closing_issues, repo, event.number)
    count = story.step("attribute", services.pulls.record, facts(repo, pull, closes))
    last = story.step("its last run", _last, services, repo, event.number)
    if last is not None:
        # An edit notifies nobody: who looks sees what it came to.
        story.attempt("say what it cost", finish.amend, services, last)
    return count


def _waits(services: Services, repo: Repo, number: int) -> str | None:
    run = services.threads.live(repo.id, number)
    return run.id if run is not None and run.state == "queued" else None


def _last(services: Services, repo: Repo, number: int) -> str | None:
    run = services.pulls.last(repo.id, number)
    return run.id if run else None


def facts(repo: Repo, pull: Pull, closes: tuple[Place, ...]) -> Facts:
    """What of it attribution goes by."""
    return Facts(
        installation=repo.installation,
        repository_id=repo.id,
        repository=repo.full_name,
        number=pull.number,
        title=pull.title,
        author=pull.author,
        base=pull.base_ref,
        closed=pull.state == "closed",
        merged_at=pull.merged_at,
        updated_at=pull.updated_at,
        closes=frozenset(closes),
        reverts=reverts(pull.title, pull.body, repo.full_name),
        branch=pull.head_ref if (pull.head_repo or "").lower() == repo.full_name.lower() else "",
    )
