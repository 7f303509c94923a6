"""Of a service's policy and a repository's the tighter word holds; some words are the service's alone."""

from __future__ import annotations

import pytest

from bot.core.money import Usd
from bot.core.policy import Policy, Sweeping, parse, tighten
from bot.core.rules import ADMISSIONS, Allowance


def allowing(text: str) -> Policy:
    return parse(f"allow:\n{text}")


SERVICE = allowing("  pdf: {tokens: 50k}\n  web_search: {uses: 5, tokens: 20k}\n")


@pytest.mark.parametrize(
    ("repo", "holds"),
    [
        pytest.param(parse(None), SERVICE.allow, id="says nothing: the service's"),
        pytest.param(parse("allow: {}"), {}, id="an empty one takes all away"),
        pytest.param(allowing("  pdf: {tokens: 10k}"), {"pdf": Allowance(0, 10_000)}, id="less of one"),
        pytest.param(allowing("  pdf: {tokens: 90k}"), {"pdf": Allowance(0, 50_000)}, id="more of one"),
        pytest.param(allowing("  url: {tokens: 9}"), {}, id="what the service does not allow"),
        pytest.param(
            allowing("  web_search: {uses: 9, tokens: 1k}"), {"web_search": Allowance(5, 1_000)}, id="mixed"
        ),
    ],
)
def test_a_repository_only_takes_away_from_what_the_service_allows(
    repo: Policy, holds: dict[str, Allowance]
) -> None:
    assert tighten(SERVICE, repo).allow == holds
    assert tighten(Policy.default(), repo).allow == {}


def test_what_only_the_service_says_holds_in_a_repository_that_says_nothing() -> None:
    above = parse("stuck: {repeats: 10, idle: 20}\nretention: 90d\nadmission: expected\nsweep: {parallel: 8}")
    for text in (None, "effort: low"):
        both = tighten(above, parse(text))
        assert (both.stuck.repeats, both.stuck.idle, both.stuck.errors) == (10, 20, 6)
        assert (both.retention, both.admission, both.sweep.parallel) == (90, "expected", 8)
    own = tighten(above, parse("stuck: {repeats: 12, idle: 5}\nadmission: strict"))
    assert (own.stuck.repeats, own.stuck.idle, own.admission) == (10, 5, "strict")


@pytest.mark.parametrize(
    ("service", "repo", "holds"),
    [
        ("{}", "{}", Sweeping()),
        ("{total: $50, items: 9}", "{}", Sweeping(items=9, total=Usd.parse("50"))),
        ("{total: $50, items: 9}", "{total: $70, items: 12}", Sweeping(items=9, total=Usd.parse("50"))),
        ("{total: $50}", "{total: $7, parallel: 2}", Sweeping(parallel=2, total=Usd.parse("7"))),
        ("{}", "{total: $7, parallel: 9}", Sweeping(total=Usd.parse("7"))),
        ("{line: refresh}", "{}", Sweeping(line="refresh")),
        ("{line: refresh}", "{line: docs}", Sweeping(line="docs")),
    ],
)
def test_a_repositorys_sweeps_are_tightened(service: str, repo: str, holds: Sweeping) -> None:
    assert tighten(parse(f"sweep: {service}", service=True), parse(f"sweep: {repo}")).sweep == holds


@pytest.mark.parametrize("service", ADMISSIONS)
@pytest.mark.parametrize("repo", ADMISSIONS)
def test_an_admission_that_only_one_of_two_files_wants_is_strict(service: str, repo: str) -> None:
    both = tighten(parse(f"admission: {service}"), parse(f"admission: {repo}"))
    assert both.rules.admission == (service if service == repo else "strict")


def test_a_dollar_that_no_usage_tells_is_the_services_word() -> None:
    service = allowing('  code_execution: {uses: 2, tokens: 9, cost: "0.05"}')
    repo = allowing('  code_execution: {uses: 1, tokens: 9, cost: "0.01"}')
    assert tighten(service, repo).allow["code_execution"] == Allowance(1, 9, 50_000_000)
