"""`make durability`, in short: what is killed loses nothing that was acknowledged, and does nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.durability import endure
from tests.chaos.power import SECTOR, Disk, compiler

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_dies_at_any_moment_loses_nothing_and_does_nothing_twice(tmp_path: Path, database: str) -> None:
    if database == "sqlite" and compiler() is None:
        pytest.skip("to cut the power takes a C compiler (cc)")
    figures = endure(tmp_path, database, count=4, seed=1, pause=2.0)
    assert figures["runs"] == 4
    assert sum(figures["killed"].values()) >= 3


def test_a_power_cut_keeps_what_was_synced_and_of_the_rest_what_the_dice_say() -> None:
    synced, after = b"a" * SECTOR * 4, b"b" * SECTOR * 4
    seen = set()
    for seed in range(50):
        disk = Disk(bytearray())
        disk.read("w", 0, 0, synced)
        disk.read("b", 7, 0, b"")
        disk.read("w", 0, len(synced), after)  # written while the sync runs: it is not for this one
        disk.read("e", 7, 0, b"")
        disk.cut(random.Random(seed))
        assert disk.sure[: len(synced)] == synced
        seen.add(bytes(disk.sure[len(synced) :]))
    assert {b"", after} < seen, "lost, kept"
    assert len(seen) > 4, "and torn"
