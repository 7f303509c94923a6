"""A sweep of twenty items, one of them runaway and one failing, whose worker is killed twice (R22, R23)."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.core.money import Usd
from sandbox.processes import start
from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow

ITEMS, AT_ONCE, RUNAWAY, FAILING = 20, 4, 7, 13
POLICY = """
caps: {everyone: $1}
lines: {refresh: {monthly: $100, members: [dana]}}
"""


def item(number: int) -> str:
    """Three requests and a file, or what else this one does."""
    does: dict[str, Any] = {"ask": 3}
    if number == RUNAWAY:
        does = {"ask": 1_000, "as": "expensive"}
    elif number == FAILING:
        does["result"] = {"outcome": "failed", "message": "the tests do not start"}
    else:
        does["files"] = [{"path": f"done/{number}.txt", "mode": "100644", "text": f"{number}\n"}]
    return f"- [ ] Item {number}\n  {json.dumps(does)}"


def watched(service: Service, until: Callable[[], bool]) -> int:
    """How many items were live at once, at the most, until that is so."""
    most, end = 0, time.monotonic() + 400
    while time.monotonic() < end:
        rows = service.rows("SELECT count(*) FROM runs WHERE state IN ('open', 'running')")
        most = max(most, int(rows[0][0]))
        if until():
            return most
        time.sleep(0.02)
    raise TimeoutError((service.folder / "worker.log").read_text()[-3000:])


def test_twenty_items_four_at_a_time_through_two_deaths_of_the_worker(
    tmp_path: Path, database_url: str
) -> None:
    body = "Refresh all of it.\r\n\r\n" + "\r\n".join(item(number) for number in range(1, ITEMS + 1))
    with (
        start("claude", character="auto", invoice=tmp_path / "invoice") as claude,
        serving(tmp_path, database_url, agents.ITEM, service_policy=POLICY, upstream=claude.url) as service,
    ):
        github, worker = service.github, service.worker()
        number = github.issue("dana", "Refresh", body)
        github.comment("dana", number, f"/agent sweep parallel={AT_ONCE} line=refresh cost=$0.60 steps=50")

        def pulls(count: int) -> Callable[[], bool]:
            query = f"SELECT count(*) FROM runs WHERE published_pull IS NOT NULL HAVING count(*) >= {count}"
            return lambda: bool(service.rows(query))

        most = []
        for done in (3, 10):
            most.append(watched(service, pulls(done)))
            worker = killed(service, worker)
        over = "SELECT 1 FROM sweeps WHERE finished_at IS NOT NULL"
        most.append(watched(service, lambda: bool(service.rows(over))))
        assert max(most) == AT_ONCE, most

        rows = service.rows(
            "SELECT item, state, reason, published_pull, line, spent_nanos FROM runs ORDER BY item"
        )
        made = {row[0]: row[3] for row in rows if row[3] is not None}
        assert set(made) == set(range(1, ITEMS + 1)) - {RUNAWAY, FAILING}
        assert (rows[RUNAWAY - 1][1], rows[RUNAWAY - 1][2]) == ("halted", "cost_ceiling")
        assert rows[FAILING - 1][1] == "failed"
        told_of_it(service, number, made)
        # The invoice is another process's; the ledger says the same, all of it on the line.
        assert {row[4] for row in rows} == {"refresh"}
        spent = sum(row[5] for row in rows)
        assert spent == claude.invoice()["total_nanos"]
        assert rows[RUNAWAY - 1][5] <= Usd.parse("0.60").nanos
        github.comment("dana", number, "/agent cost")
        cost = github.wait(lambda c: [one for one in bodies(service, number) if "This month" in one])[0]
        assert "dana's cap for 20" in cost
        assert ": $0.00 of $1.00 spent (0 %)" in cost


def killed(service: Service, worker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Another one in its place."""
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    return service.worker()


def bodies(service: Service, number: int) -> list[str]:
    return [comment["body"] for comment in service.github.comments(number)]


def told_of_it(service: Service, number: int, made: dict[int, int]) -> None:
    """One comment over all, a report for what went wrong, one on each pull request, and the boxes ticked."""
    github, on_issue = service.github, bodies(service, number)
    [summary] = [one for one in on_issue if "tollgate-sweep" in one]
    assert "**Swept: 18 of 20 done**" in summary
    assert f"| {RUNAWAY} | Item {RUNAWAY} | halted: cost ceiling | [report](" in summary
    assert f"| {FAILING} | Item {FAILING} | failed | [report](" in summary
    reports = [one for one in on_issue if "tollgate-run" in one]
    assert sorted(one.split("**")[1].partition(":")[0].partition(" at ")[0] for one in reports) == [
        "Failed",
        "Halted",
    ]
    text = github.do("dana", "GET", f"/issues/{number}")["body"]
    for item_number, pull in made.items():
        opened = github.do("dana", "GET", f"/pulls/{pull}")
        assert opened["title"] == f"Item {item_number}"
        assert f"- [x] Item {item_number} ([#{pull}]({opened['html_url']}))\n  {{" in text
        assert sum("tollgate-run" in one for one in bodies(service, pull)) == 1
    assert text.count("- [x]") == 18
    assert f"- [ ] Item {RUNAWAY}\n" in text
    assert f"- [ ] Item {FAILING}\n" in text
    everything = github.do("dana", "GET", "/pulls?state=all&per_page=100")
    titles = [one["title"] for one in everything if one["title"].startswith("Item ")]
    assert len(titles) == len(set(titles)) == 18
