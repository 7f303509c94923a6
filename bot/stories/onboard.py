"""The App is installed: each repository gets a pull request that sets it up. It is removed: its runs end.

One repository after the other, with a pause between them: GitHub lets an installation make five hundred new
things an hour (GitHub Docs, "Rate limits for the REST API"), each repository gets ten, and the comments of
those that are set up need some too.
"""

from __future__ import annotations

from pathlib import Path

from bot.clients.github import GitHubError, Standing
from bot.core import onboarding
from bot.core.events import Installed, Uninstalled
from bot.core.places import Repo
from bot.core.policy import Policy, tighten
from bot.services import Services
from bot.stories import asides
from bot.stories.durable import Aside, Story, name_of
from bot.stories.names import run_of

WORKFLOW_FILE = Path(__file__).resolve().parents[2] / "workflows" / "agent.yml"
FEW = 5  # repositories to a story: the rest has one of its own
SOON, LATER = 8.0, 90.0  # seconds between two of them, in the first story and in those after it
REST = "-rest-"
ONE_BY_ONE = "GitHub is asked for one repository after the other"
LOOKS = 2  # at what a removal was of; the lists of GitHub may be behind its webhooks
BETWEEN = 30.0  # seconds


def on_installed(story: Story, event: Installed) -> int:
    """Set up every repository that was added; how many by this story."""
    services = story.services
    repositories = event.repositories
    if repositories is None:
        repositories = story.step("the repositories", services.github.repositories, event.installation)
    first, _, number = story.id.partition(REST)
    few, rest = repositories[:FEW], repositories[FEW:]
    for repo in few:
        state, message, url = _set_up(story, repo, event.everything)
        story.step(f"remember {repo.full_name}", services.onboardings.record, repo, state, message, url)
        if repo is not repositories[-1]:
            _pause(story, repo.full_name, LATER if number else SOON, ONE_BY_ONE)
    if rest:
        key = f"{first}{REST}{int(number or 0) + 1}"
        left = Installed(event.installation, rest, event.everything)
        story.step("the rest", services.queue.put, name_of(on_installed), key, left)
    return len(few)


def _pause(story: Story, after: str, seconds: float, why: str) -> None:
    """Go on so much later, and hold no slot meanwhile."""
    now_ms = story.services.database.now_ms
    until = story.step(f"when to go on after {after}", lambda: now_ms() + round(seconds * 1000))
    if (left := (until - now_ms()) / 1000) > 0:
        raise Aside(left, why)


def _set_up(story: Story, repo: Repo, everything: bool) -> tuple[str, str, str]:
    """What became of it: a word for the state, a sentence, and the address of its pull request."""
    services, name = story.services, repo.full_name
    try:
        found = story.step(f"look at {name}", services.github.standing, repo, onboarding.WORKFLOW)
        if why := _skipped(found, everything):
            return "skipped", why, ""
        story.step(f"labels of {name}", services.github.create_labels, repo, onboarding.LABELS)
        if found.ready:
            return "ready", "it has the workflow", ""
        made = story.step(
            f"propose to {name}",
            services.github.propose,
            repo,
            found.default_branch,
            found.head or "",
            onboarding.files(WORKFLOW_FILE.read_text(encoding="utf-8")),
            onboarding.TITLE,
            _body(services),
        )
    except GitHubError as error:
        return "refused", f"GitHub refused: {error}", ""
    if made.open:
        return "proposed", "its pull request was opened", made.url
    return "declined", "its pull request was closed, and is not opened again", made.url


def _skipped(found: Standing, everything: bool) -> str:
    if found.archived:
        return "it is archived, or disabled"
    if found.head is None:
        return "it is empty: install the App on it again once it has a commit"
    if found.fork and everything and not found.ready:
        return "it is a fork: choose it by name, and it gets its pull request"
    return ""


def _body(services: Services) -> str:
    return onboarding.body(tighten(services.policy, Policy.default()), services.settings.public_url)


def on_uninstalled(story: Story, event: Uninstalled) -> int:
    """End the live runs there, for nothing of theirs can reach GitHub any more; how many there were.

    What they have cost stays in the ledger: it was spent.
    """
    services = story.services
    gone = event.repositories if event.for_good else _gone_by_now(story, event)
    if gone == ():
        return 0
    live = story.step("its live runs", services.runs.live_in, event.installation, gone)
    for run_id in live:
        started = story.step(f"halt {run_id}", asides.halt, services, run_id, f"stopped, for {event.why}")
        if not started:
            story.step(f"have {run_id} finished", asides.finish_unclaimed, services, run_of(services, run_id))
    story.step("it is left", services.onboardings.leave, event.installation, gone, event.why)
    return len(live)


def _gone_by_now(story: Story, event: Uninstalled) -> tuple[int, ...] | None:
    """As GitHub has it now: the event may be days old, and what GitHub still shows us goes on.

    Where it does not say, the event's word is taken: nothing is spent that way.
    """
    gone: tuple[int, ...] | None = ()
    for look in range(LOOKS):
        if look:
            _pause(story, f"look {look}", BETWEEN, "GitHub still shows what it said was gone")
        try:
            gone = story.step(f"what is gone, look {look + 1}", _gone, story.services, event)
        except GitHubError:
            return event.repositories
        if gone is None or len(gone) == len(event.repositories or "?"):
            break
    return gone


def _gone(services: Services, event: Uninstalled) -> tuple[int, ...] | None:
    """Of what the event names, what GitHub shows us no more; None: nothing of the installation is left."""
    if event.installation not in services.github.installations():
        return event.repositories
    if event.repositories is None:
        return ()
    there = {repo.id for repo in services.github.repositories(event.installation)}
    return tuple(id for id in event.repositories if id not in there)
