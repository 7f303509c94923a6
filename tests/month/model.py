"""What the policy says must happen, worked out anew from docs/policy.md: nothing here is the product's.

Money is whole nano-dollars. People and repositories are GitHub's numbers; months are looked up in a list of
instants that somebody has typed, not calculated from a zone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal

LEAST = 500_000_000


def usd(nanos: int) -> str:
    """Cents, or up to four decimals, rounded up."""
    amount = (Decimal(nanos) / 10**9).quantize(Decimal("0.0001"), ROUND_UP)
    whole = f"${amount:,.4f}"
    return whole.removesuffix("0").removesuffix("0")


@dataclass
class Rules:
    """The service's policy, as far as money goes. Names in lower case."""

    starts: Sequence[tuple[int, str]]  # when (ms since the epoch) each month begins where people live
    everyone: int | None = None
    people: dict[str, int] = field(default_factory=dict)
    repositories: dict[str, int] = field(default_factory=dict)
    installation: int | None = None
    lines: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)  # what a month, whose
    at_once: dict[str, int] = field(default_factory=dict)  # runs on a line
    self_service: bool = True
    mention: bool = False
    approvers: tuple[str, ...] = ()

    def month(self, at: int) -> str:
        return max(start for start in self.starts if start[0] <= at)[1]


@dataclass
class Named:
    """A person or a repository: what it is called, and was called in runs."""

    id: int
    name: str
    before: set[str] = field(default_factory=set)


@dataclass
class Run:
    id: str
    person: int
    repository: int
    line: str
    month: str
    ceiling: int
    name: str  # of the person, at its launch
    number: int  # how many were launched before
    spent: int = 0
    live: bool = True
    steps: int = 0
    context: int = 0  # of what was spent: reading the conversation
    halted: bool = False


@dataclass(frozen=True)
class Cap:
    scope: str
    owner: str
    name: str
    amount: int


@dataclass(frozen=True)
class Stand:
    """A cap in a month."""

    cap: Cap
    month: str
    most: int
    spent: int
    held: int

    @property
    def left(self) -> int:
        return max(0, self.most - self.spent - self.held)

    @property
    def reached(self) -> bool:
        return self.left < LEAST

    @property
    def whose(self) -> str:
        name = f"{self.cap.name}'s cap" if self.cap.scope == "person" else f"the cap of {self.cap.name}"
        return f"{name} for {self.month}"

    @property
    def refusal(self) -> str:
        held = f", {usd(self.held)} held by live runs" if self.held else ""
        return f"{self.whose} is reached: {usd(self.spent)} of {usd(self.most)} spent{held}"

    @property
    def row(self) -> str:
        held = f", {usd(self.held)} held by live runs" if self.held else ""
        percent = self.spent * 100 // self.most
        return f"- {self.whose}: {usd(self.spent)} of {usd(self.most)} spent ({percent} %){held}"


@dataclass(frozen=True)
class Granted:
    ceiling: int
    clamp: str | None


