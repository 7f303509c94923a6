"""Whoever waits in line is let in as things are then, and not as they were when it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import services, settings
from bot.core.places import Repo
from bot.core.policy import parse
from bot.services import Services
from bot.stores.people import Queued
from bot.stories import admit
from bot.stories.names import run_of
from bot.stories.ruling import caps_of, limits_of
from tests.stores.test_people import a_run

POLICY = """
concurrency: {person: 1}
caps: {people: {dana: $20}}
lines: {evals: {monthly: $50, members: [dana, max], api_key_env: ANTHROPIC_API_KEY_EVALS, concurrency: 1}}
"""


@pytest.fixture
def service(migrated_url: str, tmp_path: Path) -> Iterator[Services]:
    """Services that need no GitHub; the line's key is in a file of its own."""
    (tmp_path / "evals").write_text("sk-ant-evals", encoding="utf-8")
    (tmp_path / "policy.yml").write_text(POLICY, encoding="utf-8")
    told = settings.read(
        {
            "DATABASE_URL": migrated_url,
            "PUBLIC_URL": "https://tollgate.example",
            "GITHUB_APP_ID": "1",
            "GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----",
            "GITHUB_WEBHOOK_SECRET": "s",
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "ANTHROPIC_API_KEY_EVALS": str(tmp_path / "evals"),
            "POLICY_FILE": str(tmp_path / "policy.yml"),
        }
    )
    with services.opened(told, "worker") as opened:
        yield opened


def lined_up(service: Services, line: str) -> tuple[str, str]:
    """A live run of dana's, and one that waits for its end."""
    ids = []
    for thread in (1, 2):
        new = a_run(
            thread=thread,
            repository="acme/calendar",
            line=line,
            key_name="ANTHROPIC_API_KEY_EVALS" if line else "",
        )
        whose, repo = (7, "dana"), Repo(1, 3, "acme/calendar")
        caps, limits = caps_of(service, whose, repo, line), limits_of(service.policy, whose, repo, line)
        opened = service.people.open(new, caps, limits=limits)
        assert opened == (True if thread == 1 else Queued())
        ids.append(new.id)
    return ids[0], ids[1]


@pytest.mark.parametrize(
    ("line", "was", "now", "why"),
    [
        pytest.param(
            "evals", "[dana, max]", "[max]", "not a member of the budget line", id="its member left"
        ),
        pytest.param("evals", "evals:", "other:", "there is no budget line", id="its line was closed"),
        pytest.param("evals", "monthly: $50", "monthly: $0.25", "the line evals", id="its line was lowered"),
        pytest.param("", "dana: $20", "dana: $0.25", "dana's cap", id="its person's cap was lowered"),
    ],
)
def test_what_holds_is_the_policy_of_now(service: Services, line: str, was: str, now: str, why: str) -> None:
    live, waits = lined_up(service, line)
    service.runs.end(live, "done")
    admit.look(replace(service, policy=parse(POLICY.replace(was, now), service=True)))
    run = run_of(service, waits)
    assert (run.state, run.spent.usd.nanos) == ("refused", 0)
    assert why in run.message


def test_a_key_that_is_gone_by_then_starts_nothing(service: Services, tmp_path: Path) -> None:
    live, waits = lined_up(service, "evals")
    service.runs.end(live, "done")
    (tmp_path / "evals").unlink()
    admit.look(service)
    run = run_of(service, waits)
    assert run.state == "refused"
    assert run.message.startswith("the service has no key `ANTHROPIC_API_KEY_EVALS`")


def test_what_holds_no_more_than_before_is_let_in(service: Services) -> None:
    live, waits = lined_up(service, "evals")
    admit.look(service)
    assert run_of(service, waits).state == "queued"
    service.runs.end(live, "done")
    admit.look(service)
    assert run_of(service, waits).state == "open"
