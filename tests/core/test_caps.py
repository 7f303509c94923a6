"""Caps: a launch never gets more than the tightest leaves; months begin where people live."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import replies
from bot.core.caps import (
    LEAST,
    Cap,
    Caps,
    Fit,
    Line,
    Names,
    Reached,
    Scope,
    Spender,
    Standing,
    Team,
    applying,
    due,
    fit,
    held_only,
    key_of,
    month_of,
    notice,
    period,
    slice_of,
    whose,
)
from bot.core.money import ZERO, Usd
from bot.core.policy import Policy, PolicyError, parse, tighten

CAP = Cap(Scope.PERSON, "7", "dana", Usd.parse("200"))
amounts = st.integers(0, 2_000_000_000_000).map(Usd)
caps = st.builds(Cap, st.sampled_from(Scope), st.just("9"), st.just("x"), amounts.filter(bool))
standings = st.builds(Standing, caps, st.just("2026-11"), amounts, amounts, st.integers(0, 9))


@given(amounts.filter(bool), st.lists(standings, max_size=4))
def test_no_launch_gets_more_than_it_asked_for_or_than_any_cap_leaves(
    asked: Usd, found: list[Standing]
) -> None:
    got = fit(asked, found)
    if isinstance(got, Reached):
        assert got.standing.left < min(LEAST, asked)
        assert got.standing.left == min(one.left for one in found)
    else:
        assert got.usd == min([asked, *(one.left for one in found)])
        assert bool(got.clamp) == (got.usd < asked)


@given(amounts, amounts.filter(bool), st.lists(standings, max_size=4))
def test_a_run_that_goes_on_keeps_its_total_under_every_cap_with_what_it_has_spent(
    spent: Usd, more: Usd, found: list[Standing]
) -> None:
    got = fit(spent + more, found, spent)
    if isinstance(got, Fit):
        assert all(got.usd <= one.left for one in found)
        assert not found or got.usd - spent >= min(LEAST, more)


@given(standings)
def test_a_slice_is_a_quarter_and_never_more(standing: Standing) -> None:
    opened = standing.most - standing.cap.usd
    assert opened.nanos * 4 <= standing.cap.usd.nanos * standing.acknowledged
    assert slice_of(standing.cap.usd).nanos == standing.cap.usd.nanos // 4


@pytest.mark.parametrize(
    ("at", "zone", "month"),
    [
        ("2026-11-30T22:59:59", "Europe/Berlin", "2026-11"),
        ("2026-11-30T23:00:00", "Europe/Berlin", "2026-12"),
        ("2026-12-31T23:59:59", "UTC", "2026-12"),
        ("2027-01-01T00:00:00", "UTC", "2027-01"),
        ("2027-01-01T00:00:00", "America/Los_Angeles", "2026-12"),
        ("2026-12-31T10:00:00", "Pacific/Kiritimati", "2027-01"),
        ("2026-03-31T22:00:00", "Europe/Berlin", "2026-04"),  # summer time has begun
    ],
)
def test_a_month_begins_where_people_live(at: str, zone: str, month: str) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert month_of(int(now.timestamp() * 1000), zone) == month


@pytest.mark.parametrize(("spent", "told"), [("149.99", False), ("150", True), ("200", True), ("0", False)])
def test_at_three_quarters_of_the_cap_its_person_is_told(spent: str, told: bool) -> None:
    standing = Standing(CAP, "2026-11", Usd.parse(spent), ZERO)
    assert due(standing) == told


def test_only_a_policy_that_says_so_has_the_notice_mention_the_person() -> None:
    standing = Standing(CAP, "2026-11", Usd.parse("151"), ZERO)
    assert "@" not in notice(standing, False)
    assert notice(standing, True).startswith("@dana has spent $151.00 of $200.00 for 2026-11 (75 %)")


EVALS = Line(Usd.parse("3000"), frozenset({"dana"}), "ANTHROPIC_API_KEY_EVALS", concurrency=2)


def test_on_a_line_its_month_takes_the_place_of_the_persons_and_the_others_hold() -> None:
    caps = Caps(everyone=Usd.parse("200"), installation=Usd.parse("9000"))
    found = applying(caps, (7, "dana"), (1, "acme/x"), 3, ("evals", EVALS))
    assert [(str(cap.scope), cap.id) for cap in found] == [("line", "evals"), ("installation", "3")]


@pytest.mark.parametrize(
    ("spent", "held", "waits"),
    [
        pytest.param("10", "190", True, id="live runs hold all that is left"),
        pytest.param("199.60", "0.30", False, id="it is spent"),
        pytest.param("0", "0", True, id="it fits"),
    ],
)
def test_what_live_runs_only_hold_may_come_back(spent: str, held: str, waits: bool) -> None:
    standing = Standing(CAP, "2026-11", Usd.parse(spent), Usd.parse(held))
    assert held_only(Usd.parse("5"), [standing]) == waits


def test_a_sweeps_total_knows_no_month() -> None:
    cap = Cap(Scope.SWEEP, "s1", "sweep s1", Usd.parse("50"))
    assert period(cap, "2026-11") == ""
    assert whose(Standing(cap, "", ZERO, ZERO)) == "the cap of sweep s1"
    assert period(CAP, "2026-11") == "2026-11"


def test_the_key_is_the_lines_else_the_teams_else_the_default() -> None:
    teams = {
        "a": Team(frozenset({"max"}), "ANTHROPIC_API_KEY_A"),
        "b": Team(frozenset({"max", "dana"}), "ANTHROPIC_API_KEY_B"),
    }
    bare = Line(Usd.parse("5"), frozenset({"dana"}))
    assert key_of("Dana", EVALS, teams) == "ANTHROPIC_API_KEY_EVALS"
    assert key_of("Dana", bare, teams) == "ANTHROPIC_API_KEY_B"
    assert key_of("max", None, teams) == "ANTHROPIC_API_KEY_A"
    assert key_of("eve", None, teams) == ""


POLICY = """
caps:
  time_zone: Europe/Berlin
  tiers: {standard: $200, lead: $1000}
  everyone: standard
  people: {Dana: lead, max: "$350.50"}
  repositories: {Acme/Calendar: $2000}
  installation: $9000
  acknowledge: approver
  mention: true
