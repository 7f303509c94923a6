"""Pages for people: pull requests with their conversation, runs with their log; they follow what happens."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from html import escape
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from sandbox.github.door import Doors
from sandbox.github.git import EMPTY_TREE, Changed, GitError
from sandbox.github.shapes.threads import CONTENTS
from sandbox.github.state import Comment, Event, Hub, Repository, Role, Thread, WorkflowRun, iso
from sandbox.markdown import render

EMOJI = dict(zip(CONTENTS, ["👍", "👎", "😄", "😕", "❤️", "🎉", "🚀", "👀"], strict=True))
HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
ICONS = {"success": "✓", "failure": "✗", "cancelled": "⊘", "timed_out": "⏱", "neutral": "◦", "skipped": "◦"}
# Nothing is fetched from elsewhere, and nothing in a comment can run.
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Line:
    """One row of a diff: its numbers on both sides (None where it is not), its kind and text."""

    old: int | None
    new: int | None
    kind: str
    text: str


@dataclass(frozen=True)
class Item:
    """Something in a conversation, at its time."""

    at: float
    kind: str  # comment | review | event | commit
    thing: Any


def diff_lines(patch: str) -> list[Line]:
    """The rows of a patch."""
    rows, old, new = [], 0, 0
    for line in patch.split("\n"):
        if found := HUNK.match(line):
            old, new = int(found[1]), int(found[2])
            rows.append(Line(None, None, "hunk", line))
        elif line.startswith("+"):
            rows.append(Line(None, new, "added", line[1:]))
            new += 1
        elif line.startswith("-"):
            rows.append(Line(old, None, "removed", line[1:]))
            old += 1
        elif not line.startswith("\\"):
            rows.append(Line(old, new, "same", line[1:]))
            old, new = old + 1, new + 1
    return rows


def around(hunk: str, line: int) -> list[Line]:
    """The rows of a hunk that lead up to a line that someone commented on."""
    rows = diff_lines(hunk)
    last = next((at for at, row in enumerate(rows) if line == row.new), len(rows) - 1)
    return rows[max(0, last - 3) : last + 1]


def conversation(repo: Repository, thread: Thread) -> list[Item]:
    """What happened on a thread, oldest first."""
    items = [Item(made.created_at, "comment", made) for made in thread.comments]
    items += [Item(made.created_at, "review", made) for made in thread.reviews]
    items += [Item(made.created_at, "event", made) for made in thread.events if told(made)]
    if thread.pull:
        pull = thread.pull
        since = repo.git.merge_base(pull.base_sha, pull.head_sha)
        if pull.merged_at is not None and pull.merge_commit_sha:
            since = repo.git.merge_base(repo.git.commit(pull.merge_commit_sha).parents[0], pull.head_sha)
        commits = repo.git.log(f"{since}..{pull.head_sha}") if since else []
        items += [Item(commit.committer.at, "commit", commit) for commit in commits]
    return sorted(items, key=lambda item: item.at)


def told(made: Event) -> bool:
    return made.event in ("labeled", "unlabeled", "closed", "reopened", "merged", "renamed")


def ago(seconds: float) -> str:
    """`just now`, `3 minutes ago` …"""
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def reactions(made: Comment) -> list[tuple[str, int, str]]:
    """Emoji, how many, and who."""
    found = []
    for content, emoji in EMOJI.items():
        who = [one.user.login for one in made.reactions if one.content == content]
        if who:
            found.append((emoji, len(who), ", ".join(who)))
    return found


def changed_files(repo: Repository, thread: Thread) -> list[Changed]:
    pull = thread.pull
    if pull is None:
        return []
    base = repo.git.merge_base(pull.base_sha, pull.head_sha) or pull.base_sha
    if pull.merge_commit_sha:
        base = repo.git.merge_base(repo.git.commit(pull.merge_commit_sha).parents[0], pull.head_sha) or base
    return repo.git.diff(base, pull.head_sha)


def avatar(login: str) -> str:
    """A small picture of its own for each name."""
    digest = hashlib.sha256(login.lower().encode()).digest()
    hue = digest[0] * 360 // 256
    bits = "".join(f"{byte:08b}" for byte in digest[1:3])
    squares = [
        f'<rect x="{10 + 16 * column}" y="{10 + 16 * row}" width="16" height="16"/>'
        for row in range(5)
        for column in range(5)
        if bits[row * 3 + min(column, 4 - column)] == "1"
    ]
    bot = '<circle cx="86" cy="86" r="10"/>' if login.endswith("[bot]") else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="100" height="100" '
        f'fill="hsl({hue} 40% 90%)"/><g fill="hsl({hue} 55% 45%)">{"".join(squares)}{bot}</g></svg>'
    )


def people_here(repo: Repository, hub: Hub) -> list[tuple[str, str, str]]:
    """Who a visitor can be: login, name, role; strongest first."""
    known = [a for a in hub.accounts.values() if a.type == "User"]
    known.sort(key=lambda a: (a.login != "dana", -repo.roles.get(a.login.lower(), Role.none)))
    return [(a.login, a.name or a.login, repo.roles.get(a.login.lower(), Role.none).name) for a in known]


def run_state(run: WorkflowRun) -> str:
    return run.conclusion or run.status


def blueprint(doors: Doors) -> Blueprint:
    """The pages. Each is drawn whole; its script asks for it again when something has happened."""
    hub = doors.hub
    pages = Blueprint("pages", __name__)

    def repo_of(owner: str, name: str) -> Repository:
        repo = hub.repository(f"{owner}/{name}")
        if repo is None:
            abort(404)
        return repo

    def page(template: str, repo: Repository, title: str, **more: object) -> Response:
        base = f"/{repo.full_name}"
        text = render_template(
            template,
            repo=repo,
            base=base,
            title=title,
            hub=hub,
            changes=hub.changes,
            people=people_here(repo, hub),
            markdown=lambda words: render(words or "", base),
            ago=lambda at: ago(hub.now() - at),
            iso=iso,
            diff_lines=diff_lines,
            around=around,
            reactions=reactions,
            run_state=run_state,
            icons=ICONS,
            emoji=EMOJI,
            **more,
        )
        response = Response(text, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    @pages.get("/")
    def home() -> Response:
        with hub.lock:
            first = next(iter(hub.repositories.values()))
            return page("home.html", first, "Sandbox", repos=list(hub.repositories.values()))

    @pages.get("/<owner>/<name>")
    @pages.get("/<owner>/<name>/")
    @pages.get("/<owner>/<name>/pulls")
    @pages.get("/<owner>/<name>/issues")
    def repository(owner: str, name: str) -> Response:
        with hub.lock:
            repo = repo_of(owner, name)
            readme = repo.git.read(f"refs/heads/{repo.default_branch}", "README.md")
            words = readme.decode(errors="replace") if readme else None
            return page("repository.html", repo, repo.full_name, readme=words)

    @pages.get("/<owner>/<name>/pull/<int:number>")
    @pages.get("/<owner>/<name>/issues/<int:number>")
    def thread(owner: str, name: str, number: int) -> AnyResponse:
        with hub.lock:
            repo = repo_of(owner, name)
            found = repo.threads.get(number)
            if found is None:
                abort(404)
            right = f"/{repo.full_name}/{'pull' if found.pull else 'issues'}/{number}"
            if request.path != right:
                return redirect(right)
            pull = found.pull
            checks = [c for c in repo.checks.values() if pull and c.head_sha == pull.head_sha]
            mergeable = bool(pull and repo.git.merge_tree(pull.base_sha, pull.head_sha))
            return page(
                "thread.html",
                repo,
                f"{found.title} · #{number}",
                thread=found,
                pull=pull,
                items=conversation(repo, found),
                files=changed_files(repo, found),
                checks=checks,
                mergeable=mergeable,
            )

    @pages.get("/<owner>/<name>/pull/<int:number>.diff")
    @pages.get("/<owner>/<name>/pull/<int:number>.patch")
    def raw_diff(owner: str, name: str, number: int) -> Response:
        repo = repo_of(owner, name)
        found = repo.threads.get(number)
        if found is None or found.pull is None:
            abort(404)
        pull = found.pull
        text = repo.git.run("diff", f"{pull.base_sha}...{pull.head_sha}")
        return Response(text, content_type="text/plain; charset=utf-8")

    @pages.get("/<owner>/<name>/actions")
    @pages.get("/<owner>/<name>/actions/runs/<int:id>")
    @pages.get("/<owner>/<name>/actions/runs/<int:id>/job/<int:job>")
    def run(owner: str, name: str, id: int | None = None, job: int | None = None) -> Response:
        with hub.lock:
            repo = repo_of(owner, name)
            if id is None:
                return page("runs.html", repo, "Actions")
            found = repo.runs.get(id)
            if found is None:
                abort(404)
            return page("run.html", repo, found.title, run=found)

    @pages.get("/<owner>/<name>/runs/<int:id>")
    def check(owner: str, name: str, id: int) -> Response:
        with hub.lock:
            repo = repo_of(owner, name)
            found = repo.checks.get(id)
            if found is None:
                abort(404)
            return page("check.html", repo, found.name, check=found)

    @pages.get("/<owner>/<name>/commit/<sha>")
    def commit(owner: str, name: str, sha: str) -> Response:
        with hub.lock:
            repo = repo_of(owner, name)
            if repo.git.kind(sha) != "commit":
                abort(404)
            found = repo.git.commit(sha)
            files = repo.git.diff(found.parents[0] if found.parents else EMPTY_TREE, sha)
            return page("commit.html", repo, found.message.partition("\n")[0], commit=found, files=files)

    @pages.get("/<owner>/<name>/compare/<path:ends>")
    def compare(owner: str, name: str, ends: str) -> Response:
        with hub.lock:
            repo = repo_of(owner, name)
            left, _, right = ends.partition("...")
            base, head = repo.git.resolve(left), repo.git.resolve(right)
            if base is None or head is None:
                abort(404)
            files = repo.git.diff(repo.git.merge_base(base, head) or base, head)
            return page("commit.html", repo, ends, commit=None, files=files)

    @pages.get("/<owner>/<name>/raw/<path:rest>")
    @pages.get("/<owner>/<name>/blob/<path:rest>")
    @pages.get("/<owner>/<name>/tree/<path:rest>")
    def code(owner: str, name: str, rest: str) -> Response:
        """A file or folder; the branch may itself have slashes."""
        with hub.lock:
            repo = repo_of(owner, name)
            parts = rest.split("/")
            for cut in range(1, len(parts) + 1):
                ref, path = "/".join(parts[:cut]), "/".join(parts[cut:])
                sha = repo.git.branch(ref) or repo.git.resolve(ref)
                if sha is not None:
                    return shown(repo, ref, sha, path)
        return abort(404)

    def shown(repo: Repository, ref: str, sha: str, path: str) -> Response:
        try:
            data = repo.git.read(sha, path) if path else None
            entries = repo.git.tree(f"{sha}:{path}" if path else sha) if data is None else []
        except GitError:
            abort(404)
        if data is not None and "/raw/" in request.path:
            return Response(data, content_type="text/plain; charset=utf-8")
        text = data.decode(errors="replace") if data is not None else None
        return page("code.html", repo, path or repo.full_name, ref=ref, path=path, text=text, entries=entries)

    @pages.get("/webhooks")
    def webhooks() -> Response:
        with hub.lock:
            first = next(iter(hub.repositories.values()))
            app = hub.first_app
            return page("webhooks.html", first, "Webhooks", url=app.hook_url if app else None)

    @pages.get("/avatars/<login>.svg")
    def picture(login: str) -> Response:
        response = Response(avatar(login), content_type="image/svg+xml")
        response.headers["Cache-Control"] = "max-age=3600"
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return response

    @pages.get("/<login>")
    @pages.get("/apps/<login>")
    def account(login: str) -> Response:
        known = hub.accounts.get(login.lower()) or hub.accounts.get(f"{login.lower()}[bot]")
        if known is None or "html" not in request.headers.get("Accept", ""):
            abort(404)
        with hub.lock:
            first = next(iter(hub.repositories.values()))
            return page("account.html", first, known.login, account=known)

    @pages.app_template_filter("avatar")
    def face(login: str, size: int = 20) -> str:
        from markupsafe import Markup

        shown = escape(login)
        return Markup(f'<img class="face" src="/avatars/{shown}.svg" alt="" width="{size}" height="{size}">')  # noqa: S704

    return pages
