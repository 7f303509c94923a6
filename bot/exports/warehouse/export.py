"""One export: what is new, written beside its place and put there whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bot.exports.warehouse import cursor as cursors
from bot.exports.warehouse.cursor import Cursor
from bot.exports.warehouse.files import write
from bot.stores.exported import Exported, Row

EVERY = 10_000  # rows between two words of progress


def export(
    ledger: Exported,
    to: Path,
    form: str,
    state: Path | None = None,
    say: Callable[[int], None] = lambda n: None,
) -> int:
    """How many rows were written to `to`. With `state`: only those that no export with it had.

    Raises NoParquet, cursor.Unreadable and OSError; then `to` and `state` are as they were.
    """
    cursor = cursors.load(state) if state is not None else Cursor()
    beside = to.with_name(f"{to.name}.part")
    try:
        count = write(_counted(cursor.rows(ledger), say), beside, form)
        if state is None:
            beside.replace(to)
        else:
            cursors.keep(cursor, state, beside, to)
    finally:
        beside.unlink(missing_ok=True)
    return count


def _counted(rows: Iterable[Row], say: Callable[[int], None]) -> Iterator[Row]:
    for count, row in enumerate(rows, 1):
        if count % EVERY == 0:
            say(count)
        yield row
