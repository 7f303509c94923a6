"""A month's cap through the real doors: clamped, refused, acknowledged, told (R20, R21)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from bot.core.money import Usd
from bot.stores.tables import runs as table
from tests.stories import agents
from tests.stories.service import Service, serving
from tests.stories.test_launch import answers, end, issue, runs, settled

pytestmark = pytest.mark.slow

POLICY = """
caps:
  people: {dana: $12, max: $8, ada: $8}
  acknowledge: self
approvers: [ada]
"""
APPROVED = """
caps:
  everyone: $4
  installation: $100
  acknowledge: approver
  mention: true
approvers: [ada]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("caps")
    url = f"sqlite:///{folder / 'tollgate.db'}"
    with serving(folder, url, agents.UNTIL_STOPPED, service_policy=POLICY) as made:
        made.worker()
        yield made


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("approved")
    url = f"sqlite:///{folder / 'tollgate.db'}"
    with serving(folder, url, agents.UNTIL_STOPPED, service_policy=APPROVED) as made:
        made.worker()
        yield made


def start(service: Service, number: int, who: str, words: str) -> None:
    service.github.comment(who, number, words)
    service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number}")


def spend(service: Service, number: int, usd: str) -> None:
    """As if the model had answered: through the gateway it is tested elsewhere."""
    with service.database.begin() as tx:
        tx.execute(sa.update(table).where(table.c.thread == number).values(spent_nanos=Usd.parse(usd).nanos))


def test_runs_side_by_side_share_a_month_and_an_acknowledgement_opens_a_quarter(service: Service) -> None:
    first, second, third = issue(service), issue(service), issue(service)
    start(service, first, "dana", "/agent fix cost=$9")
    start(service, second, "dana", "/agent fix cost=$5")
    assert "cost: $5.00 is more than what dana's cap" in answers(service, second)[0]
    assert service.rows(f"SELECT ceiling_nanos FROM runs WHERE thread = {second}")[0][0] == 3_000_000_000
    service.github.comment("dana", third, "/agent fix")
    [refusal] = answers(service, third)
    assert "dana's cap for 20" in refusal
    assert "is reached: $0.00 of $12.00 spent, $12.00 held by live runs" in refusal
    assert "`/agent ack` with a reason, by `dana`, opens $3.00 more" in refusal
    assert runs(service, third) == []
    service.github.comment("max", third, "/agent ack not mine to give")
    assert "no cap is reached" in answers(service, third, 2)[1]
    service.github.comment("dana", third, "/agent ack the release is on Monday")
    said = answers(service, third, 3)[2]
    assert "$3.00 more, now $15.00, of which $3.00 is free" in said
    assert "the release is on Monday" in said
    last = service.github.deliveries("issue_comment")[-1]
    service.github.redeliver(last["id"], times=3, fresh=True)
    settled(service)
    assert service.rows("SELECT by, nanos, reason FROM acknowledgements") == [
        ("dana", 3_000_000_000, "the release is on Monday")
    ]
    start(service, third, "dana", "/agent fix")
    for number in (first, second, third):
        end(service, number)


def test_what_a_run_left_over_can_be_launched_again_and_three_quarters_are_told_once(
    service: Service,
) -> None:
    first, second, third = issue(service), issue(service), issue(service)
    for number, cost, told in ((first, "5.99", False), (second, "0.01", True), (third, "0.50", False)):
        start(service, number, "max", "/agent fix cost=$2" if number != first else "/agent fix cost=$8")
        spend(service, number, cost)
        service.github.comment("max", number, "/agent stop")
        service.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {number} AND finished_at IS NOT NULL")
        report = next(body for body in answers(service, number, 2) if "tollgate-run:" in body)
        assert ("max has spent $6.00 of $8.00" in report) == told
    service.github.comment("max", third, "/agent cost")
    assert "max's cap for 20" in answers(service, third, 3)[2]
    assert "$6.50 of $8.00 spent (81 %)" in answers(service, third, 3)[2]


