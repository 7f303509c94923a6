"""`/ceilings`: what past runs suggest for each class, and how they would have gone under others (R28)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from bot.core import suggest
from bot.core.ceilings import span
from bot.core.money import Usd
from bot.core.quantities import duration, whole
from bot.core.replay import Other, Tally, tally
from bot.core.signals import BADLY_SCOPED
from bot.core.suggest import Suggestion
from bot.services import Services
from bot.stores.replays import Replays
from bot.web.answers import Problem
from bot.web.dashboard import asked
from bot.web.dashboard.frame import Frame, Link
from bot.web.dashboard.shapes import (
    CEILINGS,
    COUNT,
    MS,
    TEXT,
    USD,
    YES,
    Parameter,
    by_name,
    maybe,
    record,
    rows,
)
from bot.web.dashboard.signal_shapes import FILTERS, WINDOW
from bot.web.dashboard.tables import Cell, Column, Table, count, money
from bot.web.who import Visitor

MOST = 150  # runs of a class that are replayed: each has dozens of turns, and somebody waits for the page
LONGEST = 90  # days that may be asked for
TOO_LONG = f"at most {LONGEST} days are replayed here; `python -m bot whatif` takes any window, and every run"
NO_RUNS = (
    "No run that asked a model has ended in this window: `/agent fix` on a pull request starts one, and "
    "after a week of them ceilings are suggested."
)
TAKES = {
    **WINDOW,
    "repo": FILTERS["repo"],
    "class": FILTERS["class"],
    "line": FILTERS["line"],
    "cost": Parameter("Replayed under this ceiling, such as $5; what is not given is each run's own", TEXT),
    "tokens": Parameter("The same, such as 800k", TEXT),
    "steps": Parameter("The same, such as 40", TEXT),
    "wall": Parameter("The same, such as 20m", TEXT),
}
TALLY = record(
    {
        "class": TEXT,
        **dict.fromkeys(
            ("runs", "successes", "halted_earlier", "successes_lost", "would_have_gone_on"), COUNT
        ),
        "halted_by": by_name(COUNT),
        **dict.fromkeys(("spent_usd", "would_have_spent_usd", "saved_usd"), USD),
    }
)
LEARNT = record(
    {
        "since_ms": MS,
        "until_ms": MS,
        "whole": YES,
        "sampled": by_name(record({"runs": COUNT, "of": COUNT})),
        "suggestions": rows(
            record(
                {
                    "class": TEXT,
                    "successes": COUNT,
                    "own": CEILINGS,
                    "suggested": maybe(CEILINGS),
                    "why_not": maybe(TEXT),
                    "above_80_steps": YES,
                    "past_runs": maybe(TALLY),
                }
            )
        ),
        "yaml": TEXT,
        "whatif": maybe(rows(TALLY)),
    }
)


@dataclass(frozen=True, slots=True)
class Learnt:
    """`sampled`: by class, how many runs were replayed, of how many; `tried`: under `other`, None: under
    none."""

    window: asked.Window
    other: Other
    sampled: Mapping[str, tuple[int, int]]
    made: tuple[Suggestion, ...]
    under: Mapping[str, Tally]
    tried: tuple[Tally, ...] | None

    @property
    def whole(self) -> bool:
        """Whether every run was replayed."""
        return all(of == every for of, every in self.sampled.values())


def mount(frame: Frame) -> None:
    services = frame.services
    frame.links += [Link("/ceilings", "Ceilings")]

    @frame.get("/ceilings", others=False)
    def ceilings(visitor: Visitor) -> AnyResponse:
        if tidied := frame.tidied():
            return tidied
        found = read(services, visitor)
        tables = [_suggested(found), _sampled(found)]
        if found.tried is not None:
            tables.insert(0, _tried(found.tried))
        return frame.show(
            visitor,
            "ceilings.html",
            "Ceilings",
            tables,
            found=found,
            empty="" if found.sampled else NO_RUNS,
            many_steps=[one for one in found.made if one.many_steps],
            long=BADLY_SCOPED,
            yaml=suggest.as_yaml(found.made),
            approximate=suggest.APPROXIMATE,
            given=dict(request.args),
            presets=[preset for preset in asked.PRESETS if preset[0] != asked.ALL],
            **asked.choices(services, visitor),
            most=MOST,
            window=found.window,
            everywhere=visitor.sight.everyone,
        )

    @frame.api("/api/v1/ceilings", takes=TAKES, answers=LEARNT)
    def ceilings_json(visitor: Visitor) -> dict[str, Any]:
        """What past runs suggest as ceilings of each class; where ceilings are given, what these would do."""
        found = read(services, visitor)
        return {
            "since_ms": found.window.since,
            "until_ms": found.window.until,
            "whole": found.whole,
            "sampled": {name: {"runs": of, "of": every} for name, (of, every) in found.sampled.items()},
            "suggestions": suggest.suggestions_json(found.made, found.under),
            "yaml": suggest.as_yaml(found.made),
            "whatif": None if found.tried is None else [suggest.tally_json(one) for one in found.tried],
        }


def read(services: Services, visitor: Visitor) -> Learnt:
    """What the address asks for, over the repositories whose sums the visitor may see. Raises Problem 400."""
    if "developer" in request.args:
        raise Problem(400, "ceilings are learnt of a class, not of a person: leave `developer` out")
    now, zone = services.database.now_ms(), services.policy.caps.zone
    window = asked.window(request.args, now, zone)
    if window.days == asked.ALL or (window.last - window.first).days >= LONGEST:
        raise Problem(400, TOO_LONG)
    only = asked.only(request.args, visitor, False)
    other = _other(request.args)
    sample = Replays(services.database).sample(window.since, window.until, MOST, only)
    counted: dict[str, int] = {}
    for run in sample.runs:
        counted[run.task_class] = counted.get(run.task_class, 0) + 1
    made = suggest.suggest(sample.runs, now)
    by_class = {one.task_class: one.other for one in made}
    return Learnt(
        window,
        other,
        {name: (counted[name], sample.every[name]) for name in sorted(counted)},
        made,
        {one.task_class: one for one in tally(sample.runs, by_class.__getitem__)},
        tally(sample.runs, lambda name: other) if other != Other() else None,
    )


def _other(args: Mapping[str, str]) -> Other:
    """The ceilings to try. Raises Problem 400."""
    try:
        return Other(*(reads(text) if (text := asked.text(args, name)) else None for name, reads in _READS))
    except ValueError as error:
        raise Problem(400, str(error)) from error


_READS: tuple[tuple[str, Any], ...] = (
    ("cost", Usd.parse), ("tokens", whole), ("steps", whole), ("wall", duration),
)  # fmt: skip


# -- its tables --


def _suggested(found: Learnt) -> Table:
    cells = []
    for one in found.made:
        under = found.under[one.task_class]
        to = one.ceilings
        if to is None:
            cells.append(
                (
                    Cell(one.task_class, note=f"no suggestion yet: {one.why}"),
                    *_pairs(one),
                    *(Cell("", ""),) * 3,
                )
            )
            continue
        cells.append(
            (
                Cell(one.task_class, note=f"by {one.successes:,} that succeeded"),
                *_pairs(one),
                _halted(under),
                Cell(f"{under.lost:,} of {under.successes:,}", str(under.lost)),
                money(under.saved),
            )
        )
    columns = (
        Column("class"),
        Column("cost", True),
        Column("tokens", True),
        Column("steps", True),
        Column("wall", True),
        Column("would have halted"),
        Column("of it successes", True),
        Column("saved", True),
    )
    about = (
        "What nine in ten successful runs needed and a quarter more, at least what 98 in 100 needed; under "
        "it what most runs were given."
    )
    return Table("suggested", "Suggested", columns, cells, NO_RUNS, about)


def _pairs(one: Suggestion) -> tuple[Cell, ...]:
    """Each ceiling as it is suggested, and under it as it was given."""
    own, to = one.own, one.ceilings

    def pair(suggested: str, given: str, value: str) -> Cell:
        return Cell(suggested if to else "none yet", value if to else "", note=f"given {given}")

    best = to or own
    return (
        pair(str(best.usd), str(own.usd), best.usd.exact),
        pair(f"{best.tokens:,}", f"{own.tokens:,}", str(best.tokens)),
        pair(f"{best.steps:,}", f"{own.steps:,}", str(best.steps)),
        pair(span(best.seconds), span(own.seconds), str(best.seconds)),
    )


def _halted(one: Tally) -> Cell:
    by = ", ".join(
        f"{reason.removesuffix('_ceiling').replace('_', ' ')} {number:,}"
        for reason, number in sorted(one.halted.items())
    )
    return Cell(f"{one.earlier:,} of {one.runs:,}", str(one.earlier), note=by)


def _tried(tried: tuple[Tally, ...]) -> Table:
    cells = [
        (
            Cell(one.task_class),
            _halted(one),
            Cell(f"{one.lost:,} of {one.successes:,}", str(one.lost)),
            money(one.spent),
            money(one.would),
            money(one.saved),
            Cell(f"{one.freed:,}", str(one.freed)),
        )
        for one in tried
    ]
    columns = (
        Column("class"),
        Column("would have halted"),
        Column("of it successes", True),
        Column("spent", True),
        Column("would have spent", True),
        Column("saved", True),
        Column("would have gone on", True),
    )
    return Table("tried", "What these ceilings would have done", columns, cells, NO_RUNS)


def _sampled(found: Learnt) -> Table:
    cells = [(Cell(name), count(of), count(every)) for name, (of, every) in found.sampled.items()]
    columns = (Column("class"), Column("replayed", True), Column("runs", True))
    about = f"At most {MOST} runs of a class, chosen by their ids, which are random; the same ones each time."
    return Table("sampled", "What it was learnt from", columns, cells, NO_RUNS, about)
