"""What is kept of people goes: of everybody when it is old, of one person when somebody asks for it."""

from __future__ import annotations

import re

from bot.logs import Log
from bot.services import Services
from bot.stores.forgetting import Forgotten

log = Log("forget")


def what_is_old(services: Services) -> None:
    """What runs left behind, what stories were told, browsers and machines that may do nothing any more."""
    days = services.policy.retention
    dropped = {
        "blobs": services.handover.drop_old(days),
        "stories": services.queue.drop_old(days),
        "sessions": services.sessions.drop_over(),
        "laptops": services.laptops.drop_old(days),
    }
    told = ", ".join(f"{count} {what}" for what, count in dropped.items() if count)
    if told:
        log.info("old", f"deleted after {days} days: {told}")


def person(services: Services, login: str, by: str, *, email: str = "", really: bool = True) -> Forgotten:
    """Take a person out, or (not `really`) say what that would change. Raises forgetting.Lives.

    Their stories go first, and then all else at once: killed in between, it is done by doing it again.
    """
    told = services.forgetting.forget(login, by, email=email, really=False)
    theirs = services.forgetting.find(login)
    words = "|".join((theirs.named.pattern, *sorted(theirs.runs)))
    stories = services.queue.mentioning(re.compile(words, re.IGNORECASE | re.ASCII))
    if really:
        services.queue.drop(stories)
        told = services.forgetting.forget(login, by, email=email)
        log.info("person", f"a person is {told.pseudonym} from here on", count=len(stories))
    if stories:
        told.deleted["stories"] = len(stories)
    return told
