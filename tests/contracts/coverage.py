"""Drives every method of the client against the sandbox over HTTP, and says what the contract has checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from bot.clients.github import GitHubError, Unavailable
from tests.clients.conftest import World
from tests.contracts.calls import CALLS, Act, Row
from tests.contracts.checker import contract
from tests.contracts.source import documents, named

# What GitHub may answer to anything, beside what an operation's own list has.
ERRORS = {403, 404, 422, 429, 503}


@dataclass
class Checked:
    """What was checked of one operation."""

    operation: str
    path: str  # a pattern of it
    errors: set[int]  # that GitHub may answer
    methods: list[str] = field(default_factory=list)  # of the client, that reach it
    rows: list[Row] = field(default_factory=list)
    requests: int = 0
    statuses: set[int] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def add(self, line: Any) -> None:
        """One exchange; the request counts as checked only if GitHub took it."""
        self.violations += contract().exchange(line)
        self.statuses.add(line["status"])
        self.requests += line["status"] < 400


def drive(world: World) -> dict[str, Checked]:
    """Every row once: what it asked and was answered, by operation."""
    found: dict[str, Checked] = {}
    for method, rows in CALLS.items():
        for row in rows:
            lines, error = _heard(world, row(world))
            if error is not None:
                raise error
            for line in lines:
                operation = _operation(line)
                one = found.setdefault(operation, _unchecked(operation, line))
                one.add(line)
                one.methods += [] if method in one.methods else [method]
                one.rows += [] if row in one.rows else [row]
    return found


def drive_errors(world: World, one: Checked) -> list[str]:
    """Each error that GitHub may answer to this operation: what the client made of it that it may not."""
    wrong = []
    verb = one.operation.split()[0]
    for status in sorted(one.errors):
        act = one.rows[0](world)
        # GitHub's word for a rate limit is 429, or 403 with this header.
        more = {"retry_after": 1} if status == 429 else {}
        world.client.fault("POST" if verb == "GRAPHQL" else verb, one.path, status, **more)
        lines, error = _heard(world, act)
        world.client.clear_faults()
        struck = [line for line in lines if line["status"] == status and _operation(line) == one.operation]
        for line in struck[:1]:
            one.add(line)
        if not struck:
            wrong.append(f"{one.operation}: {status} was never answered")
        if (status == 429 or status >= 500) and not isinstance(error, Unavailable):
            wrong.append(f"{one.operation}: {status} was taken for {error or 'an answer'}, not for a wait")
    return wrong


def listing(checked: dict[str, Checked]) -> str:
    """The list, one operation a line."""
    rows = [("operation", "asked by", "requests", "answers checked")]
    for one in sorted(checked.values(), key=lambda one: one.operation.split()[::-1]):
        statuses = " ".join(map(str, sorted(one.statuses)))
        asked_by = "every method" if len(one.methods) == len(CALLS) else ", ".join(one.methods)
        rows.append((one.operation, asked_by, str(one.requests), statuses))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    return "\n".join([*lines, f"{len(checked)} operations"])


def _heard(world: World, act: Act) -> tuple[list[Any], GitHubError | None]:
    """What a call sent and was answered, with a client that has kept nothing; and how it ended.

    Any other exception than the client's own goes through: nothing that GitHub answers may cause one.
    """
    github, start = world.app(), world.traffic.stat().st_size
    error = None
    try:
        act(github)
    except GitHubError as said:
        error = said
    finally:
        github.close()
    with world.traffic.open("rb") as written:
        written.seek(start)
        lines = [json.loads(line) for line in written.read().splitlines()]
    return [line for line in lines if line["kind"] == "api" and line["caller"] != "user"], error


def _operation(line: Any) -> str:
    if line["path"] == "/graphql":
        query = line["request"]["query"]
        return next((f"GRAPHQL {name}" for name, text in documents().items() if text == query), query)
    return named(line["method"], line["path"])


def _unchecked(operation: str, line: Any) -> Checked:
    known = contract().operation(line["method"], line["path"])
    if known is None:
        return Checked(operation, "^/graphql$", set(ERRORS))
    listed = {int(status) for status in known.spec["responses"] if status.isdigit()}
    return Checked(operation, f"^{known.pattern.pattern}", ERRORS | {one for one in listed if one >= 400})
