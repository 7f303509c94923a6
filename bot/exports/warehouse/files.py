"""Rows as NDJSON, CSV or Parquet, in the columns and types of `bigquery.json`, written as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.core.money import Usd
from bot.core.spreadsheet import harmless

PYARROW = "pyarrow==26.0.1"
_GROUP = 20_000  # rows of a row group, and the most that are held

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """`type`: STRING, INT64, NUMERIC (dollars) or TIMESTAMP, as BigQuery has them."""

    name: str
    type: str
    required: bool


class NoParquet(Exception):
    """The library that writes Parquet is not installed; a sentence that says how to."""


def _schema() -> tuple[Column, ...]:
    fields = json.loads((Path(__file__).parent / "bigquery.json").read_text("utf-8"))
    return tuple(Column(field["name"], field["type"], field["mode"] == "REQUIRED") for field in fields)


SCHEMA = _schema()


def write(rows: Iterable[Row], path: Path, form: str) -> int:
    """How many there were. Rows have money in nano-dollars and times in ms. Raises NoParquet, OSError."""
    counted = _Counted(rows)
    {"ndjson": _ndjson, "csv": _csv, "parquet": _parquet}[form](counted, path)
    return counted.count


class _Counted:
    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            self.count += 1
            yield row


def _text(value: Any, type_: str) -> Any:
    """As BigQuery loads it from JSON and CSV: dollars as a decimal text, times in UTC."""
    if value is None:
        return None
    if type_ == "NUMERIC":
        return Usd(value).exact
    if type_ == "TIMESTAMP":
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    return value


def _ndjson(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            told = {c.name: _text(row.get(c.name), c.type) for c in SCHEMA if row.get(c.name) is not None}
            file.write(json.dumps(told, ensure_ascii=False) + "\n")


def _csv(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in SCHEMA])
        for row in rows:
            writer.writerow([_cell(_text(row.get(column.name), column.type), column) for column in SCHEMA])


def _cell(told: Any, column: Column) -> Any:
    """A spreadsheet finds no formula of others in it; a number is one, whatever its sign."""
    return harmless(told) if column.type == "STRING" and told else told


def _parquet(rows: Iterable[Row], path: Path) -> None:
    # 176 megabytes that only this needs: it is installed by whoever wants it.
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise NoParquet(f"Parquet takes a library that is not installed: pip install {PYARROW}") from None
    types = {
        "STRING": arrow.string(),
        "INT64": arrow.int64(),
        "NUMERIC": arrow.decimal128(38, 9),
        "TIMESTAMP": arrow.timestamp("ms", tz="UTC"),
    }
    schema = arrow.schema([arrow.field(c.name, types[c.type], nullable=not c.required) for c in SCHEMA])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:

        def flush(held: list[Row]) -> None:
            if held:
                columns = [[_arrow(row.get(c.name), c.type) for row in held] for c in SCHEMA]
                arrays = [arrow.array(v, types[c.type]) for v, c in zip(columns, SCHEMA, strict=True)]
                writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))

        held: list[Row] = []
        for row in rows:
            held.append(row)
            if len(held) == _GROUP:
                flush(held)
                held = []
        flush(held)


def _arrow(value: Any, type_: str) -> Any:
    return Usd(value).decimal if type_ == "NUMERIC" and value is not None else value
