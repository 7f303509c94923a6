"""`python -m tests.contracts`: every operation that the client can ask for, and what was checked of it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.clients.conftest import running
from tests.contracts import coverage, source


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as world:
        checked = coverage.drive(world)
        wrong = [violation for one in checked.values() for violation in coverage.drive_errors(world, one)]
    wrong += [violation for one in checked.values() for violation in one.violations]
    wrong += [
        f"{operation}: is in the source and was not asked"
        for operation in source.operations() - checked.keys()
    ]
    sys.stdout.write("\n".join([coverage.listing(checked), *wrong, ""]))
    return bool(wrong)


sys.exit(main())
