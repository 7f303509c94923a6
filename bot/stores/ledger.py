"""Hold and settle: the two hot statements of the gateway, sent by the database drivers themselves.

A hold checks every ceiling and takes the worst case in one conditional UPDATE; settling replaces it by what
was used. A turn's row leaves `held` exactly once; what arrives later is a correction in a row of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bot.core.ceilings import PARTS, Reason
from bot.core.meter import WINDOW, Previous
from bot.core.prices import Cost, same_model
from bot.core.usage import Usage
from bot.stores.account import COLUMNS, Account, Ask, Hold, Settlement, from_row, whole_hold
from bot.stores.database import Database
from bot.stores.drivers import Driver, OneStatement, Send, Sqlite, patiently
from bot.stores.heard import Heard

HOLD_LEASE_MS = 60_000  # of a hold; its gateway process renews it every third of that
_MANY = 1 << 30  # more than any run has in flight
LONGEST = {"model": 100, "request_id": 100, "stop_reason": 40, "ending": 32}  # as the columns are

T = TypeVar("T")
# From the run as it is booked then: why it halts, in words; None: it goes on.
End = Callable[[Account], tuple[Reason, str] | None]


class Ledger:
    """The counters of every run. Safe from many threads; several processes may share one database."""

    def __init__(
        self, database: Database, owner: str, lease_ms: int = HOLD_LEASE_MS, connections: int = 15
    ) -> None:
        self.owner = owner
        self.lease_ms = lease_ms
        self._postgresql: OneStatement | None = None
        if database.kind == "postgresql":
            from bot.stores.postgresql import Postgresql  # with it comes psycopg: not where there is none

            self._postgresql = Postgresql(database, connections)
        self.driver: Driver = self._postgresql or Sqlite(database)
        self._heard = Heard()
        self._now = database.clock
        # Turns that this process answers for; a hold whose booking failed is not among them, and expires.
        self._live: set[int] = set()
        self._statements()

    def close(self) -> None:
        self.driver.close()

    def account(self, hashed_token: str) -> Account | None:
        """The run that a token belongs to, whatever its state."""
        rows = self.driver.read(f"SELECT {self._columns} FROM runs WHERE token_hash = ?", (hashed_token,))
        return from_row(rows[0]) if rows else None

    def account_of(self, run: str) -> Account:
        return self._look(self.driver.read, run)

    def _look(self, send: Send, run: str) -> Account:
        return from_row(send(f"SELECT {self._columns} FROM runs WHERE id = ?", (run,))[0])

    def _statements(self) -> None:
        """The hot statements, as two for a transaction and as one for PostgreSQL."""
        self._columns = f"{COLUMNS}, {self._now}"
        self._take = (
            "UPDATE runs SET held_nanos = held_nanos + ?, held_tokens = held_tokens + ?, "
            "held_cached = held_cached + ?, held_steps = held_steps + 1 "
            f"WHERE id = ? AND attempt = ? AND state = 'running' AND deadline_at > {self._now} "
            f"AND spent_nanos + held_nanos + ? <= {_within('ceiling_nanos')} "
            f"AND spent_tokens + held_tokens + ? <= {_within('ceiling_tokens')} "
            f"AND steps + held_steps + 1 <= {_within('ceiling_steps')} AND held_steps <= ? "
            "AND (ceiling_cached_tokens IS NULL "
            f"OR cache_read + held_cached + ? <= {_within('ceiling_cached_tokens')}) "
            f"RETURNING {self._columns}"
        )
        turn = (
            "INSERT INTO turns (run, attempt, state, held_at, lease_until_at, hold_nanos, hold_tokens, "
            "hold_cached, owner, max_tokens, clamped_max_tokens, model_asked, key_name, price_book, prefix)"
        )
        times = f"'held', {self._now}, {self._now} + {self.lease_ms}"
        noted = "?, ?, ?, ?, ?, CAST(? AS BIGINT), ?, ?, ?, ?"
        self._note = f"{turn} VALUES (?, ?, {times}, {noted}) RETURNING id"
        self._hold_at_once = (
            f"WITH taken AS ({self._take}), turn AS "
            f"({turn} SELECT id, attempt, {times}, {noted} FROM taken RETURNING id) "
            "SELECT turn.id, taken.* FROM turn, taken"
        )
        # The run is locked first, as everywhere; then what was read before waiting for it is looked at again.
        self._settle_at_once = (
            "WITH run AS (SELECT id FROM runs WHERE id = ? FOR UPDATE), held AS (SELECT turns.id AS turn, "
            "turns.run FROM turns, run WHERE turns.id = ? AND turns.state = 'held' FOR UPDATE OF turns), "
            f"booked AS (UPDATE runs SET {_UNHOLD}, steps = steps + 1, {_add(_RUN)} FROM held "
            f"WHERE runs.id = held.run RETURNING {self._columns}, held.turn), "
            f"moved AS (UPDATE turns SET state = ?, settled_at = {self._now}, {_assign(_TURN)}, "
            "step = booked.steps FROM booked WHERE turns.id = booked.turn) SELECT * FROM booked"
        )

    def previous(self, account: Account, prefixes: Sequence[str]) -> Previous | None:
        """The longest earlier conversation of this run that the given prefixes go on from."""
        recent = list(prefixes[-WINDOW:])
        if (known := self._heard.all_of(account)) is not None:
            return next((known[prefix] for prefix in reversed(recent) if prefix in known), None)
        marks = ", ".join("?" * len(recent))
        rows = self.driver.read(
            "SELECT prefix, input + cache_write_5m + cache_write_1h + cache_read, output, model_asked, "
            "model, cache_write_5m + cache_write_1h + cache_read, held_at "
            f"FROM turns WHERE run = ? AND state = 'settled' AND prefix IN ({marks}) "
            "ORDER BY id DESC LIMIT 100",
            (account.run, *recent),
        )
        # A refusal that was not billed told nothing of its size; another model than asked counts otherwise.
        rows = [row for row in rows if row[1] and same_model(row[3], row[4] or "")]
        found = max(rows, key=lambda row: recent.index(row[0]), default=None)
        return Previous(found[0], found[1], found[2], found[5], found[6]) if found else None

    def hold(self, run: str, attempt: int, ask: Ask) -> Hold | Account:
        """Take the worst case if it fits every ceiling; otherwise the run as it stands, nothing taken.

        Nothing is taken for an attempt that is over: a request may have waited while the run went on.
        """
        beside = 0 if ask.alone else _MANY
        take = (ask.nanos, ask.tokens, ask.cached, run, attempt, ask.nanos, ask.tokens, beside, ask.cached)
        note = (ask.nanos, ask.tokens, ask.cached, self.owner, ask.max_tokens, ask.clamped, ask.model,
                ask.key_name, ask.price_book, ask.prefix)  # fmt: skip
        if self._postgresql:
            rows = self._postgresql.once(self._hold_at_once, (*take, *note))
            if not rows:
                return self.account_of(run)
            turn, account = rows[0][0], from_row(rows[0][1:])
        else:
            with self.driver.write() as send:
                taken = send(self._take, take)
                if not taken:
                    return self._look(send, run)
                account = from_row(taken[0])
                turn = send(self._note, (run, account.attempt, *note))[0][0]
        self._live.add(turn)
        return Hold(turn, ask, account)

    def release(self, hold: Hold, status: int, ending: str) -> None:
        """Give a hold back whole: nothing was charged (G5)."""
        self._patiently(hold, lambda: self._release(hold, status, ending))

    def _release(self, hold: Hold, status: int, ending: str) -> None:
        with self.driver.write(durable=False) as send:  # lost in a crash, the hold is charged whole
            self._lock(send, hold)
            moved = send(
                f"UPDATE turns SET state = 'released', settled_at = {self._now}, status = ?, ending = ? "
                "WHERE id = ? AND state = 'held' RETURNING id",
                (status, ending, hold.turn),
            )
            if moved:
                send(
                    f"UPDATE runs SET {_UNHOLD} WHERE id = ?",
                    (hold.ask.nanos, hold.ask.tokens, hold.ask.cached, hold.account.run),
                )
            else:
                nothing = Settlement(Cost(), Usage(model=hold.ask.model), False, ending, status)
                self._correct(send, hold, nothing)

    def settle(self, hold: Hold, what: Settlement, end: End | None = None) -> Account:
        """Replace a hold by what was used; if its lease ran out meanwhile, correct what was booked then.

        `end`: why the run halts with this answer, in the same transaction: no request of another process gets
        in between, and none halts it in other words.
        """
        booked = self._patiently(hold, lambda: self._settle(hold, what, end))
        self._heard.add(hold, what)
        return booked

    def _patiently(self, hold: Hold, do: Callable[[], T]) -> T:
        """Done once, however often it is tried: a hold is replaced once, and a correction corrects once."""
        try:
            return patiently(self.driver, do)
        finally:
            self._live.discard(hold.turn)

    def _settle(self, hold: Hold, what: Settlement, end: End | None) -> Account:
        # Lost in a crash of the machine, it leaves the hold behind, which is then charged whole: nothing is
        # lost of what was spent, unless it was more than the hold.
        booked = self._book_at_once(hold, what, what.beats(hold.ask)) if end is None else None
        if booked is None:
            with self.driver.write() as send:
                booked = self._book(send, hold, what) or self._correct(send, hold, what)
                if end is not None and (why := end(booked)) is not None:
                    booked = self._end(send, booked.run, booked.attempt, *why)
        return booked

    def _book_at_once(self, hold: Hold, what: Settlement, durable: bool) -> Account | None:
        """`_book` in its usual case; None if the turn is no longer held."""
        if not self._postgresql:
            with self.driver.write(durable) as send:
                return self._book(send, hold, what)
        booked = _booked(what)
        rows = self._postgresql.once(
            self._settle_at_once,
            (
                hold.account.run,
                hold.turn,
                hold.ask.nanos,
                hold.ask.tokens,
                hold.ask.cached,
                *(booked[n] for n in _RUN.values()),
                "estimated" if what.estimated else "settled",
                *(booked[n] for n in _TURN),
            ),
            durable,
        )
        return from_row(rows[0][:-1]) if rows else None

    def _book(self, send: Send, hold: Hold, what: Settlement, still: str = "") -> Account | None:
        """Replace a hold by what was used; None if it is no longer held (or no longer `still` so)."""
        self._lock(send, hold)
        booked = _booked(what)
        moved = send(
            f"UPDATE turns SET state = ?, settled_at = {self._now}, {_assign(_TURN)}, "
            "step = (SELECT steps + 1 FROM runs WHERE id = run) "
            f"WHERE id = ? AND state = 'held' {still} RETURNING id",
            ("estimated" if what.estimated else "settled", *(booked[name] for name in _TURN), hold.turn),
        )
        if not moved:
            return None
        held = (hold.ask.nanos, hold.ask.tokens, hold.ask.cached)
        rows = send(
            f"UPDATE runs SET {_UNHOLD}, steps = steps + 1, {_add(_RUN)} WHERE id = ? "
            f"RETURNING {self._columns}",
            (*held, *(booked[name] for name in _RUN.values()), hold.account.run),
        )
        return from_row(rows[0])

    def _correct(self, send: Send, hold: Hold, what: Settlement) -> Account:
        # The orphan was charged at its hold. The truth came late: a new row carries the difference.
        if what.estimated:  # that is no truth: one upper bound does not correct another
            return self._look(send, hold.account.run)
        old = send(
            f"SELECT {', '.join(_SUMS)} FROM turns WHERE (id = ? OR corrects = ?) "
            "AND state IN ('estimated', 'corrected')",
            (hold.turn, hold.turn),
        )
        if not old:  # it was not charged as an orphan: what is booked is the truth already
            return self._look(send, hold.account.run)
        booked = _booked(what)
        difference = {n: booked[n] - sum(row[i] for row in old) for i, n in enumerate(_SUMS)}
        # Only the first correction takes back the estimate.
        estimate = sum(row[0] for row in old) if len(old) == 1 else 0
        row = {**booked, **difference, "estimated": -estimate}
        copied = "held_at, lease_until_at, owner, max_tokens, model_asked, key_name, price_book"
        send(
            f"INSERT INTO turns (run, attempt, step, state, corrects, hold_nanos, hold_tokens, settled_at, "
            f"{', '.join(_TURN)}, {copied}) "
            f"SELECT run, attempt, step, 'corrected', id, 0, 0, {self._now}, "
            f"{', '.join('?' * len(_TURN))}, {copied} FROM turns WHERE id = ?",
            (*(row[name] for name in _TURN), hold.turn),
        )
        rows = send(
            f"UPDATE runs SET {_add(_RUN)} WHERE id = ? RETURNING {self._columns}",
            (*(row[n] for n in _RUN.values()), hold.account.run),
        )
        return from_row(rows[0])

    def _lock(self, send: Send, hold: Hold) -> None:
        # The run before its turn, everywhere: two that wait for each other would end in a deadlock, and two
        # that settle at once must not both be step 7. (SQLite has one writer.)
        if self._postgresql:
            send("SELECT id FROM runs WHERE id = ? FOR UPDATE", (hold.account.run,))

    def halt(
        self,
        run: str,
        attempt: int,
        reason: Reason,
        message: str,
        needed: tuple[int, int] | None = None,
    ) -> Account:
        """End an attempt that is running; the first halt's words stand. The run as it is afterwards.

        `needed`: nano-dollars and tokens that the refused request would have had to be held for.
        """
        with self.driver.write() as send:
            return self._end(send, run, attempt, reason, message, needed)

    def _end(
        self,
        send: Send,
        run: str,
        attempt: int,
        reason: Reason,
        message: str,
        needed: tuple[int, int] | None = None,
    ) -> Account:
        nanos, tokens = needed or (None, None)
        send(
            "UPDATE runs SET state = 'halted', reason = ?, message = ?, needed_nanos = ?, "
            f"needed_tokens = ?, ended_at = {self._now} WHERE id = ? AND attempt = ? AND state = 'running'",
            (reason.value, message, nanos, tokens, run, attempt),
        )
        return self._look(send, run)

    def open_slice(self, run: str, attempt: int) -> None:
        """The agent has been told to wrap up: what was kept back for that may be held too (G10).

        Nothing for an attempt that a further one has gone on from: that one has a slice of its own.
        """
        opened = "UPDATE runs SET kept_back = 0 WHERE id = ? AND attempt = ? AND kept_back = 1 RETURNING id"
        with self.driver.write() as send:
            send(opened, (run, attempt))

    def renew(self) -> None:
        """Say that this process's requests are still in flight."""
        live = sorted(self._live)
        if live:
            with self.driver.write() as send:
                send(
                    f"UPDATE turns SET lease_until_at = {self._now} + {self.lease_ms} "
                    f"WHERE state = 'held' AND id IN ({', '.join('?' * len(live))}) RETURNING id",
                    live,
                )

    def expire(self, run: str | None = None) -> int:
        """Charge orphans whole, as estimates: holds whose process is gone (or, for `run`, all of it)."""
        which = "t.run = ?" if run else f"t.lease_until_at < {self._now}"
        # Looked at again while charging: meanwhile it may have been renewed, settled, or charged by another.
        still = "" if run else f"AND lease_until_at < {self._now}"
        charged = 0
        held = self.driver.read(
            "SELECT t.id, t.run, t.hold_nanos, t.hold_tokens, t.hold_cached, t.max_tokens, t.model_asked, "
            f"t.price_book FROM turns t WHERE t.state = 'held' AND {which}",
            (run,) if run else (),
        )
        for turn, of, nanos, tokens, cached, max_tokens, model, book in held:
            ask = Ask(nanos, tokens, cached, max_tokens, model, "", price_book=book)
            orphan = Hold(turn, ask, self.account_of(of))
            with self.driver.write() as send:
                charged += self._book(send, orphan, whole_hold(ask, "orphan"), still) is not None
        return charged


