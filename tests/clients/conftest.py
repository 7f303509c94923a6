"""The sandbox's GitHub as its own process, our client as its App, every exchange held to the contract."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.clients.github import GitHub, Repo
from sandbox.github.client import Client
from sandbox.processes import start
from tests.contracts.checker import contract

WORKFLOW = """
name: agent
run-name: "Tollgate run ${{ inputs.run }}.${{ inputs.attempt }}"
on:
  workflow_dispatch:
    inputs: {run: {required: true}, attempt: {required: true}, service: {default: none}}
permissions: {contents: read, id-token: write}
jobs:
  agent:
    runs-on: ubuntu-latest
    steps:
      - env: {SERVICE: "${{ inputs.service }}", FILE: "${{ inputs.run }}"}
        shell: python3 {0}
        run: |
          import os, urllib.request
          env = os.environ
          if env["SERVICE"] != "none":
              url = env["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=" + env["SERVICE"]
              bearer = "bearer " + env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
              asked = urllib.request.Request(url, headers={"Authorization": bearer})
              with urllib.request.urlopen(asked) as answer:
                  with open(env["TOKENS"] + "/" + env["FILE"], "wb") as file:
                      file.write(answer.read())
"""


@dataclass
class World:
    """A running sandbox, the person who drives it, and what its App needs to know."""

    url: str
    client: Client
    repo: Repo
    traffic: Path
    tokens: Path  # where a dispatched run with a `service` leaves its OIDC token

    def app(self) -> GitHub:
        return GitHub(self.client.about["app_id"], self.client.about["private_key"], self.url)

    def lines(self) -> list[Any]:
        """The whole traffic so far."""
        return [json.loads(line) for line in self.traffic.read_text(encoding="utf-8").splitlines()]

    def git(self, *arguments: str) -> str:
        """What git says in the bare repository behind it."""
        folder = self.client.repository()["git"]
        done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)
        return done.stdout.decode()

    def branch(self, name: str) -> str:
        """A new branch with a commit of Dana's; its head."""
        return self.client.commit("dana", name, {f"{name}.txt": "hello\n"})


@contextmanager
def running(folder: Path) -> Iterator[World]:
    """A sandbox of its own, with what it keeps in that folder."""
    (folder / "agent.yml").write_text(WORKFLOW, encoding="utf-8")
    traffic = folder / "traffic.ndjson"
    tokens = folder / "tokens"
    tokens.mkdir()
    workflow, env = folder / "agent.yml", f"TOKENS={tokens}"
    with start("github", traffic=traffic, data=folder / "data", workflow=workflow, job_env=env) as github:
        client = Client(github.url)
        about = client.about
        repo = Repo(about["installation_id"], about["repository_id"], about["repository"])
        yield World(github.url, client, repo, traffic, tokens)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("github")) as world:
        yield world


@pytest.fixture
def world(sandbox: World) -> Iterator[World]:
    """The sandbox for one test, which fails if any request or answer in it broke GitHub's contract."""
    before = len(sandbox.lines())
    yield sandbox
    sandbox.client.clear_faults()
    found = [violation for line in sandbox.lines()[before:] for violation in contract().exchange(line)]
    assert found == []


@pytest.fixture
def github(world: World) -> Iterator[GitHub]:
    made = world.app()
    yield made
    made.close()
