"""The page of budget lines: each as its cap stands, for its members and for who sees everybody."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.core.caps import of_line
from bot.core.money import Usd
from tests.browser import Browser
from tests.web.dashboard_world import World, dashboard_world

POLICY = """
lines:
  evals: {monthly: $500, members: [dana, tri], concurrency: 4}
  refresh: {monthly: $10, members: [max]}
viewers: {role: maintain, people: [ren]}
"""


class Lines:
    def __init__(self, world: World) -> None:
        self.world = world
        self.browsers = {login: world.signed_in(login)[0] for login in ("dana", "max", "ren", "tri", "ada")}

    def json(self, login: str, path: str = "/api/v1/lines") -> Any:
        return json.loads(self.browsers[login].open(self.world.url + path).text)

    def spenders(self, login: str) -> dict[str, list[tuple[str, str]]]:
        return {
            line["name"]: [(one["name"], one["usd"]) for one in line["spenders"]]
            for line in self.json(login)["lines"]
        }


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    with dashboard_world(tmp_path_factory.mktemp("lines"), POLICY) as world:
        vault = world.repository("acme/vault", dana="write", max="none", ren="none")
        world.run("dana", "12.25", line="evals")
        world.run("dana", "30.000000001", vault, line="evals")
        world.run("tri", "7.5", line="evals")
        world.run("dana", "1", line="evals", state="open", ceiling="9")
        world.run("max", "9.8", line="refresh")
        world.run("max", "3", line="closed")
        world.run("dana", "99")
        yield Lines(world)


def test_members_see_their_lines_and_who_is_named_sees_all(lines: Lines) -> None:
    seen = {login: list(lines.spenders(login)) for login in lines.browsers}
    assert seen == {
        "dana": ["evals"], "tri": ["evals"], "max": ["refresh"], "ada": [], "ren": ["evals", "refresh"],
    }  # fmt: skip


def test_who_spends_is_seen_as_far_as_people_are(lines: Lines) -> None:
    assert lines.spenders("ren")["evals"] == [("dana", "43.250000001"), ("tri", "7.5")]
    assert lines.spenders("dana") == {"evals": [("dana", "43.250000001")]}
    assert lines.spenders("tri") == {"evals": [("tri", "7.5")]}
    assert lines.spenders("max") == {"refresh": [("max", "9.8")]}


def test_a_line_stands_as_its_cap_does_for_the_next_launch(lines: Lines) -> None:
    services = lines.world.services
    for told in lines.json("ren")["lines"]:
        cap = of_line(told["name"], services.policy.lines[told["name"]])
        (standing,) = services.people.standings((cap,), lines.world.month)
        for name in ("spent", "held", "left", "most"):
            assert told[f"{name}_usd"] == getattr(standing, name).exact, name
        assert told["live"] == standing.live
    page = lines.browsers["ren"].open(f"{lines.world.url}/lines").text
    assert "$50.7501 spent, $8.00 held for 1 live run of $500.00" in page
    assert "1 of 4 runs at once" in page
    assert "reached: nothing more starts on it" in page, "of refresh $0.20 are left"


def test_what_was_spent_on_a_line_that_is_no_more_is_not_lost(lines: Lines) -> None:
    assert lines.json("ren")["gone"] == [{"name": "closed", "usd": "3", "tasks": 1}]
    assert lines.json("max")["gone"] == []
    assert "closed" not in lines.browsers["max"].open(f"{lines.world.url}/lines").text


def test_every_table_is_there_as_csv(lines: Lines) -> None:
    text = lines.browsers["ren"].open(f"{lines.world.url}/lines?csv=lines").text
    head, *rows = csv.reader(io.StringIO(text))
    assert head[:4] == ["line", "spent", "held", "left"]
    assert [row[:3] for row in rows] == [["evals", "50.750000001", "8"], ["refresh", "9.8", "0"]]
    text = lines.browsers["ren"].open(f"{lines.world.url}/lines?csv=spenders").text
    assert sum(Usd.parse(row[2]).nanos for row in list(csv.reader(io.StringIO(text)))[1:]) == 60_550_000_001


def test_one_line_alone_and_a_line_of_others_is_not_there(lines: Lines) -> None:
    url = lines.world.url
    page = lines.browsers["dana"].open(f"{url}/lines?line=evals").text
    assert "Line evals" in page
    assert 'name="line" value="evals"' in page, "choosing a month stays on the line"
    for login, line in (("dana", "refresh"), ("ada", "evals"), ("ren", "nothing")):
        assert lines.browsers[login].open(f"{url}/lines?line={line}").status == 404
    assert "POLICY_FILE" in lines.browsers["ada"].open(f"{url}/lines").text


def test_an_earlier_month_is_whole_and_empty(lines: Lines, tmp_path: Path) -> None:
    (evals, _) = lines.json("ren", "/api/v1/lines?month=2024-02")["lines"]
    assert (evals["spent_usd"], evals["projected_usd"], evals["spenders"]) == ("0", "0", [])


def test_a_visitor_who_is_nobody_sees_no_line(lines: Lines) -> None:
    assert Browser().open(f"{lines.world.url}/lines").status == 401
