"""How the world begins: people, the App, the repository with its issue and pull request."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox import world
from sandbox.github.git import Git, Person, environment
from sandbox.github.hooks import Hooks
from sandbox.github.state import Account, App, Hub, Installation, Repository, Role
from sandbox.github.verbs import branches, threads

WORKFLOW = ".github/workflows/agent.yml"
DAY = 86_400.0
# What the App asks for: nothing that it does not use.
PERMISSIONS = {
    "actions": "write",
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
    "workflows": "write",
}
# More than it needs: what GitHub sends beside that must do no harm.
EVENTS = [
    "check_run",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review_comment",
    "push",
    "workflow_run",
]


@dataclass(frozen=True)
class Wish:
    """What the first repository is to be."""

    folder: Path | None  # an existing git repository; or one that is empty, which gets a checkout of ours
    bug: str = "leap"  # a name in world.BUGS, or the path of a patch for the branch
    private: bool = False
    workflow: Path | None = None  # the workflow file that is put on the default branch
    policy: Path | None = None  # .github/agent.yml there


def settle(hub: Hub) -> None:
    """The owner and the machines' bots."""
    hub.account(world.OWNER, "Organization")
    hub.account("github-actions[bot]", "Bot")
    hub.account("helpful[bot]", "Bot")


def install_app(hub: Hub, app_id: int, public_key: str, secret: str) -> Installation:
    """The App as if it had been there for long, installed on everything that the owner has."""
    owner = hub.account(world.OWNER, "Organization")
    maker = hub.account("tollgate-dev", "Organization")
    bot = hub.account("tollgate[bot]", "Bot")
    app = App(
        id=app_id,
        slug="tollgate",
        name="Tollgate",
        owner=maker,
        bot=bot,
        client_id=f"Iv23li{app_id}",
        keys=[public_key],
        permissions=dict(PERMISSIONS),
        events=list(EVENTS),
        created_at=hub.now() - 30 * DAY,
        hook_secret=secret,
        client_secret=secrets.token_hex(20),
    )
    hub.apps[app.id] = app
    made = Installation(hub.new_id(), app, owner, dict(PERMISSIONS), hub.now() - 30 * DAY)
    hub.installations[made.id] = made
    return made


def people(hub: Hub, repo: Repository) -> None:
    for login, role in world.PEOPLE.items():
        account = hub.account(login)
        account.name = world.NAMES[login]
        if Role[role]:
            repo.roles[login] = Role[role]


def found(hooks: Hooks, data: Path, wish: Wish) -> Repository:
    """The first repository. Raises GitError or OSError when the wish cannot be fulfilled."""
    given = wish.folder is not None and wish.folder.exists() and any(wish.folder.iterdir())
    if wish.folder is not None and given:
        return adopt(hooks, data, wish, wish.folder)
    repo = invent(hooks, data, wish)
    if wish.folder is not None:
        hand_out(hooks.hub, repo, wish.folder)
    return repo


def make(hub: Hub, owner: Account, name: str, git: Git, default_branch: str, private: bool) -> Repository:
    repo = Repository(
        hub.new_repository_id(), owner, name, git, default_branch, hub.now() - 20 * DAY, private
    )
    hub.repositories[repo.full_name.lower()] = repo
    people(hub, repo)
    return repo


def extra_files(wish: Wish) -> dict[str, str | bytes | None]:
    files: dict[str, str | bytes | None] = {}
    if wish.workflow is not None and wish.workflow.exists():
        files[WORKFLOW] = wish.workflow.read_bytes()
    if wish.policy is not None:
        files[".github/agent.yml"] = wish.policy.read_bytes()
    return files


