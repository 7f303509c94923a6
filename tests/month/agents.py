"""Who carries out dispatched workflows instead of `act`: an agent a run, which waits for what to do.

It is a runner over HTTP like any other: an identity from the issuer, a claim, requests through the gateway, a
result.
"""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from sandbox.actions import Job, Watch

BEAT_SECONDS = 5.0
Json = dict[str, Any]


class Agent:
    """One attempt of one run."""

    def __init__(self, job: Job, watch: Watch) -> None:
        inputs = job.event["inputs"]
        self.job, self.watch = job, watch
        self.run, self.attempt, self.service = inputs["run"], int(inputs["attempt"]), inputs["service"]
        self.claimed: Future[Json] = Future()  # its brief
        self._orders: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue()
        threading.Thread(target=self._work, daemon=True, name=f"agent-{self.run}").start()

    def ask(self, max_tokens: int) -> Future[int]:
        """One request to the model; the status of the answer."""
        return self._order(lambda: self._ask(max_tokens))

    def keep(self) -> Future[Json]:
        """Upload what a further attempt would go on from."""
        kept = {"transcript": base64.b64encode(b"words").decode()}
        return self._order(lambda: self._call("PUT", "/work", kept))

    def hand_in(self, **result: object) -> Future[Json]:
        """The last that it does."""
        handed = self._order(lambda: self._call("POST", "/result", result))
        self._orders.put(None)
        return handed

    def end(self) -> None:
        self._orders.put(None)

    def _order(self, do: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        self._orders.put((do, done))
        return done

    def _work(self) -> None:
        self.watch.begun()
        try:
            self.claimed.set_result(self._claim())
        except Exception as error:  # noqa: BLE001 - whoever waits for it hears of it
            self.claimed.set_exception(error)
            return self.watch.ended("failure")
        while True:
            try:
                order = self._orders.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                with suppress(urllib.error.HTTPError):  # it may be over by now
                    self._call("POST", "/events", {"events": [{"type": "heartbeat"}]})
                continue
            if order is None:
                return self.watch.ended("success")
            do, done = order
            try:
                done.set_result(do())
            except Exception as error:  # noqa: BLE001 - whoever ordered it hears of it
                done.set_exception(error)

    def _claim(self) -> Json:
        url = f"{self.job.env['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={self.service}"
        while True:  # until the dispatch is persisted (L5)
            identity = http("GET", url, self.job.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])["value"]
            about = {"run": self.run, "attempt": self.attempt}
            try:
                return http("POST", f"{self.service}/api/runs/claim", identity, about)
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                time.sleep(0.1)

    def _call(self, method: str, path: str, body: Json) -> Json:
        url = f"{self.service}/api/runs/{self.run}{path}"
        return http(method, url, self.claimed.result()["token"], body)

    def _ask(self, max_tokens: int) -> int:
        brief = self.claimed.result()
        body = {
            "model": brief["model"],
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": "Hello"}],
            "metadata": {"user_id": self.run},
        }
        try:
            http("POST", f"{brief['base_url']}/v1/messages", brief["token"], body)
        except urllib.error.HTTPError as error:
            return error.code
        return 200


class Agents:
    """All of them, as the sandbox's GitHub knows those who carry out its jobs."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Agent] = {}
        self._changed = threading.Condition()

    def start(self, job: Job, watch: Watch) -> None:
        agent = Agent(job, watch)
        with self._changed:
            self._known[agent.run, agent.attempt] = agent
            self._changed.notify_all()

    def cancel(self, id: int) -> None:
        for agent in self._known.values():
            if agent.job.id == id:
                agent.end()

    def close(self) -> None:
        for agent in self._known.values():
            agent.end()

    def of(self, run: str, attempt: int, seconds: float = 300) -> Agent:
        """The agent of an attempt, once its workflow was dispatched."""
        with self._changed:
            if not self._changed.wait_for(lambda: (run, attempt) in self._known, seconds):
                raise TimeoutError(f"run {run}.{attempt} was not dispatched")
            return self._known[run, attempt]


def http(method: str, url: str, bearer: str, body: Json | None = None) -> Json:
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Content-Type": "application/json",
        "anthropic-version": "2023-06-01",
    }
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(asked, timeout=120) as answer:  # noqa: S310 - as above
        return dict(json.load(answer))
