"""Pull requests as GitHub last told of them, and which runs' spend belongs to each (R17).

The rule is in `bot.core.attribution`. Whatever it goes by changes here, and in the same transaction all that
hangs together with it is attributed anew; so it does not matter in which order the word of it arrives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa

from bot.core.attribution import SECOND, Attribution, Place, Pull, Work, attribute
from bot.stores.database import Database
from bot.stores.days import attributed, attributing
from bot.stores.run_rows import LAPTOP, Run, from_row
from bot.stores.tables import attributions, closings, pulls, runs

_T = TypeVar("_T")
_AT_ONCE = 200  # places in one query


@dataclass(frozen=True, slots=True)
class Facts:
    """A pull request as GitHub has it now. Times are ms since the epoch, `closes` are issues."""

    installation: int
    repository_id: int
    repository: str
    number: int
    title: str
    author: str
    base: str
    closed: bool
    merged_at: int | None
    updated_at: int
    closes: frozenset[Place] = frozenset()
    reverts: int | None = None
    branch: str = ""  # of this repository that it was made from; "" of a fork


class Pulls:
    def __init__(self, database: Database) -> None:
        self.database = database

    def spent_on(self, repository_id: int, number: int) -> bool:
        """Whether any run was on it or made it."""
        either = sa.or_(runs.c.thread == number, runs.c.published_pull == number)
        found = sa.select(runs.c.id).where(runs.c.repository_id == repository_id, either).limit(1)
        with self.database.read() as tx:
            return tx.execute(found).first() is not None

    def record(self, facts: Facts) -> int:
        """Keep them, unless something newer is known, and attribute; how many runs belong to it now."""
        place = (facts.repository_id, facts.number)
        with self._alone() as tx:
            before = _issues(tx, [place])
            self._keep(tx, facts)
            self._claim(tx, facts)
            self._attribute(tx, {place} | before | facts.closes)
            mine = sa.and_(attributions.c.repository_id == place[0], attributions.c.number == place[1])
            count = sa.select(sa.func.count()).select_from(attributions).where(mine)
            return int(tx.execute(count).scalar_one())

    def made(self, run: str, number: int) -> None:
        """A pull request was opened for a run."""
        with self._alone() as tx:
            proposed = sa.update(runs).where(runs.c.id == run).values(published_pull=number)
            where = tx.execute(proposed.returning(runs.c.repository_id)).scalar_one()
            self._attribute(tx, {(where, number)})

    def follow(self, repository_id: int, number: int) -> None:
        """Attribute anew what hangs together with this thread: a run on it may have begun after its merge."""
        with self._alone() as tx:
            self._attribute(tx, {(repository_id, number)})

    def belonging(self, repository_id: int, number: int) -> tuple[tuple[Run, str], ...]:
        """The runs that belong to a merged pull request, oldest first, each with why."""
        query = (
            sa.select(runs, attributions.c.because)
            .join(attributions, attributions.c.run == runs.c.id)
            .where(attributions.c.repository_id == repository_id, attributions.c.number == number)
            .order_by(runs.c.opened_at, runs.c.id)
        )
        with self.database.read() as tx:
            return tuple((from_row(row), row["because"]) for row in tx.execute(query).mappings())

    def last(self, repository_id: int, number: int) -> Run | None:
        """The run of the same repository that began last of those that belong to it and have a report."""
        found = (run for run, _ in self.belonging(repository_id, number) if run.origin != LAPTOP)
        here = [run for run in found if run.repository_id == repository_id]
        return here[-1] if here else None

    def concluded(self, run: str) -> Place | None:
        """The merged pull request of which this is the last run."""
        with self.database.read() as tx:
            row = tx.execute(sa.select(attributions).where(attributions.c.run == run)).first()
        if row is None:
            return None
        last = self.last(row.repository_id, row.number)
        return (row.repository_id, row.number) if last is not None and last.id == run else None

    def counted(self, repository_id: int, run_ids: Sequence[str]) -> dict[str, str]:
        """By run, which merged pull request it belongs to, as this repository may know it; none: left out."""
        found: dict[str, str] = {}
        with self.database.read() as tx:
            for some in _chunks(run_ids):
                for row in tx.execute(sa.select(attributions).where(attributions.c.run.in_(some))):
                    here = row.repository_id == repository_id
                    # In code, so that it refers to nothing; another repository's name is its own affair.
                    found[row.run] = f"for `#{row.number}`" if here else "for another repository's"
        return found

    # -- inside --

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """A transaction beside which no other one attributes: what it reads holds until it has written."""
        with self.database.begin() as tx:
            attributing(tx, self.database)
            yield tx

    def _keep(self, tx: sa.Connection, facts: Facts) -> None:
        values = {column.name: getattr(facts, column.name) for column in pulls.columns}
        newer = self.database.insert(pulls).values(values).on_conflict_do_update(
            index_elements=[pulls.c.repository_id, pulls.c.number],
            set_=values,
            where=pulls.c.updated_at <= facts.updated_at,
        )  # fmt: skip
        if tx.execute(newer.returning(pulls.c.number)).first() is None:
            return
        of_it = sa.and_(closings.c.repository_id == facts.repository_id, closings.c.number == facts.number)
        tx.execute(sa.delete(closings).where(of_it))
        for repository_id, number in sorted(facts.closes):
            of_issue = {"issue_repository_id": repository_id, "issue_number": number}
            closing = sa.insert(closings).values(
                repository_id=facts.repository_id, number=facts.number, **of_issue
            )
            tx.execute(closing)

    @staticmethod
    def _claim(tx: sa.Connection, facts: Facts) -> None:
        """Runs of laptops on its branch, which had no pull request then, are on the first that is merged."""
        if not facts.branch or facts.merged_at is None:
            return
        free = sa.and_(runs.c.origin == LAPTOP, runs.c.published_pull.is_(None))
        here = sa.and_(runs.c.repository_id == facts.repository_id, runs.c.branch == facts.branch)
        begun = runs.c.opened_at < facts.merged_at + SECOND
        tx.execute(sa.update(runs).where(free, here, begun).values(published_pull=facts.number))

    def _attribute(self, tx: sa.Connection, seeds: set[Place]) -> None:
        known, works = _together(tx, seeds)
        belongs = attribute(known, works)
        stands: dict[str, Attribution] = {}
        for some in _chunks([work.run for work in works]):
            rows = tx.execute(sa.select(attributions).where(attributions.c.run.in_(some)))
            stands |= {row.run: Attribution((row.repository_id, row.number), row.because) for row in rows}
        for run in stands.keys() - belongs.keys():
            tx.execute(sa.delete(attributions).where(attributions.c.run == run))
            attributed(tx, run, stands[run].place, None)
        for run, to in belongs.items():
            if stands.get(run) != to:
                values = {"repository_id": to.place[0], "number": to.place[1], "because": to.because}
                given = self.database.insert(attributions).values(run=run, **values)
                tx.execute(given.on_conflict_do_update(index_elements=[attributions.c.run], set_=values))
                attributed(tx, run, stands[run].place if run in stands else None, to.place)


def _together(tx: sa.Connection, seeds: set[Place]) -> tuple[list[Pull], list[Work]]:
    """Everything that hangs together with these threads by closing, by making or by being run on."""
    places: set[Place] = set()
    works: dict[str, Work] = {}
    closes: dict[Place, set[Place]] = {}
    edge = seeds
    while edge:
        places |= edge
        found: set[Place] = set()
        for some in _chunks(sorted(edge)):
            for work in _works(tx, some):
                works[work.run] = work
                found |= {work.thread} | ({work.made} if work.made else set())
            for pull, issue in _closings(tx, some):
                closes.setdefault(pull, set()).add(issue)
                found |= {pull, issue}
        edge = found - places
    known = [
        Pull(
            (row.repository_id, row.number),
            row.installation,
            row.base,
            row.merged_at,
            row.closed,
            frozenset(closes.get((row.repository_id, row.number), ())),
        )
        for some in _chunks(sorted(places))
        for row in tx.execute(sa.select(pulls).where(_at(pulls.c.repository_id, pulls.c.number, some)))
    ]
    return known, list(works.values())


def _works(tx: sa.Connection, places: Sequence[Place]) -> Iterator[Work]:
    on = _at(runs.c.repository_id, runs.c.thread, places)
    made = _at(runs.c.repository_id, runs.c.published_pull, places)
    query = sa.select(
        runs.c.id,
        runs.c.origin,
        runs.c.installation,
        runs.c.repository_id,
        runs.c.thread,
        runs.c.thread_kind,
        runs.c.opened_at,
        runs.c.published_pull,
        runs.c.snapshot,
        runs.c.sweep,
    )
    for row in tx.execute(query.where(sa.or_(on, made))):
        thread, pull = (row.repository_id, row.thread), row.published_pull
        if row.origin == LAPTOP:  # it has no thread, and its branch was that pull request's
            thread, pull = (row.repository_id, pull), None
        branch = ""
        if pull is not None and row.thread_kind == "pull":
            branch = str(json.loads(row.snapshot).get("head", {}).get("ref", ""))
        made_it = None if pull is None else (row.repository_id, pull)
        yield Work(row.id, row.installation or 0, thread, row.opened_at, made_it, branch, row.sweep != "")


def _issues(tx: sa.Connection, places: Sequence[Place]) -> set[Place]:
    return {issue for pull, issue in _closings(tx, places) if pull in places}


def _closings(tx: sa.Connection, places: Sequence[Place]) -> Iterator[tuple[Place, Place]]:
    """Pull requests and the issues that they close, where either is among these."""
    pull = _at(closings.c.repository_id, closings.c.number, places)
    issue = _at(closings.c.issue_repository_id, closings.c.issue_number, places)
    for row in tx.execute(sa.select(closings).where(sa.or_(pull, issue))):
        yield (row.repository_id, row.number), (row.issue_repository_id, row.issue_number)


def _at(
    repository: sa.Column[int], number: sa.Column[int], places: Sequence[Place]
) -> sa.ColumnElement[bool]:
    return sa.tuple_(repository, number).in_(places)


def _chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
