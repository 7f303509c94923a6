"""`/settings`: what holds in a repository, key by key, with the file that each value is from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from flask import redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bot.clients.github import GitHubError
from bot.core.in_force import ClassHeld, Held, Source, for_role, in_force, visible
from bot.core.limits import KINDS
from bot.core.money import Usd
from bot.core.onboarding import POLICY
from bot.core.policy import Policy, PolicyError
from bot.core.prices import Price
from bot.core.roles import Role
from bot.core.visibility import Access
from bot.services import Services
from bot.stores.policies import KeptPolicy
from bot.stores.switch import Paused
from bot.stories import policy_file
from bot.web.answers import Problem
from bot.web.dashboard.frame import Frame, Link, told
from bot.web.dashboard.shapes import COUNT, MS, TEXT, USD, YES, Parameter, maybe, record, rows, word
from bot.web.dashboard.tables import Cell, Column, Table, count, when
from bot.web.turnstile import Turnstile
from bot.web.who import Visitor

ROLES = (Role.WRITE, Role.MAINTAIN, Role.ADMIN)
MOST_READS = 20  # of policy files in a minute, by whoever asks: each has GitHub asked three times
NOT_YOURS = "There is no repository of that name here that you may read"
TOO_MANY = "Many files were read just now, so this one was not. Try again in a minute"
CANNOT_READ = "GitHub could not be asked for the file, so what is shown is as it was read last"
REPOSITORY = Parameter("OWNER/NAME, one that the visitor may read; without it the first of them", TEXT)
ROLE = Parameter(
    "Whose ceilings: write, maintain or admin; without it the visitor's own", word(*map(str, ROLES))
)
_RATES = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
HELD = record({"key": TEXT, "value": TEXT, "source": word(*Source), "instead": TEXT})
SETTINGS = record(
    {
        "repository": TEXT,
        "role": word(*map(str, ROLES)),
        "file": maybe(
            record(
                {
                    "there": YES,
                    "branch": TEXT,
                    "sha": TEXT,
                    "changed_ms": MS,
                    "read_ms": MS,
                    "error": maybe(TEXT),
                }
            )
        ),
        "classes": rows(
            record(
                {
                    "class": TEXT,
                    "ceilings": rows(HELD),
                    "cached_tokens": HELD,
                    "effort": TEXT,
                    "context_tokens": COUNT,
                }
            )
        ),
        "settings": rows(HELD),
        "paused": rows(record({"repository": TEXT, "by": TEXT, "reason": TEXT, "since_ms": MS})),
        "prices": record(
            {
                "name": TEXT,
                "models": rows(
                    record(
                        {
                            "model": TEXT,
                            "above_tokens": COUNT,
                            "source": word("list", "PRICE_FILE"),
                            **dict.fromkeys(_RATES, USD),
                        }
                    )
                ),
            }
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds in `here` for `role`. `kept`: the repository's file as it was read last, None: it never was;
    `error`: why it starts nothing, and what is shown is then the service's word alone."""

    here: Access
    role: Role
    kept: KeptPolicy | None
    error: PolicyError | None
    classes: tuple[ClassHeld, ...]
    held: tuple[Held, ...]
    paused: tuple[Paused, ...]
    prices: tuple[Price, ...]


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links += [Link("/settings", "Settings")]
    turnstile = Turnstile(MOST_READS, frame.clock)

    @frame.get("/settings", others=False)
    def settings(visitor: Visitor) -> AnyResponse:
        found = read(services, visitor)
        zone, repo = services.policy.caps.zone, found.here.repo.full_name
        web = services.settings.github_web_url
        kept, error = found.kept, found.error
        line = f"#L{error.line}" if error else ""
        in_a_file = "csv" in request.args
        return frame.show(
            visitor,
            "settings.html",
            f"Settings of {repo}",
            (
                _apart(_classes(found)) if in_a_file else _classes(found),
                _apart(_most(found.held)) if in_a_file else _most(found.held),
                *_groups(found.held),
                _prices(services, found.prices),
                _switch(found.paused, zone),
            ),
            found=found,
            repositories=[one.repo.full_name for one in _readable(visitor)],
            roles=[str(role) for role in ROLES],
            read=kept and when(kept.read_at, zone),
            changed=kept and when(kept.changed_at, zone),
            file=kept and f"{web}/{repo}/blob/{kept.sha}/{POLICY}{line}",
            path=POLICY,
            book=services.prices.version,
        )

    @frame.post("/settings/read")
    def read_now(visitor: Visitor) -> AnyResponse:
        """Have the file read, as a command in the repository would."""
        here = _chosen(visitor, request.form.get("repository", ""))
        if not turnstile.passes():
            raise Problem(429, TOO_MANY)
        try:
            policy_file.read(services, here.repo, services.github.default_branch(here.repo))
        except GitHubError as failed:
            raise Problem(503, CANNOT_READ) from failed
        return redirect(f"/settings?repository={quote(here.repo.full_name, safe='/')}", 303)

    @frame.api("/api/v1/settings", takes={"repository": REPOSITORY, "role": ROLE}, answers=SETTINGS)
    def settings_json(visitor: Visitor) -> dict[str, Any]:
        """What holds in a repository, key by key, with the file that each value is from."""
        return _json(services, read(services, visitor))


