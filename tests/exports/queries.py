"""What is shipped for Grafana and Prometheus, and the queries in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

EXPORTS = Path(__file__).resolve().parents[2] / "bot" / "exports"
ALERTS = EXPORTS / "alerts.yml"
BOARDS = tuple(sorted((EXPORTS / "grafana").glob("*.json")))
# As Grafana fills them in: everything, over five minutes.
VARIABLES = {"$repository": ".*", "$__range": "5m", "$__rate_interval": "1m"}


def board(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def panels(path: Path) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in board(path)["panels"] if panel["type"] != "row"]


def asked() -> list[tuple[str, str]]:
    """Every query of the dashboards with where it stands."""
    return [
        (f"{path.stem}: {panel['title']}", target["expr"])
        for path in BOARDS
        for panel in panels(path)
        for target in panel["targets"]
    ]


def filled(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