approvers: [Ann, ola-2]
lines:
  evals: {monthly: $3000, members: [Dana], api_key_env: ANTHROPIC_API_KEY_EVALS, concurrency: 2}
teams:
  search: {members: [Max], api_key_env: ANTHROPIC_API_KEY_SEARCH}
"""


def test_a_policy_names_tiers_people_repositories_and_who_approves() -> None:
    said = parse(POLICY, service=True)
    assert said.caps == Caps(
        zone="Europe/Berlin",
        everyone=Usd.parse("200"),
        people={"dana": Usd.parse("1000"), "max": Usd.parse("350.50")},
        repositories={"acme/calendar": Usd.parse("2000")},
        installation=Usd.parse("9000"),
        acknowledge="approver",
        tiers={"standard": Usd.parse("200"), "lead": Usd.parse("1000")},
        mention=True,
    )
    assert said.approvers == ("ann", "ola-2")
    assert said.lines == {"evals": EVALS}
    assert said.teams == {"search": Team(frozenset({"max"}), "ANTHROPIC_API_KEY_SEARCH")}
    found = applying(said.caps, (7, "DANA"), (1, "acme/Calendar"), 3)
    assert [(str(cap.scope), cap.id, str(cap.usd)) for cap in found] == [
        ("person", "7", "$1,000.00"), ("repository", "1", "$2,000.00"), ("installation", "3", "$9,000.00"),
    ]  # fmt: skip
    assert next(cap.usd for cap in applying(said.caps, (8, "new"), (2, "acme/x"), 3)) == Usd.parse("200")


@pytest.mark.parametrize(
    ("name", "before", "usd"),
    [
        pytest.param("new", {"max"}, "350.50", id="a new name keeps the cap of the one before"),
        pytest.param("Dana", {"max"}, "350.50", id="a name with more gives no more"),
        pytest.param("max", {"dana"}, "350.50", id="a name with less gives less"),
        pytest.param("new", {"other"}, "200", id="names that are not in the file"),
    ],
)
def test_a_new_name_is_no_greater_cap(name: str, before: set[str], usd: str) -> None:
    said = parse(POLICY, service=True).caps
    names = Names(frozenset(before), frozenset({"acme/calendar"}))
    person, repository, _ = applying(said, (7, name), (1, "acme/renamed"), 3, before=names)
    assert (person.id, person.usd) == ("7", Usd.parse(usd))
    assert (repository.id, repository.usd) == ("1", Usd.parse("2000"))


def test_a_repository_neither_sets_nor_lifts_a_cap() -> None:
    service = parse(POLICY, service=True)
    held = tighten(service, Policy.parse("model: claude-opus-4-7"))
    assert held.caps == service.caps
    assert held.approvers == service.approvers
    with pytest.raises(PolicyError, match="only the service's own"):
        Policy.parse("caps: {installation: $9}")
    with pytest.raises(PolicyError, match="only the service's own"):
        Policy.parse("approvers: [me]")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("caps:\n  everyone: gold", 2, "there is no tier gold; there are none"),
        ("caps:\n  tiers: {a: $5}\n  people: {dana: b}", 3, "there is no tier b; there are a"),
        ("caps:\n  time_zone: Mars/Olympus", 2, "is not a time zone"),
        ("caps:\n  time_zone: ../../etc/passwd", 2, "is not a time zone"),
        ("caps:\n  people:\n    '-dana': $5", 3, "is not the name of a person"),
        ("caps:\n  people:\n    dana: $5\n    Dana: $6", 4, "is there already"),
        ("caps:\n  people: {dana: 12.5}", 2, "money is never a float"),
        ("caps:\n  repositories: {calendar: $5}", 2, "is not a repository"),
        ("caps:\n  installation: $0", 2, "would start nothing"),
        ("caps:\n  mention: 'yes'", 2, "neither true nor false"),
        ("caps:\n  acknowledge: anybody", 2, "is not one of self, approver"),
        ("caps:\n  monthly: $5", 2, "there is no such key"),
        ("approvers: ann", 1, "must be a list"),
        ("lines:\n  evals: {members: [a]}", 2, "it has no monthly"),
        ("lines:\n  evals: {monthly: $5}", 2, "it has no members"),
        ("lines:\n  evals: {monthly: $5, members: [a], api_key_env: sk-ant-1}", 2, "the name of a variable"),
        ("lines:\n  evals: {monthly: $5, members: [a], api_key_env: PATH}", 2, "the name of a variable"),
        ("teams:\n  a: {members: [a]}", 2, "it has no api_key_env"),
        ("prices: {}", 1, "does not enforce it yet"),
    ],
)
def test_a_wrong_cap_is_named_by_line(text: str, line: int, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        parse(text, service=True)
    assert caught.value.line == line


def test_a_refusal_says_what_the_month_went_on_and_who_opens_more() -> None:
    standing = Standing(CAP, "2026-11", Usd.parse("188.20"), Usd.parse("11.80"))
    spent = [Spender("0a1b2c3d4e5f", "acme/calendar", 4, "bugfix", Usd.parse("42"))]
    text = replies.cap_reached(standing, spent, ("dana",))
    assert text.startswith(
        "I did not start: dana's cap for 2026-11 is reached: $188.20 of $200.00 spent, $11.80 held by live "
        "runs."
    )
    assert "| `0a1b2c3d4e5f` | `acme/calendar` #4 | bugfix | $42.00 |" in text
    assert "`/agent ack` with a reason, by `dana`, opens $50.00 more" in text
    assert "names nobody" in replies.cap_reached(standing, (), ())
