"""`/`: what a lead defends the bill with, of one window, beside the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core import compared, thread_list
from bot.core import overview as words
from bot.core.money import ZERO, Usd
from bot.core.signals import BADLY_SCOPED, MergedPull, Rate, Share, Signals, judge_cost
from bot.core.visibility import HIDDEN, Sight
from bot.services import Services
from bot.web.answers import Problem
from bot.web.dashboard import asked, plots
from bot.web.dashboard.figures import NOT_YOURS
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.pulls import page_of
from bot.web.dashboard.signal_shapes import OVERVIEW, TAKES
from bot.web.dashboard.tables import Cell, Column, Made, Row, Table, count, money
from bot.web.who import Visitor

NAMED = 20  # outliers, and rows of a split, that the page has; CSV has all
FILTERS = ("repo", "class", "line", "developer")
POOLED = "corrected, of no run"
SPLITS = {
    "developer": "developer",
    "repo": "repository",
    "class": "class",
    "engine": "engine",
    "model": "model",
    "line": "budget line",
}


@dataclass(frozen=True, slots=True)
class Overview:
    """A window's signals, as far as the visitor may see them, and those of the one before it, for sums."""

    window: asked.Window
    now: Signals
    before: Signals | None


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links += [Link("/", "Overview")]

    @frame.get("/")
    def overview(visitor: Visitor) -> AnyResponse:
        if tidied := frame.tidied():
            return tidied
        found = read(services, visitor, listed=False)
        return frame.show(
            visitor, "overview.html", "Overview", _tables(found, visitor), **_shown(found, visitor)
        )

    @frame.api("/api/v1/overview", takes=TAKES, answers=OVERVIEW)
    def overview_json(visitor: Visitor) -> dict[str, Any]:
        """The same as `metrics --json`, and the window before, as far as the visitor may see people."""
        found = read(services, visitor)
        before = compared.before_json(found.before) if found.before else None
        return {**words.as_json(found.now), "before": before}

    def _shown(found: Overview, visitor: Visitor) -> dict[str, Any]:
        now, window = found.now, found.window
        first = (
            date.fromisoformat(now.days[0].date) if window.days == asked.ALL and now.days else window.first
        )
        own = (("direct", now.direct), ("fully loaded", now.fully_loaded))
        marks = [(name, usd) for name, usd in own if usd is not None]
        return {
            "window": window,
            "now": now,
            "sentence": compared.sentence(now),
            "changes": compared.changes(now, found.before, window.called) if found.before else {},
            "empty": "" if now.parts or now.merges.pulls or now.ended else words.nothing(now),
            "days": plots.days(now.days, first, window.last) if now.days else None,
            "pulls": plots.pulls(now.merges.columns, marks) if now.merges.pulls else None,
            "tokens": plots.tokens(now.tokens),
            "rate": plots.rate(now.exhaustion),
            "verdict": judge_cost(now.direct),
            "outliers": now.merges.outliers,
            "outliers_page": "/pulls?" + urlencode({**_kept(), "state": "merged", "having": "outlier"}),
            "scope": _scope(now),
            "badly_scoped": now.badly_scoped,
            "long": BADLY_SCOPED,
            "window_presets": asked.PRESETS,
            "splits": {by: name for by, name in SPLITS.items() if by != "developer" or visitor.sight.others},
            "given": {name: request.args[name] for name in FILTERS if name in request.args},
            **asked.choices(services, visitor),
        }


def read(services: Services, visitor: Visitor, listed: bool = True) -> Overview:
    """What the address asks for; `listed` as in SignalStore. Raises Problem 400, and 403 where people's
    figures are not to be seen."""
    args, zone, sight = request.args, services.policy.caps.zone, visitor.sight
    window = asked.window(args, services.database.now_ms(), zone)
    by = asked.word(args, "by", asked.BY, "developer" if sight.everyone else "repo")
    only = asked.only(args, visitor, by == "developer")
    if only.visible is not None and not only.visible:
        raise Problem(403, NOT_YOURS)
    now = services.signals.read(window.since, window.until, by, only, zone, listed=listed)
    before = services.signals.read(*window.before, None, only, zone, whole=False) if window.before else None
    return Overview(window, seen(sight, now), before)  # of which nobody is shown more than sums


