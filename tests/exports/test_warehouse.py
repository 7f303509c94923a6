"""What a warehouse is told is the ledger: each row once, in the shipped schema, to the last nano-dollar."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import lkml
import pytest
import sqlalchemy as sa

from bot.core.cursor import Amounts, Event, Key
from bot.exports.warehouse.cursor import NotNow, Unreadable, alone
from bot.exports.warehouse.export import export
from bot.exports.warehouse.files import PYARROW, SCHEMA, write
from bot.stores.cursor import CursorEvents
from bot.stores.database import Database
from bot.stores.exported import CHANGING, LAG, Exported
from bot.stores.looks import Looks
from bot.stores.tables import attributions, cursor_events, runs, turns
from tests.commands.test_figures import told
from tests.gateways import ROOT
from tests.stores.ledgers import Recount, Rows, random_rows

HERE = ROOT / "bot" / "exports" / "warehouse"
# BigQuery's types as DuckDB has them: what one would load the Parquet file as.
TYPES = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "NUMERIC": "DECIMAL(38,9)",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
}


@pytest.fixture
def rows(database: Database) -> Rows:
    found = random_rows(Random(11), 40)
    found.put(database)
    return found


def read(path: Path) -> list[dict[str, Any]]:
    """By the ending of the name, as people and programs read them: values as text, nothing left out."""
    if path.suffix == ".ndjson":
        found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [{c.name: row.get(c.name) for c in SCHEMA} for row in found]
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    asked = duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [column[0] for column in asked.description]
    return [dict(zip(names, row, strict=True)) for row in asked.fetchall()]


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return None if value in ("", None) else str(value)


def test_every_format_tells_the_same_and_all_of_the_ledger(
    rows: Rows, database: Database, tmp_path: Path
) -> None:
    ledger = Exported(database)
    found = {}
    for form in ("ndjson", "csv", "parquet"):
        path = tmp_path / f"ledger.{form}"
        assert export(ledger, path, form) == len(read(path)) > 0
        found[form] = [{name: plain(value) for name, value in row.items()} for row in read(path)]
    assert found["ndjson"] == found["csv"] == found["parquet"]
    recount = Recount(rows, 0, ledger.through())
    spent = sum(
        Decimal(row["usd"] or 0) for row in found["csv"] if row["table"] in ("turns", "pool_corrections")
    )
    assert spent == Decimal(recount.spent).scaleb(-9)
    keys = [(row["table"], row["id"], row["version"]) for row in found["csv"]]
    assert len(set(keys)) == len(keys)
    assert sum(table == "turns" for table, _, _ in keys) == len(recount.booked)
    assert sum(table == "runs" for table, _, _ in keys) == len(rows.runs)


def test_parquet_has_the_schema_that_is_shipped_for_bigquery(
    rows: Rows, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.parquet"
    export(Exported(database), path, "parquet")
    fields = json.loads((HERE / "bigquery.json").read_text("utf-8"))
    described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert [(row[0], row[1]) for row in described] == [(f["name"], TYPES[f["type"]]) for f in fields]
    by = duckdb.execute(
        "SELECT actor, sum(usd) FROM read_parquet(?) WHERE \"table\" = 'turns' GROUP BY actor", [str(path)]
    ).fetchall()
    recount = Recount(rows, 0, Exported(database).through()).by({"run": "actor"})
    assert dict(by) == {name: Decimal(nanos).scaleb(-9) for name, nanos in recount.items()}


def test_csv_has_no_formula_of_others_and_numbers_stay_numbers(tmp_path: Path) -> None:
    """Every other form has each text as it was written."""
    title = "=HYPERLINK(A1);+1\n@x"
    row = {
        "table": "pulls",
        "id": "1",
        "version": 1,
        "title": title,
        "author": "-dana",
        "usd": -5,
        "reverts": -1,
    }
    found = {}
    for form in ("ndjson", "csv", "parquet"):
        path = tmp_path / f"ledger.{form}"
        assert write([row], path, form) == 1
        [told] = read(path)
        found[form] = [plain(told[name]) for name in ("title", "author", "usd", "reverts")]
    assert found["csv"] == ["'=HYPERLINK(A1);'+1\n'@x", "'-dana", "-0.000000005", "-1"]
    assert found["ndjson"] == found["parquet"] == [title, "-dana", "-0.000000005", "-1"]


def test_an_empty_ledger_is_a_file_without_rows(database: Database, tmp_path: Path) -> None:
    for form in ("ndjson", "csv", "parquet"):
        assert export(Exported(database), tmp_path / f"a.{form}", form) == 0
        assert read(tmp_path / f"a.{form}") == []


def keys(path: Path) -> list[tuple[str, str, int]]:
    return [(row["table"], row["id"], row["version"]) for row in read(path)]


class Week:
    """A ledger that goes on between one export and the next."""

    def __init__(self, database: Database, place: Path) -> None:
        self.database, self.ledger, self.state = database, Exported(database), place / "state.json"
        self.place, self.told = place, 0

    def export(self, name: str | None = None) -> list[tuple[str, str, int]]:
        self.told += 1
        path = self.place / (name or f"{self.told}.ndjson")
        export(self.ledger, path, "ndjson", self.state)
        return keys(path)

    def everything(self) -> list[tuple[str, str, int]]:
        path = self.place / "everything.ndjson"
        export(self.ledger, path, "ndjson")
        return keys(path)

    def book(self, run: str, ago: int) -> str:
        now = self.database.now_ms()
        with self.database.begin() as tx:
            made = sa.insert(turns).values(
                id=10**6, run=run, attempt=1, state="settled", hold_nanos=0, hold_tokens=0,
                held_at=now - ago - 1000, lease_until_at=0, owner="t", max_tokens=1, model_asked="m",
                settled_at=now - ago, nanos=7,
            )  # fmt: skip
            return str(tx.execute(made.returning(turns.c.id)).scalar_one())


@pytest.fixture
def week(rows: Rows, database: Database, tmp_path: Path) -> Week:
    return Week(database, tmp_path)


def test_what_was_told_is_not_told_again_and_what_changed_has_a_higher_version(
    week: Week, rows: Rows
) -> None:
    first = week.export()
    assert week.export() == []
    run = rows.runs[0]["id"]
    turn = week.book(run, ago=LAG + 60_000)
    with week.database.begin() as tx:
        # It became part of a pull request; another version of the same run.
        tx.execute(sa.delete(attributions).where(attributions.c.run == run))
        tx.execute(sa.insert(attributions).values(run=run, repository_id=1, number=77, because="on it"))
        tx.execute(sa.update(runs).where(runs.c.id == run).values(spent_nanos=7))
    week.ledger = Exported(week.database)
    # Booked before the last look at the clock: what is as old as this was not there then.
    state = json.loads(week.state.read_text("utf-8"))
    state["through"] -= LAG + 120_000
    week.state.write_text(json.dumps(state))
    again = week.export()
    assert {("turns", turn, 1), ("runs", run, 2)} <= set(again)
    assert [key for key in again if key[0] == "runs"] == [("runs", run, 2)]
    assert ("runs", run, 1) in first


def test_what_was_just_booked_waits_for_the_next_export(week: Week, rows: Rows) -> None:
    turn = week.book(rows.runs[0]["id"], ago=0)
    assert ("turns", turn, 1) not in week.export()


KILLED = """
import os, sys
from pathlib import Path
from bot.exports.warehouse import cursor
from bot.exports.warehouse.export import export
from bot.stores.database import Database
from bot.stores.exported import Exported

