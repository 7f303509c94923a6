"""A short run of `make fuzz` with a seed that is always the same: each target, and the same code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.peers import NotInstalled
from tests.fuzz.target import Tried
from tests.fuzz.targets import TARGETS
from tests.fuzz.worlds import Worlds

pytestmark = pytest.mark.slow
SEED = 20_261_127


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    with Worlds() as made:
        yield made


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_breaks_a_law(worlds: Worlds, target: Tried) -> None:
    tried: list[int] = []
    try:
        found = target.tried(worlds, SEED, target.few, tried.append)
    except NotInstalled as error:
        pytest.skip(f"{target.name} is not tried here: {error}")
    assert not found, found
    assert sum(tried) >= target.few
