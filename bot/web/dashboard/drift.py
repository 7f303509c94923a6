"""`/drift`: the ledger against Anthropic's reports: what stands, which runs explain it, what was booked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core import drift as drifting
from bot.core.caps import month_from
from bot.core.drift_words import sentence
from bot.core.statement import drift_as_json
from bot.stores.drifts import Corrected, Kept, Standing
from bot.web.answers import Problem
from bot.web.dashboard import asked, shapes
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.shapes import COUNT, MS, TEXT, USD, YES, Parameter, maybe, record, rows, word
from bot.web.dashboard.tables import Cell, Column, Table, count, money, when, whole
from bot.web.who import Visitor

NOT_YOURS = (
    "What the invoice says is of every repository and every key at once, so it is seen by whoever the "
    "service's policy names in `viewers.people` or `viewers.admins`, and you are not among them"
)
NO_KEY = (
    "Nothing is compared with the invoice: set `ANTHROPIC_ADMIN_KEY` (an admin key of the organization, "
    "`sk-ant-admin…`) for web and worker and start them again. Then a worker compares once a day, and "
    "`python -m bot reconcile` at once."
)
NEVER = (
    "The ledger was not compared with the invoice yet: a worker does it at its first look of each day (UTC), "
    "and `python -m bot reconcile` at once."
)
ZONE = "UTC"  # the reports' days are, whatever the caps' zone
NO_RUN = "no run: several had estimates in the same minutes"
NAMES = {
    drifting.MISSING: "missing run",
    drifting.DOUBLE: "double run",
    drifting.MODEL: "wrong model",
    drifting.CACHE_PRICE: "cache price",
    drifting.PRICE: "price",
    drifting.UNEXPLAINED: "unexplained",
    drifting.LATE: "late data",
    drifting.OTHER_KEY: "another key's use",
}
RESOLVED = Parameter("yes: also what stood and is resolved", word("yes", "no"))
MONTH = Parameter(
    "A month such as 2026-11, in UTC as the reports have their days; without it the month that it is",
    shapes.MONTH.shape,
)
DRIFT = record(
    {
        "month": TEXT,
        "reads_reports": YES,
        "reconciled_ms": maybe(MS),
        "standing": rows(
            record({"kind": word(*drifting.KINDS), "rows": COUNT, "more_usd": USD, "less_usd": USD})
        ),
        "drifts": rows(
            record(
                {
                    **dict.fromkeys(("day", "key", "model", "part", "explanation"), TEXT),
                    "kind": word(*drifting.KINDS),
                    **dict.fromkeys(("expected_usd", "invoiced_usd", "drift_usd"), USD),
                    "expected_tokens": {"type": "integer"},
                    "invoiced_tokens": {"type": "integer"},
                    "runs": rows(TEXT),
                    "alarm": YES,
                    "found_ms": MS,
                    "resolved_ms": maybe(MS),
                }
            )
        ),
        "corrections": rows(
            record({"day": TEXT, "key": TEXT, "model": TEXT, "rows": COUNT, "usd": USD, "runs": rows(TEXT)})
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """What one month (UTC) has, and what stands of all days."""

    month: str
    reconciled_at: int | None
    standing: tuple[Standing, ...]
    drifts: tuple[Kept, ...]
    corrected: tuple[Corrected, ...]


def mount(frame: Frame) -> None:
    services = frame.services
    keyed = bool(services.settings.secrets.anthropic_admin_key)
    frame.links += [Link("/drift", "Drift", lambda sight: sight.everyone or sight.admin)]

    @frame.get("/drift")
    def drift(visitor: Visitor) -> AnyResponse:
        found, zone = read(frame, visitor), services.policy.caps.zone
        drifts = _drifts(found.drifts, zone)
        if request.args.get("csv") == drifts.id:
            told = [{**row, "runs": " ".join(row["runs"])} for row in map(_json, found.drifts)]
            drifts = whole(drifts.id, drifts.title, told)
        loud = [one for one in found.standing if one.kind not in drifting.QUIET]
        return frame.show(
            visitor,
            "drift.html",
            f"Ledger and invoice in {found.month}",
            (
                _standing(found.standing),
                drifts,
                _runs(found.drifts),
                _booked(found.corrected),
            ),
            month=found.month,
            this_month=frame.this_month(ZONE),
            empty=("" if found.reconciled_at else NEVER) if keyed or found.reconciled_at else NO_KEY,
            keyed=keyed,
            looked=found.reconciled_at and when(found.reconciled_at, zone),
            loud=loud,
            bound=services.policy.drift,
            resolved=_resolved(),
            resolved_to=frame.address(resolved="" if _resolved() else "yes", csv=""),
        )

    @frame.api("/api/v1/drift", takes={"month": MONTH, "resolved": RESOLVED}, answers=DRIFT)
    def drift_json(visitor: Visitor) -> dict[str, Any]:
        """Where ledger and invoice differ, with the runs that explain it, and the corrections booked."""
        found = read(frame, visitor)
        return {
            "month": found.month,
            "reads_reports": keyed,
            "reconciled_ms": found.reconciled_at,
            "standing": [
                {"kind": one.kind, "rows": one.rows, "more_usd": one.more.exact, "less_usd": one.less.exact}
                for one in found.standing
            ],
            "drifts": [_json(one) for one in found.drifts],
            "corrections": [
                {
                    "day": one.day,
                    "key": one.key,
                    "model": one.model,
                    "rows": one.rows,
                    "usd": one.usd.exact,
                    "runs": list(one.runs),
                }
                for one in found.corrected
            ],
        }


def read(frame: Frame, visitor: Visitor) -> Found:
    """Raises Problem 403."""
    services = frame.services
    if not (visitor.sight.everyone or visitor.sight.admin):
        raise Problem(403, NOT_YOURS)
    month = frame.month(ZONE)
    ends = (month, month_from(month, 1))
    first, after = (datetime.strptime(f"{one}-01", "%Y-%m-%d").replace(tzinfo=UTC) for one in ends)
    return Found(
        month,
        services.drifts.reconciled_at(),
        services.drifts.standing(),
        services.drifts.read(f"{first:%Y-%m-%d}", f"{after:%Y-%m-%d}", _resolved()),
        services.drifts.corrected(*(round(one.timestamp() * 1000) for one in (first, after))),
    )


def _json(one: Kept) -> dict[str, Any]:
    return drift_as_json(one.drift) | {"found_ms": one.found_at, "resolved_ms": one.resolved_at}


def _resolved() -> bool:
    """Raises Problem 400."""
    return asked.word(request.args, "resolved", ("yes", "no"), "no") == "yes"


# -- its tables --


def _standing(standing: tuple[Standing, ...]) -> Table:
    cells = [
        (
            Cell(NAMES[one.kind], one.kind, note="no alarm" if one.kind in drifting.QUIET else ""),
            count(one.rows),
            money(one.more),
            money(one.less),
        )
        for one in standing
    ]
    columns = (Column("kind"), Column("differences", True), Column("invoice has more", True))
    about = "Of all days, until a later look finds it gone. What each kind is: docs/reconciliation.md."
    empty = "Nothing stands: as far as the two were compared, ledger and invoice agree."
    return Table("standing", "What stands", (*columns, Column("invoice has less", True)), cells, empty, about)


def _drifts(drifts: tuple[Kept, ...], zone: str) -> Table:
    cells = []
    for one in drifts:
        each = one.drift
        resolved = when(one.resolved_at, zone) if one.resolved_at is not None else Cell("stands", "")
        cells.append(
            (
                Cell(each.day),
                Cell(NAMES[each.kind], each.kind, note=sentence(each)),
                Cell(each.key or "all keys", each.key, note=each.model or "any model"),
                money(each.expected),
                money(each.invoiced),
                money(each.usd),
                when(one.found_at, zone),
                resolved,
            )
        )
    columns = (
        Column("day (UTC)"),
        Column("kind"),
        Column("key"),
        Column("only the ledger", True),
        Column("only the invoice", True),
        Column("difference", True),
        Column("found"),
        Column("resolved"),
    )
    empty = "No difference of this month."
    return Table("drifts", "By day, key and model", columns, cells, empty)


def _runs(drifts: tuple[Kept, ...]) -> Table:
    cells = [
        (
            Cell(run, href=f"/runs/{run}"),
            Cell(NAMES[one.drift.kind], one.drift.kind),
            Cell(one.drift.day),
            Cell(one.drift.key or "all keys", one.drift.key, note=one.drift.model),
        )
        for one in drifts
        for run in one.drift.runs
    ]
    columns = (Column("run"), Column("explains"), Column("day (UTC)"), Column("key"))
    empty = "No run explains a difference of this month."
    return Table("runs", "Runs that explain it", columns, cells, empty)


def _booked(corrected: tuple[Corrected, ...]) -> Table:
    cells = [
        (
            Cell(one.day),
            Cell(one.key),
            Cell(one.model),
            count(one.rows),
            money(one.usd),
            Cell(
                f"{len(one.runs)} run{'s' if len(one.runs) != 1 else ''}" if one.runs else NO_RUN,
                " ".join(one.runs),
            ),
        )
        for one in corrected
    ]
    columns = (
        Column("day (UTC)"), Column("key"), Column("model"), Column("rows", True), Column("booked", True),
        Column("of"),
    )  # fmt: skip
    about = "Estimates that the reports have settled, in further rows; no row is ever changed."
    empty = "No estimate of this month was corrected."
    return Table("corrections", "Corrections", columns, cells, empty, about)
