"""The service, as a runner sees it: claim a run, say that one is alive, hand in what was made."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from bot.core import changeset, transcript
from bot.core.ceilings import Ceilings
from bot.core.changeset import Changeset
from bot.core.money import Usd
from bot.core.transcript import Transcript

CLAIM_SECONDS = 60.0  # the dispatch may be quicker than its being written down
OPEN_SECONDS = 90.0  # a repository that asked in vain too often is let in again after a minute
RESULT_SECONDS = 150.0  # the service waits 180 for the result of a run that it has ended
BEAT_SECONDS = 20.0  # the lease is 90
LOOK_SECONDS = 2.0  # between two looks at whether the run goes on: so soon `/agent stop` is heard


class ServiceError(Exception):
    """The service, or GitHub's OIDC, cannot be asked or says no; a sentence for the job's log."""


@dataclass(frozen=True)
class Brief:
    """What a claim answers. The token is the run's only secret."""

    run: str
    attempt: int
    token: str
    base_url: str
    task: str
    task_class: str
    engine: str
    model: str
    effort: str
    context: int
    thread: Mapping[str, Any]
    full_name: str
    ref: str
    sha: str
    ceilings: Ceilings
    seconds_left: float
    check: str | None
    forbidden: tuple[str, ...] = ()
    resumed: Mapping[str, str] | None = (
        None  # of a further attempt: `why` the last one ended, `text` asked now
    )
    before: Mapping[str, Any] | None = None  # of a planning run: the run whose task it splits
    base_ref: str = ""  # the branch whose settings an engine obeys; "" for none

    def __repr__(self) -> str:
        return f"Brief(run={self.run!r}, attempt={self.attempt})"


