"""A story that had failed is told anew for the same delivery, and goes on behind what it had done (L2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from bot.core.commands import Options, Resume
from bot.core.events import CommentCreated
from bot.core.outcomes import Published
from bot.core.places import Repo
from bot.core.roles import Role
from bot.services import Services
from bot.stores.run_rows import NewRun
from bot.stories import decide, resume
from bot.stories.durable import Story
from tests.stores.test_runs import a_run, over

REPO = Repo(1, 2, "acme/dates")
ASKED = CommentCreated(REPO, "issue_comment", 9, 7, False, "/agent …", "max", "User", False, "")


class Failed(Exception):
    """The story ends at a step."""


def telling(services: Services, ends: str) -> tuple[Story, list[str]]:
    """The second telling of `d1`, until its step of this name; and the steps that it came to."""
    told: list[str] = []

    def record(name: str, do: Callable[[], Any], /) -> Any:
        told.append(name)
        if name == ends:
            raise Failed
        return do()

    return Story("d1.2", services, record, lambda seconds: None), told


@pytest.fixture
def halted(service: Services) -> NewRun:
    new = a_run(repository_id=REPO.id, repository=REPO.full_name, thread=7, snapshot={"thread": {"url": ""}})
    over(service.runs, new)
    left = Published("branch", f"agent/run-{new.id}", "abc", "")
    service.runs.set(new.id, published=asdict(left))
    return new


def test_a_run_that_it_had_go_on_is_sent_off_and_not_in_its_own_way(
    service: Services, halted: NewRun
) -> None:
    assert service.runs.reopen(halted.id, 1, a_run(opened_by="d1"), {"by": "max", "tokens": 1, "nanos": 1})
    story, told = telling(service, ends="comment")
    with pytest.raises(Failed):
        resume.resume(story, ASKED, Resume(Options(), ""), Role.WRITE)
    assert told == ["what it has begun already", "whether it waits", "comment"]


@pytest.mark.parametrize(("by", "goes_on"), [("d1", True), ("d0", False)])
def test_work_that_it_had_taken_is_still_its_own_to_discard(
    service: Services, halted: NewRun, by: str, goes_on: bool
) -> None:
    assert service.runs.settle(halted.id, 1, "discarded", "max", by)
    story, told = telling(service, ends="reply: discard" if not goes_on else "remove the branch set aside")
    with pytest.raises(Failed):
        decide.discard(story, decide.by_comment(story, ASKED, Role.WRITE))
    assert ("settle it" in told) == goes_on
