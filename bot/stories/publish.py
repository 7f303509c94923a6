"""Where a run's changes go: onto its pull request's branch, into a pull request, or aside for a person.

Judged by the run's own snapshot, whoever publishes them and when; never an overwrite (L6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bot.clients.github import Committed, GitHubError
from bot.core import patches, reports
from bot.core.changeset import Changeset
from bot.core.objections import Objection, needed, objections
from bot.core.outcomes import MOST_NOTE
from bot.core.reports import Published
from bot.core.untrusted import code, several
from bot.services import Services
from bot.stores.run_rows import APART, Run
from bot.stories.durable import Story
from bot.stories.names import marker, page, repo_of, trailer

MOST_HELD = 50  # reasons that are kept


def publish(story: Story, run: Run, changes: Changeset) -> Published | None:
    """As the run's end asks for it: what is done goes where it was meant for, what is not is kept aside."""
    if not changes:
        return None
    if run.origin in APART:
        # It is there already, and for the workflow to go on with: what a person would look at is said.
        why = objections(changes, run.snapshot["forbidden_paths"])
        return Published("tree", "", "", "", note=_note(why))
    if run.task_class == "split":
        files = f"{len(changes.files)} file{'s' if len(changes.files) != 1 else ''}"
        return Published("dropped", "", "", "", note=f"what it had changed in {files} was dropped")
    return _placed(story, run, changes, meant=run.state == "done")


def accept(story: Story, run: Run, changes: Changeset, by: str, held: Sequence[Objection]) -> Published:
    """Where a done run's would have gone, for `by` has said so, who may let through what it was held for."""
    let_through = {"by": by, "why": [str(one) for one in held]}
    run = replace(run, snapshot=run.snapshot | {"let_through": let_through})
    placed = _placed(story, run, changes, meant=True)
    return replace(placed, held=_told(held)) if placed.ref else placed


def objections_to(run: Run, changes: Changeset) -> tuple[Objection, ...]:
    """Why a person has to look at them before they are committed; none: commit them."""
    if changes.base != run.snapshot["head"]["sha"]:
        return (Objection("", "it was made on another commit than the one this run was given", None),)
    return objections(changes, run.snapshot["forbidden_paths"])


def _hold(story: Story, run: Run, changes: Changeset, why: Sequence[Objection]) -> Published:
    """Kept here until a person decides; what nobody may let through is shown as a patch, if it may be."""
    role = needed(why)
    held = Published(
        "held", "", "", "", _note(why), held=_told(why), needs=str(role) if role is not None else ""
    )
    if role is not None or changes.base != run.snapshot["head"]["sha"]:
        return held
    if any(one.secret for one in why):
        return replace(held, lacks=("what looks like a credential is not shown",))
    made = story.attempt("make its patch", _patch, story.services, run, changes)
    return replace(held, patch=made[0], lacks=tuple(made[1])) if made is not None else held


def _note(why: Sequence[Objection]) -> str:
    return several([str(one) for one in why], MOST_NOTE)


def _told(why: Sequence[Objection]) -> tuple[tuple[str, str], ...]:
    return tuple((one.path, one.why) for one in why[:MOST_HELD])


def _placed(story: Story, run: Run, changes: Changeset, meant: bool) -> Published:
    if "let_through" not in run.snapshot and (why := objections_to(run, changes)):
        return _hold(story, run, changes, why)
    fork = run.snapshot.get("fork", "")
    if fork and run.snapshot.get("approved_by"):
        # A branch here would hold an outsider's commits, and whatever workflow a push starts would run them
        # with this repository's secrets: that is more than the approval was for.
        return _show(
            story, run, changes, f"these commits are {fork.partition('/')[0]}'s, who may not push here"
        )
    try:
        if not meant:
            return _keep_aside(story, run, changes)
        if run.thread_kind == "issue":
            return _propose(story, run, changes)
        return _beside(story, run, changes, "") if fork else _push(story, run, changes)
    except GitHubError as error:
        if fork:
            return _show(story, run, changes, f"it could not be committed here: {error}")
        return Published("refused", "", "", "", note=f"it could not be committed: {error}")


def _push(story: Story, run: Run, changes: Changeset) -> Published:
    """Onto the pull request's branch; if that has moved, beside it with a pull request of its own (L6)."""
    branch = run.snapshot["head"]["ref"]
    if run.snapshot.get("publish") == "pull_request":
        return _beside(story, run, changes, branch)
    made = _committed(story, run, changes, "commit", story.services.github.commit, branch)
    if not made.moved:
        return Published("pushed", made.branch, made.sha, f"{page(run)}/commit/{made.sha}")
    return _pull(story, run, made, base=branch, note=f"`{branch}` has moved on since the run was started")


