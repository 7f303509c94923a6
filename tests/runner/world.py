"""What the runner's tests need around it: a repository, a service, a model that says what it is told to."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.runner.engines import Task
from sandbox import world

Json = dict[str, Any]
MODEL = "claude-opus-4-7"
AMPLE = Ceilings(Usd.parse("5"), 500_000, 20, 600)
RUN = f"{os.getpid():012x}"  # tests run side by side, and a run's folder has its name
TOKEN = "run_" + "t" * 43
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")


# -- a repository --


def git(folder: Path, *args: str) -> str:
    return subprocess.run(
        [*GIT, *args], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def plant(folder: Path, bug: str = "leap") -> Path:
    """A plain folder with the sandbox's package and its bug."""
    for path, text in {**world.FILES, **world.branch_files(bug)}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@dataclass(frozen=True)
class Repository:
    """`server`/`full_name`.git is a bare repository."""

    server: str
    full_name: str
    sha: str


def repository(
    folder: Path, bug: str = "leap", files: Mapping[str, str] = MappingProxyType({})
) -> Repository:
    """`files`: what stands there besides."""
    work, bare = plant(folder / "source", bug), folder / "acme" / "calendar.git"
    for path, text in files.items():
        (work / path).write_text(text)
    git(work, "init", "--quiet")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "first")
    bare.parent.mkdir(parents=True)
    git(folder, "clone", "--quiet", "--bare", str(work), str(bare))
    return Repository(folder.as_uri(), "acme/calendar", git(work, "rev-parse", "HEAD"))


# -- servers --

Handle = Callable[[str, str, dict[str, str], bytes], tuple[int, dict[str, str], bytes]]


