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

from bot.exports.warehouse.cursor import Unreadable
from bot.exports.warehouse.export import export
from bot.exports.warehouse.files import PYARROW, SCHEMA
from bot.stores.database import Database
from bot.stores.exported import LAG, Exported
from bot.stores.tables import attributions, runs, turns
from tests.chaos.gateways import ROOT
from tests.stores.ledgers import Recount, Rows, random_rows
from tests.test_figures import told

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


def test_an_empty_ledger_is_a_file_without_rows(database: Database, tmp_path: Path) -> None:
    for form in ("ndjson", "csv", "parquet"):
        assert export(Exported(database), tmp_path / f"a.{form}", form) == 0
        assert read(tmp_path / f"a.{form}") == []


class Week:
    """A ledger that goes on between one export and the next."""

    def __init__(self, database: Database, place: Path) -> None:
        self.database, self.ledger, self.state = database, Exported(database), place / "state.json"
        self.place, self.told = place, 0

    def export(self, name: str | None = None) -> list[tuple[str, str, int]]:
        self.told += 1
        path = self.place / (name or f"{self.told}.ndjson")
        export(self.ledger, path, "ndjson", self.state)
        return [(row["table"], row["id"], row["version"]) for row in read(path)]

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


@pytest.mark.parametrize(
    ("moment", "file"),
    [
        pytest.param("before the file is in its place", False, id="the file is not there"),
        pytest.param("before its state is", True, id="the file is there"),
    ],
)
def test_an_export_that_was_killed_at_its_end_tells_nothing_twice_and_leaves_nothing_out(
    week: Week, moment: str, file: bool
) -> None:
    told = week.export("first.ndjson")
    # As a crash leaves it: what is to be remembered beside the place, and the file in its own or not.
    week.state.rename(week.state.with_name("state.json.next"))
    if not file:
        (week.place / "first.ndjson").unlink()
    assert week.export() == ([] if file else told)


def test_a_file_that_is_no_state_is_named_and_nothing_is_written(week: Week) -> None:
    for text in ("", "[]", '{"through": 1, "versions": {"runs": {"a": 1}}}'):
        week.state.write_text(text)
        with pytest.raises(Unreadable, match="is not the state of an export"):
            week.export()
        assert list(week.place.glob("*.ndjson*")) == []


def test_it_is_exported_as_typed(rows: Rows, database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    told(database_url, "export", "--to", str(path), "--format", "parquet", "--state", str(tmp_path / "s"))
    assert {row["table"] for row in read(path)} >= {"turns", "runs"}
    lost = told(database_url, "export", "--to", str(tmp_path / "no" / "x.csv"), "--format", "csv", code=1)
    assert "No such file or directory" in lost


def test_without_its_library_parquet_is_refused_with_how_to_get_it(
    tmp_path: Path, rows: Rows, database_url: str
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
    env = {"DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"}
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