def read(services: Services, visitor: Visitor) -> Settings:
    """What the address asks for. Raises Problem 404, and 400 for what is no role."""
    here = _chosen(visitor, request.args.get("repository", ""))
    asked = request.args.get("role", "") or str(max(Role.WRITE, here.role))
    if asked not in map(str, ROLES):
        raise Problem(400, f"{asked[:20]!r} is not one of {', '.join(map(str, ROLES))}")
    kept, error, own = services.policies.of(here.repo.id), None, Policy.default()
    try:
        own = Policy.parse(kept.content if kept else None)
    except PolicyError as wrong:
        error = wrong
    held = visible(
        in_force(services.policy, own), services.policy, visitor.sight, visitor.login, visitor.names
    )
    now = services.database.utc()
    return Settings(
        here,
        Role.parse(asked),
        kept,
        error,
        for_role(services.policy, own, Role.parse(asked)),
        held,
        tuple(one for one in services.switch.all() if told(one.repository, visitor)),
        services.prices.listed(now),
    )


def _readable(visitor: Visitor) -> list[Access]:
    """By name."""
    mine = [one for one in visitor.access if one.repo.id in visitor.sight.readable]
    return sorted(mine, key=lambda one: one.repo.full_name.lower())


def _chosen(visitor: Visitor, name: str) -> Access:
    """Raises Problem 404 for what the visitor may not read, whether it is there or not."""
    for one in _readable(visitor):
        if not name or one.repo.full_name.lower() == name.lower():
            return one
    raise Problem(404, NOT_YOURS)


# -- its tables --

# Keys of the whole policy, by what they are about: the head of their first part.
GROUPS = (
    ("runs", "Runs", ("engines", "model", "effort", "context", "admission", "check", "stuck", "allow")),
    ("work", "Their work", ("publish", "paths", "retention")),
    ("sweeps", "Sweeps, and how many at once", ("sweep", "concurrency")),
    ("caps", "Months", ("caps", "lines", "teams", "approvers")),
    ("people", "Who sees what, the invoice, Cursor", ("viewers", "drift", "cursor")),
)
_COLUMNS = (Column("key"), Column("value"), Column("from"), Column("beside"))


def _classes(found: Settings) -> Table:
    kinds = [kind for _, kind in KINDS]
    columns = [Column("class"), *(Column(kind) for kind in (*kinds, "cached tokens")), Column("effort")]
    columns.append(Column("context", True))
    cells = [
        (
            Cell(row.name),
            *(_cell(held) for held in (*row.ceilings, row.cached)),
            Cell(row.effort),
            count(row.context),
        )
        for row in found.classes
    ]
    about = (
        f"What a run gets that somebody with the role {found.role} asks for without an option and a label, "
        "and where it is from. What the month's caps leave may be less."
    )
    return Table("classes", "Ceilings by class", tuple(columns), cells, "", about)


def _most(held: tuple[Held, ...]) -> Table:
    by_key = {one.key: one for one in held}
    cells = [(Cell(str(role)), *(_cell(by_key[f"max.{role}.{kind}"]) for _, kind in KINDS)) for role in ROLES]
    columns = (Column("role"), *(Column(kind) for _, kind in KINDS))
    about = "The most that somebody of this role may set, by an option or a label."
    return Table("max", "The most by role", columns, cells, "", about)


