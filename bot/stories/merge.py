"""A pull request was merged: what was spent on it is its cost (R17)."""

from __future__ import annotations

from bot.core.events import PullClosed
from bot.stories.durable import Story


def on_closed(story: Story, event: PullClosed) -> int | None:
    """Attribute every run on it, on the issues it closes and on the attempts before it; how many."""
    if not event.merged:
        return None
    services = story.services
    pull = story.step("the pull request", services.github.pull, event.repo, event.number)
    closes = story.step("the issues it closes", services.github.closing_issues, event.repo, event.number)
    story.step(
        "remember that it merged",
        services.pulls.merged,
        repository_id=event.repo.id,
        repository=event.repo.full_name,
        number=event.number,
        title=pull.title,
        author=pull.author,
        merge_sha=pull.merge_commit_sha or "",
        merged_at=pull.merged_at or services.database.now_ms(),
    )
    return story.step("attribute", services.pulls.attribute, event.repo.id, event.number, closes)
