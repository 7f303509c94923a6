"""The dashboards and the alert rules, as they are shipped: Grafana's own types, and no metric that is not
there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from bot.exports.families import ALL
from tests.exports.queries import ALERTS, BOARDS, EXPORTS, alerts, asked, board, panels

KNOWN = {family.name: set(family.labels) for family in ALL}
# A name with its matchers, if it has any.
SELECTOR = re.compile(r"\b(tollgate_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{(\w+)\}\}")
DOCS = EXPORTS.parents[1] / "docs" / "exports.md"


def contained(ours: Any, theirs: Any, where: str = "") -> None:
    """All that we say is in what they make of it."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            assert key in theirs, f"{where}/{key} is unknown to Grafana"
            contained(value, theirs[key], f"{where}/{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for number, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
            contained(mine, its, f"{where}/{number}")
    else:
        assert ours == theirs, where


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_grafana_knows_every_word_of_a_dashboard(path: Path) -> None:
    ours = board(path)
    contained(ours, json.loads(JSONEncoder().encode(Dashboard.from_json(ours))))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_panels_lie_beside_one_another_and_have_titles_and_numbers_of_their_own(path: Path) -> None:
    every = board(path)["panels"]
    assert len({panel["id"] for panel in every}) == len({panel["title"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(
    ("where", "query"), [*asked(), *((rule["alert"], rule["expr"]) for rule in alerts())]
)
def test_every_metric_and_label_that_is_asked_for_is_there(where: str, query: str) -> None:
    selectors = SELECTOR.findall(query)
    assert selectors, "it asks for nothing of ours"
    labels: set[str] = {"instance"}
    for name, matchers in selectors:
        assert name in KNOWN, name
        labels |= KNOWN[name]
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= KNOWN[name]
    for group in GROUPED.findall(query):
        assert {label.strip() for label in group.split(",")} <= labels


def test_legends_name_labels_that_the_query_leaves() -> None:
    for path in BOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                grouped = GROUPED.findall(target["expr"])
                there = {"instance"}
                for name, _ in SELECTOR.findall(target["expr"]):
                    there |= KNOWN[name]
                if grouped:
                    there = {label.strip() for group in grouped for label in group.split(",")}
                assert set(LEGEND.findall(target["legendFormat"])) <= there, panel["title"]


def test_whatever_is_measured_is_shown_alerts_or_is_told_why_not() -> None:
    used = {name for _, query in asked() for name, _ in SELECTOR.findall(query)}
    used |= {name for rule in alerts() for name, _ in SELECTOR.findall(rule["expr"])}
    assert set(KNOWN) - used == set()


def test_every_alert_says_what_it_is_and_is_tried_in_both_directions() -> None:
    tried = yaml.safe_load((Path(__file__).parent / "alerts.test.yml").read_text(encoding="utf-8"))
    assert tried["rule_files"] == [ALERTS.name]
    fired = json.dumps(tried["tests"])
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert f'alertname=\\"{rule["alert"]}\\"' in fired


def test_the_page_lists_every_metric_with_its_labels() -> None:
    rows = re.findall(
        r"^\| `(tollgate_\w+)` \| (\w+) \| (.*?) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert listed == {family.name: (family.kind, set(family.labels)) for family in ALL}
