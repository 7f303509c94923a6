"""Random ledgers, written row by row, and the same figures counted from all rows in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot.core.reconcile import COSTS, COUNTERS
from bot.stores.database import Database
from bot.stores.tables import attributions, metadata, pool_corrections, pulls, runs, turns

HOUR = 3_600_000
START = 1_790_000_000_000  # 2026-09-21, so that the clocks of Berlin are turned back within
PEOPLE: tuple[tuple[int | None, str], ...] = ((7, "dana"), (7, "dana-new"), (8, "max"), (None, "root"))
PLACES: tuple[tuple[int | None, str], ...] = ((1, "o/api"), (1, "o/api-new"), (2, "o/web"), (None, ""))
REASONS = ("cost_ceiling", "token_ceiling", "step_ceiling", "stuck_loop", "stopped")
MODELS = ("claude-opus-4-7", "claude-opus-4-7-20260401", "claude-haiku-4-5")

Row = dict[str, Any]


@dataclass
class Rows:
    runs: list[Row] = field(default_factory=list)
    turns: list[Row] = field(default_factory=list)
    pulls: list[Row] = field(default_factory=list)
    attributions: list[Row] = field(default_factory=list)
    pools: list[Row] = field(default_factory=list)

    def put(self, database: Database) -> None:
        """In the place of whatever the database has."""
        with database.begin() as tx:
            for table in reversed(metadata.sorted_tables):
                tx.execute(sa.delete(table))
            for table, rows in (
                (runs, self.runs),
                (turns, self.turns),
                (pulls, self.pulls),
                (attributions, self.attributions),
                (pool_corrections, self.pools),
            ):
                for row in rows:
                    tx.execute(sa.insert(table).values(**row))


def random_rows(random: Random, count: int) -> Rows:
    """`count` runs over two months, each with the turns that its counters are the sums of."""
    rows = Rows()
    for number in range(1, random.randint(1, 6)):
        place, name = random.choice(PLACES[:3])
        if any((row["repository_id"], row["number"]) == (place, number) for row in rows.pulls):
            continue
        at = START + random.randrange(60 * 24) * HOUR if random.random() < 0.8 else None
        rows.pulls.append(
            {
                "repository_id": place, "number": number, "installation": 9, "repository": name,
                "title": f"PR {number}", "author": "dana", "base": "main", "closed": True, "merged_at": at,
                "updated_at": START,
            }
        )  # fmt: skip
    for number in range(count):
        _a_run(random, rows, f"{number:012x}")
    for _ in range(random.randint(0, 3)):
        at = START + random.randrange(60 * 24) * HOUR
        rows.pools.append(
            {
                "key_name": "K", "model": MODELS[0], "since_at": at - HOUR, "until_at": at, "price_book": "p",
                "booked_at": at, "nanos": -random.randrange(10**9),
            }
        )  # fmt: skip
    return rows


def _a_run(random: Random, rows: Rows, id: str) -> None:
    actor_id, actor = random.choice(PEOPLE)
    place, repository = random.choice(PLACES)
    state = random.choice(("done", "done", "halted", "halted", "failed", "lost", "running"))
    at = START + random.randrange(60 * 24 * 60) * 60_000
    threaded = place is not None and random.random() >= 0.2
    line, task_class = random.choice(("", "", "evals")), random.choice(("bugfix", "feature", "refactor"))
    run = a_run(id, at, (actor_id, actor), (place, repository), line, task_class, threaded=threaded) | {
        "ceiling_steps": random.choice((20, 80)), "state": state, "attempt": random.randint(1, 3),
        "reason": random.choice(REASONS) if state == "halted" else None,
        "ended_at": None if state == "running" else at + HOUR,
    }  # fmt: skip
    for step in range(1, random.choice((0, 1, 2, 5)) + 1):
        _a_turn(random, rows, run, step, at + step * random.randrange(1, 30) * 60_000)
    run["steps"] = random.choice((run["steps"], 81)) if run["steps"] else 0
    rows.runs.append(run)
    merged = [pull for pull in rows.pulls if pull["merged_at"] is not None]
    if merged and place is not None and random.random() < 0.6:
        pull = random.choice(merged)
        here = {"repository_id": pull["repository_id"], "number": pull["number"]}
        rows.attributions.append({"run": id, **here, "because": "on the pull request"})


def _a_turn(random: Random, rows: Rows, run: Row, step: int, at: int) -> None:
    state = random.choice(("settled", "settled", "settled", "estimated", "held", "released"))
    turn = a_turn(len(rows.turns) + 1, run, at, step, state, random.choice((*MODELS, None)))
    if state in ("settled", "estimated"):
        _book(random, run, turn)
        run["steps"] += 1
    rows.turns.append(turn)
    if state == "estimated" and random.random() < 0.5:
        later = correction(turn, turn["id"] + 1, at + random.randrange(72) * HOUR)
        _book(random, run, later, turn)
        rows.turns.append(later)


def _book(random: Random, run: Row, turn: Row, back: Row | None = None) -> None:
    """Random sums; of a correction: some of what the turn that it corrects was charged, taken back."""
    for name in (*COUNTERS, *COSTS):
        most = 3 * 10**9 if name in COSTS else random.choice((1, 10_000, 10**6))
        turn[name] = random.randrange(most) if back is None else -random.randint(0, back[name])
    added(run, turn)


def a_run(
    id: str, at: int, person: tuple[int | None, str], place: tuple[int | None, str], line: str,
    task_class: str, *, threaded: bool,
) -> Row:  # fmt: skip
    """One that goes on, and for which nothing is booked yet."""
    return {
        "id": id, "origin": "github", "repository_id": place[0], "repository": place[1],
        "thread": int(id, 16) + 1000 if threaded else None, "actor_id": person[0], "actor": person[1],
        "line": line, "task_class": task_class, "engine": "opus", "model": MODELS[0],
        "ceiling_nanos": 10**10, "ceiling_tokens": 10**6, "ceiling_steps": 20, "ceiling_seconds": 600,
        "state": "running", "reason": None, "attempt": 1, "opened_at": at, "ended_at": None,
        "steps": 0, **dict.fromkeys((*COUNTERS, *COSTS, "spent_nanos", "spent_tokens"), 0),
    }  # fmt: skip


def a_turn(id: int, run: Row, at: int, step: int, state: str, model: str | None) -> Row:
    return {
        "id": id, "run": run["id"], "attempt": 1, "state": state, "step": step,
        "hold_nanos": 10**9, "hold_tokens": 10**5, "held_at": at - 5000, "lease_until_at": at, "owner": "t",
        "max_tokens": 1000, "model_asked": MODELS[0], "model": model,
        "settled_at": None if state == "held" else at,
    }  # fmt: skip


def correction(turn: Row, id: int, at: int) -> Row:
    """A turn's, of which some is taken back."""
    return turn | {
        "id": id, "state": "corrected", "corrects": turn["id"], "settled_at": at, "hold_nanos": 0,
        "hold_tokens": 0,
    }  # fmt: skip