url, to, state, moment = sys.argv[1:]
calls = 0
def dying(real):
    def call(*of, **more):
        global calls
        calls += 1
        if calls == int(moment):
            os._exit(9)
        return real(*of, **more)
    return call
Path.replace, os.fsync = dying(Path.replace), dying(os.fsync)
export(Exported(Database(url)), Path(to), "ndjson", Path(state))
print("whole")
"""


@pytest.mark.parametrize("moment", range(1, 9))
def test_an_export_that_is_killed_at_any_step_tells_nothing_twice_and_leaves_nothing_out(
    week: Week, rows: Rows, database: Database, moment: int
) -> None:
    everything = week.everything()
    first = week.place / "first.ndjson"
    command = [sys.executable, "-c", KILLED, database.url, str(first), str(week.state), str(moment)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if "whole" in done.stdout else 9), done.stderr
    assert (moment < 8) == (done.returncode == 9), "each of its steps, and none"
    later = week.export("later.ndjson")
    before = keys(first) if first.exists() else []
    assert sorted(before + later) == sorted(everything)
    assert week.export("last.ndjson") == []


def test_of_a_file_that_is_gone_all_comes_again_in_higher_versions(week: Week, rows: Rows) -> None:
    told = week.export("first.ndjson")
    # As a crash leaves it before it remembers; whoever loads has taken the file away.
    week.state.rename(week.state.with_name("state.json.next"))
    (week.place / "first.ndjson").unlink()
    again = week.export()
    assert {key for key in again if key[0] not in CHANGING} == {k for k in told if k[0] not in CHANGING}
    changed = {(table, id, version + 1) for table, id, version in told if table in CHANGING}
    assert {key for key in again if key[0] in CHANGING} == changed
    assert week.export() == []


def test_a_file_that_is_there_is_not_written_over(week: Week, rows: Rows) -> None:
    told = week.export("first.ndjson")
    week.book(rows.runs[0]["id"], ago=LAG + 60_000)
    with pytest.raises(NotNow, match="may not have been loaded yet"):
        week.export("first.ndjson")
    assert keys(week.place / "first.ndjson") == told


def test_two_exports_with_one_cursor_are_not_at_work_at_once(week: Week) -> None:
    with alone(week.state), pytest.raises(NotNow, match="is at work"):
        week.export()
    assert week.export() != []


def test_a_file_that_is_no_state_is_named_and_nothing_is_written(week: Week) -> None:
    for text in ("", "[]", '{"through": 1, "versions": {"runs": {"a": 1}}}'):
        week.state.write_text(text)
        with pytest.raises(Unreadable, match="is not the state of an export"):
            week.export()
        assert list(week.place.glob("*.ndjson*")) == []


def test_it_is_exported_as_typed(rows: Rows, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    told(database.url, "export", "--to", str(path), "--format", "parquet", "--state", str(tmp_path / "s"))
    assert {row["table"] for row in read(path)} >= {"turns", "runs"}
    lost = told(database.url, "export", "--to", str(tmp_path / "no" / "x.csv"), "--format", "csv", code=1)
    assert "No such file or directory" in lost


def test_without_its_library_parquet_is_refused_with_how_to_get_it(
    tmp_path: Path, rows: Rows, database: Database
) -> None:
    """As on a machine without it: the import finds nothing."""
    hidden = "import sys; sys.modules['pyarrow'] = None; from bot.cli import main; main(sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        hidden,
        "export",
        "--to",
        str(tmp_path / "a.parquet"),
        "--format",
        "parquet",
    ]
    env = {"DATABASE_URL": database.url, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, list(tmp_path.glob("a.*"))) == (1, [])
    assert f"pip install {PYARROW}" in done.stderr
    assert PYARROW in (ROOT / "tests" / "requirements.txt").read_text("utf-8"), "what the tests have tried"


def test_the_looker_views_are_lookml_over_columns_of_the_schema() -> None:
    names = {column.name for column in SCHEMA}
    view = (HERE / "looker" / "ledger.view.lkml").read_text("utf-8")
    model = lkml.load((HERE / "looker" / "tollgate.model.lkml").read_text("utf-8"))
    [parsed] = lkml.load(view)["views"]
    fields = {each["name"] for kind in ("dimensions", "measures") for each in parsed[kind]}
    assert model["explores"][0]["name"] == parsed["name"]
    assert set(re.findall(r"\$\{TABLE\}\.`?(\w+)", view)) <= names
    assert set(re.findall(r"\$\{(\w+)\}", view)) - {"TABLE"} <= fields
    for measure in parsed["measures"]:
        for filters in measure.get("filters__all", []):
            assert {name for each in filters for name in each} <= fields


def test_what_cursor_tells_is_in_rows_of_its_own_and_each_comes_once(week: Week) -> None:
    before = {table for table, _, _ in week.export()}
    now, events = week.database.now_ms(), CursorEvents(week.database, Looks(week.database, "test"))
    key = Key(now - LAG, "dana@acme.example", "gpt-5", "Usage-based")
    assert events.looks.begin("cursor") is not None
    for nanos in (5, 7):
        events.book(key.at, key.at + 1, [Event(key, Amounts(nanos, 1, 2, 3, 4))], lambda at: "2026-11")
    with week.database.begin() as tx:
        tx.execute(sa.update(cursor_events).values(booked_at=now - LAG - 1))
    path = week.place / "with.ndjson"
    export(week.ledger, path, "ndjson")
    first, correction = (row for row in read(path) if row["table"] == "cursor_events")
    assert (first["usd"], first["email"], first["kind"]) == ("0.000000005", key.email, key.kind)
    assert (correction["usd"], correction["corrects"]) == ("0.000000002", first["id"])
    assert "cursor_events" not in before
    week.state.unlink()
    told_once = [row for row in week.export() if row[0] == "cursor_events"]
    assert told_once == [("cursor_events", first["id"], 1), ("cursor_events", correction["id"], 1)]
    assert not [row for row in week.export() if row[0] == "cursor_events"]
