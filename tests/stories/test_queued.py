"""Who finds no room waits in line, is told where, and is let in when there is some: by the real doors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stories import agents
from tests.stories.service import Service, serving
from tests.stories.test_launch import answers, issue

pytestmark = pytest.mark.slow

POLICY = """
concurrency: {person: 2, repository: 3}
caps: {people: {max: $3, ada: $100}, acknowledge: self}
lines: {evals: {monthly: $50, members: [max], concurrency: 1}}
"""


@pytest.fixture
def service(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("queued")
    with serving(folder, database_url, agents.UNTIL_STOPPED, service_policy=POLICY) as made:
        made.worker()
        yield made


def state(service: Service, number: int, *states: str) -> str:
    named = ", ".join(f"'{one}'" for one in states)
    query = f"SELECT id FROM runs WHERE thread = {number} AND state IN ({named})"
    return str(service.until(query)[0])


def stop(service: Service, number: int) -> None:
    service.github.comment("dana", number, "/agent stop")
    service.until(f"SELECT count(*) = 0 FROM runs WHERE thread = {number} AND finished_at IS NULL")


def report(service: Service, number: int, run: str, *said: str) -> str:
    """The one comment of a run, once it says all of this."""

    def found(github: object) -> str:
        mine = [body for body in answers(service, number) if f"tollgate-run:{run}:" in body]
        assert len(mine) <= 1, "one comment for each run"
        return mine[0] if mine and all(one in mine[0] for one in said) else ""

    return str(service.github.wait(found, 60, f"{said} on #{number}"))


def two_and_one_that_waits(service: Service) -> tuple[list[int], str]:
    """Dana's three threads, of which two have a run that is on; and the run of the last, which is in line."""
    numbers = [issue(service) for _ in range(3)]
    for number in numbers[:2]:
        service.github.comment("dana", number, "/agent fix")
        state(service, number, "running")
    service.github.comment("dana", numbers[2], "/agent fix")
    waits = state(service, numbers[2], "queued")
    return numbers, waits


def test_a_line_is_told_moves_and_becomes_runs(service: Service) -> None:
    first, second, third, fourth, other = (issue(service) for _ in range(5))
    for number in (first, second):
        service.github.comment("dana", number, "/agent fix")
        state(service, number, "running")
    service.github.comment("dana", third, "/agent fix")
    third_run = state(service, third, "queued")
    text = report(service, third, third_run, "**Queued: 1st in line**")
    live = [row[0] for row in service.rows("SELECT id FROM runs WHERE state = 'running'")]
    assert "dana has 2 runs at once, as many as it may have: " in text
    assert all(f"[`{run}`](http" in text for run in live)
    assert "It costs nothing until it starts." in text
    assert "`/agent stop` takes it out of the line." in text
    service.github.comment("dana", fourth, "/agent fix")
    fourth_run = state(service, fourth, "queued")
    report(service, fourth, fourth_run, "**Queued: 2nd in line**")
    service.github.comment("dana", fourth, "/agent status")
    assert "is queued: 2nd in line: dana has 2 runs at once" in answers(service, fourth, 2)[1]
    service.github.comment("dana", fourth, "/agent fix")
    assert f"[`{fourth_run}`]" in answers(service, fourth, 3)[2], "it is its thread's live run"
    service.github.comment("max", other, "/agent fix")
    state(service, other, "running")
    assert len(service.github.runs()) == 3, "what waits has no workflow"
    stop(service, third)
    assert "out of the line before it began" in answers(service, third, 2)[1]
    report(service, third, third_run, "stopped by dana", "$0.00 of $5.00")
    report(service, fourth, fourth_run, "**Queued: 1st in line**")
    stop(service, first)
    state(service, fourth, "open", "running")
    report(service, fourth, fourth_run, "**Running")
    assert len(service.github.runs()) == 4, "one dispatch"
    for number in (second, fourth, other):
        stop(service, number)