def added(run: Row, turn: Row) -> None:
    """The turn's counters and costs to its run's, which are their sums."""
    turn["nanos"] = sum(turn[name] for name in COSTS)
    turn["tokens"] = sum(turn[name] for name in COUNTERS if name != "cache_read")
    for name in (*COUNTERS, *COSTS):
        run[name] += turn[name]
    run["spent_nanos"] += turn["nanos"]
    run["spent_tokens"] += turn["tokens"]


class Recount:
    """The figures of [since, until) from all rows, by loops: nothing here is SQL."""

    def __init__(self, rows: Rows, since: int, until: int, visible: frozenset[int] | None = None) -> None:
        self.rows, self.since, self.until = rows, since, until
        self.visible = visible
        self.runs = {run["id"]: run for run in rows.runs if self.seen(run["repository_id"])}
        self.belongs = {each["run"]: (each["repository_id"], each["number"]) for each in rows.attributions}
        self.booked = [
            turn
            for turn in rows.turns
            if turn["state"] in ("settled", "estimated", "corrected")
            and since <= turn["settled_at"] < until
            and turn["run"] in self.runs
        ]

    def seen(self, repository: int | None) -> bool:
        return self.visible is None or repository in self.visible

    @property
    def pooled(self) -> int:
        if self.visible is not None:
            return 0
        return sum(
            int(one["nanos"]) for one in self.rows.pools if self.since <= one["booked_at"] < self.until
        )

    @property
    def spent(self) -> int:
        return self.counted("nanos") + self.pooled

    @property
    def unattributed(self) -> int:
        return sum(int(t["nanos"]) for t in self.booked if t["run"] not in self.belongs) + self.pooled

    @property
    def estimated(self) -> int:
        corrected = {turn.get("corrects") for turn in self.rows.turns}
        mine = [turn for turn in self.booked if turn["state"] == "estimated"]
        return sum(turn["nanos"] for turn in mine if turn["id"] not in corrected)

    @property
    def halted(self) -> int:
        return sum(t["nanos"] for t in self.booked if self.runs[t["run"]]["state"] == "halted")

    def counted(self, name: str) -> int:
        return sum(int(turn.get(name, 0)) for turn in self.booked)

    def by(self, key: Mapping[str, str]) -> dict[str, int]:
        """Spend by the run's column `key["run"]`, or the turn's."""
        found: dict[str, int] = defaultdict(int)
        for turn in self.booked:
            row = self.runs[turn["run"]] if "run" in key else turn
            found[str(row[key.get("run") or key["turn"]])] += turn["nanos"]
        return dict(found)

    def by_number(self, number: str, name: str) -> dict[str, int]:
        """Spend by what has a number that stays; by the last name that it had here."""
        spent: dict[Any, int] = defaultdict(int)
        names: dict[Any, tuple[int, str]] = {}
        for turn in self.booked:
            run = self.runs[turn["run"]]
            key = run[number] if run[number] is not None else run[name]
            spent[key] += turn["nanos"]
            names[key] = max(names.get(key, (0, "")), (run["opened_at"], run[name]))
        return {names[key][1] or "(this machine)": nanos for key, nanos in spent.items()}

    def days(self, zone: str) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for turn in self.booked:
            day = datetime.fromtimestamp(turn["settled_at"] / 1000, UTC).astimezone(ZoneInfo(zone))
            found[f"{day:%Y-%m-%d}"] += turn["nanos"]
        return dict(found)

    @property
    def ended(self) -> list[Row]:
        return [
            run
            for run in self.runs.values()
            if run["ended_at"] is not None and self.since <= run["ended_at"] < self.until
        ]

    def tokens(self, outcome: str) -> list[int]:
        mine = [run for run in self.ended if (run["state"] == "done") == (outcome == "success")]
        return sorted(run["spent_tokens"] for run in mine if run["steps"] > 0)

    @property
    def merged(self) -> dict[tuple[int, int], int]:
        """What belongs to each pull request that was merged here, from the turns of all its runs."""
        of_run: dict[str, int] = defaultdict(int)
        for turn in self.rows.turns:
            of_run[turn["run"]] += int(turn.get("nanos", 0))
        found: dict[tuple[int, int], int] = {}
        for pull in self.rows.pulls:
            place = (pull["repository_id"], pull["number"])
            mine = [run for run, to in self.belongs.items() if to == place]
            at = pull["merged_at"]
            if mine and at is not None and self.since <= at < self.until and self.seen(place[0]):
                found[place] = sum(of_run[run] for run in mine)
        return found


def at_rank(values: Sequence[int], percent: int) -> int:
    """By nearest rank: the least value that so many in a hundred do not exceed."""
    return next(v for v in values if 100 * sum(one <= v for one in values) >= percent * len(values))