def test_where_policy_says_so_an_approver_opens_it_and_nobody_else(approved: Service) -> None:
    first, second = issue(approved), issue(approved)
    start(approved, first, "dana", "/agent fix cost=$4")
    approved.github.comment("dana", second, "/agent fix")
    assert "by `ada`, opens $1.00 more" in answers(approved, second)[0]
    approved.github.comment("dana", second, "/agent ack I need it")
    said = answers(approved, second, 2)[1]
    assert "It is opened by `ada`" in said
    assert approved.rows("SELECT count(*) FROM acknowledgements")[0][0] == 0
    approved.github.comment("ada", second, "/agent ack go on")
    assert "dana's cap" in answers(approved, second, 3)[2]
    assert "now $5.00" in answers(approved, second, 3)[2]
    spend(approved, first, "4")
    approved.github.comment("dana", first, "/agent stop")
    approved.until(f"SELECT count(*) = 1 FROM runs WHERE thread = {first} AND finished_at IS NOT NULL")
    report = next(body for body in answers(approved, first, 2) if "tollgate-run:" in body)
    assert "@dana has spent $4.00 of $5.00" in report


LINES = """
caps: {people: {dana: $5}}
lines:
  evals: {monthly: $8, members: [dana], concurrency: 2}
  nokey: {monthly: $8, members: [dana], api_key_env: ANTHROPIC_API_KEY_NIGHT}
approvers: [ada]
"""


def test_a_line_is_for_its_members_and_never_eats_their_cap(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    url = f"sqlite:///{folder / 'tollgate.db'}"
    with serving(folder, url, agents.UNTIL_STOPPED, service_policy=LINES) as service:
        service.worker()
        for who, words, said in (
            ("max", "/agent fix line=evals", "max is not a member of the budget line `evals`"),
            (
                "dana",
                "/agent fix line=nights",
                "there is no budget line `nights`; there are `evals`, `nokey`",
            ),
            ("dana", "/agent fix line=nokey", "the service has no key `ANTHROPIC_API_KEY_NIGHT`"),
        ):
            number = issue(service)
            service.github.comment(who, number, words)
            assert said in answers(service, number)[0]
        numbers = [issue(service) for _ in range(4)]
        start(service, numbers[0], "dana", "/agent fix line=evals cost=$5")
        start(service, numbers[1], "dana", "/agent fix line=evals cost=$5")
        assert "the cap of the line evals" in answers(service, numbers[1])[0]
        start(service, numbers[2], "dana", "/agent fix line=evals cost=$1")
        assert "the line evals has 2 runs at once" in answers(service, numbers[2])[0]
        service.github.comment("dana", numbers[2], "/agent stop")
        service.until("SELECT count(*) = 1 FROM runs WHERE state = 'halted' AND finished_at IS NOT NULL")
        start(service, numbers[3], "dana", "/agent fix cost=$5")
        lines = "FROM runs WHERE state <> 'halted' GROUP BY line ORDER BY line"
        assert service.rows(f"SELECT line, sum(ceiling_nanos) {lines}") == [
            ("", 5_000_000_000), ("evals", 8_000_000_000),
        ]  # fmt: skip
        for number in (numbers[0], numbers[1], numbers[3]):
            end(service, number)


def test_who_renames_themselves_and_whose_repository_is_renamed_keep_their_caps(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("renamed")
    url = f"sqlite:///{folder / 'tollgate.db'}"
    policy = "caps: {people: {was-dana: $2}, repositories: {acme/was: $1.50}}\n"
    with serving(folder, url, agents.UNTIL_STOPPED, service_policy=policy) as service:
        service.worker()
        numbers = [issue(service) for _ in range(3)]
        start(service, numbers[0], "dana", "/agent fix cost=$5")
        end(service, numbers[0])
        with service.database.begin() as tx:
            tx.execute(sa.update(table).values(actor="was-dana"))
        start(service, numbers[1], "dana", "/agent fix cost=$5")
        assert "cost: $5.00 is more than what dana's cap" in answers(service, numbers[1])[0]
        end(service, numbers[1])
        with service.database.begin() as tx:
            tx.execute(sa.update(table).values(repository="acme/was"))
        start(service, numbers[2], "max", "/agent fix cost=$5")
        assert (
            service.rows(f"SELECT ceiling_nanos FROM runs WHERE thread = {numbers[2]}")[0][0] == 1_500_000_000
        )
        end(service, numbers[2])
