"""Deliveries that GitHub never sends, signed, with the fields that we read made up: every story is told to an
end, as a refusal or as nothing to do, or fails because GitHub has no such thing; none fails in another way.
"""

from __future__ import annotations

import copy
import json
import random
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.core import events
from bot.stories.receive import ROUTES
from tests import samples
from tests.fuzz.values import ODD_NUMBERS, ODD_WORDS
from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow

SEED, EACH = 20261127, 15
COMMANDS = (
    "/agent fix", "/agent fix cost=$1", "/agent stop", "/agent status", "/agent resume", "/agent split 3",
    "/agent approve", "/agent accept", "/agent ack", "/agent sweep", "/agent plan", "/agent help", "/agent x",
)  # fmt: skip
LOGINS = ("dana", "ada", "max", "otto", "ghost", "tollgate[bot]", "a/b", "..")
# GitHub does not know that repository, thread or installation: nobody is there to be told. It fails, so that
# a redelivery is told anew, should GitHub know it by then.
THERE_IS_NONE = re.compile(r"bot\.clients\.github\.errors\.GitHubError: GitHub answered (404|422) to ")
Place = tuple[str | int, ...]


class Watched(dict[str, Any]):
    """A payload that remembers what is read of it."""

    def __init__(self, told: dict[str, Any], place: Place, read: set[Place]) -> None:
        super().__init__({k: watched(v, (*place, k), read) for k, v in told.items()})
        self.place, self.read = place, read

    def __getitem__(self, key: str) -> Any:
        self.read.add((*self.place, key))
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add((*self.place, key))
        return super().get(key, default)


def watched(told: Any, place: Place, read: set[Place]) -> Any:
    if isinstance(told, list):
        return [watched(one, (*place, at), read) for at, one in enumerate(told)]
    return Watched(told, place, read) if isinstance(told, dict) else told


def fields(event: str, payload: dict[str, Any]) -> list[Place]:
    """What of it `core.events` reads, leaves alone."""
    read: set[Place] = set()
    events.parse(event, Watched(payload, (), read))
    return sorted(path for path in read if not isinstance(at(payload, path), dict | list))


def at(made: Any, path: Place) -> Any:
    for key in path:
        made = made.get(key) if isinstance(made, dict) else made[key]
    return made


def another(dice: random.Random, path: Place, value: Any, numbers: list[int]) -> Any:
    """Of the same type, mostly: what is of another is refused at the door."""
    if path[-1] == "login":
        return dice.choice(LOGINS)
    if path[-1] == "body":
        return dice.choice(COMMANDS) + dice.choice(["", "\n", " ", "\n\n"]) + dice.choice(ODD_WORDS)[:200]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return dice.choice([*numbers, *numbers, *(n for n in ODD_NUMBERS if isinstance(n, int))])
    if isinstance(value, str):
        return dice.choice([*ODD_WORDS, value[1:], value + "x", value.upper(), value.lower()])[:500]
    return dice.choice([None, 1, "x", [], {}])


def made_up(dice: random.Random, known: dict[str, Any], numbers: list[int]) -> Iterator[tuple[str, bytes]]:
    for event, action in ROUTES:
        for _ in range(EACH):
            more = {"comment": dice.choice(COMMANDS)} if "comment" in event else {}
            told = samples.payload(
                event, action, check=False, **known, **more, on_pull=dice.random() < 0.5,
                number=dice.choice(numbers[:-2]), login=dice.choice(LOGINS[:4]),
            )  # fmt: skip
            found = fields(event, copy.deepcopy(told))
            for path in dice.sample(found, min(len(found), dice.choice([0, 1, 1, 2, 3]))):
                at(told, path[:-1])[path[-1]] = another(dice, path, at(told, path), numbers)
            yield event, json.dumps(told).encode()


def sent(service: Service, event: str, body: bytes) -> int:
    secret = service.github.about["webhook_secret"]
    headers = samples.headers(event, body, secret=secret)
    asked = urllib.request.Request(f"{service.url}/webhooks/github", body, headers)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_every_story_of_a_made_up_delivery_is_told_to_an_end(database_url: str, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with serving(tmp_path, database_url, agents.GONE, policy="") as service:
        github, place = service.github, "" if service.database.kind == "sqlite" else "dbos."
        github.user("otto", "read")
        threads = [github.issue("dana", "One"), github.issue("otto", "Two")]
        repository = github.repository()
        known = {
            "full_name": repository["full_name"],
            "repository_id": repository["id"],
            "installation": github.about["installation_id"],
        }
        service.worker()
        numbers = [*threads, 3, 404, *(v for v in known.values() if isinstance(v, int))]
        taken = [sent(service, *one) for one in made_up(dice, known, numbers)]
        assert set(taken) <= {200, 202, 400}
        assert taken.count(202) > len(taken) / 3
        pending = f"SELECT count(*) = 0 FROM {place}workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
        service.until(pending, 240)
        [(failed,)] = service.rows(f"SELECT count(*) FROM {place}workflow_status WHERE status = 'ERROR'")
        told = [*lines(tmp_path / "worker.log"), *lines(tmp_path / "web.log")]
        wrong = [line for line in told if line["level"] == "error"]
        ends = [str(line.get("error", line["message"])).strip().rpartition("\n")[2] for line in wrong]
        assert [end for end in ends if not THERE_IS_NONE.match(end)] == []
        assert len(ends) == failed


def lines(log: Path) -> list[dict[str, Any]]:
    """Ours; the durable engine's own are of what ours tell as well."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"time"')]
