"""`python -m tests.supply [--must]`: credentials in tree and history, known holes in requirements.lock.

With `--must` it fails as well where nobody could be asked for holes: on GitHub, where somebody always can be.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.supply.credentials import in_history, in_tree
from tests.supply.vulnerabilities import Unasked, known

ROOT = Path(__file__).resolve().parents[2]


def main(must: bool) -> int:
    """0, or 1 with a line for each thing found."""
    wrong = [f"a credential: {found}" for found in in_tree(ROOT)]
    wrong += sorted(
        {f"a credential in the history: {found.path}: {found.what}" for found in in_history(ROOT)}
    )
    try:
        wrong += [f"a known hole: {line}" for line in known(ROOT)]
    except Unasked as error:
        print(f"{error}.")  # noqa: T201
        wrong += ["holes: unknown, and --must was given"] if must else []
    print(*wrong, sep="\n", end="\n" if wrong else "")  # noqa: T201
    print(f"{len(wrong)} found")  # noqa: T201
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main("--must" in sys.argv[1:]))
