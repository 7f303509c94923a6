"""Which labels mean us, which of them count, and that none is left out in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.labels import KINDS, Applied, ours, read
from bot.core.money import Usd
from bot.core.roles import Role

names = st.one_of(
    st.text(max_size=50),
    st.text(max_size=44).map(lambda text: f"agent:{text}"),
    st.tuples(st.sampled_from(KINDS), st.text(alphabet="$019.kMmhs-eopus@`", max_size=20)).map(
        lambda pair: f"agent:{pair[0]}={pair[1]}"
    ),
)
applied = st.lists(st.builds(Applied, names, st.just("ada"), st.sampled_from(list(Role)), st.booleans()))


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("agent:cost=$10", "cost", Usd.parse("10")),
        ("agent:cost=2.50", "cost", Usd.parse("2.50")),
        ("agent:tokens=800k", "tokens", 800_000),
        ("agent:steps=50", "steps", 50),
        ("agent:wall=20m", "wall", 1_200),
        ("agent:class=feature", "class", "feature"),
        ("agent:line=evals", "line", "evals"),
        ("agent:engine=aider", "engine", "aider"),
        ("Agent:Cost=$10", "cost", Usd.parse("10")),
        ("agent: cost = $10", "cost", Usd.parse("10")),
    ],
)
def test_a_label_of_each_kind_is_read(name: str, kind: str, value: object) -> None:
    found = read([Applied(name, "ada", Role.ADMIN), Applied("bug", "ada", Role.ADMIN)])
    assert {of: setting.value for of, setting in found.settings.items()} == {kind: value}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("agent:cost=lots", "is not an amount of dollars"),
        ("agent:cost=0", "is not an amount of dollars"),
        ("agent:cost=$٣", "is not an amount of dollars"),
        ("agent:cost", "is not an amount of dollars"),
        ("agent:cost=$10 ceiling", "is not an amount of dollars"),
        ("agent:tokens=-5", "is not a whole number"),
        ("agent:steps=1e3", "is not a whole number"),
        ("agent:wall=20", "is not a time"),
        ("agent:class=huge", "is none of default, bugfix"),
        ("agent:engine=cursor", "is none of opus"),
        ("agent:line=../x", "is not a name"),
        ("agent:color=red", "there is no `color`"),
        ("agent:", "there is no"),
    ],
)
def test_a_label_that_cannot_be_read_is_named_with_what_is_wrong(name: str, says: str) -> None:
    found = read([Applied(name, "ada", Role.ADMIN)])
    assert found.settings == {}
    assert len(found.notes) == 1
    assert says in found.notes[0]
    assert name.removeprefix("agent:").split("=")[0].strip() in found.notes[0]


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("agent:cost=$4", "agent:cost=$20"),
        ("agent:tokens=9k", "agent:tokens=10k"),
        ("agent:wall=90s", "agent:wall=2m"),
        ("agent:class=bugfix", "agent:class=refactor"),
        ("agent:class=bugfix", "agent:class=default"),
    ],
)
def test_of_two_of_a_kind_the_lower_one_counts_in_any_order_and_a_note_says_so(
    lower: str, higher: str
) -> None:
    one, other = Applied(lower, "ada", Role.ADMIN), Applied(higher, "bob", Role.WRITE)
    for labels in ([one, other], [other, one]):
        found = read(labels)
        (setting,) = found.settings.values()
        assert setting.label == one
        assert all(name in found.notes[0] for name in (lower, higher))


@pytest.mark.parametrize("name", ["bug", "agent", "agents:cost=$5", "my agent:cost=$5", ""])
def test_other_labels_are_none_of_our_business(name: str) -> None:
    assert not ours(name)
    assert read([Applied(name)]).notes == ()


@pytest.mark.parametrize(
    ("then", "now", "role", "by"),
    [
        pytest.param(None, Role.WRITE, Role.WRITE, "(write)", id="nobody told us at the time"),
        pytest.param(Role.ADMIN, Role.ADMIN, Role.ADMIN, "(admin)", id="the same"),
        pytest.param(Role.TRIAGE, Role.ADMIN, Role.TRIAGE, "(triage then)", id="promoted since"),
        pytest.param(Role.ADMIN, Role.READ, Role.READ, "(read now)", id="who has lost their role since"),
    ],
)
def test_a_label_counts_with_the_lesser_of_the_role_then_and_now(
    then: Role | None, now: Role, role: Role, by: str
) -> None:
    label = Applied.of("agent:cost=$9", "ada", then, now)
    assert (label.role, label.by) == (role, f"label by ada {by}")


def test_of_very_many_of_a_kind_the_lowest_counts_and_a_few_are_named() -> None:
    found = read([Applied(f"agent:steps={n}", "ada", Role.ADMIN) for n in range(90, 0, -1)])
    assert found.settings["steps"].value == 1
    [note] = found.notes
    assert "and 85 more" in note
    assert len(note) < 300


@given(applied)
def test_every_label_of_ours_counts_or_is_noted(labels: list[Applied]) -> None:
    found = read(labels)
    counted = {setting.label.name for setting in found.settings.values()}
    for label in labels:
        if ours(label.name) and label.name not in counted:
            assert found.notes


@given(applied)
def test_the_notes_tag_nobody_and_hide_nothing(labels: list[Applied]) -> None:
    for note in read(labels).notes:
        assert "\n" not in note
        assert note.count("`") % 2 == 0
        assert not any(f"@{letter}" in note for letter in "abcdefghijklmnopqrstuvwxyz")
        assert "<!--" not in note
