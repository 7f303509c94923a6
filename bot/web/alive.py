"""While this process lives, so do the holds of the requests that it has in flight."""

from __future__ import annotations

import logging
import threading

from bot.services import Services

log = logging.getLogger("tollgate.web")


def keep(services: Services) -> None:
    """Renew them from a thread of its own; when it stops, the watchdog charges what was in flight (R5)."""

    def renew() -> None:
        pause = threading.Event()
        while not pause.wait(services.ledger.lease_ms / 3000):
            try:
                services.ledger.renew()
            except Exception:  # the database restarts: the next turn is in time
                log.exception("holds were not renewed")

    threading.Thread(target=renew, name="renew", daemon=True).start()
