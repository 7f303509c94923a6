"""The API for whoever a token belongs to: who they are, and what they and the App that asks may see."""

from __future__ import annotations

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Paged, Table
from sandbox.github.shapes import people, repos
from sandbox.github.state import Installation, Json, Repository, Role

routes = Table()


@routes("GET", "/user", "signed in")
def me(call: Call) -> Answer:
    if call.caller.kind != "user":
        raise Refused(403, "Resource not accessible by integration")
    return 200, people.profile(call.hub, call.by, call.hub.now())


@routes("GET", "/user/installations", "signed in")
def installations(call: Call) -> Paged:
    """Those of the App in whose name the token is, where the person has an explicit role."""
    if call.caller.kind != "user" or call.app is None:
        raise Refused(403, "You must authenticate with an access token authorized to a GitHub App.")
    mine = [one for one in call.hub.installations.values() if one.app is call.app]
    seen = [one for one in mine if one.account is call.by or explicit(call, one)]
    return Paged(seen, lambda one: people.installation(call.hub, one), "installations")


@routes("GET", "/user/installations/<int:id>/repositories", "signed in")
def repositories(call: Call, id: int) -> Paged:
    made = call.hub.installations.get(id)
    if call.caller.kind != "user" or call.app is None or made is None or made.app is not call.app:
        raise Refused(404, "Not Found")
    if made.suspended_at:
        raise Refused(403, "This installation has been suspended")

    def shape(repo: Repository) -> Json:
        return repos.repository(call.hub, repo) | {"permissions": people.grants(repo, call.by)}

    return Paged(explicit(call, made), shape, "repositories")


def explicit(call: Call, made: Installation) -> list[Repository]:
    """Repositories of an installation in which the person was given a role: "anyone may read" is none."""
    login = call.by.login.lower()
    return [
        repo
        for repo in call.hub.repositories.values()
        if made.covers(repo) and repo.roles.get(login, Role.none) >= Role.read
    ]
