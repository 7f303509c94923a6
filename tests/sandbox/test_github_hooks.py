"""The sandbox's webhooks: signed, in order, recorded, redelivered; and its page and its command."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.github.client import Client
from sandbox.processes import start
from tests.sandbox.github_fixtures import Heard, World, listening, world

PULL = 2


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as door:
        yield door


@pytest.fixture
def made(tmp_path: Path, heard: Heard) -> Iterator[World]:
    with world(tmp_path, webhook_url=heard.url, webhook_secret="it's a secret") as running:
        yield running


def wait_for(made: World, heard: Heard, count: int) -> None:
    made.client.wait(lambda _: len(heard.requests) >= count, what=f"{count} deliveries")


def test_a_delivery_is_signed_over_its_bytes_and_says_what_it_is(made: World, heard: Heard) -> None:
    id = made.client.comment("dana", PULL, "/agent fix")
    wait_for(made, heard, 1)
    headers, raw = heard.requests[0]
    expected = hmac.new(b"it's a secret", raw, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={expected}"
    assert headers["X-GitHub-Event"] == "issue_comment"
    assert len(headers["X-GitHub-Delivery"]) == 36
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")
    payload = json.loads(raw)
    assert (payload["action"], payload["comment"]["id"]) == ("created", id)
    assert payload["issue"]["pull_request"]["url"].endswith(f"/pulls/{PULL}")
    assert payload["installation"]["id"] == made.client.about["installation_id"]
    assert (payload["sender"]["login"], payload["sender"]["type"]) == ("dana", "User")


def test_everything_that_happens_is_told_in_its_order(made: World, heard: Heard) -> None:
    client = made.client
    id = client.comment("dana", PULL, "one")
    client.edit_comment("dana", id, "two")
    client.delete_comment("dana", id)
    client.label("ada", PULL, "bug")
    client.review_comment("dana", PULL, "acme_calendar/years.py", 8, "here")
    client.commit("dana", "faster-dates", {"notes.txt": "x"})
    number = client.issue("dana", "Another")
    client.close("dana", number)
    client.merge("dana", PULL)
    wait_for(made, heard, 12)
    told = [(h["X-GitHub-Event"], json.loads(raw).get("action")) for h, raw in heard.requests]
    assert told == [
        ("issue_comment", "created"),
        ("issue_comment", "edited"),
        ("issue_comment", "deleted"),
        ("pull_request", "labeled"),
        ("pull_request_review_comment", "created"),
        ("push", None),
        ("pull_request", "synchronize"),
        ("issues", "opened"),
        ("issues", "closed"),
        ("pull_request", "closed"),
        ("push", None),
        ("issues", "closed"),
    ]


def test_a_redelivery_keeps_its_guid_and_its_bytes(made: World, heard: Heard) -> None:
    heard.status = 500
    made.client.comment("dana", PULL, "/agent fix")
    wait_for(made, heard, 1)
    made.client.wait(lambda c: c.deliveries()[0]["status_code"] == 500)
    heard.status = 202
    first = made.client.deliveries()[0]
    made.client.redeliver(first["id"])
    wait_for(made, heard, 2)
    assert heard.requests[0][1] == heard.requests[1][1]
    assert heard.requests[0][0]["X-GitHub-Delivery"] == heard.requests[1][0]["X-GitHub-Delivery"]
    again = made.client.wait(lambda c: [d for d in c.deliveries() if d["redelivery"] and d["status_code"]])
    assert [d["guid"] for d in again] == [first["guid"]]


def test_the_same_bytes_may_come_under_twenty_guids(made: World, heard: Heard) -> None:
    made.client.comment("dana", PULL, "/agent fix")
    wait_for(made, heard, 1)
    made.client.redeliver(made.client.deliveries()[0]["id"], times=20, fresh=True)
    wait_for(made, heard, 21)
    assert len({headers["X-GitHub-Delivery"] for headers, _ in heard.requests}) == 21
    assert len({raw for _, raw in heard.requests}) == 1


def test_a_door_that_is_shut_leaves_a_failed_delivery(tmp_path: Path) -> None:
    with world(tmp_path, webhook_url="http://127.0.0.1:9/nobody") as made:
        made.client.comment("dana", PULL, "anyone?")
        failed = made.client.wait(lambda c: [d for d in c.deliveries() if d["status"] != "pending"])
        assert failed[0]["status"] == "failed to connect to host"


def test_a_ping_comes_when_the_hook_is_set(made: World, heard: Heard) -> None:
    made.client.hook(heard.url, ping=True)
    wait_for(made, heard, 2)
    assert [headers["X-GitHub-Event"] for headers, _ in heard.requests] == ["ping", "installation"]


def test_a_pull_request_has_a_page_that_needs_no_other_host(made: World) -> None:
    made.client.comment("dana", PULL, "**bold** <script>alert(1)</script>\n\n| a | b |\n|-|-|\n| 1 | 2 |")
    page = requests.get(f"{made.url}/acme/calendar/pull/{PULL}", timeout=10)
    assert page.status_code == 200
    assert "Dates without loops" in page.text
    assert "<strong>bold</strong>" in page.text
    assert "<td>1</td>" in page.text
    assert "<script>alert" not in page.text
    assert "https://" not in page.text.replace("https://docs.github.com", "")
    assert requests.get(f"{made.url}/", timeout=10).status_code == 200


def test_the_command_says_where_it_is_and_ends_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "checkout"
    with start("github", repo=empty, app_key=tmp_path / "key.pem") as running:
        client = Client(running.url)
        assert client.about["private_key"] == (tmp_path / "key.pem").read_text(encoding="ascii")
        assert (empty / "acme_calendar" / "years.py").exists()
        assert running.stop() == 0


def test_a_users_own_repository_is_copied_with_its_branches_as_pull_requests(tmp_path: Path) -> None:
    mine = tmp_path / "mine"

    def git(*args: str) -> None:
        who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        subprocess.run(["git", *who, "-C", str(mine), *args], check=True, capture_output=True)

    mine.mkdir()
    git("init", "-b", "trunk")
    git("commit", "--allow-empty", "-m", "The beginning")
    git("checkout", "-b", "more")
    git("commit", "--allow-empty", "-m", "More of it")
    git("checkout", "trunk")
    with world(tmp_path, repo=mine) as made:
        repository = made.client.repository()
        assert (repository["full_name"], repository["default_branch"]) == ("acme/mine", "trunk")
        assert [t["title"] for t in repository["threads"]] == ["More of it"]
