"""New names for people and repositories, as they may give themselves at any time: under /_sandbox."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from sandbox.github.state import Hub


def blueprint(hub: Hub) -> Blueprint:
    """Numbers, roles, threads and tokens stay. GitHub's redirects from the old name are not made."""
    renaming = Blueprint("renaming", __name__, url_prefix="/_sandbox/rename")

    @renaming.post("/user")
    def user() -> Response:
        """`login` is called `to` from now on."""
        body = request.get_json()
        old, new = str(body["login"]), str(body["to"])
        with hub.lock:
            account = hub.accounts.pop(old.lower())
            account.login = new
            hub.accounts[new.lower()] = account
            for repo in hub.repositories.values():
                if (role := repo.roles.pop(old.lower(), None)) is not None:
                    repo.roles[new.lower()] = role
            hub.touch()
            return jsonify({"id": account.id, "login": account.login})

    @renaming.post("/repository")
    def repository() -> Response:
        """`repo`, a full name, is called `to` (without its owner) from now on."""
        body = request.get_json()
        with hub.lock:
            repo = hub.repositories.pop(str(body["repo"]).lower())
            repo.name = str(body["to"])
            hub.repositories[repo.full_name.lower()] = repo
            hub.touch()
            return jsonify({"id": repo.id, "full_name": repo.full_name})

    return renaming
