"""`/audit`: who looked at whose figures, and who changed what; for the service's admins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core.audit_words import said
from bot.core.visibility import HIDDEN
from bot.services import Services
from bot.stores.sessions import SignedIn
from bot.stores.switch import Entry
from bot.stores.views import KEPT_DAYS, View
from bot.web.answers import Problem
from bot.web.dashboard import asked
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.shapes import COUNT, MS, TEXT, Parameter, record, rows
from bot.web.dashboard.tables import Cell, Column, Table, count, when
from bot.web.who import Visitor

MOST = 100  # lines of each table at once
NOT_ADMIN = (
    "Who looked and who changed what is seen by whoever the service's policy names in `viewers.admins` and "
    "GitHub has administer a repository of the App's; you are not among them"
)
BY = Parameter("What one person did and saw, by their name at GitHub; without it everybody", TEXT)
BEFORE = Parameter(
    "The `id` of a change: those that are older", {"type": "string", "pattern": "^[0-9]{1,15}$"}
)
AUDIT = record(
    {
        "changes": rows(
            record({"id": COUNT, "at_ms": MS, "by": TEXT, "action": TEXT, "repository": TEXT, "what": TEXT})
        ),
        "views": rows(record({"login": TEXT, "what": TEXT, "looks": COUNT, "first_ms": MS, "last_ms": MS})),
        "signed_in": rows(record({"login": TEXT, "since_ms": MS, "until_ms": MS})),
    }
)
_OF_A_PULL = re.compile(r"(?:/api/v1)?/pulls/([^/]+/[^/?]+)")


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the audit log as the visitor may read it."""

    id: int
    at: int
    by: str
    action: str
    repository: str
    what: str
    run: str = ""


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links += [Link("/audit", "Audit", lambda sight: sight.admin)]

    @frame.get("/audit")
    def audit(visitor: Visitor) -> AnyResponse:
        changed, views, signed_in = _read(services, visitor)
        zone = services.policy.caps.zone
        by, before = _by(), changed[-1].id if len(changed) == MOST else None
        return frame.show(
            visitor,
            "audit.html",
            "Audit",
            (_changes(changed, zone), _views(views, zone), _signed_in(signed_in, zone)),
            by=by,
            older=before and frame.address(before=str(before), csv=""),
            newest=request.args.get("before") and frame.address(before="", csv=""),
            kept=KEPT_DAYS,
        )

    @frame.api("/api/v1/audit", takes={"by": BY, "before": BEFORE}, answers=AUDIT)
    def audit_json(visitor: Visitor) -> dict[str, Any]:
        """Who changed what and who looked, the newest first, for the service's admins."""
        changed, views, signed_in = _read(services, visitor)
        return {
            "changes": [
                {
                    "id": one.id,
                    "at_ms": one.at,
                    "by": one.by,
                    "action": one.action,
                    "repository": one.repository,
                    "what": one.what,
                }
                for one in changed
            ],
            "views": [
                {
                    "login": one.login,
                    "what": one.what,
                    "looks": one.looks,
                    "first_ms": one.first_at,
                    "last_ms": one.last_at,
                }
                for one in views
            ],
            "signed_in": [
                {"login": one.login, "since_ms": one.opened_at, "until_ms": one.until_at} for one in signed_in
            ],
        }


def _read(
    services: Services, visitor: Visitor
) -> tuple[tuple[Change, ...], tuple[View, ...], tuple[SignedIn, ...]]:
    """Raises Problem 403 and 400."""
    if not visitor.sight.admin:
        raise Problem(403, NOT_ADMIN)
    by, before = _by(), request.args.get("before", "")
    if before and not re.fullmatch(r"[0-9]{1,15}", before):
        raise Problem(400, f"{before[:20]!r} is not the number of a line of this log")
    log = services.switch.log(MOST, int(before) if before else None, by)
    views = services.views.read(MOST, by)
    return (
        tuple(_change(one, visitor) for one in log),
        tuple(_view(one, visitor) for one in views),
        services.sessions.live(),
    )


def _by() -> str:
    return asked.text(request.args, "by")


def _change(entry: Entry, visitor: Visitor) -> Change:
    """Without what tells of a repository that the visitor may not read."""
    about = entry.about
    hidden = bool(entry.repository) and not visitor.names(entry.repository)
    if hidden:
        about = {}
    elif about.get("scope") == "repository" and not visitor.names(about["cap"]):
        about = {**about, "cap": HIDDEN}
    changes = [one for one in about.get("changes", ()) if nameable(one, visitor)]
    what = said(entry.action, {**about, "changes": changes} if "changes" in about else about) if about else ""
    return Change(
        entry.id,
        entry.at,
        entry.by or "GitHub, or whoever runs this service",
        entry.action,
        HIDDEN if hidden else entry.repository,
        what,
        str(about.get("run", "")),
    )


def nameable(told: str, visitor: Visitor) -> bool:
    """Whether a key of the policy may be shown: there are repositories' names in some."""
    found = re.match(r"caps\.repositories\.([^:]+)", told)
    return found is None or visitor.names(found[1])


def _view(view: View, visitor: Visitor) -> View:
    found = _OF_A_PULL.match(view.what)
    if found is None or visitor.names(found[1]):
        return view
    return View(view.person, view.login, HIDDEN, view.looks, view.first_at, view.last_at)


def _changes(changed: tuple[Change, ...], zone: str) -> Table:
    rows = [
        (
            when(one.at, zone),
            Cell(one.by),
            Cell(one.action),
            Cell(one.repository or "everywhere" if one.action in ("paused", "unpaused") else one.repository),
            Cell(one.what, href=f"/runs/{one.run}" if one.run else ""),
        )
        for one in changed
    ]
    columns = (Column("when"), Column("by"), Column("action"), Column("where"), Column("what"))
    empty = (
        "Nothing was changed yet: pauses, acknowledged caps, approvals, resumed runs and the like come here."
    )
    return Table("changes", "Who changed what", columns, rows, empty)


def _views(views: tuple[View, ...], zone: str) -> Table:
    rows = [
        (Cell(one.login), Cell(one.what), count(one.looks), when(one.first_at, zone), when(one.last_at, zone))
        for one in views
    ]
    columns = (Column("who"), Column("page"), Column("looks", True), Column("first"), Column("last"))
    about = (
        "Pages with other people's figures, one line a person, page and day (UTC). Looks within a minute are "
        f"one; lines are kept for {KEPT_DAYS} days. `/sign-in` is a sign-in."
    )
    empty = "Nobody has looked at other people's figures."
    return Table("views", "Who looked", columns, rows, empty, about)


def _signed_in(signed_in: tuple[SignedIn, ...], zone: str) -> Table:
    rows = [(Cell(one.login), when(one.opened_at, zone), when(one.until_at, zone)) for one in signed_in]
    columns = (Column("who"), Column("since"), Column("until at most"))
    return Table("sessions", "Signed in now", columns, rows, "Nobody is signed in.")