# -- rows --

_UNHOLD = (
    "held_nanos = held_nanos - ?, held_tokens = held_tokens - ?, held_cached = held_cached - ?, "
    "held_steps = held_steps - 1"
)
_TURN = (
    "nanos", "tokens", "input", "cache_write_5m", "cache_write_1h", "cache_read", "output",
    "cost_input_nanos", "cost_write_nanos", "cost_read_nanos", "cost_output_nanos", "cost_tools_nanos",
    "model", "status", "stop_reason", "ending", "request_id", "usage",
)  # fmt: skip
# Columns of a run and the value of a turn that is added to each.
_RUN = {
    "spent_nanos": "nanos", "spent_tokens": "tokens", "estimated_nanos": "estimated", "input": "input",
    "cache_write_5m": "cache_write_5m", "cache_write_1h": "cache_write_1h", "cache_read": "cache_read",
    "output": "output", "cost_input_nanos": "cost_input_nanos", "cost_write_nanos": "cost_write_nanos",
    "cost_read_nanos": "cost_read_nanos", "cost_output_nanos": "cost_output_nanos",
    "cost_tools_nanos": "cost_tools_nanos",
}  # fmt: skip


_SUMS = _TURN[:12]


def _within(ceiling: str) -> str:
    """Account.within in SQL: as less_kept_back has it."""
    return f"{ceiling} - kept_back * (({ceiling} + {PARTS - 2}) / {PARTS})"


