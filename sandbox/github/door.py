"""One door for every API call: who is calling, may they, the page of a list, the headers, the traffic."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, request

from sandbox.github.access import Caller, Refused, identify
from sandbox.github.faults import Fault
from sandbox.github.git import GitError
from sandbox.github.hooks import Hooks
from sandbox.github.limits import Limited, Limits
from sandbox.github.state import Account, App, Comment, Hub, Json, Repository, Role, Thread
from sandbox.github.traffic import Traffic

VERSIONS = ("2022-11-28", "2026-03-10")
DOCS = "https://docs.github.com/rest"


@dataclass
class Doors:
    """What every door may reach."""

    hub: Hub
    hooks: Hooks
    traffic: Traffic
    faults: list[Fault] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    ahead: float = 0.0  # seconds by which the clock of faults and limits was moved on: tokens live by another
    start: Callable[..., None] = lambda *_: None  # starts a dispatched run
    cancel: Callable[..., None] = lambda *_: None  # cancels one

    def time(self) -> float:
        """The clock of faults and limits."""
        return self.hub.now() + self.ahead


@dataclass(frozen=True)
class Paged:
    """A list, of which the caller sees a page; with `key`, inside an object with its total."""

    items: Sequence[Any]
    shape: Callable[[Any], Json]
    key: str | None = None


@dataclass(frozen=True)
class Cursored:
    """A list, newest first, of which the caller sees what is from a cursor on; `id` grows with time."""

    items: Sequence[Any]
    shape: Callable[[Any], Json]
    id: Callable[[Any], int]


Answer = tuple[int, Any]


@dataclass
class Call:
    """One API call: who, where, with what."""

    doors: Doors
    caller: Caller
    found: Repository | None
    query: dict[str, str]
    body: Any
    version: str

    @property
    def hub(self) -> Hub:
        return self.doors.hub

    @property
    def hooks(self) -> Hooks:
        return self.doors.hooks

    @property
    def repo(self) -> Repository:
        if self.found is None:
            raise Refused(404, "Not Found")
        return self.found

    @property
    def by(self) -> Account:
        if self.caller.account is None:
            raise Refused(401, "Requires authentication")
        return self.caller.account

    @property
    def app(self) -> App | None:
        return self.caller.app

    def field(self, name: str, default: Any = None) -> Any:
        return self.body.get(name, default) if isinstance(self.body, dict) else default

    def required(self, name: str, resource: str) -> str:
        value = self.field(name)
        if not isinstance(value, str) or not value:
            wrong = {"resource": resource, "field": name, "code": "missing_field"}
            raise Refused(422, "Validation Failed", [wrong])
        return value

    def person_needs(self, role: Role) -> None:
        """A person needs at least this role here; Apps were judged by their permissions."""
        if self.caller.kind == "user" and self.repo.role(self.by.login) < role:
            raise Refused(403, f"Must have {role.name} rights to Repository.")

    def thread(self, number: int, level: str | None = None) -> Thread:
        """The issue or pull request of this number, if the caller may act on its kind."""
        thread = self.repo.threads.get(number)
        if thread is None:
            raise Refused(404, "Not Found")
        if level:
            kinds = ["issues", "pull_requests"] if thread.pull else ["issues"]
            if not any(self.caller.may(self.repo, kind, level) for kind in kinds):
                raise Refused(403, "Resource not accessible by integration")
        return thread

    def pull(self, number: int) -> Thread:
        thread = self.thread(number)
        if thread.pull is None:
            raise Refused(404, "Not Found")
        return thread

    def comment(self, id: int, review: bool = False) -> tuple[Thread, Comment]:
        """A comment by its id, and its thread."""
        for thread in self.repo.threads.values():
            for made in thread.reviews if review else thread.comments:
                if made.id == id:
                    return thread, made
        raise Refused(404, "Not Found")

    def own(self, made: Comment) -> None:
        """One's own comment, or a maintainer's hand; an App edits only its own."""
        if made.user is not self.by and (
            self.caller.kind != "user" or self.repo.role(self.by.login) < Role.write
        ):
            raise Refused(403, "Resource not accessible by integration")


Handler = Callable[..., Answer | Paged | Cursored]


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    needs: str  # "app", "any", "signed in", or permissions: "issues:write|pull_requests:write"
    handler: Handler


class Table(list[Route]):
    """The routes of one module, written down by its decorators."""

    def __call__(self, method: str, path: str, needs: str) -> Callable[[Handler], Handler]:
        def write(handler: Handler) -> Handler:
            self.append(Route(method, path, needs, handler))
            return handler

        return write


def judge(caller: Caller, repo: Repository | None, needs: str) -> None:
    """Whether the caller may come in. Raises Refused as GitHub would."""
    if needs == "app":
        if caller.kind != "app":
            raise Refused(401, "A JSON web token could not be decoded")
        return
    if needs == "any":
        return
    if needs == "signed in":
        if caller.kind in ("anonymous", "app"):
            raise Refused(401, "Requires authentication")
        return
    if repo is None or not caller.sees(repo):
        raise Refused(404, "Not Found")
    wanted = [need.split(":") for need in needs.split("|")]
    if any(caller.may(repo, permission, level) for permission, level in wanted):
        return
    if caller.kind == "anonymous":
        raise Refused(401, "Requires authentication")
    if caller.kind == "user":
        raise Refused(403, "Must have push access to repository.")
    raise Refused(403, "Resource not accessible by integration")


def mount(app: Flask, doors: Doors, table: Table) -> None:
    """Gives the app every route of a table."""
    for number, route in enumerate(table):
        app.add_url_rule(
            route.path,
            endpoint=f"{route.handler.__module__}.{route.handler.__name__}.{number}",
            view_func=view(doors, route),
            methods=[route.method],
        )


def unknown(doors: Doors) -> Callable[[Exception], Response]:
    """The answer for a path that nothing serves: JSON, and a line of traffic, so that it is noticed."""

    def serve(_: Exception) -> Response:
        answer = refusal(Refused(404, "Not Found"))
        record(doors, None, None, 404, answer)
        return finish(doors, 404, answer, None, None)

    return serve


def record(doors: Doors, caller: Caller | None, body: Any, status: int, answer: Any) -> None:
    doors.traffic.write(
        {
            "kind": "api",
            "caller": caller.label if caller else "unknown",
            "method": request.method,
            "path": request.path,
            "query": request.args.to_dict(),
            "request": body,
            "status": status,
            "response": answer if status not in (204, 304) else None,
        }
    )


def view(doors: Doors, route: Route) -> Callable[..., Response]:
    def serve(**where: Any) -> Response:
        raw = request.get_data()
        caller: Caller | None = None
        body: Any = None
        fault = next((f for f in doors.faults if f.strikes(doors.time())), None)
        if fault is not None and fault.seconds:
            time.sleep(fault.seconds)
        limited: dict[str, str] = {}
        try:
            body = parse(raw)
            if fault is not None:
                fault.spoil("before")
            with doors.hub.lock:
                caller = identify(doors.hub, request.headers.get("Authorization"))
                doors.limits.check(caller, doors.time())
                status, answer, link = act(doors, route, caller, body, dict(where))
            if fault is not None:
                fault.spoil("after")
        except Limited as no:
            status, answer, link, limited = no.status, refusal(no), None, no.headers
        except Refused as no:
            status, answer, link = no.status, refusal(no), None
        except GitError as error:
            status, answer, link = 422, refusal(Refused(422, str(error))), None
        response = finish(doors, status, answer, link, caller)
        if route.needs not in ("any", "app", "signed in"):
            response.headers["x-accepted-github-permissions"] = route.needs.replace(":", "=").replace(
                "|", "; "
            )
        response.headers.update(limited)
        if fault is not None and fault.retry_after is not None:
            response.headers["retry-after"] = str(fault.retry_after)
        record(doors, caller, body, response.status_code, answer)
        return response

    return serve


def parse(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise Refused(400, "Problems parsing JSON") from error


def act(
    doors: Doors, route: Route, caller: Caller, body: Any, where: dict[str, Any]
) -> tuple[int, Any, str | None]:
    version = request.headers.get("X-GitHub-Api-Version", VERSIONS[0])
    if version not in VERSIONS:
        raise Refused(400, f"{version} is not a supported version. Supported: {', '.join(VERSIONS)}")
    repo = None
    if "owner" in where:
        repo = doors.hub.repository(f"{where.pop('owner')}/{where.pop('repo')}")
    judge(caller, repo, route.needs)
    if repo is not None and repo.archived and request.method != "GET":
        raise Refused(403, "Repository was archived so is read-only.")
    if repo is not None and "/git/" in route.path and not repo.git.branches():
        raise Refused(409, "Git Repository is empty.")
    call = Call(doors, caller, repo, request.args.to_dict(), body, version)
    answer = route.handler(call, **where)
    if isinstance(answer, Paged):
        return page(answer)
    if isinstance(answer, Cursored):
        return cursored(answer)
    return answer[0], answer[1], None


def page(listed: Paged) -> tuple[int, Any, str | None]:
    """The page that was asked for (30 a page, at most 100), and the Link header to the others."""
    size, number = whole_number("per_page", 30, 100), whole_number("page", 1)
    last = max(1, -(-len(listed.items) // size))
    shapes = [listed.shape(item) for item in listed.items[(number - 1) * size : number * size]]

    def to(other: int, name: str) -> str:
        query = urlencode(request.args.to_dict() | {"page": str(other)})
        return f'<{request.base_url}?{query}>; rel="{name}"'

    links = []
    if number > 1:
        links += [to(number - 1, "prev")]
    if number < last:
        links += [to(number + 1, "next"), to(last, "last")]
    if number > 1:
        links += [to(1, "first")]
    whole = {"total_count": len(listed.items), listed.key: shapes} if listed.key else shapes
    return 200, whole, ", ".join(links) or None


def cursored(listed: Cursored) -> tuple[int, Any, str | None]:
    """What is from the cursor on (30, at most 100), and the Link header to what comes after it."""
    size, cursor = whole_number("per_page", 30, 100), request.args.get("cursor", "")
    items = listed.items
    if cursor:
        named = re.fullmatch(r"v1_([0-9]+)", cursor)
        if named is None:
            raise Refused(400, "Invalid cursor")
        items = [item for item in items if listed.id(item) <= int(named[1])]
    link = None
    if len(items) > size:
        query = urlencode(request.args.to_dict() | {"cursor": f"v1_{listed.id(items[size])}"})
        link = f'<{request.base_url}?{query}>; rel="next"'
    return 200, [listed.shape(item) for item in items[:size]], link


def whole_number(name: str, default: int, most: int = 1_000_000) -> int:
    """A number of the query, from 1 to `most`."""
    try:
        return min(max(int(request.args.get(name, default)), 1), most)
    except ValueError as error:
        raise Refused(422, "Validation Failed") from error


def refusal(no: Refused) -> Json:
    shape: Json = {"message": no.message}
    if no.errors is not None:
        shape["errors"] = no.errors
    return shape | {"documentation_url": DOCS, "status": str(no.status)}


def finish(doors: Doors, status: int, answer: Any, link: str | None, caller: Caller | None) -> Response:
    text = b"" if status == 204 else json.dumps(answer, separators=(",", ":")).encode()
    response = Response(text, status, content_type="application/json; charset=utf-8")
    headers = response.headers
    if request.method == "GET" and status == 200:
        tag = f'W/"{hashlib.sha256(text).hexdigest()}"'
        headers["etag"] = tag
        headers["cache-control"] = "private, max-age=60, s-maxage=60"
        if request.headers.get("If-None-Match") == tag:
            response.status_code = 304
            response.set_data(b"")
    if link:
        headers["link"] = link
    if status == 401:
        headers["www-authenticate"] = 'Basic realm="GitHub"'
    limit = 60 if caller is None or caller.kind == "anonymous" else 5000
    used = caller.token.used if caller and caller.token else 1
    headers["x-ratelimit-limit"] = str(limit)
    headers["x-ratelimit-remaining"] = str(max(limit - used, 0))
    headers["x-ratelimit-used"] = str(used)
    headers["x-ratelimit-reset"] = str(int(doors.hub.now()) + 3600)
    headers["x-ratelimit-resource"] = "core"
    if caller is not None:
        headers.update(doors.limits.headers(caller, doors.time(), doors.ahead))
    stamp = doors.hub.new_id()
    headers["x-github-request-id"] = f"5A4D:{stamp:X}:{len(text):X}:{status:X}:{stamp:08X}"
    headers["x-github-media-type"] = "github.v3; format=json"
    headers["x-github-api-version-selected"] = request.headers.get("X-GitHub-Api-Version", VERSIONS[0])
    return response
