"""Runs: opened once for a comment, claimed once for an attempt, ended once (L1, L2, L5).

Every transition is one conditional UPDATE; its return value says whether it was this call that made it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from bot.core.ceilings import Reason
from bot.core.money import Usd
from bot.core.offers import BROKEN_OFF
from bot.core.pieces import Piece
from bot.core.prices import same_model
from bot.core.reports import Check, Report, Resumed, Turn
from bot.core.run_tokens import for_agent
from bot.core.sizes import Size
from bot.core.times import MINUTE_MS
from bot.stores.database import Database
from bot.stores.run_rows import LAPTOP, SERVED, NewRun, Run, from_row, limit_columns, turn_of
from bot.stores.switch import record
from bot.stores.tables import CHARGED, LIVE, blobs, runs, sweeps, turns

LEASE_MS = 90_000  # of a runner; it calls at least every 20 s
CLAIM_MS = 15 * MINUTE_MS  # a dispatched workflow that has not claimed by then never will


def new_id() -> str:
    return secrets.token_hex(6)


def new_token() -> str:
    """`run_` and 256 bits. Shown once, stored as its hash."""
    return "run_" + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is stored of a runner's token: the hash of the agent's that is made of it."""
    return agent_token_hash(for_agent(token))


def agent_token_hash(token: str) -> str:
    """The same, of the agent's own."""
    return hashlib.sha256(token.encode()).hexdigest()


