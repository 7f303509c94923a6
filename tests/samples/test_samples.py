"""The samples are what GitHub would send, whatever is patched into them."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from tests import samples
from tests.contracts.checker import contract
from tests.contracts.operations import SAMPLES

EVERY = [(event, action) for event, actions in SAMPLES.items() for action in actions] + list(samples.NEAREST)


@pytest.mark.parametrize(("event", "action"), EVERY, ids=lambda value: value or "-")
def test_every_sample_keeps_the_published_schema_headers_and_signature(event: str, action: str) -> None:
    headers, body = samples.delivery(event, action, guid="a-guid")
    assert contract().webhook(event, action, headers, json.loads(body)) == []
    signed = hmac.new(samples.SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={signed}"
    assert headers["X-GitHub-Delivery"] == "a-guid"


def test_a_comment_on_a_pull_request_by_a_bot_is_still_a_valid_payload() -> None:
    made = samples.payload(
        "issue_comment",
        "created",
        on_pull=True,
        comment="/agent fix",
        login="renovate[bot]",
        sender_type="Bot",
        patch={"issue": {"title": "Another title"}},
    )
    assert made["issue"]["pull_request"]["url"].endswith("/repos/acme/widgets/pulls/7")
    assert made["issue"]["title"] == "Another title"
    assert made["comment"]["user"]["type"] == made["sender"]["type"] == "Bot"
    assert made["installation"]["id"] == 99
    assert made["repository"]["id"] == 4242


def test_a_merged_pull_request_says_so_in_every_field() -> None:
    made = samples.payload("pull_request", "closed", merged=True)["pull_request"]
    assert (made["merged"], made["merged_at"]) == (True, "2026-11-20T12:00:00Z")
    assert made["base"]["repo"]["full_name"] == "acme/widgets"


def test_a_patch_that_breaks_the_schema_is_refused_unless_it_is_meant() -> None:
    wrong = {"pull_request": {"merged": "yes"}}
    with pytest.raises(ValueError, match="merged"):
        samples.payload("pull_request", "closed", patch=wrong)
    meant = samples.payload("pull_request", "closed", patch=wrong, check=False)
    assert meant["pull_request"]["merged"] == "yes"


def test_a_sample_without_an_installation_lacks_the_key() -> None:
    assert "installation" not in samples.payload("issue_comment", "created", installation=None)
