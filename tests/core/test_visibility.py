"""Who may see what: every cell of the table, and that more rights never show less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.places import Repo
from bot.core.roles import Role
from bot.core.visibility import Access, Sight, Viewers, sight, themselves

ME, OTHER = 1, 2
A, B, ELSEWHERE = 10, 20, 30  # two repositories of the App's, and one where the viewer has no role
POLICY = Viewers(Role.MAINTAIN, frozenset({"lead"}), frozenset({"boss"}))


def seen(a: Role, b: Role = Role.NONE, login: str = "me", viewers: Viewers = POLICY) -> Sight | None:
    access = [Access(Repo(1, id, f"o/{id}"), role) for id, role in ((A, a), (B, b))]
    return sight(ME, login, access, viewers)


# Each row: who; then what they see of their own month, of another's month in A, in B and as a whole (caps
# with it), of the sums of A and of B, and whether a task in a repository that they may not read has its name.
CELLS = [
    ("nobody's member", seen(Role.NONE), "- - - - - - -"),
    ("named, but no member", seen(Role.NONE, login="lead"), "- - - - - - -"),
    ("reads A", seen(Role.READ), "x - - - x - -"),
    ("triages A", seen(Role.TRIAGE), "x - - - x - -"),
    ("writes A", seen(Role.WRITE), "x - - - x - -"),
    ("maintains A", seen(Role.MAINTAIN), "x x - - x - -"),
    ("administers A", seen(Role.ADMIN), "x x - - x - -"),
    ("maintains A, reads B", seen(Role.MAINTAIN, Role.READ), "x x - - x x -"),
    ("maintains both", seen(Role.MAINTAIN, Role.ADMIN), "x x x - x x -"),
    ("named, reads A", seen(Role.READ, login="Lead"), "x x x x x - -"),
    ("administers, nobody is a viewer", seen(Role.ADMIN, viewers=Viewers()), "x - - - x - -"),
    ("a token of their own", themselves(ME), "x - - - - - -"),
]


def cells(what: Sight | None) -> list[bool]:
    if what is None:
        return [False] * 7

    def month_in(person: int, repository: int) -> bool:
        where = what.figures_of(person)
        return where is None or repository in where

    return [
        month_in(ME, A) and month_in(ME, ELSEWHERE) and what.months_of(ME),
        month_in(OTHER, A),
        month_in(OTHER, B),
        month_in(OTHER, ELSEWHERE) and what.months_of(OTHER),
        A in what.readable,
        B in what.readable,
        what.name(ELSEWHERE),
    ]


@pytest.mark.parametrize(("what", "row"), [row[1:] for row in CELLS], ids=[row[0] for row in CELLS])
def test_each_cell_of_who_may_see_what(what: Sight | None, row: str) -> None:
    assert cells(what) == [cell == "x" for cell in row.split()]


@pytest.mark.parametrize(
    ("login", "a", "b", "may"),
    [
        pytest.param("boss", Role.ADMIN, Role.NONE, True, id="named, administers one"),
        pytest.param("Boss", Role.READ, Role.ADMIN, True, id="named in any case, administers the other"),
        pytest.param("boss", Role.MAINTAIN, Role.MAINTAIN, False, id="named, administers none"),
        pytest.param("lead", Role.ADMIN, Role.ADMIN, False, id="sees everybody, administers all, not named"),
        pytest.param("me", Role.ADMIN, Role.ADMIN, False, id="administers all, not named"),
    ],
)
def test_who_looked_is_seen_by_who_is_named_and_administers(login: str, a: Role, b: Role, may: bool) -> None:
    what = seen(a, b, login)
    assert what is not None
    assert what.admin is may


def test_nobody_is_an_admin_where_nobody_is_named_nor_by_a_token_of_their_own() -> None:
    what = seen(Role.ADMIN, login="boss", viewers=Viewers())
    assert what is not None
    assert not what.admin
    assert not themselves(ME).admin


def test_how_a_line_stands_is_seen_by_its_members_and_by_who_sees_everybody() -> None:
    reader, lead = seen(Role.READ), seen(Role.READ, login="lead")
    assert reader is not None
    assert lead is not None
    assert [one.line(member) for one in (reader, lead) for member in (True, False)] == [
        True, False, True, True,
    ]  # fmt: skip


def test_whoever_sees_others_anywhere_is_said_to() -> None:
    assert [one.others for _, one, _ in CELLS if one] == [False] * 3 + [True] * 5 + [False] * 2


def test_ones_own_runs_have_their_names_wherever_they_were() -> None:
    reader = seen(Role.READ)
    assert reader is not None
    assert (reader.name(ELSEWHERE, ME), reader.name(ELSEWHERE, OTHER), reader.name(None)) == (
        True,
        False,
        True,
    )


# Each row: who; sums in A, in B and elsewhere; then told apart by person; then of a repository by its name.
SUMS = [
    ("reads A", seen(Role.READ), "x - - | - - - | x - -"),
    ("maintains A, reads B", seen(Role.MAINTAIN, Role.READ), "x x - | x - - | x x -"),
    ("named, reads A", seen(Role.READ, login="lead"), "x x x | x x x | x - -"),
    ("a token of their own", themselves(ME), "- - - | - - - | - - -"),
]


@pytest.mark.parametrize(("what", "row"), [row[1:] for row in SUMS], ids=[row[0] for row in SUMS])
def test_each_cell_of_whose_sums_are_seen_where(what: Sight, row: str) -> None:
    asked = ((False, False), (True, False), (False, True))
    found = [what.sums(by_person=by_person, named=named) for by_person, named in asked]
    cells = [["x" if where is None or id in where else "-" for id in (A, B, ELSEWHERE)] for where in found]
    assert " | ".join(" ".join(part) for part in cells) == row


ROLES = st.sampled_from(Role)


@given(ROLES, ROLES, ROLES, st.sampled_from(["me", "lead"]))
def test_a_greater_role_never_shows_less(a: Role, b: Role, more: Role, login: str) -> None:
    less, greater = cells(seen(a, b, login)), cells(seen(max(a, more), b, login))
    assert all(after or not before for before, after in zip(less, greater, strict=True))


@given(ROLES, ROLES)
def test_a_role_in_one_repository_shows_nobody_in_another(a: Role, b: Role) -> None:
    what = seen(a, b)
    if what is not None:
        assert (B in what.people_in) == (b >= Role.MAINTAIN)
        assert what.people_in <= what.readable