def read_brief(raw: Any) -> Brief:
    """Raises ServiceError when it is not one."""
    try:
        most = raw["ceilings"]
        ceilings = Ceilings(
            Usd.parse(most["usd"]), int(most["tokens"]), int(most["steps"]), int(most["seconds"])
        )
        return Brief(
            run=str(raw["run"]),
            attempt=int(raw["attempt"]),
            token=str(raw["token"]),
            base_url=str(raw["base_url"]),
            task=str(raw["task"]),
            task_class=str(raw["class"]),
            engine=str(raw["engine"]),
            model=str(raw["model"]),
            effort=str(raw["effort"]),
            context=int(raw["context"]),
            thread=dict(raw["thread"]),
            full_name=str(raw["repository"]["full_name"]),
            ref=str(raw["head"]["ref"]),
            sha=str(raw["head"]["sha"]),
            ceilings=ceilings,
            seconds_left=float(raw["seconds_left"]),
            check=str(raw["check"]) if raw.get("check") else None,
            forbidden=tuple(str(pattern) for pattern in raw["forbidden_paths"]),
            resumed=_resumed(raw.get("resumed")),
            before=dict(raw["before"]) if raw.get("before") else None,
            base_ref=str(raw.get("base_ref") or ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceError(f"the service's answer to the claim cannot be read: {error!r}") from error


def _resumed(raw: Any) -> Mapping[str, str] | None:
    return {name: str(raw.get(name) or "") for name in ("why", "text")} if raw is not None else None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands, as the service says it; `remaining` as in the gateway's headers."""

    state: str
    reason: str | None = None
    message: str | None = None
    remaining: Mapping[str, Any] | None = None


class Service:
    """The runner API over HTTP. What may succeed later is repeated for a while."""

    def __init__(
        self,
        url: str,
        http: httpx2.Client,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = http
        self._clock, self._sleep = clock, sleep

    def identity(self, request_url: str, request_token: str) -> str:
        """This job's OIDC token, for the service and nobody else. Raises ServiceError."""
        url = httpx2.URL(request_url).copy_merge_params({"audience": self.url})
        answer = self._ask("GET", str(url), request_token, None, until=self._clock() + 30)
        try:
            return str(answer.json()["value"])
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError("GitHub's answer holds no OIDC token") from error

    def claim(self, run: str, attempt: int, identity: Callable[[], str]) -> Brief:
        """The run's brief. 404 is repeated: the dispatch may not be written down yet. Raises ServiceError."""
        until = self._clock() + CLAIM_SECONDS
        asked = {"run": run, "attempt": attempt}
        answer = self._ask("POST", f"{self.url}/api/runs/claim", identity, asked, until, again=(404,))
        return read_brief(_json(answer))

    def open(self, asked: Mapping[str, Any], identity: Callable[[], str]) -> Brief:
        """A run for this step, claimed. The same `asked` gets the same run. Raises ServiceError."""
        until = self._clock() + OPEN_SECONDS
        return read_brief(_json(self._ask("POST", f"{self.url}/api/runs/open", identity, asked, until)))

    def open_here(
        self, asked: Mapping[str, Any], token: str, seconds: float = CLAIM_SECONDS
    ) -> tuple[Brief, str]:
        """A run on a person's own machine, claimed, by their token; and what holds for it, as text.

        The same `asked` gets the same run. Raises ServiceError.
        """
        url, until = f"{self.url}/api/laptop/runs", self._clock() + seconds
        found = _json(self._ask("POST", url, token, asked, until))
        return read_brief(found), str(found.get("start") or "")

    def laptop(
        self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What the laptops' door answers a person's machine; asked once. Raises ServiceError."""
        return _json(self._ask(method, f"{self.url}/api/laptop{path}", token, body, until=self._clock()))

    def events(self, brief: Brief, events: list[dict[str, Any]]) -> Standing:
        """Say what happened, which also says that we are alive. Asked once. Raises ServiceError."""
        url = f"{self.url}/api/runs/{brief.run}/events"
        return _standing(self._ask("POST", url, brief.token, {"events": events}, until=self._clock()))

    def standing(self, brief: Brief) -> Standing:
        """Where the run stands; says nothing of us. Asked once. Raises ServiceError."""
        url = f"{self.url}/api/runs/{brief.run}"
        return _standing(self._ask("GET", url, brief.token, None, until=self._clock()))

    def result(self, brief: Brief, result: Mapping[str, Any], seconds: float = RESULT_SECONDS) -> str:
        """Hand in what was made; the state that the run is in. The same result may be sent again."""
        url, until = f"{self.url}/api/runs/{brief.run}/result", self._clock() + seconds
        return str(_json(self._ask("POST", url, brief.token, result, until)).get("state", ""))

    def report(self, brief: Brief, seconds: float) -> Mapping[str, Any] | None:
        """`report` and `summary` of a run whose result is handed in; None if they are not told in time."""
        url, until = f"{self.url}/api/runs/{brief.run}/report", self._clock() + seconds
        while True:
            try:
                found = _json(self._ask("GET", url, brief.token, None, until))
            except ServiceError:
                return None
            if found.get("finished") is True or self._clock() + LOOK_SECONDS > until:
                return found if found.get("settled") is True else None
            self._sleep(LOOK_SECONDS / 2)

    def keep(self, brief: Brief, talk: bytes, changes: Mapping[str, Any] | None, until: float) -> None:
        """Leave the work so far: `talk` as transcripts are kept, `changes` None if they are as they were.

        Raises ServiceError.
        """
        work = {"transcript": base64.b64encode(talk).decode()}
        body = work if changes is None else {**work, "changeset": changes}
        self._ask("PUT", f"{self.url}/api/runs/{brief.run}/work", brief.token, body, until)

    def left(self, brief: Brief) -> tuple[Transcript | None, Changeset]:
        """What the attempts before this one left. Raises ServiceError."""
        url, until = f"{self.url}/api/runs/{brief.run}/work", self._clock() + CLAIM_SECONDS
        found = _json(self._ask("GET", url, brief.token, None, until))
        try:
            packed = found["transcript"]
            kept = transcript.read(base64.b64decode(packed)) if packed is not None else None
            return kept, changeset.read(found["changeset"])
        except (KeyError, TypeError, ValueError, transcript.Malformed, changeset.Malformed) as error:
            raise ServiceError(f"what the earlier attempt left cannot be read: {error}") from error

    def _ask(
        self,
        method: str,
        url: str,
        token: str | Callable[[], str],
        body: Mapping[str, Any] | None,
        until: float,
        again: tuple[int, ...] = (),
    ) -> httpx2.Response:
        wait = 0.25
        content = json.dumps(body).encode() if body is not None else None
        while True:
            secret = token if isinstance(token, str) else token()
            headers = {"content-type": "application/json"}
            headers |= {"authorization": f"Bearer {secret}"} if secret else {}
            try:
                answer = self._http.request(method, url, content=content, headers=headers)
            except httpx2.HTTPError as error:
                why = f"{httpx2.URL(url).host} cannot be reached: {str(error) or type(error).__name__}"
            else:
                if answer.is_success:
                    return answer
                why = _why(answer)
                if answer.status_code < 500 and answer.status_code not in (*again, 408, 429):
                    raise ServiceError(why)
            if self._clock() + wait > until:
                raise ServiceError(why)
            self._sleep(wait)
            wait = min(wait * 2, 5.0)


def _standing(answer: httpx2.Response) -> Standing:
    found = _json(answer)
    return Standing(
        str(found.get("state", "")), found.get("reason"), found.get("message"), found.get("remaining")
    )


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError as error:
        raise ServiceError(f"{answer.url.host} does not answer in JSON") from error
    if not isinstance(found, dict):
        raise ServiceError(f"{answer.url.host} does not answer with a JSON object")
    return found


def _why(answer: httpx2.Response) -> str:
    try:
        said = answer.json()
        words = said.get("error") or said.get("message")
    except (ValueError, AttributeError):
        words = None
    if isinstance(words, dict):
        words = words.get("message")
    return f"{answer.url.host} says {answer.status_code}: {words or answer.reason_phrase}"


class Pulse:
    """Tells the service every BEAT_SECONDS that the run is alive, and at once what happens in it; looks every
    LOOK_SECONDS whether the run goes on, which costs the service one read.

    `over(standing)` is called once, from the pulse's own thread, when the run is running no more.
    """

    def __init__(
        self,
        service: Service,
        brief: Brief,
        over: Callable[[Standing], None],
        heard: Callable[[Standing], None] = lambda standing: None,
        every: float = BEAT_SECONDS,
        look: float = LOOK_SECONDS,
    ) -> None:
        self._service, self._brief = service, brief
        self._over, self._heard, self._every, self._look = over, heard, every, look
        self._news: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._asking = threading.Lock()  # one at a time, in order
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._told_over = False
        self.tool_calls = 0
        self.standing: Standing | None = None
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def tell(self, kind: str, text: str) -> None:
        """Soon, without waiting."""
        with self._lock:
            self._news.append({"type": kind, "text": text[:2_000], "tool_calls": self.tool_calls})
        self._wake.set()

    def now(self) -> Standing | None:
        """At once; where the run stands, as far as it is known."""
        with self._asking:
            with self._lock:
                news, self._news = self._news, []
            beat = {"type": "heartbeat", "tool_calls": self.tool_calls}
            try:
                self.standing = self._service.events(self._brief, [*news, beat])
            except ServiceError:
                # The lease outlasts some silence. The news are told again, but not for ever.
                with self._lock:
                    self._news = [*news[-50:], *self._news]
                return self.standing
            standing = self.standing
        self._judge(standing)
        return standing

    def _judge(self, standing: Standing) -> None:
        self._heard(standing)
        if standing.state != "running" and not self._told_over:
            self._told_over = True
            self._over(standing)

    def _beat(self) -> None:
        while not self._ended.is_set():
            self.now()
            until = time.monotonic() + self._every
            while not self._wake.wait(min(self._look, self._every)) and time.monotonic() < until:
                with suppress(ServiceError):  # the next look, or the next beat, hears it
                    self._judge(self._service.standing(self._brief))
            self._wake.clear()
