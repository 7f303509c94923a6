"""Apps: who they are, where they are installed, their tokens."""

from __future__ import annotations

from sandbox.github.access import Refused, issue_token
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.shapes import people, repos
from sandbox.github.state import App, Installation, Json, Repository, iso
from sandbox.github.verbs import apps as verbs

routes = Table()


def app_of(call: Call) -> App:
    if call.caller.app is None:
        raise Refused(401, "A JSON web token could not be decoded")
    return call.caller.app


def installation_of(call: Call, id: int) -> Installation:
    made = call.hub.installations.get(id)
    if made is None or made.app is not app_of(call):
        raise Refused(404, "Not Found")
    return made


@routes("GET", "/app", "app")
def get_app(call: Call) -> Answer:
    return 200, people.app_with_count(call.hub, app_of(call))


@routes("POST", "/app-manifests/<code>/conversions", "any")
def convert_manifest(call: Call, code: str) -> Answer:
    """The credentials of an App that was registered from a manifest, once."""
    app, private = verbs.convert(call.hub, code)
    secret = {
        "client_secret": app.client_secret,
        "webhook_secret": app.hook_secret or None,
        "pem": private,
    }
    return 201, people.app(call.hub, app) | secret


@routes("GET", "/app/installations", "app")
def list_installations(call: Call) -> Paged:
    made = [i for i in call.hub.installations.values() if i.app is app_of(call)]
    return Paged(made, lambda one: listed(call, one))


def listed(call: Call, made: Installation) -> Json:
    """An installation in the list: there, the published schema wants its account to be an enterprise too,
    and knows no client_id."""
    shape = people.installation(call.hub, made)
    del shape["client_id"]
    enterprise = {
        "name": made.account.login,
        "slug": made.account.login,
        "created_at": None,
        "updated_at": None,
    }
    return shape | {"account": shape["account"] | enterprise}


@routes("GET", "/app/installations/<int:id>", "app")
def get_installation(call: Call, id: int) -> Answer:
    return 200, people.installation(call.hub, installation_of(call, id))


@routes("GET", "/repos/<owner>/<repo>/installation", "app")
def get_repo_installation(call: Call) -> Answer:
    made = call.hub.installation(call.repo, app_of(call))
    if made is None:
        raise Refused(404, "Not Found")
    return 200, people.installation(call.hub, made)


@routes("POST", "/app/installations/<int:id>/access_tokens", "app")
def create_token(call: Call, id: int) -> Answer:
    made = installation_of(call, id)
    if made.suspended_at:
        raise Refused(403, "This installation has been suspended")
    inside = [repo for repo in call.hub.repositories.values() if made.covers(repo)]
    chosen: list[Repository] | None = None
    names, ids = call.field("repositories"), call.field("repository_ids")
    if names is not None or ids is not None:
        chosen = [r for r in inside if r.name in (names or []) or r.id in (ids or [])]
        if len(chosen) != len(set(names or [])) + len(set(ids or [])):
            raise Refused(422, "There is at least one repository that does not exist or is not accessible.")
    asked = call.field("permissions") or None  # PyGithub sends {} for "all that was granted"
    limit = frozenset(repo.id for repo in chosen) if chosen is not None else None
    text, token = issue_token(call.hub, made, permissions=asked, repositories=limit)
    answer: Json = {
        "token": text,
        "expires_at": iso(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": "all" if chosen is None else "selected",
    }
    if chosen is not None:
        answer["repositories"] = [repos.repository(call.hub, repo) for repo in chosen]
    return 201, answer


@routes("DELETE", "/installation/token", "signed in")
def revoke_token(call: Call) -> Answer:
    for text, token in list(call.hub.tokens.items()):
        if token is call.caller.token:
            del call.hub.tokens[text]
    return 204, None


@routes("GET", "/installation/repositories", "signed in")
def list_repositories(call: Call) -> Paged:
    mine = [repo for repo in call.hub.repositories.values() if call.caller.sees(repo)]
    return Paged(mine, lambda repo: repos.repository(call.hub, repo), "repositories")


@routes("GET", "/users/<login>", "any")
def get_user(call: Call, login: str) -> Answer:
    known = call.hub.accounts.get(login.lower())
    if known is None:
        raise Refused(404, "Not Found")
    return 200, people.profile(call.hub, known, call.hub.now())


@routes("GET", "/rate_limit", "any")
def rate_limit(call: Call) -> Answer:
    limit = 60 if call.caller.kind == "anonymous" else 5000
    used = call.caller.token.used if call.caller.token else 0
    rate = {"limit": limit, "used": used, "remaining": limit - used, "reset": int(call.hub.now()) + 3600}
    return 200, {"resources": {"core": rate, "search": rate, "graphql": rate}, "rate": rate}
