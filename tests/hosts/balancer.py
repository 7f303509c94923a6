"""A load balancer in the fewest lines: connections go in turn to whoever is ready."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHECK_SECONDS = 0.5
CHECK_PATIENCE = 2.0
DOWN_AFTER = 2  # checks in vain
CONNECT_SECONDS = 1.0


class Balancer:
    """`url` is the service's one address. A place that is found to be down loses its connections at once."""

    def __init__(self, host: str, places: list[tuple[str, int]]) -> None:
        self._listening = socket.create_server((host, 0), backlog=256)
        self.url = f"http://{host}:{self._listening.getsockname()[1]}"
        self._vain = dict.fromkeys(places, DOWN_AFTER)
        self._open: dict[tuple[str, int], set[socket.socket]] = defaultdict(set)
        self._turn = 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        for place in places:
            self._watch(place)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        self._listening.close()
        for place in self._vain:
            self._drop(place)

    def ready(self) -> list[tuple[str, int]]:
        """Which of the places take connections now."""
        return [place for place, vain in list(self._vain.items()) if vain < DOWN_AFTER]

    def replace(self, gone: tuple[str, int], place: tuple[str, int]) -> None:
        del self._vain[gone]
        self._vain[place] = DOWN_AFTER
        self._watch(place)

    def _watch(self, place: tuple[str, int]) -> None:
        threading.Thread(target=self._look, args=(place,), daemon=True).start()

    def _look(self, place: tuple[str, int]) -> None:
        while not self._stop.wait(CHECK_SECONDS) and place in self._vain:
            asked = f"http://{place[0]}:{place[1]}/readyz"
            try:
                with urllib.request.urlopen(asked, timeout=CHECK_PATIENCE):
                    self._vain[place] = 0
            except OSError as error:
                told = isinstance(error, urllib.error.HTTPError)  # it answers: what goes on there may end
                self._vain[place] = self._vain.get(place, 0) + 1
                if not told and self._vain[place] == DOWN_AFTER:
                    self._drop(place)

    def _drop(self, place: tuple[str, int]) -> None:
        with self._lock:
            dropped = list(self._open[place])
        for each in dropped:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        found = self._connected()
        if found is None:
            client.close()
            return
        place, server = found
        with self._lock:
            self._open[place] |= {client, server}
        back = threading.Thread(target=_pour, args=(server, client), daemon=True)
        back.start()
        _pour(client, server)
        back.join()
        with self._lock:
            self._open[place] -= {client, server}
        client.close()
        server.close()

    def _connected(self) -> tuple[tuple[str, int], socket.socket] | None:
        until = time.monotonic() + 5
        while time.monotonic() < until and not self._stop.is_set():
            ready = self.ready()
            with self._lock:
                self._turn += 1
                turn = self._turn
            for step in range(len(ready)):
                place = ready[(turn + step) % len(ready)]
                with suppress(OSError):
                    made = socket.create_connection(place, CONNECT_SECONDS)
                    made.settimeout(None)
                    return place, made
            time.sleep(0.1)
        return None


def _pour(source: socket.socket, into: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            into.sendall(data)
    with suppress(OSError):
        into.shutdown(socket.SHUT_WR)


@contextmanager
def balancer(host: str, places: list[tuple[str, int]]) -> Iterator[Balancer]:
    made = Balancer(host, places)
    try:
        yield made
    finally:
        made.close()
