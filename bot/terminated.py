"""Whether this process was told to end, by SIGTERM or SIGINT, once or many times."""

from __future__ import annotations

import os
import select
import signal


class Terminated:
    """To be made in the main thread; from then on those signals end nothing by themselves.

    Python runs a handler when its main thread comes to it. One that sets an Event waits for ever where a
    second signal finds it in the middle of that; one that comes just before the thread begins to wait is not
    run until the wait is over. So it is the signal itself that writes here.
    """

    def __init__(self) -> None:
        self._told, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float | None = None) -> bool:
        """Until it was, or so long; whether it was."""
        looked = select.poll()
        looked.register(self._told, select.POLLIN)
        return bool(looked.poll(None if seconds is None else max(0, round(seconds * 1000))))

    def is_set(self) -> bool:
        return self.wait(0)
