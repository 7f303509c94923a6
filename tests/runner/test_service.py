"""The service as a runner sees it: patient where waiting helps, at once where it does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import httpx2
import pytest

from bot.runner.service import (
    CLAIM_SECONDS,
    OPEN_SECONDS,
    Brief,
    Pulse,
    Service,
    ServiceError,
    Standing,
    read_brief,
)
from tests.runner.world import RUN, TOKEN, Api, Json, Repository

URL = "https://tollgate.example.com"
NOWHERE = Api("http://x", Repository("file:///nowhere", "acme/calendar", "0" * 40))


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


Answer = tuple[int, Json] | Exception


def service(*answers: Answer) -> tuple[Service, list[httpx2.Request], Time]:
    """A service that gives these answers, the last one for ever."""
    requests: list[httpx2.Request] = []
    time = Time()

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        answer = answers[min(len(requests), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer[0], json=answer[1])

    http = httpx2.Client(transport=httpx2.MockTransport(handle))
    return Service(URL + "/", http, clock=lambda: time.now, sleep=time.sleep), requests, time


def given() -> Json:
    return NOWHERE._brief()


def brief() -> Brief:
    return read_brief(given())


def claim(asked: Service) -> Brief:
    tokens = iter(range(1_000))
    return asked.claim(RUN, 1, lambda: f"oidc-{next(tokens)}")


NOT_YET = (404, {"error": "run 0123456789ab.1 is not known (yet)"})


def test_a_claim_is_repeated_until_the_dispatch_is_known_with_a_fresh_identity_each_time() -> None:
    asked, requests, _ = service(NOT_YET, NOT_YET, (503, {}), httpx2.ConnectError("refused"), (200, given()))
    assert claim(asked).run == RUN
    assert [request.headers["authorization"] for request in requests] == [
        f"Bearer oidc-{n}" for n in range(5)
    ]
    assert json.loads(requests[0].content) == {"run": RUN, "attempt": 1}


def test_a_claim_that_stays_unknown_is_given_up_after_a_minute_with_the_services_own_words() -> None:
    asked, _, time = service(NOT_YET)
    with pytest.raises(ServiceError, match=r"says 404: run 0123456789ab\.1 is not known"):
        claim(asked)
    assert CLAIM_SECONDS - 6 <= time.now <= CLAIM_SECONDS


def test_a_step_that_is_told_to_come_again_does_until_a_minute_and_more_is_over() -> None:
    full = (429, {"error": "acme/calendar asks for too many at once"})
    asked, requests, time = service(*[full] * 16, (200, given()))
    assert asked.open({"number": 1}, lambda: "oidc").run == RUN
    assert (len(requests), time.now > 60) == (17, True)
    asked, _, time = service(full)
    with pytest.raises(ServiceError, match="says 429: acme/calendar asks for too many"):
        asked.open({"number": 1}, lambda: "oidc")
    assert 60 < time.now <= OPEN_SECONDS


@pytest.mark.parametrize("status", [400, 401, 403, 409])
def test_a_no_is_not_asked_again(status: int) -> None:
    asked, requests, _ = service((status, {"error": "the token's repository_id is 2"}))
    with pytest.raises(ServiceError, match="repository_id is 2"):
        claim(asked)
    assert len(requests) == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({}, id="empty"),
        pytest.param({**NOWHERE._brief(), "ceilings": {"usd": "5"}}, id="a ceiling is missing"),
        pytest.param({**NOWHERE._brief(), "head": None}, id="no commit"),
    ],
)
def test_a_brief_that_lacks_something_starts_nothing(broken: Json) -> None:
    asked, _, _ = service((200, broken))
    with pytest.raises(ServiceError, match="cannot be read"):
        claim(asked)


def test_the_identity_is_asked_for_this_service_alone() -> None:
    asked, requests, _ = service((200, {"value": "the-token"}))
    assert asked.identity("https://actions.example/token?api-version=2.0", "ask") == "the-token"
    assert requests[0].url.params["audience"] == URL
    assert requests[0].url.params["api-version"] == "2.0"
    assert requests[0].headers["authorization"] == "Bearer ask"


def test_a_result_is_sent_until_it_is_taken() -> None:
    asked, requests, _ = service((500, {}), httpx2.ReadTimeout("slow"), (202, {"state": "running"}))
    assert asked.result(brief(), {"outcome": "done"}) == "running"
    assert {request.content for request in requests} == {b'{"outcome": "done"}'}
    assert {request.headers["authorization"] for request in requests} == {f"Bearer {TOKEN}"}


def test_a_result_that_came_too_late_is_said_at_once() -> None:
    asked, requests, _ = service((409, {"error": "it is finished already"}))
    with pytest.raises(ServiceError, match="finished already"):
        asked.result(brief(), {})
    assert len(requests) == 1


def test_a_token_stands_in_no_repr_and_in_no_error() -> None:
    asked, _, _ = service((500, {"error": "oops"}))
    with pytest.raises(ServiceError) as raised:
        asked.events(brief(), [])
    assert TOKEN not in repr(brief()) + str(raised.value)


# -- the pulse --


class Counter:
    """An events door that counts, and says what it is told to say."""

    def __init__(self, said: Callable[[int], Answer]) -> None:
        self.said = said
        self.halts = threading.Event()  # from then on a look says so
        self.came: list[list[Json]] = []
        self.condition = threading.Condition()

    def service(self) -> Service:
        def handle(request: httpx2.Request) -> httpx2.Response:
            with self.condition:
                if request.method == "GET":
                    status, said = self.looked_at()
                    return httpx2.Response(status, json=said)
                answer = self.said(len(self.came))
                self.came.append(json.loads(request.content)["events"])
                self.condition.notify_all()
            if isinstance(answer, Exception):
                raise answer
            return httpx2.Response(answer[0], json=answer[1])

        return Service(URL, httpx2.Client(transport=httpx2.MockTransport(handle)))

    def looked_at(self) -> tuple[int, Json]:
        found = HALTED if self.halts.is_set() else RUNNING
        assert not isinstance(found, Exception)
        return found

    def wait(self, count: int) -> None:
        with self.condition:
            assert self.condition.wait_for(lambda: len(self.came) >= count, timeout=20)


RUNNING: Answer = (200, {"state": "running", "remaining": {"usd": "1"}})
HALTED: Answer = (
    200,
    {"state": "halted", "reason": "stopped", "message": "halted at step 2: stopped by ada"},
)


def never(standing: Standing) -> None:
    raise AssertionError(standing)


def test_a_run_is_said_to_be_alive_again_and_again() -> None:
    door = Counter(lambda count: RUNNING)
    with Pulse(door.service(), brief(), never, every=0.01):
        door.wait(4)
    assert all(events[-1]["type"] == "heartbeat" for events in door.came)


def test_what_happens_is_told_at_once_in_order_and_with_the_count_of_calls() -> None:
    door = Counter(lambda count: RUNNING)
    with Pulse(door.service(), brief(), never, every=1_000) as pulse:
        door.wait(1)
        pulse.tool_calls = 3
        pulse.tell("turn", "I look.")
        door.wait(2)
    assert door.came[1][0] == {"type": "turn", "text": "I look.", "tool_calls": 3}


def test_news_that_could_not_be_told_are_told_later() -> None:
    door = Counter(lambda count: httpx2.ConnectError("refused") if count < 2 else RUNNING)
    with Pulse(door.service(), brief(), never, every=0.01) as pulse:
        pulse.tell("turn", "I look.")
        door.wait(4)
    told = [event["text"] for events in door.came[2:] for event in events if event["type"] == "turn"]
    assert told == ["I look."]


def test_the_end_of_a_run_is_said_once_with_its_sentence() -> None:
    over: list[Standing] = []
    door = Counter(lambda count: HALTED if count else RUNNING)
    with Pulse(door.service(), brief(), over.append, every=0.01):
        door.wait(5)
    assert [(each.state, each.reason, each.message) for each in over] == [
        ("halted", "stopped", "halted at step 2: stopped by ada")
    ]


def test_a_halt_is_heard_by_a_look_long_before_the_next_beat() -> None:
    heard = threading.Event()
    door = Counter(lambda count: RUNNING)
    with Pulse(door.service(), brief(), lambda standing: heard.set(), every=1_000, look=0.01):
        door.wait(1)
        door.halts.set()
        assert heard.wait(20)
    assert len(door.came) == 1, "a look is no beat"


def test_a_service_that_is_away_does_not_end_a_run() -> None:
    door = Counter(lambda count: (503, {}))
    with Pulse(door.service(), brief(), never, every=0.01):
        door.wait(4)
