"""One export: what is new, written beside its place and put there whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
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
    """How many rows were written to `to`. With `state`: only those that no export with it had, and to a file
    that is not there yet.

    Raises NoParquet, cursor.Unreadable, cursor.NotNow and OSError; then `to` and `state` are as they were.
    """
    with cursors.alone(state) if state is not None else nullcontext():
        cursor = cursors.load(state) if state is not None else Cursor()
        if state is not None and to.exists():
            raise cursors.NotNow(
                f"{to} is there already, and may not have been loaded yet: take another name"
            )
        part = cursors.beside(to)
        try:
            count = write(_counted(cursor.rows(ledger), say), part, form)
            if state is None:
                part.replace(to)
            else:
                cursors.keep(cursor, state, part, to)
        finally:
            part.unlink(missing_ok=True)
    return count


def _counted(rows: Iterable[Row], say: Callable[[int], None]) -> Iterator[Row]:
    for count, row in enumerate(rows, 1):
        if count % EVERY == 0:
            say(count)
        yield row
