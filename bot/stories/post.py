"""A comment of ours that is written anew as what it tells of goes on: the same one while it is there."""

from __future__ import annotations

from bot.clients.github import GitHubError
from bot.core.places import Repo
from bot.services import Services


def post(
    services: Services,
    repo: Repo,
    number: int,
    known: int | None,
    text: str,
    marker: str,
    *,
    live: bool = False,
) -> int:
    """Into the comment `known`; a new one on that thread if there is none, or none any more. Its id.

    `live`: there will be another text (see `GitHub.edit_comment`). Raises GitHubError.
    """
    if known is not None:
        try:
            services.github.edit_comment(repo, known, text, live=live)
        except GitHubError as error:
            if error.status != 404:
                raise
        else:
            return known
    return services.github.comment(repo, number, text, marker)