def seen(sight: Sight, found: Signals) -> Signals:
    """Without what tells of a repository that may not be read: the money stays."""
    return replace(
        found,
        merged=tuple(thread_list.seen(pull, sight) for pull in found.merged),
        ended=tuple(
            one if sight.name(one.repository_id) else replace(one, repository=HIDDEN) for one in found.ended
        ),
        shares=tuple(
            one if found.by != "repo" or sight.name(one.number) else replace(one, name=HIDDEN)
            for one in found.shares
        ),
    )


def _tables(found: Overview, visitor: Visitor) -> list[Table]:
    now = found.now
    return [
        _outliers(now, visitor.sight.others),
        _split(now),
        _days(now),
        _where(now),
        _counters(now),
        _rates(now),
        _halts(now),
        _tokens(now),
        _histogram(now),
    ]


def _outliers(now: Signals, people: bool) -> Table:
    columns = [Column("cost", True), Column("pull request")]
    columns += [Column("author")] if people else []
    columns += [Column("runs", True), Column("attempts", True), Column("why")]

    def row(pull: MergedPull) -> Row:
        where = f"{pull.repository}#{pull.number}" if pull.number else pull.repository
        told = ", ".join([*pull.causes, *(["reverted since"] if pull.reverted else [])])
        author = (Cell(pull.author),) if people else ()
        about = (count(pull.runs), count(pull.attempts), Cell(told or "nothing sticks out"))
        return money(pull.usd), Cell(where, href=page_of(pull), note=pull.title), *author, *about

    rows = Made([pull for pull in now.merged if pull.outlier], row)
    empty = (
        "No merged pull request cost more than the usual band."
        if now.merges.pulls
        else "Nothing was merged yet."
    )
    return Table("outliers", "Outliers", tuple(columns), rows, empty, most=NAMED)


def _split(now: Signals) -> Table:
    most = max((share.usd for share in now.shares), default=ZERO)
    name = SPLITS[now.by or "repo"]

    def row(share: Share | None) -> Row:
        if share is None:
            about = (Cell(""), Cell(""), Cell(""))
            return Cell(POOLED), money(now.pooled), _percent(now.pooled, now.spent), *about
        title = f"{share.name}: {share.usd} of the most, {most}; {share.halted} of it on halted runs"
        return (
            Cell(share.name, href=_of_share(now, share)),
            money(share.usd, bar=plots.share(share.usd, share.halted, most, title)),
            _percent(share.usd, now.spent),
            count(share.runs),
            money(share.halted),
            money(share.estimated),
        )

    rows = Made([*now.shares, *([None] if now.pooled else [])], row)
    columns = (
        Column(name), Column("spend", True), Column("of all", True), Column("runs", True),
        Column("on halted runs", True), Column("estimated", True),
    )  # fmt: skip
    empty = "Nothing was spent in this window."
    return Table("split", f"Spend by {name}", columns, rows, empty, most=NAMED)


def _scope(now: Signals) -> str:
    """Whose figures these are, where they are not everybody's."""
    if now.only.person is not None:
        return "Your own runs alone."
    if now.only.visible is None:
        return ""
    by_person = now.by == "developer" or bool(now.only.developer)
    what = "in which your role lets you see what people spend" if by_person else "that you may read"
    many = len(now.only.visible)
    return f"Figures of the {many:,} repositor{'y' if many == 1 else 'ies'} {what}; your own month is at /me."


def _kept(*but: str) -> dict[str, str]:
    """The filters and the window of the address."""
    names = {"days", "since", "until", *FILTERS} - set(but)
    return {name: value for name, value in request.args.items() if name in names}


def _of_share(now: Signals, share: Share) -> str:
    """The overview of this one alone."""
    if now.by not in FILTERS or share.name == HIDDEN or share.name.startswith("("):
        return ""
    return "/?" + urlencode({**_kept(now.by), now.by: share.name})