class Book:
    """Everything that has happened, and what follows from it."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.runs: dict[str, Run] = {}
        self.slices: Counter[tuple[str, str, str]] = Counter()  # scope, owner, month
        self.told: set[tuple[int, str]] = set()  # person, month

    # -- caps --

    def caps(self, person: Named, repository: Named, line: str = "") -> list[Cap]:
        """Every cap that a launch must fit under."""
        rules, found = self.rules, []
        if line:
            found.append(self.line(line))
        elif (own := _least(rules.people, person, rules.everyone)) is not None:
            found.append(Cap("person", str(person.id), person.name, own))
        if (its := _least(rules.repositories, repository, None)) is not None:
            found.append(Cap("repository", str(repository.id), repository.name, its))
        if rules.installation is not None:
            found.append(Cap("installation", "", "the whole installation", rules.installation))
        return found

    def line(self, name: str) -> Cap:
        return Cap("line", name, f"the line {name}", self.rules.lines[name][0])

    def stand(self, cap: Cap, month: str) -> Stand:
        under = [run for run in self.runs.values() if run.month == month and _under(run, cap)]
        opened = self.slices[cap.scope, cap.owner, month]
        return Stand(
            cap,
            month,
            cap.amount + opened * (cap.amount // 4),
            sum(run.spent for run in under),
            sum(run.ceiling - run.spent for run in under if run.live),
        )

    def fit(self, caps: Iterable[Cap], month: str, asked: int, spent: int = 0) -> Granted | Stand:
        """What a launch gets; or the cap that refuses it. `spent`: of the same run, before it goes on."""
        stands = [self.stand(cap, month) for cap in caps]
        tightest = min(stands, key=lambda one: one.left, default=None)
        if tightest is None or asked - spent <= tightest.left:
            return Granted(asked, None)
        if tightest.left < min(LEAST, asked - spent):
            return tightest
        total = tightest.left + spent
        leaves = f"{tightest.whose} leaves: {usd(total)} of {usd(tightest.most)}"
        return Granted(total, f"cost: {usd(asked)} is more than what {leaves}")

    # -- what happens --

    def launched(self, id: str, person: Named, repository: Named, line: str, month: str, ceiling: int) -> Run:
        run = Run(id, person.id, repository.id, line, month, ceiling, person.name, len(self.runs))
        self.runs[id] = run
        person.before.add(person.name.lower())
        repository.before.add(repository.name.lower())
        return run

    def ended(self, run: Run, person: Named) -> str:
        """The notice in its report, if it is the one that crossed three quarters of its person's month."""
        run.live = False
        own = _least(self.rules.people, Named(run.person, run.name, person.before), self.rules.everyone)
        if run.line or own is None or (run.person, run.month) in self.told:
            return ""
        stand = self.stand(Cap("person", str(run.person), run.name, own), run.month)
        if stand.spent * 4 < own * 3:
            return ""
        self.told.add((run.person, run.month))
        who = f"@{run.name}" if self.rules.mention else run.name
        after = "the cap is reached: further runs are" if stand.reached else "at 100 % further runs are"
        return (
            f"{who} has spent {usd(stand.spent)} of {usd(stand.most)} for {stand.month} "
            f"({stand.spent * 100 // stand.most} %); {after} refused until `/agent ack` or the next month."
        )

    def acknowledged(
        self, by: str, own: bool, caps: Sequence[Cap], month: str
    ) -> tuple[list[Stand], list[Stand]]:
        """What was opened (as it stands then), and what is reached but another's to open."""
        opened, barred = [], []
        for cap in caps:
            may = by in self.rules.approvers or (own and cap.scope == "person" and self.rules.self_service)
            if not self.stand(cap, month).reached:
                continue
            if may:
                self.slices[cap.scope, cap.owner, month] += 1
                opened.append(self.stand(cap, month))
            else:
                barred.append(self.stand(cap, month))
        return opened, barred

    # -- what came of a month --

    def spends(self, month: str) -> dict[int, list[Run]]:
        """The runs of each person who spent something."""
        found: dict[int, list[Run]] = {}
        for run in self.runs.values():
            if run.month == month:
                found.setdefault(run.person, []).append(run)
        return {person: runs for person, runs in found.items() if sum(run.spent for run in runs)}


def _least(named: dict[str, int], whom: Named, otherwise: int | None) -> int | None:
    """Of the names in the file that it has or had the one with the least counts."""
    amounts = [named[name] for name in {whom.name.lower(), *whom.before} if name in named]
    return min(amounts, default=otherwise)


def _under(run: Run, cap: Cap) -> bool:
    match cap.scope:
        case "person":
            return str(run.person) == cap.owner and not run.line
        case "repository":
            return str(run.repository) == cap.owner
        case "line":
            return run.line == cap.owner
        case _:
            return True
