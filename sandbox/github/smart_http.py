"""git over HTTP: anyone who may read may fetch; pushing needs contents:write and tells the webhook."""

from __future__ import annotations

import gzip

from flask import Blueprint, Response, request

from sandbox.github.access import Caller, Refused, identify
from sandbox.github.door import Doors
from sandbox.github.git import NO_SHA
from sandbox.github.state import Repository
from sandbox.github.verbs import branches

SERVICES = ("git-upload-pack", "git-receive-pack")


def enter(doors: Doors, owner: str, name: str, push: bool) -> tuple[Repository, Caller]:
    """The repository and who is at its door. Raises Refused."""
    caller = identify(doors.hub, request.headers.get("Authorization"))
    repo = doors.hub.repository(f"{owner}/{name.removesuffix('.git')}")
    if repo is None or not caller.sees(repo):
        anonymous = caller.kind == "anonymous"
        raise Refused(401 if anonymous else 404, "Repository not found.")
    if not caller.may(repo, "contents", "write" if push else "read"):
        if caller.kind == "anonymous":
            raise Refused(401, "No anonymous write access.")
        who = caller.account.login if caller.account else "this App"
        raise Refused(403, f"Write access to repository not granted to {who}.")
    return repo, caller


def refused(no: Refused) -> Response:
    response = Response(no.message + "\n", no.status, content_type="text/plain")
    if no.status == 401:
        response.headers["www-authenticate"] = 'Basic realm="GitHub"'
    return response


def blueprint(doors: Doors) -> Blueprint:
    git = Blueprint("git", __name__)

    @git.get("/<owner>/<name>/info/refs")
    def advertise(owner: str, name: str) -> Response:
        service = request.args.get("service", "")
        if service not in SERVICES:
            return Response("Please upgrade your git client.\n", 403, content_type="text/plain")
        try:
            repo, _ = enter(doors, owner, name, push=service == "git-receive-pack")
        except Refused as no:
            return refused(no)
        protocol = request.headers.get("Git-Protocol", "")
        refs = repo.git.rpc(service.removeprefix("git-"), b"", True, protocol)
        line = f"# service={service}\n".encode()
        head = f"{len(line) + 4:04x}".encode() + line + b"0000"
        return answer(service, "advertisement", head + refs)

    @git.post("/<owner>/<name>/<service>")
    def serve(owner: str, name: str, service: str) -> Response:
        body = request.get_data()
        if service not in SERVICES:
            return Response("Not Found", 404)
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        push = service == "git-receive-pack"
        try:
            repo, caller = enter(doors, owner, name, push)
        except Refused as no:
            return refused(no)
        protocol = request.headers.get("Git-Protocol", "")
        if not push:
            return answer(service, "result", repo.git.rpc("upload-pack", body, False, protocol))
        with doors.hub.lock:
            before = repo.git.refs()
            result = repo.git.rpc("receive-pack", body, False, protocol)
            after = repo.git.refs()
            for ref in sorted(before.keys() | after.keys()):
                old, new = before.get(ref, NO_SHA), after.get(ref, NO_SHA)
                if old != new and caller.account is not None:
                    ends = (ref, old, new, caller.account)
                    branches.moved(doors.hooks, repo, *ends)
        return answer(service, "result", result)

    return git


def answer(service: str, what: str, data: bytes) -> Response:
    response = Response(data, content_type=f"application/x-{service}-{what}")
    response.headers["cache-control"] = "no-cache"
    return response
