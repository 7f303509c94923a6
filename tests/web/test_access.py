"""Who may see what: every address of the dashboard and its API, asked by every kind of visitor."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bot.web.dashboard import openapi
from tests.browser import Page
from tests.web import access
from tests.web.access import (
    ALL,
    FILE,
    HIDDEN,
    LOGINS,
    OTHER,
    OWN,
    PAGE,
    ROWS,
    SECRET,
    SOME,
    WHO,
    Cell,
    Office,
    Row,
)

CELLS = [
    pytest.param(row, who, cell, id=f"{who}: {row.method} {row.path} {cell}")
    for row in ROWS
    for who, cell in row.cells.items()
]
# Whose names may be read by whom; the names are those of people who never look themselves.
MAY_READ = {"viewer there": {OTHER}, "viewer": {OTHER, HIDDEN}, "admin": {OTHER, HIDDEN, SECRET}}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with access.office(tmp_path_factory.mktemp("access")) as made:
        yield made


@pytest.mark.parametrize(("row", "who", "cell"), CELLS)
def test_who_gets_what(office: Office, row: Row, who: str, cell: Cell) -> None:
    browser = office.visitors[who]
    page = browser.open(office.address(row), {} if row.method == "POST" else None)
    assert page.status == (cell if isinstance(cell, int) else 200), page.text
    if not page.url.startswith(office.world.url):
        return  # GitHub's page, which is not ours to judge
    if page.status != 200:
        assert not re.search(r"\$[0-9]|usd", page.text), "a refusal tells nothing"
    shown = {name for name in (OTHER, HIDDEN, SECRET) if name in page.text}
    asked = {
        name for name in (OTHER, HIDDEN) if name in row.path
    }  # the visitor knows what they have asked for
    assert shown - asked <= MAY_READ.get(who, set())
    if cell in (ALL, SOME):
        assert shown & {OTHER, HIDDEN} == ({OTHER, HIDDEN} if cell == ALL else {OTHER})
    if cell == OWN:
        assert not shown - {SECRET}
    if page.status == 200:
        _tables_too(office, who, page, asked)
        _as_the_file_says(row, page)


def _tables_too(office: Office, who: str, page: Page, asked: set[str]) -> None:
    """What a page hands to spreadsheets is no more than what it shows."""
    for link in page.links:
        if "csv=" in link:
            told = office.visitors[who].open(office.world.url + html.unescape(link))
            assert told.status == 200, link
            assert {name for name in (OTHER, HIDDEN, SECRET) if name in told.text} <= MAY_READ.get(
                who, set()
            ) | asked


def _as_the_file_says(row: Row, page: Page) -> None:
    if row.rule.startswith("/api/v1/") and row.rule != openapi.PATH:
        path = openapi.IN_PATH.sub(r"{\1}", row.rule)
        shape = told()["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema_rs.validator_for(strict(shape)).validate(json.loads(page.text))


def strict(shape: Any) -> Any:
    """The same without what a later version may add: what is answered today is all in the file."""
    if isinstance(shape, list):
        return [strict(one) for one in shape]
    if not isinstance(shape, dict):
        return shape
    closed = {"additionalProperties": False} if "properties" in shape else {}
    return {name: strict(one) for name, one in shape.items()} | closed


@cache
def told() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    "address",
    [
        "/audit?by=a%00b",
        "/api/v1/audit?by=%00",
        "/runs?line=%00",
        "/?since=2026-11-02&until=2026-11-02",
        "/runs?since=2026-11-02&until=2026-11-02",
        "/api/v1/runs?since=2026-11-02&until=2026-11-01",
        "/drift?resolved=perhaps",
        "/api/v1/drift?resolved=perhaps",
        f"/ceilings?developer={OTHER}",
        "/api/v1/overview?by=repo&by=developer",
        f"/?developer=dana&developer={OTHER}",
        "/pulls?after=1.2.3&after=1.2.4",
        "/runs?since=20261101",
        "/?until=2026-W45-1",
        "/api/v1/rollup?month=",
        "/api/v1/audit?before=",
        "/api/v1/overview?since=",
        "/api/v1/settings?role=",
        "/api/v1/runs/{run}/turns?after=",
        "/api/v1/runs/{run}/turns?after=1000000000000000000",
    ],
)
def test_what_cannot_be_read_in_an_address_is_refused_with_a_sentence(office: Office, address: str) -> None:
    page = office.visitors["admin"].open(office.world.url + address.format(**office.facts))
    assert page.status == 400, page.text


@pytest.mark.parametrize("path", ["/", "/pulls", "/runs"])
def test_a_form_offers_a_budget_line_to_whom_it_may_be_named(office: Office, path: str) -> None:
    offered = {who: "evals" in office.visitors[who].open(office.world.url + path).text for who in LOGINS}
    assert offered == {
        "reader": False, "author": True, "viewer there": False, "viewer": True, "admin": False
    }  # fmt: skip


# -- that nothing is left out --


def test_every_address_has_a_row(office: Office) -> None:
    known = {(row.rule, row.method) for row in ROWS}
    there = {
        (rule.rule, method)
        for rule in office.world.roof.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert not there - known, (
        "these addresses have no row in tests/web/access.py: add one for each kind of thing that can be "
        "asked for, with what a reader, the author, viewers and an admin get; then `make api`"
    )
    assert not known - there, "these rows are of no address"


def test_every_kind_of_visitor_is_in_the_world_and_nobody_else(office: Office) -> None:
    assert set(office.visitors) == set(WHO)
    assert set(LOGINS) < set(WHO)


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text("utf-8")
    assert f"{access.BEGIN}{access.table()}{access.END}" in text, "run `make api`"


# -- the OpenAPI file --


def test_the_file_is_what_the_service_tells_of_itself(office: Office) -> None:
    assert FILE.read_text("utf-8") == access.written(access.document(office.world)), "run `make api`"


def test_the_file_is_one_that_others_can_read() -> None:
    OpenAPIV31SpecValidator(told()).validate()


def test_every_route_of_the_api_is_in_the_file(office: Office) -> None:
    routes = {
        openapi.IN_PATH.sub(r"{\1}", rule.rule)
        for rule in office.world.roof.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/") and rule.rule != openapi.PATH
    }
    assert routes == set(told()["paths"]), "a route of the API is made with `frame.api`"


def test_each_operation_says_what_it_is_and_names_what_is_in_its_path() -> None:
    for path, methods in told()["paths"].items():
        for operation in methods.values():
            assert operation["summary"].endswith("."), path
            in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))


def test_every_refusal_is_a_problem(office: Office) -> None:
    shape = told()["components"]["schemas"]["Problem"]
    for who, path, status in (
        ("signed out", "/api/v1/rollup", 401),
        ("author", "/api/v1/rollup", 403),
        ("viewer", "/api/v1/people/nobody", 404),
        ("viewer", "/api/v1/rollup?month=soon", 400),
        ("viewer", "/api/v1/rollup?mnth=2026-11", 400),
    ):
        page = office.visitors[who].open(office.world.url + path)
        assert page.status == status
        jsonschema_rs.validator_for(shape).validate(json.loads(page.text))


def test_what_an_address_does_not_take_is_refused_and_not_left_out(office: Office) -> None:
    page = office.visitors["viewer"].open(f"{office.world.url}/api/v1/rollup?mnth=2026-10")
    assert page.status == 400
    assert "takes month in its query, not 'mnth'" in json.loads(page.text)["error"]
