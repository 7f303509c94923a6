"""One clock decides, the database's (L7): a machine whose own is wrong changes nothing."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Who looks at the machine's own clock, and why that decides nothing on several hosts.
READS = {
    ("bot/services.py", "_same_time"): "compares it with the database's, and refuses to start",
    ("bot/stores/database.py", "_unixepoch"): "SQLite's own clock is this machine's",
    (
        "bot/clients/github/client.py",
        "__init__",
    ): "a set-up that has no database yet; the service gives its own",
    ("bot/runner/engines/aider.py", "metadata"): "a list price of the day, on the runner's machine",
    ("bot/runner/changeset.py", "_settled"): "compares with times of files on the same machine",
}
CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "today"),
    ("date", "today"),
}


def looks(path: Path) -> set[tuple[str, str]]:
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if (node.value.id, node.attr) in CLOCKS:
                found.add((str(path.relative_to(ROOT)), function.name))
    return found


def test_nothing_of_the_service_decides_by_the_clock_of_its_machine() -> None:
    found = set().union(*(looks(path) for path in (ROOT / "bot").rglob("*.py")))
    assert found == set(READS)