class Runs:
    def __init__(self, database: Database) -> None:
        self.database = database

    def open(self, new: NewRun) -> bool:
        """Insert it in state `open`; False if its comment has a run (L2) or its thread a live one (L3)."""
        with self.database.begin() as tx:
            return self.open_in(tx, new)

    def open_in(self, tx: sa.Connection, new: NewRun, *, queued: bool = False) -> bool:
        """The same inside a transaction; `queued`: it waits in line first."""
        if not new.sweep and _swept(tx, new):
            return False
        insert = self.database.insert(runs)
        values = {
            "id": new.id,
            "origin": new.origin,
            "installation": new.installation,
            "repository_id": new.repository_id,
            "repository": new.repository,
            "thread": new.thread,
            "thread_kind": new.thread_kind,
            "comment_kind": new.comment_kind,
            "comment_id": new.comment_id,
            "actor": new.actor,
            "actor_id": new.actor_id,
            "month": new.month,
            "line": new.line,
            "sweep": new.sweep,
            "item": new.item,
            "key_name": new.key_name,
            "opened_by": new.opened_by,
            "branch": new.branch,
            "task_class": new.task_class,
            "engine": new.engine,
            "model": new.model,
            "effort": new.effort,
            "task": new.task,
            "snapshot": json.dumps(new.snapshot),
            **limit_columns(new),
            "opened_at": self.database.now,
            **self._begins(queued),
            "price_book": new.price_book,
        }
        made = tx.execute(insert.values(values).on_conflict_do_nothing().returning(runs.c.id))
        return made.first() is not None

    def get(self, run: str) -> Run | None:
        with self.database.read() as tx:
            row = tx.execute(sa.select(runs).where(runs.c.id == run)).mappings().first()
        return from_row(row) if row else None

    def claim(self, run: str, attempt: int, hashed_token: str, workflow_run_id: int | None = None) -> bool:
        """Bind (run, attempt) to one workflow run and start its clock; the same one may claim again (L5)."""
        now = self.database.now
        mine = sa.or_(runs.c.workflow_run_id.is_(None), runs.c.workflow_run_id == workflow_run_id)
        values: dict[str, Any] = {
            "state": "running",
            "token_hash": hashed_token,
            "workflow_run_id": workflow_run_id,
            "started_at": sa.func.coalesce(runs.c.started_at, now - runs.c.earlier_ms),
            "deadline_at": sa.func.coalesce(
                runs.c.deadline_at, now - runs.c.earlier_ms + runs.c.ceiling_seconds * 1000
            ),
            "lease_until_at": now + LEASE_MS,
        }
        claimed = (
            sa.update(runs)
            .where(runs.c.id == run, runs.c.attempt == attempt)
            .where(sa.or_(runs.c.state == "open", sa.and_(runs.c.state == "running", mine)))
            .where(mine if workflow_run_id is not None else sa.true())
            .values(values)
        )
        with self.database.begin() as tx:
            return tx.execute(claimed).rowcount == 1

    def end(
        self,
        run: str,
        state: str,
        *,
        reason: Reason | None = None,
        message: str = "",
        attempt: int | None = None,
    ) -> bool:
        """Move a live run to its end; False if it had ended already, for the first word stands, or if
        `attempt` is over and another one goes on."""
        mine = sa.true() if attempt is None else runs.c.attempt == attempt
        ended = (
            sa.update(runs)
            .where(runs.c.id == run, mine, runs.c.state.in_(LIVE))
            .values(state=state, reason=reason, message=message, ended_at=self.database.now)
        )
        with self.database.begin() as tx:
            return tx.execute(ended).rowcount == 1

    def dispatched(self, run: str, workflow_run_id: int | None, url: str | None) -> None:
        """Its workflow is on its way; GitHub may not say yet which run it is, then the claim does (L5)."""
        values: dict[str, Any] = {"dispatched_at": sa.func.coalesce(runs.c.dispatched_at, self.database.now)}
        if workflow_run_id is not None:
            values["workflow_run_id"] = sa.func.coalesce(runs.c.workflow_run_id, workflow_run_id)
        if url:
            values["workflow_url"] = url
        with self.database.begin() as tx:
            tx.execute(sa.update(runs).where(runs.c.id == run).values(values))

    def finished(self, run: str, attempt: int) -> None:
        """The last report of that attempt stands; nothing for one that a further attempt has gone on from."""
        at = sa.func.coalesce(runs.c.finished_at, self.database.now)
        over = sa.update(runs).where(runs.c.id == run, runs.c.attempt == attempt)
        with self.database.begin() as tx:
            tx.execute(over.values(finished_at=at))

    def settle(
        self, run: str, attempt: int, how: str, who: str, story: str, let_through: Sequence[str] = ()
    ) -> bool:
        """Take its partial work, to be `accepted` or `discarded`; True for one story only, however often.

        Only of an attempt whose last report stands; afterwards nobody else may take it or go on from it.
        Kept in the audit log, with what `who` has let through.
        """
        free = sa.and_(
            runs.c.settled_as.is_(None),
            runs.c.attempt == attempt,
            runs.c.state.not_in(LIVE),
            runs.c.finished_at.is_not(None),
        )
        mine = sa.select(runs.c.id).filter_by(id=run, settled_as=how, settled_in=story)
        taken = sa.update(runs).where(runs.c.id == run, free)
        with self.database.begin() as tx:
            if tx.execute(taken.values(settled_as=how, settled_by=who, settled_in=story)).rowcount == 1:
                about = {"run": run, "attempt": attempt, "let_through": list(let_through)}
                record(tx, self.database, who, how, _repository(tx, run), about)
                return True
            return tx.execute(mine).first() is not None

    def unsettle(self, run: str, story: str) -> None:
        """It could not be done after all: the work is as free as before."""
        mine = sa.and_(runs.c.id == run, runs.c.settled_in == story)
        freed = sa.update(runs).where(mine).values(settled_as=None, settled_by=None, settled_in=None)
        with self.database.begin() as tx:
            who = tx.execute(sa.select(runs.c.settled_by).where(mine)).scalar()
            if who is not None and tx.execute(freed).rowcount == 1:
                record(tx, self.database, who, "could not be settled", _repository(tx, run), {"run": run})

    def live_in(self, installation: int, repositories: Collection[int] | None) -> list[str]:
        """The live runs of an installation; of these repositories, or of all."""
        here = sa.and_(runs.c.installation == installation, runs.c.state.in_(LIVE))
        if repositories is not None:
            here = sa.and_(here, runs.c.repository_id.in_(repositories))
        with self.database.read() as tx:
            return list(tx.execute(sa.select(runs.c.id).where(here).order_by(runs.c.id)).scalars())

    def latest(self) -> str | None:
        """The run that was opened last: for the state of one machine, which holds one."""
        with self.database.read() as tx:
            row = tx.execute(sa.select(runs.c.id).order_by(runs.c.opened_at.desc()).limit(1)).first()
        return str(row[0]) if row else None

    def reopen(self, run: str, attempt: int, new: NewRun, resumed: dict[str, Any] | None = None) -> bool:
        """See `reopen_in`."""
        try:
            with self.database.begin() as tx:
                return self.reopen_in(tx, run, attempt, new, resumed)
        except sa.exc.IntegrityError:
            return False

    def reopen_in(
        self,
        tx: sa.Connection,
        run: str,
        attempt: int,
        new: NewRun,
        resumed: dict[str, Any] | None = None,
        *,
        queued: bool = False,
    ) -> bool:
        """A further attempt as `new` has it; False unless `attempt` is the last and over, and no other run of
        its thread is live (L3: IntegrityError).

        Spent counts on and so does its time, but not the time between attempts (G7, L4). `resumed`: who asked
        for it and with which words.
        """
        last = sa.select(sa.func.max(sa.func.coalesce(turns.c.settled_at, turns.c.held_at))).where(
            turns.c.run == run
        )
        stopped = sa.func.coalesce(runs.c.ended_at, last.scalar_subquery(), runs.c.started_at)
        values = limit_columns(new) | {
            **self._begins(queued),
            "attempt": attempt + 1,
            "opened_by": new.opened_by,
            "earlier_ms": sa.func.coalesce(stopped - runs.c.started_at, runs.c.earlier_ms),
            "price_book": new.price_book,
            "resumed": json.dumps(resumed or {}),
            "message": "",
            "notice": "",
            "workflow_url": "",
            "last_lines": "[]",
            **dict.fromkeys(_OF_AN_ATTEMPT),
        }
        if new.snapshot:
            values["snapshot"] = json.dumps(new.snapshot)
        if new.repository:  # it may have been renamed since
            values["repository"] = new.repository
        # A laptop's command that came to its end may be followed by another one on the same counters.
        broken = sa.or_(runs.c.state.in_(BROKEN_OFF), runs.c.origin == LAPTOP)
        over = sa.and_(broken, runs.c.finished_at.is_not(None), runs.c.settled_as.is_(None))
        # On one machine a lock says that nothing runs any more, whatever a crash has left in the row.
        free = sa.or_(runs.c.origin.not_in(SERVED), over)
        again = sa.update(runs).where(runs.c.id == run, runs.c.attempt == attempt, free).values(values)
        return tx.execute(again).rowcount == 1

    def _begins(self, queued: bool) -> dict[str, Any]:
        """The columns of a state in which an attempt begins: in line, or open for its runner to claim."""
        if queued:
            return {"state": "queued", "queued_at": self.database.now, "lease_until_at": None}
        return {"state": "open", "queued_at": None, "lease_until_at": self.database.now + CLAIM_MS}

    def set(self, run: str, **columns: Any) -> None:
        """Facts that no other process competes for: comment id, check id, result …; JSON for dicts."""
        values = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in columns.items()}
        with self.database.begin() as tx:
            tx.execute(sa.update(runs).where(runs.c.id == run).values(values))

    def turns(self, run: str) -> tuple[Turn, ...]:
        columns = sa.select(turns).where(turns.c.run == run, turns.c.state.in_(CHARGED))
        with self.database.read() as tx:
            rows = tx.execute(columns.order_by(turns.c.id)).mappings().all()
        return tuple(turn_of(row) for row in rows)

    def report(self, run: str, *, turns: bool = True) -> Report:
        """The whole run as every door shows it, or without its turns. Raises KeyError for an unknown one."""
        row = self.get(run)
        if row is None:
            raise KeyError(run)
        check = row.result.get("check")
        return Report(
            run=row.id,
            outcome=row.state,
            reason=row.reason,
            message=row.message,
            model=row.model,
            engine=row.engine,
            ceilings=row.ceilings,
            spent=row.spent,
            cost_by=row.cost_by,
            estimated=row.estimated,
            price_book=row.price_book,
            notice=row.notice,
            clamps=row.clamps + self._answered_by_others(run),
            sources=row.sources,
            task_class=row.task_class,
            actor=row.actor,
            attempt=row.attempt,
            turns=self.turns(run) if turns else (),
            summary=row.result.get("summary", ""),
            check=Check(check["command"], check["exit_code"], check.get("output", "")) if check else None,
            published=row.published,
            isolation=row.result.get("isolation", ""),
            own=Usd.parse(own) if (own := row.result.get("own_usd")) else None,
            workflow_url=row.workflow_url,
            needed=row.needed,
            needed_tokens=row.needed_tokens,
            resumed=Resumed(row.resumed["by"], row.resumed["tokens"], Usd(row.resumed["nanos"]))
            if "by" in row.resumed
            else None,
            settled=row.settled_as or "",
            settled_by=row.settled_by or "",
            resumable=self._left_more_than_its_result(run),
            pieces=tuple(Piece(**piece) for piece in row.result.get("pieces", ())),
            sizes=tuple(Size.of_json(size) for size in row.result.get("sizes", ())),
        )

    def _left_more_than_its_result(self, run: str) -> bool:
        """Whether there is a conversation or a working tree that a further attempt can go on from (L4)."""
        kept = sa.select(blobs.c.run).where(blobs.c.run == run, blobs.c.kind != "result").limit(1)
        with self.database.read() as tx:
            return tx.execute(kept).first() is not None

    def _answered_by_others(self, run: str) -> tuple[str, ...]:
        """A note for each model that answered in place of the one asked for."""
        pairs = (
            sa.select(turns.c.model_asked, turns.c.model, sa.func.count())
            .where(
                turns.c.run == run, turns.c.state.in_(("settled", "estimated")), turns.c.model.is_not(None)
            )
            .group_by(turns.c.model_asked, turns.c.model)
        )
        with self.database.read() as tx:
            rows = tx.execute(pairs.order_by(turns.c.model_asked, turns.c.model)).all()
        return tuple(
            f"{count} of its answers came from {model}, though {asked} was asked for; priced as {model}"
            for asked, model, count in rows
            if not same_model(asked, model)
        )


def _swept(tx: sa.Connection, new: NewRun) -> bool:
    """Whether a sweep is its thread's live thing (L3). Comments of a thread are taken one by one."""
    here = sa.and_(sweeps.c.repository_id == new.repository_id, sweeps.c.thread == new.thread)
    return tx.execute(sa.select(sweeps.c.id).where(here, sweeps.c.live.is_(True))).first() is not None


def _repository(tx: sa.Connection, run: str) -> str:
    return str(tx.execute(sa.select(runs.c.repository).where(runs.c.id == run)).scalar_one())


# What the next attempt begins without.
_OF_AN_ATTEMPT = (
    "reason", "token_hash", "started_at", "deadline_at", "ended_at", "needed_nanos", "needed_tokens",
    "report_comment_id", "check_run_id", "workflow_run_id", "dispatched_at", "published", "result",
    "finishing_at", "finished_at", "reported_at", "reported_digest", "reporting_until_at",
)  # fmt: skip
