"""What this process has settled of each run, so that the next turn need not ask the database."""

from __future__ import annotations

import threading
from collections import OrderedDict

from bot.core.meter import Previous
from bot.core.prices import same_model
from bot.stores.account import Account, Hold, Settlement


class Heard:
    def __init__(self) -> None:
        self._runs: OrderedDict[str, tuple[int, dict[str, Previous]]] = OrderedDict()
        self._lock = threading.Lock()

    def all_of(self, account: Account) -> dict[str, Previous] | None:
        """By prefix, if all steps of the run were settled here; else None."""
        with self._lock:
            steps, known = self._runs.get(account.run, (0, {}))
            return dict(known) if steps == account.steps else None

    def add(self, hold: Hold, what: Settlement) -> None:
        asked, usage = hold.ask, what.usage
        with self._lock:
            steps, known = self._runs.pop(hold.account.run, (0, {}))
            # The same that `previous` takes from the database: told, billed, and by the model that was asked.
            cached = sum(usage.counted(n) for n in ("cache_write_5m", "cache_write_1h", "cache_read"))
            sent = usage.counted("input") + cached
            told = asked.prefix and not what.estimated and sent
            if told and same_model(asked.model, what.model or usage.model):
                known.pop(asked.prefix, None)
                at = hold.account.now
                known[asked.prefix] = Previous(asked.prefix, sent, usage.counted("output"), cached, at)
                if len(known) > 64:
                    known.pop(next(iter(known)))
            self._runs[hold.account.run] = steps + 1, known
            if len(self._runs) > 512:
                self._runs.popitem(last=False)
