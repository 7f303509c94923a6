"""A person logs a machine in: GitHub says who they are and that they belong here, by their token (R19)."""

from __future__ import annotations

from bot.clients.github import GitHubError, Unavailable
from bot.core.places import Repo
from bot.core.roles import Role
from bot.core.visibility import Access
from bot.services import Services
from bot.stores.laptops import Laptop
from bot.stories.asides import halt
from bot.stories.ruling import Refusal

MOST_SEEN = 25  # repositories about which GitHub is asked again, every few minutes while a machine looks
MOST_TRIED = 5  # repositories in which GitHub is asked twice: by the person's token, and by the App's own


def log_in(services: Services, token: str, machine: str) -> tuple[str, Laptop]:
    """The machine's own token, and what is kept of it; GitHub's is used for this and kept nowhere.

    Raises Refusal and GitHubError.
    """
    github = services.github
    user = github.user(token)
    access = sorted(github.access(token), key=lambda one: -one.role)
    may = [one.repo for one in access if one.role >= Role.WRITE]
    seen = [one for one in access if one.role > Role.READ][:MOST_SEEN]
    for repo in may[:MOST_TRIED]:
        if _role(services, repo, user.id, user.login) >= Role.WRITE:
            return services.laptops.make((user.id, user.login), machine, repo, seen)
    raise Refusal(
        "not_entitled",
        f"{user.login} has write permission in no repository that this service's App is installed in",
    )


def look(services: Services, laptop: Laptop) -> tuple[Access, ...]:
    """What its person may see now of what they could when it was logged in, by the App's own word.

    Of a role of `read` that word tells nothing: of a public repository it says so of anybody. Raises
    Unavailable.
    """
    before, _ = services.laptops.access(laptop.id)
    now = [Access(one.repo, _role(services, one.repo, laptop.actor_id, laptop.actor)) for one in before]
    services.laptops.looked(laptop.id, now)
    return tuple(one for one in now if one.role > Role.READ)


def log_out(services: Services, id: str, by: str, person: int | None = None) -> int | None:
    """A machine's token is good for nothing any more, and what it runs is halted: how many runs.

    None if there is no such machine (of this person)."""
    live = services.laptops.revoke(id, by, person)
    for run in live or ():
        halt(services, run, f"its login was revoked by {by}")
    return None if live is None else len(live)


def _role(services: Services, repo: Repo, id: int, login: str) -> Role:
    """By the App's own word, which decides whenever a run is opened."""
    try:
        return services.github.role(repo, login, id)
    except Unavailable:
        raise
    except GitHubError:
        return Role.NONE
