"""Attempts of docs/security.md at GitHub's door that have no other place."""

from __future__ import annotations

from flask.testing import FlaskClient

from bot.services import Services
from tests import samples
from tests.web.test_webhook import door, enqueued, post

__all__ = ["door"]


def test_a_comment_of_a_megabyte_is_taken_like_any_other(door: FlaskClient, service: Services) -> None:
    """GitHub allows far less; what it signs is taken all the same, and so is the next one."""
    for number, words in enumerate(("`" * 1_000_000, "/agent fix\n" + "> \n" * 330_000, "/agent fix")):
        delivery = samples.delivery("issue_comment", "created", comment=words, guid=f"d-{number}")
        status, answer = post(door, *delivery)
        assert (status, answer["started"]) == (202, "launch.on_comment")
    assert len(enqueued(service)) == 3
