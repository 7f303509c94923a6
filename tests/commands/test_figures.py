"""`python -m bot metrics` and `whatif` as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bot import settings
from bot.stores.database import Database
from tests.gateways import ROOT
from tests.stores.ledgers import START, Recount, Rows, random_rows


def told(url: str, *words: str, code: int = 0, **more: str) -> str:
    env = settings.environment() | {"DATABASE_URL": url} | more
    command = [sys.executable, "-m", "bot", *words]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def rows(database: Database) -> Rows:
    found = random_rows(Random(3), 30)
    found.put(database)
    return found


def metrics(url: str, *words: str, policy: str = "") -> Any:
    return json.loads(told(url, "metrics", "--json", *words, POLICY_FILE=policy))


def test_days_are_those_of_the_policys_time_zone(rows: Rows, database: Database, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yml"
    policy.write_text("caps:\n  time_zone: America/New_York\n")
    found = metrics(database.url, "--since", "2026-10-01", "--by", "model", policy=str(policy))
    assert (found["since"], found["zone"]) == ("2026-10-01 00:00", "America/New_York")
    midnight = 1_790_827_200_000  # 2026-10-01 00:00 in New York, four hours behind
    plain = Recount(rows, midnight, START * 2)
    assert found["spend"]["usd"] == f"{plain.spent / 10**9:.9f}".rstrip("0").rstrip(".")
    assert sum(float(day["usd"]) for day in found["days"]) == pytest.approx(
        (plain.spent - plain.pooled) / 10**9
    )


def test_filters_are_taken_as_typed(rows: Rows, database: Database) -> None:
    found = metrics(database.url, "--repo", "O/Api", "--class", "bugfix", "--developer", "dana", "--line", "")
    names = {"repository": "O/Api", "class": "bugfix", "developer": "dana", "line": "(none)"}
    assert found["only"] == names
    assert 0 < float(found["spend"]["usd"]) < float(metrics(database.url)["spend"]["usd"])


def test_a_month_is_a_rollup_of_its_own(rows: Rows, database: Database) -> None:
    said = told(database.url, "metrics", "--month", "2026-10", "--by", "class", code=2)
    assert "leave the other options out" in said


def test_without_tables_it_says_what_makes_them(tmp_path: Path) -> None:
    said = told(f"sqlite:///{tmp_path / 'none.db'}", "metrics", code=1)
    assert "python -m bot migrate" in said


def test_past_runs_are_replayed_under_other_ceilings(rows: Rows, database: Database) -> None:
    window = ("--since", "2026-09-01", "--until", "2027-01-01", "--json")
    found = json.loads(told(database.url, "whatif", "--steps", "1", *window))
    asked = [run for run in rows.runs if run["ended_at"] and run["steps"]]
    assert sum(one["runs"] for one in found) == len(asked)
    first: dict[str, int] = {}
    for turn in rows.turns:
        if turn["state"] in ("settled", "estimated"):
            first.setdefault(turn["run"], turn["id"])
    mine = {run["id"] for run in asked}
    kept = [t for t in rows.turns if t["run"] in mine and first.get(t["run"]) in (t["id"], t.get("corrects"))]
    spent = sum(turn.get("nanos", 0) for turn in kept)
    assert sum(round(float(one["would_have_spent_usd"]) * 10**9) for one in found) == spent
    assert "Past runs under steps 1" in told(database.url, "whatif", "--steps", "1", *window[:-1])


def test_without_ceilings_each_class_is_told_what_it_may_have_or_why_not_yet(
    rows: Rows, database: Database
) -> None:
    said = told(database.url, "whatif", "--since", "2026-09-01", "--until", "2027-01-01", "--class", "bugfix")
    assert said.startswith("bugfix: no suggestion yet, ")
    assert "No run has ended here yet" in told(database.url, "whatif", "--since", "2028-01-01")