def _days(now: Signals) -> Table:
    rows = [(Cell(day.date), money(day.usd), money(day.halted)) for day in now.days]
    columns = (Column("day"), Column("spend", True), Column("on halted runs", True))
    return Table("days", "Spend by day", columns, rows, "Nothing was spent in this window.")


def _where(now: Signals) -> Table:
    parts = [
        ("merged pull requests", now.spent - now.unattributed),
        ("unattributed: on what has not merged", now.unmerged),
        ("unattributed: on no issue or pull request", now.elsewhere),
    ]
    parts += [(f"unattributed: {POOLED}", now.pooled)] if now.pooled else []
    return _in_a_row("attribution", "Where it went", parts, now.spent)


def _counters(now: Signals) -> Table:
    sums = now.sums
    parts = [(name, Usd(nanos), tokens.strip()) for name, nanos, tokens in words.counters(sums)]
    return _in_a_row("context", "What it was for", parts, sums.usd)


def _in_a_row(id: str, title: str, parts: Sequence[Sequence[Any]], whole: Usd) -> Table:
    """Parts of a whole, each with a bar that begins where the one before ends."""
    rows, so_far = [], ZERO
    for name, usd, *note in parts:
        bar = plots.segment(so_far, usd, whole, f"{name}: {usd} of {whole}")
        rows.append((Cell(name, note=" ".join(note)), money(usd, bar=bar), _percent(usd, whole)))
        so_far = so_far + usd
    columns = (Column("part"), Column("spend", True), Column("of all", True))
    return Table(id, title, columns, rows if whole else [], "Nothing was spent in this window.")


def _rates(now: Signals) -> Table:
    kinds = (("task_class", "class"), ("repository", "repository"))
    rates = [(name, one) for what, name in kinds for one in now.exhaustion_by(what)]

    def row(named: tuple[str, Rate]) -> Row:
        name, one = named
        return Cell(one.name or "(this machine)", note=name), *_judged(one)

    rows = Made(rates, row)
    columns = (
        Column("class or repository"), Column("runs", True), Column("halted by a ceiling", True),
        Column("rate", True), Column("verdict"),
    )  # fmt: skip
    empty = "No run ended in this window."
    return Table("exhaustion", "Budget exhaustion", columns, rows, empty, most=NAMED)


def _judged(one: Rate) -> tuple[Cell, ...]:
    value = one.value or 0.0
    told = Cell(f"{value:.1%}", f"{value:.4f}", bar=plots.rate(one))
    return count(one.runs), count(one.exhausted), told, Cell(one.verdict)


def _halts(now: Signals) -> Table:
    spent, halts = now.halted_by(), now.halts()
    rows = [
        (
            Cell(reason.replace("_", " "), reason),
            count(halts.get(reason, 0)),
            money(spent.get(reason, ZERO)),
            _percent(spent.get(reason, ZERO), now.spent),
        )
        for reason in sorted({*spent, *halts}, key=lambda one: (-halts.get(one, 0), one))
    ]
    columns = (
        Column("reason"),
        Column("runs halted", True),
        Column("spent on such", True),
        Column("of all", True),
    )
    return Table("halts", "Halts", columns, rows, "No run was halted in this window.")


def _tokens(now: Signals) -> Table:
    rows = [
        (Cell(one.outcome), *(count(value) for value in (one.runs, one.p50, one.p90, one.p99, one.most)))
        for one in now.tokens
    ]
    names = ("tasks", "median", "nine in ten at most", "p99", "most")
    columns = (Column("outcome"), *(Column(name, True) for name in names))
    return Table("tokens", "Tokens for each task", columns, rows, "No task ended in this window.")


def _histogram(now: Signals) -> Table:
    rows = [(Cell(between), count(good), count(bad)) for _, between, good, bad in plots.by_tokens(now.tokens)]
    columns = (Column("tokens"), Column("successes", True), Column("failures", True))
    return Table("histogram", "Tasks by tokens", columns, rows, "No task ended in this window.")


def _percent(part: Usd, whole: Usd) -> Cell:
    value = part.nanos / whole.nanos if whole.nanos > 0 else 0.0
    return Cell(f"{value:.1%}", f"{value:.6f}")