@contextmanager
def catching() -> Iterator[tuple[str, list[str]]]:
    """A place that nobody should ask, and the paths that were asked for there all the same."""
    caught: list[str] = []

    def catch(
        method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        caught.append(path)
        return 404, {}, b""

    with serving(catch) as url:
        yield url, caught


@contextmanager
def serving(handle: Handle) -> Iterator[str]:
    """A real HTTP server: (method, path, headers, body) → (status, headers, body). Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            given = {name.lower(): value for name, value in self.headers.items()}
            status, headers, said = handle(self.command, self.path, given, body)
            self.send_response(status)
            for name, value in {"content-length": str(len(said)), "connection": "close", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Scripted:
    """A Messages server that gives the answers it was given, one a request, and keeps the requests.

    An answer is a list of blocks (its stop reason follows from them), or a dict of more: `content`, `stop`,
    `headers`, `status` and `error` for one that is none, `cut` for one whose stream ends before it does.
    """

    answers: list[Any]
    requests: list[Json] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if method != "POST":
            return 404, {}, b""
        self.paths.append(path)
        self.tokens.append(headers.get("authorization", "") or headers.get("x-api-key", ""))
        self.requests.append(json.loads(body))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, list):
            answer = {"content": answer}
        more = answer.get("headers", {})
        if "status" in answer:
            error = {"type": "error", "error": answer["error"]}
            return answer["status"], {"content-type": "application/json", **more}, json.dumps(error).encode()
        return 200, {"content-type": "text/event-stream", **more}, b"".join(_events(answer))


def _events(answer: Json) -> Iterator[bytes]:
    content = answer.get("content", [])
    calls = any(block["type"] == "tool_use" for block in content)
    stop = answer.get("stop", "tool_use" if calls else "end_turn")
    usage = {"input_tokens": 100, "output_tokens": 1, **answer.get("usage", {})}
    message: Json = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    yield _event("message_start", message=message)
    for index, block in enumerate(content):
        yield from _block(index, block)
    if "error" in answer:
        yield (
            b"event: error\ndata: "
            + json.dumps({"type": "error", "error": answer["error"]}).encode()
            + b"\n\n"
        )
        return
    if answer.get("cut"):
        return
    delta = {"stop_reason": stop, "stop_sequence": None, **answer.get("delta", {})}
    yield _event("message_delta", delta=delta, usage={"output_tokens": 10})
    yield _event("message_stop")


def _block(index: int, block: Json) -> Iterator[bytes]:
    match block["type"]:
        case "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        case "tool_use":
            text = json.dumps(block["input"])
            empty, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": text}
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            delta = {"type": "signature_delta", "signature": block["signature"]}
        case other:
            raise AssertionError(other)
    yield _event("content_block_start", index=index, content_block=empty)
    yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def say(text: str) -> Json:
    return {"type": "text", "text": text}


def sh(command: str, id: str = "toolu_1") -> Json:
    return {"type": "tool_use", "id": id, "name": "bash", "input": {"command": command}}


def think(signature: str) -> Json:
    return {"type": "thinking", "thinking": "", "signature": signature}


@contextmanager
def scripted(*answers: Any) -> Iterator[tuple[str, Scripted]]:
    script = Scripted(list(answers))
    with serving(script.handle) as url:
        yield url, script


# -- the service --


@dataclass
class Api:
    """The runner API: what a real service answers, and what it was sent.

    `claims`: statuses to give before the claim is answered; `results`: before a result is taken. After
    `halts_after` turns it says `standing`.
    """

    base_url: str
    repository: Repository
    brief: Json = field(default_factory=dict)
    claims: list[int] = field(default_factory=list)
    results: list[int] = field(default_factory=list)
    halts_after: int | None = None
    standing: Json = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)
    posted: list[Json] = field(default_factory=list)
    audience: list[str] = field(default_factory=list)
    kept: list[Json] = field(default_factory=list)  # the work after each turn
    left: Json = field(default_factory=dict)  # what an earlier attempt left
    refuses_work: bool = False
    asked: list[Json] = field(default_factory=list)  # for a run, and how often
    report: Json = field(default_factory=dict)  # none: a service that does not tell it
    came: threading.Event = field(default_factory=threading.Event)  # an event of a tool call or turn

    def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        status, said = self._said(path, headers, body)
        return status, {"content-type": "application/json"}, json.dumps(said).encode()

    def _said(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Json]:
        if path.startswith("/oidc"):
            assert headers["authorization"] == "Bearer ask"
            self.audience.append(path)
            return 200, {"value": "oidc-token"}
        if path in ("/api/runs/claim", "/api/runs/open"):
            self.asked.append(json.loads(body))
            assert headers["authorization"] == "Bearer oidc-token"
            if self.claims:
                return self.claims.pop(0), {"error": "not yet, or not you"}
            return 200, self._brief()
        assert headers["authorization"] == f"Bearer {self.brief.get('token', TOKEN)}"
        sent = json.loads(body) if body else {}
        if path == f"/api/runs/{RUN}":
            return 200, {"state": "running", "reason": None, "message": None, "remaining": LEFT}
        if path == f"/api/runs/{RUN}/work":
            return self._work(sent)
        if path == f"/api/runs/{RUN}/events":
            self.events += sent["events"]
            turns = sum(event["type"] == "turn" for event in self.events)
            if turns:
                self.came.set()
            over = self.halts_after is not None and turns >= self.halts_after
            return 200, {"state": "running", "reason": None, "message": None, "remaining": LEFT} | (
                self.standing if over else {}
            )
        if path == f"/api/runs/{RUN}/report":
            return (200, self.report) if self.report else (404, {"error": "there is nothing here"})
        assert path == f"/api/runs/{RUN}/result"
        if self.results:
            return self.results.pop(0), {"error": "not now"}
        self.posted.append(sent)
        return 202, {"state": "running"}

    def _work(self, sent: Json) -> tuple[int, Json]:
        if not sent:
            return 200, self.left
        if self.refuses_work:
            return 503, {"error": "not now"}
        self.kept.append(sent)
        return 200, {"state": "running"}

    def _brief(self) -> Json:
        return {
            "run": RUN,
            "attempt": 1,
            "token": TOKEN,
            "base_url": self.base_url,
            "task": "fix the failing test",
            "class": "bugfix",
            "engine": "opus",
            "model": MODEL,
            "effort": "high",
            "context": 100_000,
            "thread": {"kind": "pull", "number": 7, "title": "Faster", "body": "It fails.", "url": "x"},
            "repository": {"full_name": self.repository.full_name, "id": 1, "default_branch": "main"},
            "head": {"ref": "main", "sha": self.repository.sha},
            "ceilings": {"usd": "5", "tokens": 500000, "steps": 20, "seconds": 600},
            "seconds_left": 600,
            "check": None,
            "forbidden_paths": [],
        } | self.brief


LEFT = {"usd": "4.25", "tokens": 490_000, "steps": 12, "seconds": 500}


def task(base_url: str, ceilings: Ceilings = AMPLE, **more: Any) -> Task:
    given: Json = {
        "system": "Be brief. " * 400,
        "prompt": "<task>fix the test</task>",
        "model": MODEL,
        "effort": "high",
    }
    return Task(**(given | {"base_url": base_url, "token": TOKEN, "ceilings": ceilings} | more))
