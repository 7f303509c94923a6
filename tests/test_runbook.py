"""docs/runbook.md: each incident names what is seen, what to do and its tests; each alert leads to one."""

from __future__ import annotations

import re

import pytest

from bot.exports.families import ALL
from tests.exports.queries import alerts
from tests.test_docs import anchors
from tests.test_security import ROOT, TEST, functions_of

PAGE = ROOT / "docs" / "runbook.md"
PARTS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S))
LEADS_TO = "https://github.com/tollgate-dev/tollgate/blob/main/docs/runbook.md#"
AREAS = "web|webhook|gateway|story|worker|reconcile|cursor|missed|github"
SOURCES = "".join(path.read_text() for path in (ROOT / "bot").rglob("*.py"))


def test_there_are_ten_incidents_at_least() -> None:
    assert len(PARTS) >= 10


@pytest.mark.parametrize("head", PARTS)
def test_an_incident_says_what_is_seen_what_to_do_and_where_it_was_tried(head: str) -> None:
    seen, _, rest = PARTS[head].partition("**Do**")
    do, _, tried = rest.partition("**Tried**")
    assert seen.startswith("\n**Seen**: ")
    assert do
    tests = TEST.findall(tried)
    assert tests
    for path, name in tests:
        assert name in functions_of(path), f"{path} has no {name}"


def test_every_event_metric_and_alert_that_is_named_is_there() -> None:
    text = PAGE.read_text()
    for area, event in re.findall(rf"`({AREAS})\.(\w+)`", text):
        assert re.search(rf'Log\("{area}"\)', SOURCES), area
        assert f'"{event}"' in SOURCES, event
    assert set(re.findall(r"tollgate_\w+", text)) <= {family.name for family in ALL}
    assert set(re.findall(r"\bTollgate[A-Z]\w+", text)) <= {rule["alert"] for rule in alerts()}


EVENTS = sorted(set(re.findall(rf"`((?:{AREAS})\.\w+|uncaught)`", PAGE.read_text())))


@pytest.mark.parametrize("event", EVENTS)
def test_a_test_reads_every_event_that_is_named_after_it_has_caused_it(event: str) -> None:
    others = [path for path in (ROOT / "tests").rglob("test_*.py") if path.name != "test_runbook.py"]
    assert any(f'"{event}"' in path.read_text() for path in others), event


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_leads_to_the_incident_that_names_it(rule: dict[str, dict[str, str]]) -> None:
    anchor = rule["annotations"]["runbook_url"].removeprefix(LEADS_TO)
    assert anchor in anchors(PAGE)
    [body] = [text for head, text in PARTS.items() if anchor_of(head) == anchor]
    assert str(rule["alert"]) in body


def anchor_of(head: str) -> str:
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