def _beside(story: Story, run: Run, changes: Changeset, branch: str) -> Published:
    """A pull request of its own: onto `branch`, or with a fork's commits to where those were meant for.

    A fork is never pushed to. GitHub keeps a pull request's commits in the base repository too, where one can
    be made on them.
    """
    made = _commit_aside(story, run, changes, f"agent/run-{run.id}")
    return _pull(story, run, made, base=branch or run.snapshot["base_ref"], note="")


def _show(story: Story, run: Run, changes: Changeset, why: str) -> Published:
    """As a patch in the report, which is all there is of it then."""
    made = story.attempt("make its patch", _patch, story.services, run, changes)
    text, lacks = made if made is not None else ("", ("GitHub did not tell what the files were before",))
    url = f"{page(run)}/commit/{changes.base}"
    return Published("patch", changes.base[:12], changes.base, url, why, text, tuple(lacks))


def _patch(services: Services, run: Run, changes: Changeset) -> tuple[str, tuple[str, ...]]:
    paths = [file.path for file in changes.files]
    made = patches.patch(changes, services.github.files_at(repo_of(run), changes.base, paths))
    return made.text, made.lacks


def _propose(story: Story, run: Run, changes: Changeset) -> Published:
    """From an issue: a new pull request that closes it."""
    made = _commit_aside(story, run, changes, f"agent/issue-{run.thread}-{run.id}")
    return _pull(story, run, made, base=run.snapshot["head"]["ref"], note="")


def _keep_aside(story: Story, run: Run, changes: Changeset) -> Published:
    made = _commit_aside(story, run, changes, f"agent/run-{run.id}")
    return Published("branch", made.branch, made.sha, _branch_url(run, made))


def _commit_aside(story: Story, run: Run, changes: Changeset, branch: str) -> Committed:
    make = story.services.github.create_branch_commit
    return _committed(story, run, changes, "commit aside", make, branch)


def _committed(
    story: Story, run: Run, changes: Changeset, step: str, make: Callable[..., Committed], branch: str
) -> Committed:
    base, files = changes.base, changes.files
    return story.step(step, make, repo_of(run), branch, base, files, _message(run), trailer(run))


def _pull(story: Story, run: Run, made: Committed, base: str, note: str) -> Published:
    where = "its report is below" if run.item else f"its report is on #{run.thread}"
    body = f"{marker(run)}\n{_about(run)}\n\nMade by a bounded agent run; {where}."
    try:
        number, url = story.step(
            "open a pull request",
            story.services.github.create_pull,
            repo_of(run),
            made.branch,
            base,
            _subject(run),
            body,
        )
    except GitHubError as error:
        # Such as a branch that is gone meanwhile. The work is committed all the same: say where.
        why = f"{note}; and no pull request could be opened: {error}".removeprefix("; and ")
        return Published("branch", made.branch, made.sha, _branch_url(run, made), note=why)
    story.step("remember the pull request", story.services.pulls.made, run.id, number)
    return Published("pull_request", made.branch, made.sha, url, note=note)


def _about(run: Run) -> str:
    """What it has to do with its thread, in our own words only: GitHub acts on some of them."""
    if run.item and run.snapshot["item"]["of"] > 1:
        item = run.snapshot["item"]
        return f"Part of #{run.thread}: item {run.item} of {item['of']}, {code(item['title'])}."
    if run.thread_kind == "issue":
        return f"Closes #{run.thread}"
    if run.snapshot.get("fork"):
        return f"Includes the commits of #{run.thread}, on which it stands."
    return f"For #{run.thread}."


def _subject(run: Run) -> str:
    """From the words of whoever asked, never the agent's own: it becomes a commit on somebody's branch."""
    task = run.snapshot["item"]["title"] if run.item else run.task
    words = " ".join(task.split()) or str(run.snapshot["thread"]["title"])
    plain = reports.neutral(words)
    return plain if len(plain) <= 68 else plain[:67].rstrip() + "…"


def _message(run: Run) -> str:
    said = f"{_subject(run)}\n\nMade by a bounded agent run ({run.model}), asked for by {run.actor}."
    let_through = run.snapshot.get("let_through")
    if not let_through:
        return said
    why = f", who let through: {'; '.join(let_through['why'])[:1_000]}" if let_through["why"] else ""
    return f"{said}\nAccepted by {let_through['by']}{reports.neutral(why)}."


def _branch_url(run: Run, made: Committed) -> str:
    return f"{page(run)}/tree/{made.branch}"
