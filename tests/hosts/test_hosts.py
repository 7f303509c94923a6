"""A host of two loses its power in the middle of runs; `make hosts` has what else may befall them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosts import acts
from tests.hosts.books import reconciled
from tests.hosts.network import why_not
from tests.hosts.world import world

pytestmark = pytest.mark.slow


def test_what_a_host_had_under_way_goes_on_elsewhere_and_is_in_the_ledger(tmp_path: Path) -> None:
    if why := why_not():
        pytest.skip(f"hosts were not tried: {why}")
    with world(tmp_path) as made:
        seen = acts.killed(made)
        assert seen.stories
        assert seen.live
        ledger, invoice = reconciled(made)
        assert ledger == invoice