def _apart(table: Table) -> Table:
    """What stands under values in columns of its own, for a spreadsheet."""
    columns: list[Column] = []
    rows: list[list[Cell]] = [[] for _ in table.rows]
    for at, column in enumerate(table.columns):
        cells = [row[at] for row in table.rows]
        columns.append(column)
        under = any(cell.note for cell in cells)
        columns += [Column(f"{column.name} from")] if under else []
        for row, cell in zip(rows, cells, strict=True):
            row += [cell, Cell(cell.note)] if under else [cell]
    return replace(table, columns=tuple(columns), rows=[tuple(row) for row in rows])


def _groups(held: tuple[Held, ...]) -> list[Table]:
    return [
        Table(
            id,
            title,
            _COLUMNS,
            [
                (Cell(one.key), Cell(one.value), Cell(one.source), Cell(one.instead))
                for one in held
                if one.key.partition(".")[0] in heads
            ],
            "Nothing of it is yours to see.",
        )
        for id, title, heads in GROUPS
    ]


def _cell(held: Held) -> Cell:
    note = f"{held.source}; {held.instead}" if held.instead else str(held.source)
    return Cell(held.value, note=note)


def _prices(services: Services, prices: tuple[Price, ...]) -> Table:
    cells = []
    for price in prices:
        source = "PRICE_FILE" if services.prices.of_file(price.model) else "list"
        for rates in price.rates:
            above = f"requests above {rates.above:,} tokens of input" if rates.above >= 0 else ""
            values = (Usd(getattr(rates, name) * 1_000_000) for name in _RATES)
            money = (Cell(str(usd), usd.exact) for usd in values)
            cells.append((Cell(price.model, note=above), *money, Cell(source)))
    names = ("input", "cache write 5 min", "1 h", "cache read", "output")
    columns = (Column("model"), *(Column(name, True) for name in names), Column("from"))
    about = (
        f"$ per million tokens as they hold today (UTC), by the price book `{services.prices.version}`. "
        "A model that is not here is refused. Each run keeps the book that it was billed with."
    )
    return Table("prices", "Price book", columns, cells, "", about)


def _switch(paused: tuple[Paused, ...], zone: str) -> Table:
    cells = [
        (
            Cell(one.repository or "everywhere"),
            Cell(one.by),
            Cell(one.reason or "no reason given"),
            when(one.at, zone),
        )
        for one in paused
    ]
    columns = (Column("where"), Column("by"), Column("why"), Column("since"))
    empty = "Nothing is paused. `python -m bot pause` stops everything, or one repository with `--repo`."
    return Table("switch", "The switch", columns, cells, empty)


# -- its twin --


def _json(services: Services, found: Settings) -> dict[str, Any]:
    kept = found.kept
    return {
        "repository": found.here.repo.full_name,
        "role": str(found.role),
        "file": kept
        and {
            "there": kept.content is not None,
            "branch": kept.branch,
            "sha": kept.sha,
            "changed_ms": kept.changed_at,
            "read_ms": kept.read_at,
            "error": str(found.error) if found.error else None,
        },
        "classes": [
            {
                "class": row.name,
                "ceilings": [_held(one) for one in row.ceilings],
                "cached_tokens": _held(row.cached),
                "effort": row.effort,
                "context_tokens": row.context,
            }
            for row in found.classes
        ],
        "settings": [_held(one) for one in found.held],
        "paused": [
            {"repository": one.repository, "by": one.by, "reason": one.reason, "since_ms": one.at}
            for one in found.paused
        ],
        "prices": {
            "name": services.prices.version,
            "models": [
                {
                    "model": price.model,
                    "above_tokens": max(0, rates.above),
                    "source": "PRICE_FILE" if services.prices.of_file(price.model) else "list",
                    **{name: Usd(getattr(rates, name) * 1_000_000).exact for name in _RATES},
                }
                for price in found.prices
                for rates in price.rates
            ],
        },
    }


def _held(one: Held) -> dict[str, str]:
    return {"key": one.key, "value": one.value, "source": str(one.source), "instead": one.instead}
