"""What a run leaves behind after every turn, on its way to the service beside the run (L4).

The tree is looked at when all results of a turn are in, and nothing changes it until that is done. What is
sent is always the newest; an upload that fails does the run no harm, the next one carries all of it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bot.core.transcript import Malformed, Transcript, write
from bot.runner.service import ServiceError

Json = dict[str, Any]
# (a transcript as it is kept, the changes if they are other than before, until when it may be tried again)
Put = Callable[[bytes, Json | None, float], None]


class Uploads:
    """One for a run. `look` tells the changes as a result has them; `failed` hears why an upload failed.

    `known`: the changes that the service has already.
    """

    def __init__(
        self,
        put: Put,
        look: Callable[[], Json | None],
        failed: Callable[[str], None] = lambda why: None,
        known: Json | None = None,
    ) -> None:
        self._put, self._look, self._failed = put, look, failed
        self._tree = _Tree(known)
        self._sent = self._tree.digest
        self._looks = ThreadPoolExecutor(1, "look")
        self._looking: Future[None] | None = None
        self._news = threading.Condition()
        self._next: tuple[Transcript, _Tree] | None = None
        self._over = False
        self._sender = threading.Thread(target=self._send, name="uploads", daemon=True)
        self._sender.start()

    def turn(self, so_far: Transcript) -> None:
        """An answer has come; its calls are still to be carried out."""
        self._soon(lambda: self._offer(so_far))

    def results(self, so_far: Transcript) -> None:
        """All of them are in: look at the tree beside the next request."""

        def look() -> None:
            found = self._look()
            self._tree = _Tree(found) if found is not None else self._tree
            self._offer(so_far)

        self._soon(look)

    def seen(self) -> None:
        """Wait until nobody looks at the tree, so that it may change."""
        if self._looking is not None:
            self._looking.result()

    def last(self, so_far: Transcript | None, changes: Json | None, seconds: float) -> None:
        """What there is at the end, tried again for so long; nothing is sent after it."""
        until = time.monotonic() + seconds
        self.seen()
        waiting = self._next
        self.close(seconds)
        if self._sender.is_alive():  # an older one is still on its way, and must not come after this
            self._failed("the upload before it does not end")
            return
        if so_far is None and waiting is not None:
            so_far = waiting[0]
        if so_far is not None:
            self._upload(so_far, _Tree(changes) if changes is not None else self._tree, until)

    def close(self, seconds: float = 0) -> None:
        """End; what is being sent has so long to arrive."""
        with self._news:
            self._over, self._next = True, None
            self._news.notify_all()
        self._looks.shutdown(wait=False)
        self._sender.join(seconds)

    def _soon(self, do: Callable[[], None]) -> None:
        if not self._over:
            self._looking = self._looks.submit(do)

    def _offer(self, so_far: Transcript) -> None:
        with self._news:
            self._next = so_far, self._tree
            self._news.notify_all()

    def _send(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._next is not None or self._over)
                if self._over or self._next is None:
                    return
                (so_far, tree), self._next = self._next, None
            self._upload(so_far, tree, time.monotonic())

    def _upload(self, so_far: Transcript, tree: _Tree, until: float) -> None:
        try:
            self._put(write(so_far), tree.changes if tree.digest != self._sent else None, until)
            self._sent = tree.digest
        except (Malformed, ServiceError) as error:
            self._failed(str(error))


class _Tree:
    """The changes at one time, and what tells them from others."""

    def __init__(self, changes: Json | None) -> None:
        self.changes = changes
        self.digest = hashlib.sha256(json.dumps(changes).encode()).digest()
