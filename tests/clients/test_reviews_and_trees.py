"""Answers in review threads, and files as a commit has them: against the sandbox, held to the contract."""

from __future__ import annotations

import base64

import pytest

from bot.clients.github import GitHub, GitHubError
from bot.core.changeset import File
from tests.clients.conftest import World

PULL, PATH = 2, "acme_calendar/years.py"


def test_an_answer_stands_once_in_the_thread_that_it_is_for(world: World, github: GitHub) -> None:
    first = world.client.review_comment("dana", PULL, PATH, 1, "/agent fix this")
    mark = f"<!-- tollgate-reply:started:{first} -->"
    world.client.answer_review("eve", PULL, first, f"{mark}\nI was here before.")
    made = {github.answer_review(world.repo, PULL, first, f"{mark}\nStarted.", mark) for _ in range(2)}
    [answer] = [c for c in world.client.reviews(PULL) if c["id"] in made]
    assert (answer["user"], answer["in_reply_to"], answer["body"]) == (
        "tollgate[bot]",
        first,
        f"{mark}\nStarted.",
    )


def test_an_answer_to_a_comment_that_is_gone_is_an_error(world: World, github: GitHub) -> None:
    with pytest.raises(GitHubError, match="404"):
        github.answer_review(world.repo, PULL, 987_654_321, "x", "<!-- x -->")


def test_our_bot_is_known_by_the_apps_slug(world: World, github: GitHub) -> None:
    assert github.bot() == "tollgate[bot]"


def test_files_of_a_commit_come_with_their_modes_and_what_is_not_there_is_left_out(
    world: World, github: GitHub
) -> None:
    png = bytes(range(256))
    files = {"a/b c.txt": "hello\n", "p.png": {"base64": base64.b64encode(png).decode()}}
    sha = world.client.commit("dana", "files-at", files, from_="main")
    found = github.files_at(world.repo, sha, ["a/b c.txt", "p.png", "a", "missing"])
    assert found == {
        "a/b c.txt": File("a/b c.txt", "100644", b"hello\n"),
        "p.png": File("p.png", "100644", png),
    }
