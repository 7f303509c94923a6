"""What a thread has cost (R17), for `/agent cost` and its page: who and which runs, what they count for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.core.money import Usd, total
from bot.core.signals import MergedPull
from bot.services import Services
from bot.stores.run_rows import Run


@dataclass(frozen=True, slots=True)
class ThreadBill:
    """`runs`: on the thread, and those elsewhere that belong to it, oldest first; `counts`: by run, for which
    merged pull request it counts, or why for this one; `merged`: this one, if it is and runs belong to it;
    `counted`: the runs that its cost is the sum of."""

    runs: tuple[Run, ...]
    counts: Mapping[str, str]
    merged: MergedPull | None
    counted: tuple[Run, ...]

    @property
    def usd(self) -> Usd:
        """Of a merged pull request what belongs to it, else what was spent on the thread."""
        return total(run.spent.usd for run in self.counted)


def read(services: Services, repository_id: int, number: int) -> ThreadBill:
    here = services.threads.all(repository_id, number)
    belonging = services.pulls.belonging(repository_id, number)
    counts = services.pulls.counted(repository_id, [run.id for run in here])
    counts |= {run.id: why for run, why in belonging}
    runs = {run.id: run for run in (*here, *(run for run, _ in belonging))}.values()
    merged = services.signals.pull(repository_id, number)
    counted = tuple(run for run, _ in belonging) if merged else here
    return ThreadBill(tuple(sorted(runs, key=lambda run: run.opened_at)), counts, merged, counted)