def invent(hooks: Hooks, data: Path, wish: Wish) -> Repository:
    """acme/calendar: `main` with passing tests, an issue, and a pull request with the bug."""
    hub = hooks.hub
    git = Git.create(data / world.OWNER / f"{world.NAME}.git")
    repo = make(hub, hub.account(world.OWNER), world.NAME, git, "main", wish.private)
    repo.description = "Dates for people who bill by the day"
    ada, dana = hub.account("ada"), hub.account("dana")

    def person(account: Account, days: float) -> Person:
        who = branches.author(hub, account)
        return Person(who.name, who.email, hub.now() - days * DAY)

    files: dict[str, str | bytes | None] = {**world.FILES}
    base = git.write_commit(
        git.write_files(None, files), [], "Dates for people who bill by the day", person(ada, 20)
    )
    if extra := extra_files(wish):
        base = git.write_commit(git.write_files(base, extra), [base], "Set up the agent", person(ada, 9))
    git.set_ref("refs/heads/main", base)
    if wish.bug in world.BUGS:
        changed: dict[str, str | bytes | None] = {**world.branch_files(wish.bug)}
        tree = git.write_files(base, changed)
    else:
        tree = patched(git, git.write_files(base, {**world.QUICKER}), Path(wish.bug))
    head = git.write_commit(tree, [base], "Dates without loops", person(dana, 0.2))
    git.set_ref(f"refs/heads/{world.BRANCH}", head)
    for name, color in world.LABELS.items():
        threads.repo_label(hooks, repo, name, color)
    issue = threads.open_issue(hooks, repo, ada, world.ISSUE_TITLE, world.ISSUE)
    threads.add_label(hooks, repo, issue, ada, "enhancement")
    branches.open_pull(hooks, repo, dana, repo, world.BRANCH, "main", world.PULL_TITLE, world.PULL)
    repo.pushed_at = hub.now()
    return repo


def patched(git: Git, tree: str, patch: Path) -> str:
    """The tree with a patch of the user's on it: any bug they like."""
    index = git.path / "patch.index"
    git.run("read-tree", tree, GIT_INDEX_FILE=str(index))
    git.run("apply", "--cached", "-", input=patch.read_bytes(), GIT_INDEX_FILE=str(index))
    made = git.run("write-tree", GIT_INDEX_FILE=str(index)).decode().strip()
    index.unlink()
    return made


def adopt(hooks: Hooks, data: Path, wish: Wish, folder: Path) -> Repository:
    """A copy of the user's repository: each branch ahead of the checked-out one becomes a pull request."""
    hub = hooks.hub
    name = folder.resolve().name.removesuffix(".git")
    git = Git.clone(folder.resolve(), data / world.OWNER / f"{name}.git")
    default = git.text("symbolic-ref", "--short", "HEAD").strip()
    repo = make(hub, hub.account(world.OWNER), name, git, default, wish.private)
    ada, dana = hub.account("ada"), hub.account("dana")
    base = git.branch(default)
    if base is None:
        raise FileNotFoundError(f"{folder} has no commit on {default}")
    extra = {path: data for path, data in extra_files(wish).items() if git.entry(base, path) is None}
    if extra:
        tree = git.write_files(base, extra)
        base = git.write_commit(tree, [base], "Set up the agent", branches.author(hub, ada))
        git.set_ref(f"refs/heads/{default}", base)
    for branch, sha in git.branches().items():
        if branch != default and git.merge_base(base, sha) and not git.is_ancestor(sha, base):
            title = git.commit(sha).message.partition("\n")[0]
            branches.open_pull(hooks, repo, dana, repo, branch, default, title, git.commit(sha).message)
    return repo


def hand_out(hub: Hub, repo: Repository, folder: Path) -> None:
    """A checkout for the user, whose origin is the sandbox: `git pull` brings what the agent did."""
    quiet = environment()
    subprocess.run(["git", "clone", "--quiet", str(repo.git.path), str(folder)], check=True, env=quiet)
    url = f"{hub.url}/{repo.full_name}.git"
    subprocess.run(["git", "-C", str(folder), "remote", "set-url", "origin", url], check=True, env=quiet)
