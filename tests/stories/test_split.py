"""`/agent split`: a planning run that posts a check list with prices, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bot.core import pieces
from tests.stories import agents
from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow
# Hands in what it was told, as its words: a planner whose list shows what reached it.
PLANS = agents.TOLD.replace(
    'if "exit" in told:',
    """if brief["class"] == "split":
    told["result"]["summary"] += "\\n\\n" + json.dumps(brief["before"]) + "\\n" + brief["task"]
if "exit" in told:""",
)
TWO = "Look:\n- [ ] (bugfix) The month of @ada\n- [ ] (refactor) One table"
FILES = [{"path": "new.txt", "mode": "100644", "text": "new\n"}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("split")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", PLANS) as made:
        made.worker()
        yield made


def run(service: Service, number: int, verb: str, **told: Any) -> tuple[Any, str]:
    """The row and the report of a run that somebody asks for on this thread."""
    before = {row[0] for row in service.rows(f"SELECT id FROM runs WHERE thread = {number}")}
    service.github.comment("dana", number, f"/agent {verb}\n{json.dumps(told)}")
    known = ", ".join(f"'{id}'" for id in before) or "''"
    where = f"thread = {number} AND id NOT IN ({known}) AND finished_at IS NOT NULL"
    service.until(f"SELECT count(*) = 1 FROM runs WHERE {where}")
    columns = "id, task_class, ceiling_nanos, ceiling_steps, published, result, snapshot"
    [row] = service.rows(f"SELECT {columns} FROM runs WHERE {where}")
    [report] = [c["body"] for c in service.github.comments(number) if f"tollgate-run:{row[0]}:1" in c["body"]]
    return row, report


def test_a_task_becomes_a_check_list_with_prices_and_no_file_is_changed(service: Service) -> None:
    number = service.github.issue("dana", "The calendar is wrong", "All of it.")
    branches = service.github.repository()["branches"]
    row, report = run(service, number, "split", files=FILES, result={"summary": TWO})
    assert (row[1], row[2], row[3]) == ("split", 2_000_000_000, 15)
    assert "**Done: split into 2 pieces** ·" in report
    assert "- [ ] (bugfix, at most $5.00) The month of @\u200bada" in report
    assert [piece.task_class for piece in pieces.read(report)] == ["bugfix", "refactor"]
    assert "what it had changed in 1 file was dropped" in report
    assert service.github.repository()["branches"] == branches
    assert json.loads(row[4])["kind"] == "dropped"
    assert json.loads(row[6])["before"] == {}


def test_an_answer_without_a_list_is_shown_as_it_is(service: Service) -> None:
    number = service.github.issue("dana", "The calendar is wrong", "All of it.")
    _, report = run(service, number, "split", result={"summary": "Ask @ada, she knows."})
    assert "**Done: no list of pieces** ·" in report
    assert "> Ask @\u200bada, she knows." in report


def test_a_halted_runs_task_is_split_and_its_last_words_are_material(service: Service) -> None:
    number = service.github.issue("dana", "The calendar is wrong", "All of it.")
    halted = {"outcome": "halted", "reason": "step_ceiling", "summary": "Half of the months are right."}
    first, report = run(service, number, "fix", result=halted)
    assert "`/agent split` makes a check list" in report
    row, report = run(service, number, "split", result={"summary": TWO})
    before = json.loads(row[6])["before"]
    assert before["run"] == first[0]
    assert before["words"] == "Half of the months are right."
    assert before["ended"].startswith("halted at step")
    told = json.loads(row[5])["summary"]
    assert "Half of the months" in told, "it reached the planner"
    assert told.count('"result"') == 2, "the task that was halted stands before the words of the command"


def test_pieces_are_priced_by_the_repositorys_past_runs(service: Service) -> None:
    number = service.github.issue("dana", "The calendar is wrong", "All of it.")
    some, _ = run(service, number, "fix", result={"summary": "Fine."})
    with service.database.begin() as tx:
        columns = [c for (c,) in service.rows("SELECT name FROM pragma_table_info('runs')")]
        for cents in range(1, 11):
            own = {
                "id": f"'past{cents:08}'",
                "thread": "NULL",
                "comment_id": str(-cents),
                "token_hash": "NULL",
                "steps": "3",
                "spent_nanos": str(cents * 10_000_000),
            }
            values = ", ".join(own.get(name, name) for name in columns)
            tx.exec_driver_sql(
                f"INSERT INTO runs ({', '.join(columns)}) SELECT {values} FROM runs WHERE id = '{some[0]}'"
            )
    _, report = run(service, number, "split", result={"summary": TWO})
    assert "- [ ] (bugfix, about $0.05)" in report
    assert "| bugfix | 1 | $0.05 | $0.09 | 10 runs of this class in this repository |" in report
    assert "- [ ] (refactor, at most $20.00)" in report
