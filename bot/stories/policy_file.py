"""The policy files as they are read: what they said last is kept, and what changed goes to the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.document import MAX_BYTES
from bot.core.in_force import changes
from bot.core.onboarding import POLICY
from bot.core.places import Repo
from bot.core.policy import Policy, PolicyError, parse
from bot.services import Services
from bot.stores.policies import SERVICE, KeptPolicy


def read(services: Services, repo: Repo, branch: str) -> bytes | None:
    """The file as the default branch has it now; None where it has none. Raises GitHubError."""
    text = services.github.file(repo, POLICY, branch)
    known = services.policies.of(repo.id)
    if known is not None and known.content == _kept(text) and known.branch == branch:
        services.policies.read(repo.id)
        return text
    # Read again at a commit, so that what is kept is what somebody can look up there.
    sha = services.github.branch_head(repo, branch)
    if sha is not None:
        then = _kept(services.github.file(repo, POLICY, sha))
        services.policies.keep(repo.id, repo.full_name, branch, sha, then, _changed(known, then))
    return text


def of_the_service(services: Services) -> None:
    """The service's own file, as this process was started with."""
    file = services.settings.policy_file
    text = _kept(file.read_bytes() if file is not None else None)
    known = services.policies.of(SERVICE)
    if known is not None and known.content == text:
        services.policies.read(SERVICE)
    else:
        services.policies.keep(SERVICE, "", "", "", text, _changed(known, text, service=True))


def _kept(text: bytes | None) -> bytes | None:
    """One that is too long is refused by its length; no more of it is needed to say so."""
    return None if text is None else text[: MAX_BYTES + 1]


def _changed(known: KeptPolicy | None, text: bytes | None, service: bool = False) -> Sequence[str] | None:
    if known is None:
        return None
    before, after = (_judged(one, service) for one in (known.content, text))
    if isinstance(after, PolicyError):
        return (f"it is wrong now: {after}",)
    if isinstance(before, PolicyError):
        return ("it was wrong before, and can be read again",)
    return changes(before, after)


def _judged(text: bytes | None, service: bool) -> Policy | PolicyError:
    try:
        return parse(text, service=service)
    except PolicyError as error:
        return error
