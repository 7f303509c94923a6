"""Where a ceiling comes from, who may raise it, and that nobody passes what their role allows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.ceilings import CLASSES, least
from bot.core.commands import Options
from bot.core.labels import Applied, read
from bot.core.limits import KINDS, MOST, lowered, resolve
from bot.core.money import Usd
from bot.core.roles import Role

entitled = st.sampled_from([Role.WRITE, Role.MAINTAIN, Role.ADMIN])
dollars = st.integers(1, 500).map(lambda n: Usd.parse(str(n)))
labels = st.lists(
    st.builds(
        Applied,
        dollars.map(lambda usd: f"agent:cost={usd}".replace(",", "")),
        st.just("someone"),
        st.sampled_from(list(Role)),
        st.booleans(),
    ),
    max_size=3,
)


def cost(
    asked: str | None, *given_labels: tuple[str, Role], role: Role = Role.WRITE, of: str = "default"
) -> tuple[str, str]:
    applied = [Applied(name, "ada", labeler) for name, labeler in given_labels]
    options = Options(cost=Usd.parse(asked) if asked else None)
    resolved = resolve(of, options, read(applied), role)
    return str(resolved.ceilings.usd), resolved.sources["usd"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(cost(None), ("$10.00", "class default"), id="nothing set: the class"),
        pytest.param(cost(None, of="bugfix"), ("$5.00", "class bugfix"), id="another class"),
        pytest.param(cost("3"), ("$3.00", "comment"), id="the comment"),
        pytest.param(cost("50"), ("$20.00", "comment"), id="the comment, clamped to the most for write"),
        pytest.param(cost("50", role=Role.ADMIN), ("$50.00", "comment"), id="an admin may more"),
        pytest.param(
            cost(None, ("agent:cost=$80", Role.ADMIN)),
            ("$80.00", "label by ada (admin)"),
            id="an admin's label",
        ),
        pytest.param(
            cost("3", ("agent:cost=$80", Role.ADMIN)), ("$3.00", "comment"), id="a comment lowers it"
        ),
        pytest.param(
            cost("90", ("agent:cost=$80", Role.ADMIN)),
            ("$80.00", "label by ada (admin)"),
            id="and does not raise it",
        ),
        pytest.param(
            cost("90", ("agent:cost=$80", Role.ADMIN), role=Role.ADMIN),
            ("$90.00", "comment"),
            id="an equal may",
        ),
        pytest.param(
            cost(None, ("agent:cost=$80", Role.WRITE)), ("$20.00", "label by ada (write)"), id="clamped"
        ),
        pytest.param(
            cost(None, ("agent:cost=$80", Role.TRIAGE)), ("$10.00", "class default"), id="triage: not up"
        ),
        pytest.param(
            cost(None, ("agent:cost=$2", Role.TRIAGE)), ("$2.00", "label by ada (triage)"), id="triage: down"
        ),
        pytest.param(
            cost("4", ("agent:cost=$2", Role.TRIAGE)), ("$4.00", "comment"), id="above a triager's label"
        ),
        pytest.param(
            cost("20", ("agent:cost=$4", Role.ADMIN), ("agent:cost=$3", Role.WRITE)),
            ("$4.00", "label by ada (admin)"),
            id="a lower label of one's own opens no way past an admin's",
        ),
        pytest.param(
            cost("20", ("agent:cost=$4", Role.ADMIN), ("agent:cost=$2", Role.TRIAGE)),
            ("$4.00", "label by ada (admin)"),
            id="nor does a triager's",
        ),
        pytest.param(
            cost("4", ("agent:cost=$5", Role.ADMIN), ("agent:cost=$3", Role.WRITE)),
            ("$4.00", "comment"),
            id="up to an admin's label a comment may",
        ),
        pytest.param(
            cost(None, ("agent:cost=$80", Role.ADMIN), ("agent:cost=$30", Role.TRIAGE)),
            ("$30.00", "label by ada (triage)"),
            id="a triager lowers what an admin raised",
        ),
        pytest.param(
            cost(None, ("agent:cost=$9", Role.ADMIN), ("agent:cost=$4", Role.ADMIN)),
            ("$4.00", "label by ada (admin)"),
            id="of two the lower one",
        ),
        pytest.param(
            cost(None, ("agent:cost=lots", Role.ADMIN)), ("$10.00", "class default"), id="a wrong label"
        ),
    ],
)
def test_a_ceilings_source(found: tuple[str, str], expected: tuple[str, str]) -> None:
    assert found == expected


@given(st.none() | dollars, labels, entitled)
def test_nobody_passes_the_most_of_whoever_set_it(
    asked: Usd | None, applied: list[Applied], role: Role
) -> None:
    resolved = resolve("default", Options(cost=asked), read(applied), role)
    setters = [role] + [a.role for a in applied if not a.by_app and a.role >= Role.WRITE]
    assert resolved.ceilings.usd <= MOST[max(setters)].usd
    assert resolved.ceilings.usd > Usd(0)


@given(st.none() | dollars, labels, entitled)
def test_a_label_by_triage_bot_or_app_never_raises(
    asked: Usd | None, applied: list[Applied], role: Role
) -> None:
    weak = [a for a in applied if a.by_app or a.role < Role.WRITE]
    without = resolve("default", Options(cost=asked), read([]), role)
    assert resolve("default", Options(cost=asked), read(weak), role).ceilings.usd <= without.ceilings.usd


@given(dollars, dollars, entitled, entitled)
def test_a_comment_raises_a_label_only_from_its_labelers_role_up(
    asked: Usd, labelled: Usd, role: Role, labeler: Role
) -> None:
    label = Applied(f"agent:cost={labelled}".replace(",", ""), "ada", labeler)
    resolved = resolve("default", Options(cost=asked), read([label]), role)
    if asked > labelled and role < labeler:
        assert resolved.ceilings.usd == min(labelled, MOST[labeler].usd)
        assert resolved.clamps


@given(st.none() | dollars, labels, entitled)
def test_what_differs_from_what_was_asked_is_explained(
    asked: Usd | None, applied: list[Applied], role: Role
) -> None:
    resolved = resolve("default", Options(cost=asked), read(applied), role)
    if asked is not None and resolved.ceilings.usd != asked:
        assert any("cost" in clamp for clamp in resolved.clamps)


@given(dollars, labels, entitled)
def test_a_comment_never_passes_a_label_of_a_greater_role(
    asked: Usd, applied: list[Applied], role: Role
) -> None:
    resolved = resolve("default", Options(cost=asked), read(applied), role)
    for label in applied:
        if not label.by_app and label.role > role:
            assert resolved.ceilings.usd <= Usd.parse(label.name.partition("=")[2])


@given(labels, entitled, st.sampled_from(sorted(CLASSES)), st.sampled_from(list(Role)), st.booleans())
def test_a_class_chosen_by_triage_bot_or_app_never_raises(
    applied: list[Applied], role: Role, chosen: str, labeler: Role, by_app: bool
) -> None:
    label = Applied(f"agent:class={chosen}", "bob", labeler, by_app)
    before = resolve("default", Options(), read(applied), role).ceilings
    after = resolve("default", Options(), read([*applied, label]), role)
    if not label.raises:
        assert least(before, after.ceilings) == after.ceilings
        assert after.task_class == chosen


def test_a_ceiling_that_a_class_may_not_raise_comes_from_the_class_before() -> None:
    found = read([Applied("agent:class=sweep", "bob", Role.TRIAGE)])
    policy = {**CLASSES, "sweep": replace(CLASSES["sweep"], steps=30)}
    resolved = resolve("default", Options(), found, Role.WRITE, classes=policy)
    assert (resolved.ceilings.steps, resolved.sources["steps"]) == (30, "class sweep")
    assert (resolved.ceilings.seconds, resolved.sources["seconds"]) == (1_200, "class default")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(wall=7_200), "wall: 2h (comment) is above 30m, the most for write"),
        (Options(tokens=5_000_000), "tokens: 5,000,000 (comment) is above 1,000,000, the most for write"),
    ],
)
def test_a_clamp_is_one_line_in_the_units_that_were_asked_in(options: Options, says: str) -> None:
    (clamp,) = resolve("default", options, read([]), Role.WRITE).clamps
    assert clamp.startswith(says)


def test_a_comment_or_else_a_label_names_the_budget_line() -> None:
    label = read([Applied("agent:line=refresh", "ada", Role.ADMIN)])
    assert resolve("default", Options(), label, Role.WRITE).line == "refresh"
    assert resolve("default", Options(line="evals"), label, Role.WRITE).line == "evals"
    assert resolve("default", Options(), read([]), Role.WRITE).line == ""


def test_labels_choose_class_and_engine_where_the_comment_does_not() -> None:
    found = read(
        [Applied("agent:class=feature", "ada", Role.ADMIN), Applied("agent:engine=aider", "ada", Role.ADMIN)]
    )
    resolved = resolve("default", Options(), found, Role.WRITE)
    assert (resolved.task_class, resolved.engine) == ("feature", "aider")
    assert resolved.ceilings.steps == CLASSES["feature"].steps
    assert resolve("bugfix", Options(engine="opus"), found, Role.WRITE).engine == "opus"
    assert resolve("bugfix", Options(), found, Role.WRITE).task_class == "bugfix"


def test_every_kind_of_ceiling_can_be_set_by_a_label() -> None:
    names = ["agent:cost=$9", "agent:tokens=7k", "agent:steps=5", "agent:wall=3m", "bug", "agent:color=red"]
    found = read([Applied(name, "ada", Role.ADMIN) for name in names])
    ceilings = resolve("default", Options(), found, Role.WRITE).ceilings
    assert (ceilings.usd, ceilings.tokens, ceilings.steps, ceilings.seconds) == (
        Usd.parse("9"),
        7_000,
        5,
        180,
    )
    assert [note for note in found.notes if "color" in note]


# -- a live run --

FIVE = resolve("bugfix", Options(), read([]), Role.WRITE)


def changed(
    name: str, role: Role, added: bool, *others: Applied, asked: str | None = None
) -> tuple[str, ...]:
    """Dollars and notes of a live $5 bugfix run after a label was put on, or taken off."""
    options = Options(cost=Usd.parse(asked) if asked else None)
    held = resolve(
        "bugfix", options, read([*others] if added else [Applied(name, "ada", role), *others]), Role.WRITE
    )
    now = resolve(
        "bugfix", options, read([*([Applied(name, "ada", role)] if added else []), *others]), Role.WRITE
    )
    found = lowered(held.ceilings, held.sources, now, name, added)
    return str(found.ceilings.usd), *found.notes


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            changed("agent:cost=$2", Role.ADMIN, True),
            ("$2.00", "cost: lowered from $5.00 to $2.00 while it ran: label by ada (admin)"),
            id="a lower label lowers",
        ),
        pytest.param(
            changed("agent:cost=$2", Role.TRIAGE, True),
            ("$2.00", "cost: lowered from $5.00 to $2.00 while it ran: label by ada (triage)"),
            id="anybody's does",
        ),
        pytest.param(
            changed("agent:cost=$20", Role.ADMIN, True),
            (
                "$5.00",
                "cost: with `agent:cost=$20` it would be $20.00, but no live run is raised; `/agent resume` "
                "takes it up afterwards",
            ),
            id="a higher one raises nothing",
        ),
        pytest.param(
            changed("agent:cost=$20", Role.TRIAGE, True),
            (
                "$5.00",
                "cost: `agent:cost=$20` may only lower the $5.00 of class bugfix: label by ada (triage)",
            ),
            id="a triager's would not raise anything either",
        ),
        pytest.param(
            changed("agent:cost=$2", Role.ADMIN, False),
            (
                "$2.00",
                "cost: without `agent:cost=$2` it would be $5.00, but no live run is raised; `/agent resume` "
                "takes it up afterwards",
            ),
            id="taking a lower one off raises nothing",
        ),
        pytest.param(
            changed("agent:cost=$20", Role.ADMIN, False),
            ("$5.00", "cost: lowered from $20.00 to $5.00 while it ran: class bugfix"),
            id="taking a higher one off lowers",
        ),
        pytest.param(
            changed("agent:cost=$20", Role.ADMIN, False, asked="8"),
            ("$8.00",),
            id="what the comment asked for still holds",
        ),
        pytest.param(changed("agent:steps=90", Role.TRIAGE, False), ("$5.00",), id="nothing comes of it"),
    ],
)
def test_a_label_that_changes_lowers_a_live_run_and_never_raises_it(
    found: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert found == expected


@given(labels, labels, st.sampled_from(sorted(CLASSES)), st.booleans())
def test_whatever_happens_to_labels_no_ceiling_of_a_live_run_goes_up(
    before: list[Applied], after: list[Applied], task_class: str, added: bool
) -> None:
    held = resolve(task_class, Options(), read(before), Role.WRITE)
    now = resolve(task_class, Options(), read(after), Role.WRITE)
    found = lowered(held.ceilings, held.sources, now, "agent:cost=$1", added)
    assert found.ceilings == least(held.ceilings, now.ceilings)
    for name, _ in KINDS:
        came_down = getattr(found.ceilings, name) < getattr(held.ceilings, name)
        assert found.sources[name] == (now if came_down else held).sources[name]
    again = lowered(found.ceilings, found.sources, now, "agent:cost=$1", added)
    assert again.ceilings == found.ceilings, "twice is once"