def _assign(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = ?" for name in names)


def _add(names: Any) -> str:
    return ", ".join(f"{name} = {name} + ?" for name in names)


def _booked(what: Settlement) -> dict[str, Any]:
    cost, usage = what.cost, what.usage
    words = {"model": what.model or usage.model, "request_id": what.request_id,
             "stop_reason": what.stop_reason, "ending": what.ending}  # fmt: skip
    return {
        "nanos": cost.total.nanos,
        "tokens": usage.metered,
        "estimated": cost.total.nanos if what.estimated else 0,
        "input": usage.counted("input"),
        "cache_write_5m": usage.counted("cache_write_5m"),
        "cache_write_1h": usage.counted("cache_write_1h"),
        "cache_read": usage.counted("cache_read"),
        "output": usage.counted("output"),
        "cost_input_nanos": cost.input.nanos,
        "cost_write_nanos": cost.cache_write.nanos,
        "cost_read_nanos": cost.cache_read.nanos,
        "cost_output_nanos": cost.output.nanos,
        "cost_tools_nanos": cost.server_tools.nanos,
        "status": what.status,
        # The upstream's own words, cut to their columns: a long one keeps no answer from being booked.
        **{name: word and word.replace("\0", "")[: LONGEST[name]] for name, word in words.items()},
        "usage": json.dumps(what.raw_usage) if what.raw_usage is not None else None,
    }
