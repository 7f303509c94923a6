"""What tests and the demo may do that no GitHub would let them: under /_sandbox, JSON in and out."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox.github.access import Refused, user_token
from sandbox.github.door import Doors, refusal
from sandbox.github.faults import Fault
from sandbox.github.git import GitError
from sandbox.github.routes.repos import commit_named
from sandbox.github.shapes import runs as run_shapes
from sandbox.github.shapes import told as told_shapes
from sandbox.github.sign_in import SignIn
from sandbox.github.state import Account, Json, Repository, Role, iso
from sandbox.github.verbs import apps, branches, checks, threads


def blueprint(doors: Doors, signing_in: SignIn, about: Callable[[], Json]) -> Blueprint:
    """The controls; `about` tells what a service needs to know (App id, keys, secret)."""
    control = Blueprint("control", __name__, url_prefix="/_sandbox")
    hub, hooks = doors.hub, doors.hooks

    @control.errorhandler(Refused)
    def no(error: Refused) -> tuple[Response, int]:
        return jsonify(refusal(error)), error.status

    @control.errorhandler(GitError)
    def git_no(error: GitError) -> tuple[Response, int]:
        return jsonify({"message": str(error)}), 422

    def sent(name: str, default: Any = None) -> Any:
        body = request.get_json(silent=True)
        value = body.get(name, default) if isinstance(body, dict) else default
        if value is None and default is None:
            raise Refused(422, f"{name} is missing")
        return value

    def optional(name: str) -> Any:
        body = request.get_json(silent=True)
        return body.get(name) if isinstance(body, dict) else None

    def repo_of(name: str | None = None) -> Repository:
        wanted = name or optional("repo") or request.args.get("repo")
        repo = hub.repository(wanted) if wanted else next(iter(hub.repositories.values()), None)
        if repo is None:
            raise Refused(404, f"there is no repository {wanted}")
        return repo

    def person(login: str) -> Account:
        known = hub.accounts.get(login.lower())
        if known is None:
            raise Refused(404, f"there is nobody called {login}")
        return known

    @control.get("/about")
    def tell_about() -> Response:
        return jsonify(about())

    @control.get("/state")
    def state() -> Response:
        with hub.lock:
            listed = [run_shapes.delivery(made) for made in hub.deliveries]
            whole = [told_shapes.repository(repo) for repo in hub.repositories.values()]
            return jsonify({"repositories": whole, "deliveries": listed, "changes": hub.changes})

    @control.get("/changes")
    def changes() -> Response:
        """Waits (at most 20 s) until something happened after `since`."""
        since, seconds = int(request.args.get("since", -1)), float(request.args.get("wait", 20))
        return jsonify({"changes": hub.wait_change(since, min(seconds, 20))})

    @control.post("/token")
    def token() -> Response:
        """A token of a person, or (`app`) as of one who signed in to the first App's service."""
        with hub.lock:
            app = hub.first_app if optional("app") else None
            return jsonify({"token": user_token(hub, person(str(sent("login"))), app)})

    @control.post("/revoke")
    def revoke() -> Response:
        """A person takes back what they allowed an App: its tokens of theirs are worth nothing."""
        with hub.lock:
            signing_in.revoke(person(str(sent("login"))))
            return jsonify({})

    @control.post("/keys")
    def keys() -> Response:
        """Makes a private key for the first App, as on its settings page; or deletes all but the newest."""
        with hub.lock:
            app = hub.first_app
            if app is None:
                raise Refused(422, "there is no App yet")
            if not optional("delete_older"):
                public, private = apps.new_key()
                app.keys.append(public)
                return jsonify({"private_key": private})
            del app.keys[:-1]
            return jsonify({})

    @control.post("/users")
    def users() -> Response:
        """Makes or changes a person or bot: their role in a repository."""
        with hub.lock:
            account = hub.account(str(sent("login")), str(sent("type", "User")))
            role = optional("role")
            if role is not None:
                repo_of().roles[account.login.lower()] = Role[str(role)]
            hub.touch()
            return jsonify({"id": account.id, "login": account.login})

    @control.post("/repos")
    def repos() -> Response:
        """Makes another repository, with `files` on its default branch; `empty`, `archived` or a `fork`."""
        with hub.lock:
            owner_name, _, name = str(sent("full_name")).partition("/")
            owner = hub.account(owner_name, "Organization")
            base = next(iter(hub.repositories.values()))
            git = base.git.create(base.git.path.parent.parent / owner_name / f"{name}.git")
            made = Repository(
                hub.new_repository_id(), owner, name, git, "main", hub.now(), bool(sent("private", False))
            )
            made.roles = dict(base.roles)
            made.archived = bool(sent("archived", False))
            made.parent = base if sent("fork", False) else None
            if not sent("empty", False):
                tree = git.write_files(None, sent("files", {"README.md": f"# {name}\n"}))
                author = branches.author(hub, hub.account("ada"))
                git.set_ref("refs/heads/main", git.write_commit(tree, [], "The beginning", author))
            hub.repositories[made.full_name.lower()] = made
            hub.touch()
            return jsonify({"id": made.id, "full_name": made.full_name})

    @control.post("/commit")
    def commit() -> Response:
        """Commits `files` (text, {"base64": …} or null) to a branch, made from `from` where it is new."""
        with hub.lock:
            repo, by = repo_of(), person(str(sent("login", "dana")))
            branch = str(sent("branch"))
            old = repo.git.branch(branch)
            start = old or commit_named(repo, str(sent("from", repo.default_branch))).sha
            files = {path: bytes_of(content) for path, content in sent("files").items()}
            tree = repo.git.write_files(start, files)
            author = branches.author(hub, by)
            made = repo.git.write_commit(tree, [start], str(sent("message", "A change")), author)
            if old is None:
                branches.create(hooks, repo, f"refs/heads/{branch}", made, by)
            else:
                branches.move(hooks, repo, f"refs/heads/{branch}", made, by)
            return jsonify({"sha": made})

    @control.post("/fork")
    def fork() -> Response:
        with hub.lock:
            made = branches.fork(hooks, repo_of(), person(str(sent("login"))))
            return jsonify({"id": made.id, "full_name": made.full_name})

    @control.post("/gone")
    def gone() -> Response:
        """A fork is deleted: its pull requests stay, with nobody behind them."""
        with hub.lock:
            fork = repo_of()
            if fork.parent is None:
                raise Refused(422, f"{fork.full_name} is no fork")
            del hub.repositories[fork.full_name.lower()]
            for thread in fork.parent.threads.values():
                if thread.pull and thread.pull.head_repo is fork:
                    thread.pull.head_repo = None
            hub.touch()
            return jsonify({})

    @control.get("/file")
    def file() -> Response:
        repo = repo_of()
        data = repo.git.read(request.args.get("ref") or repo.default_branch, request.args["path"])
        if data is None:
            raise Refused(404, "no such file")
        return Response(data, content_type="application/octet-stream")

    @control.post("/suggest-label")
    def machine_label() -> Response:
        """A label put on by the App itself, as an automation would."""
        with hub.lock:
            repo = repo_of()
            app = next(iter(hub.apps.values()))
            thread = repo.threads[int(sent("number"))]
            threads.add_label(hooks, repo, thread, app.bot, str(sent("name")), app)
            return jsonify({})

    @control.post("/many-labels")
    def many_labels() -> Response:
        """Labels on a thread, by `names` or `count`, of which nobody is told: far more than GitHub allows."""
        with hub.lock:
            repo = repo_of()
            thread = repo.threads[int(sent("number"))]
            names = optional("names") or [f"label-{n}" for n in range(int(sent("count")))]
            thread.labels += [threads.repo_label(hooks, repo, str(name)) for name in names]
            return jsonify({})

    # -- the webhook --

    @control.post("/hook")
    def hook() -> Response:
        """Where deliveries go from now on; with `ping`, the first one goes at once."""
        with hub.lock:
            app = next(iter(hub.apps.values()))
            app.hook_url = str(sent("url", "")) or None
            app.hook_secret = str(sent("secret", app.hook_secret))
            hooks.patience = float(sent("patience", hooks.patience))
            if sent("ping", False):
                hooks.ping(app)
                made = next(iter(hub.installations.values()))
                hooks.installation(made, "created", hub.account("ada"))
            return jsonify({"url": app.hook_url})

    @control.get("/deliveries")
    def deliveries() -> Response:
        """Every delivery with its payload and exact bytes; `event` sifts."""
        wanted = request.args.get("event")
        with hub.lock:
            found = [one for one in hub.deliveries if wanted in (None, one.event)]
            whole = [
                run_shapes.delivery_whole(hub, one) | {"raw": base64.b64encode(one.raw).decode()}
                for one in found
            ]
            return jsonify(whole)

    @control.post("/deliveries/<int:id>/redeliver")
    def redeliver(id: int) -> Response:
        """The same bytes `times` more; `fresh` gives each another guid, as no GitHub would."""
        with hub.lock:
            known = next((one for one in hub.deliveries if one.id == id), None)
            if known is None:
                raise Refused(404, "no such delivery")
            count = int(sent("times", 1))
            again = [hooks.redeliver(known, bool(sent("fresh", False))).id for _ in range(count)]
            return jsonify({"ids": again})

    @control.post("/press")
    def press() -> Response:
        """`login` presses the button `identifier` on the page of the check run `check`."""
        with hub.lock:
            repo, by = repo_of(), person(str(sent("login")))
            made = repo.checks.get(int(sent("check")))
            if made is None:
                raise Refused(404, "no such check run")
            checks.press(hooks, repo, made, str(sent("identifier")), by)
            return jsonify({})

    # -- what goes wrong --

    @control.post("/faults")
    def faults() -> Response:
        """The next `times` requests that match go wrong, or all of the next `for` seconds; see Fault."""
        with hub.lock:
            if optional("clear"):
                doors.faults.clear()
                return jsonify({})
            lasts = optional("for")
            doors.faults.append(
                Fault(
                    str(sent("method", "*")).upper(),
                    re.compile(str(sent("path", ""))),
                    int(sent("status", 502)),
                    int(sent("times", 1)),
                    str(sent("when", "before")),
                    optional("retry_after"),
                    float(sent("seconds", 0.0)),
                    str(sent("kind", "status")),
                    None if lasts is None else doors.time() + float(lasts),
                )
            )
            return jsonify({})

    @control.post("/limits")
    def limits() -> Response:
        """Rate limits of every installation from now on (see Limits); answers what each has used of them."""
        with hub.lock:
            known = doors.limits
            for name in ("per_minute", "per_hour", "requests_per_hour"):
                if (most := optional(name)) is not None:
                    setattr(known, name, int(most) or None)
            if (silent := optional("silent")) is not None:
                known.silent = bool(silent)
            told = {
                str(id): {"content": len(a.content), "most": a.content_most, "defied": a.defied}
                for id, a in known.accounts.items()
            }
            return jsonify(told)

    @control.post("/clock")
    def clock() -> Response:
        """Moves the clock on by `seconds`: tokens run out; `faults`: only that of faults and limits."""
        if optional("faults"):
            doors.ahead += float(sent("seconds"))
        else:
            hub.shift += float(sent("seconds"))
        return jsonify({"now": iso(hub.now())})

    @control.post("/installation")
    def installation() -> Response:
        """Changes what the App was granted, which repositories it sees, suspends or removes it."""
        with hub.lock:
            made, by = next(iter(hub.installations.values())), hub.account("ada")
            if (granted := optional("permissions")) is not None:
                made.permissions = dict(granted)
            if (suspended := optional("suspended")) is not None:
                apps.suspend(hooks, made, by, bool(suspended))
            if (chosen := optional("repositories")) is not None:
                apps.choose(hooks, made, by, {repo_of(str(name)).id for name in chosen})
            if optional("uninstall"):
                apps.uninstall(hooks, made, by)
            return jsonify({"id": made.id, "permissions": made.permissions})

    @control.post("/install")
    def install() -> Response:
        """Installs the first App on the owner of the first repository, on `repositories` or on all."""
        with hub.lock:
            chosen = optional("repositories")
            ids = None if chosen is None else {repo_of(str(name)).id for name in chosen}
            app = next(iter(hub.apps.values()))
            made = apps.install(hooks, app, repo_of().owner, hub.account("ada"), ids)
            return jsonify({"id": made.id})

    return control


def bytes_of(content: Any) -> str | bytes | None:
    """The content of a file as it was sent."""
    return base64.b64decode(content["base64"]) if isinstance(content, dict) else content
