"""A sandbox GitHub in this process, the person who drives it, and the real PyGithub as its App."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from github import Auth, Github, GithubIntegration
from github.Repository import Repository

from sandbox.github.client import Client
from sandbox.github.server import GitHub, Options

HELLO = """
name: hello
run-name: "Tollgate run ${{ inputs.run }}.${{ inputs.attempt }}"
on:
  workflow_dispatch:
    inputs:
      run: {required: true}
      attempt: {required: true}
      service: {default: none}
permissions: {contents: read, id-token: write}
jobs:
  agent:
    runs-on: ubuntu-latest
    steps:
      - name: Say
        run: echo "hello ${{ inputs.run }}"
"""


@dataclass
class World:
    """A sandbox and its driver."""

    github: GitHub
    client: Client

    @property
    def url(self) -> str:
        return self.github.url


@contextmanager
def world(folder: Path, workflow: str = HELLO, **options: object) -> Iterator[World]:
    """A sandbox GitHub for the length of the block."""
    file = folder / "workflow.yml"
    file.write_text(workflow, encoding="utf-8")
    chosen = Options(data=folder / "data", workflow=file, actions={}, **options)  # type: ignore[arg-type]
    with GitHub(chosen) as github:
        yield World(github, Client(github.url))


@contextmanager
def app(made: World) -> Iterator[tuple[Github, Repository]]:
    """PyGithub as the App's installation, and the repository through it."""
    about = made.client.about
    auth = Auth.AppAuth(about["app_id"], about["private_key"])
    with GithubIntegration(auth=auth, base_url=made.url) as integration:
        owner, name = about["repository"].split("/")
        installation = integration.get_repo_installation(owner, name)
    token = auth.get_installation_auth(installation.id)
    # No pauses between requests: those are manners towards the real one.
    with Github(
        auth=token, base_url=made.url, retry=None, seconds_between_requests=0, seconds_between_writes=0
    ) as api:
        yield api, api.get_repo(about["repository"])


@dataclass
class Heard:
    """What a webhook's door was sent."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 202


@contextmanager
def listening() -> Iterator[Heard]:
    """A door for webhooks that keeps what it hears."""
    heard = Heard()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            heard.requests.append((dict(self.headers.items()), raw))
            self.send_response(heard.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    heard.url = f"http://127.0.0.1:{server.server_port}/webhooks/github"
    try:
        yield heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