def test_what_waits_for_runs_elsewhere_names_none_of_them(service: Service) -> None:
    numbers = [issue(service) for _ in range(2)]
    service.github.comment("dana", numbers[0], "/agent fix")
    first = state(service, numbers[0], "running")
    service.write(
        "INSERT INTO runs (id, origin, task_class, engine, model, opened_at, state, actor, actor_id, month, "
        "repository_id, thread, snapshot, ceiling_nanos, ceiling_tokens, ceiling_steps, ceiling_seconds) "
        "SELECT 'elsewhere', origin, task_class, engine, model, opened_at, 'open', actor, actor_id, month, "
        f"99, thread, snapshot, 1, 1, 1, 1 FROM runs WHERE id = '{first}'"
    )
    service.github.comment("dana", numbers[1], "/agent fix")
    text = report(service, numbers[1], state(service, numbers[1], "queued"), "1st in line")
    assert f"as many as it may have: [`{first}`]" in text
    assert ", 1 more." in text
    assert "elsewhere" not in text
    service.write("DELETE FROM runs WHERE id = 'elsewhere'")
    for number in numbers:
        state(service, number, "open", "running")
        stop(service, number)


def test_a_thread_that_is_closed_while_it_waits_starts_nothing(service: Service) -> None:
    numbers, waits = two_and_one_that_waits(service)
    service.github.comment("dana", 2, "/agent fix")
    pull = state(service, 2, "queued")
    service.github.close("dana", 2)
    state(service, 2, "halted")
    report(service, 2, pull, "its thread was closed while it waited in line", "$0.00 of $5.00")
    service.github.close("dana", numbers[2])
    stop(service, numbers[0])
    state(service, numbers[2], "halted")
    report(service, numbers[2], waits, "its thread was closed while it waited in line")
    assert len(service.github.runs()) == 2
    stop(service, numbers[1])


def test_who_may_not_write_any_more_when_it_is_their_turn_starts_nothing(service: Service) -> None:
    numbers, waits = two_and_one_that_waits(service)
    service.github.user("dana", "read")
    for number in numbers[:2]:
        service.github.comment("ada", number, "/agent stop")
    state(service, numbers[2], "halted")
    said = "the role read is all there is now of dana, who asked for it and needs write permission"
    report(service, numbers[2], waits, said, "$0.00 of $5.00")
    assert len(service.github.runs()) == 2, "no workflow was sent off"


def test_money_that_is_gone_when_it_is_its_turn_ends_it_as_refused(service: Service) -> None:
    numbers = [issue(service) for _ in range(4)]
    for number in numbers[:3]:
        who = "dana" if number != numbers[2] else "ada"
        service.github.comment(who, number, "/agent fix cost=$1")
        state(service, number, "running")
    service.github.comment("max", numbers[3], "/agent fix cost=$2")
    run = state(service, numbers[3], "queued")
    report(service, numbers[3], run, "1st in line", "acme/calendar has 3 runs at once")
    service.write(
        "INSERT INTO runs (id, origin, task_class, engine, model, opened_at, state, actor, actor_id, month, "
        "spent_nanos, ceiling_nanos, ceiling_tokens, ceiling_steps, ceiling_seconds) "
        "SELECT 'spent', origin, task_class, engine, model, opened_at, 'done', actor, actor_id, month, "
        f"3000000000, 3000000000, 1, 1, 1 FROM runs WHERE id = '{run}'"
    )
    stop(service, numbers[0])
    state(service, numbers[3], "refused")
    text = report(service, numbers[3], run, "**Refused: max's cap for 20")
    assert "`/agent ack …`" in text
    assert "`/agent fix …` starts it again" in text
    assert service.rows("SELECT actor, reason FROM refusals") == [("max", "cap_reached")]
    assert len(service.github.runs()) == 3
    for number in numbers[1:3]:
        stop(service, number)


def test_a_resume_stands_in_line_too_and_goes_on_with_its_work(service: Service) -> None:
    numbers = [issue(service) for _ in range(3)]
    service.github.comment("dana", numbers[0], "/agent fix cost=$2")
    run = state(service, numbers[0], "running")
    stop(service, numbers[0])
    for number in numbers[1:]:
        service.github.comment("dana", number, "/agent fix cost=$2")
        state(service, number, "running")
    service.write(f"UPDATE runs SET spent_nanos = 100000000 WHERE id = '{run}'")
    service.github.comment("dana", numbers[0], "/agent resume")
    state(service, numbers[0], "queued")
    stop(service, numbers[1])
    service.until(f"SELECT count(*) = 1 FROM runs WHERE id = '{run}' AND attempt = 2 AND state = 'running'")
    assert len(service.github.runs()) == 4
    for number in (numbers[0], numbers[2]):
        stop(service, number)
