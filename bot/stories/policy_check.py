"""A policy file that is wrong is shown where it is wrong: a check run with an annotation on the line.

Of a pull request that changes it, on the pull request's head, before it is merged. Of a start that it
refuses, on the head of the default branch: an annotation belongs to the file as its commit has it.
"""

from __future__ import annotations

from bot.core import policy
from bot.core.events import PullChanged
from bot.core.marks import Output, of_policy
from bot.core.onboarding import POLICY
from bot.core.places import Repo
from bot.core.policy import PolicyError
from bot.services import Services
from bot.stories.durable import Story

CHECK = "Tollgate policy"


def on_pull_changed(story: Story, event: PullChanged) -> None:
    """Say of a pull request that touches the policy whether it could be read; of others nothing."""
    github = story.services.github
    if not story.attempt(
        "whether it touches the policy", github.changes_file, event.repo, event.number, POLICY
    ):
        return
    shown = story.attempt("read the policy at its head", _judged, story.services, event.repo, event.sha)
    if shown is not None:
        _conclude(story, event.repo, event.sha, shown)


def of_the_default_branch(story: Story, repo: Repo) -> str:
    """Show there what a start was refused for; the page that shows it, "" if there is none."""
    services = story.services
    branch = story.attempt("the default branch", services.github.default_branch, repo)
    sha = story.attempt("its head", services.github.branch_head, repo, branch) if branch else None
    if sha is None:
        return ""
    shown = story.attempt("read the policy there", _judged, services, repo, sha)
    return _conclude(story, repo, sha, shown) if shown is not None else ""


def _judged(services: Services, repo: Repo, sha: str) -> Output | None:
    """None where the commit has no such file any more."""
    text = services.github.file(repo, POLICY, sha)
    if text is None:
        return None
    branch = services.github.default_branch(repo)
    try:
        policy.parse(text)
    except PolicyError as error:
        return of_policy(POLICY, branch, error)
    return of_policy(POLICY, branch, None)


def _conclude(story: Story, repo: Repo, sha: str, shown: Output) -> str:
    conclusion = "failure" if shown.annotations else "success"
    made = story.attempt(
        "say it in a check run",
        story.services.github.conclude_check,
        repo,
        sha,
        CHECK,
        f"policy:{sha}",
        conclusion,
        shown,
    )
    return made or ""
