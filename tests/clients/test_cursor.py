"""What Cursor tells is read whole or not at all, to the last digit, and what cannot be read is a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from bot.clients.cursor import EVENTS, SPEND, CursorApi, CursorError
from bot.core.cursor import Amounts, Event, Key
from bot.core.money import CENT, Usd
from sandbox.processes import Started, start

ADMIN, AT = "key_0123456789abcdef", 1_750_979_225_854
DAY = 86_400_000
Answer = Callable[[httpx2.Request], httpx2.Response]
# The example of cursor.com/docs/account/teams/admin-api, a copy of 2026.
LATER: dict[str, Any] = {
    "timestamp": str(AT), "userEmail": "Developer@company.com", "model": "claude-4.5-sonnet",
    "kind": "Usage-based", "maxMode": True, "requestsCosts": 5, "isTokenBasedCall": True,
    "isChargeable": True, "isHeadless": False,
    "tokenUsage": {"inputTokens": 126, "outputTokens": 450, "cacheWriteTokens": 6112,
                   "cacheReadTokens": 11964, "totalCents": 20.18232},
    "chargedCents": 21.36232, "cursorTokenFee": 1.18, "isFreeBugbot": False,
}  # fmt: skip
# The same page, a copy of 2025-11.
EARLIER: dict[str, Any] = {
    "timestamp": "1750979173824", "model": "claude-4-opus", "kind": "Usage-based", "maxMode": True,
    "requestsCosts": 10, "isTokenBasedCall": True,
    "tokenUsage": {"inputTokens": 5805, "outputTokens": 311, "cacheWriteTokens": 11964, "cacheReadTokens": 0,
                   "totalCents": 40.16699999999999},
    "isFreeBugbot": False, "userEmail": "developer@company.com",
}  # fmt: skip
INCLUDED: dict[str, Any] = {
    "timestamp": "1750978339901", "model": "claude-4-sonnet-thinking", "kind": "Included in Business",
    "maxMode": True, "requestsCosts": 1.4, "isTokenBasedCall": False, "isFreeBugbot": False,
    "userEmail": "admin@company.com",
}  # fmt: skip


def api(answer: Answer, waited: list[float] | None = None) -> CursorApi:
    waits = [] if waited is None else waited
    return CursorApi("https://api.example", ADMIN, waits.append, lambda: 0.0, httpx2.MockTransport(answer))


def page(*events: Any, more: object = False, count: int | None = None) -> dict[str, Any]:
    return {
        "totalUsageEventsCount": len(events) if count is None else count,
        "pagination": {"hasNextPage": more},
        "usageEvents": list(events),
    }


def telling(*answers: Any) -> Answer:
    left = iter(answers)
    return lambda request: httpx2.Response(200, json=next(left))


def events(answer: Answer, since: int = AT - DAY, until: int = AT + DAY) -> tuple[Event, ...]:
    return api(answer).events(since, until)


@pytest.mark.parametrize(
    ("told", "key", "amounts", "priced"),
    [
        pytest.param(
            LATER, Key(AT, "developer@company.com", "claude-4.5-sonnet", "Usage-based"),
            Amounts(213_623_200, 126, 450, 6112, 11964), True, id="what is charged, where that is told",
        ),
        pytest.param(
            EARLIER, Key(1750979173824, "developer@company.com", "claude-4-opus", "Usage-based"),
            Amounts(401_670_000, 5805, 311, 11964, 0), True, id="else what the model cost",
        ),
        pytest.param(
            EARLIER | {"cursorTokenFee": 1.18},
            Key(1750979173824, "developer@company.com", "claude-4-opus", "Usage-based"),
            Amounts(413_470_000, 5805, 311, 11964, 0), True, id="and the fee",
        ),
        pytest.param(
            INCLUDED,
            Key(1750978339901, "admin@company.com", "claude-4-sonnet-thinking", "Included in Business"),
            Amounts(), False, id="of what a plan includes, by requests, no amount is told",
        ),
        pytest.param(
            LATER | {"timestamp": AT, "userEmail": None, "chargedCents": -3, "tokenUsage": None},
            Key(AT, "", "claude-4.5-sonnet", "Usage-based"), Amounts(-3 * CENT), True,
            id="a time as a number, no account, something given back",
        ),
    ],
)  # fmt: skip
def test_an_event_is_read_to_the_last_digit(
    told: dict[str, Any], key: Key, amounts: Amounts, priced: bool
) -> None:
    assert events(telling(page(told))) == (Event(key, amounts, priced),)


def test_every_page_is_asked_for_with_the_key_as_user_and_no_password() -> None:
    asked: list[Any] = []
    pages = iter([page(LATER, more=True, count=2), page(EARLIER, count=2)])

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == httpx2.BasicAuth(ADMIN, "")._auth_header
        assert (request.method, request.url.path) == ("POST", EVENTS)
        asked.append(json.loads(request.content))
        return httpx2.Response(200, json=next(pages))

    said: list[tuple[str, int]] = []
    assert len(api(answer).events(AT - DAY, AT + 1, lambda *one: said.append(one))) == 2
    window = {"startDate": AT - DAY - 1, "endDate": AT + 1, "pageSize": 500}
    assert asked == [window | {"page": 1}, window | {"page": 2}]
    assert said == [(EVENTS, 1), (EVENTS, 2)]


def test_what_lies_outside_of_the_window_is_left_out_on_either_side() -> None:
    edges = [LATER | {"timestamp": str(at)} for at in (AT - 1, AT, AT + 9, AT + 10)]
    found = events(telling(page(*edges)), AT, AT + 10)
    assert [one.key.at for one in found] == [AT, AT + 9]


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(
            [page(LATER, more=True, count=2), page(LATER, EARLIER, count=3),
             page(EARLIER, more=True, count=2), page(LATER, count=2)],
            id="an event came by: the last of a page is the first of the next",
        ),
        pytest.param(
            [{**page(LATER, more=True), "totalUsageEventsCount": None},
             {**page(LATER), "totalUsageEventsCount": None}] +
            [{**page(EARLIER, more=True), "totalUsageEventsCount": None},
             {**page(LATER), "totalUsageEventsCount": None}] * 2,
            id="no number is told: until it is the same twice",
        ),
        pytest.param([page(LATER, count=2), page(LATER, EARLIER)], id="fewer than are said to be there"),
    ],
)  # fmt: skip
def test_what_changes_while_it_is_read_is_read_anew(answers: list[Any]) -> None:
    found = events(telling(*answers))
    assert [one.key.at for one in found] == [1750979173824, AT]


def test_what_goes_on_changing_is_not_booked() -> None:
    with pytest.raises(CursorError, match="changed each of the 3 times"):
        events(telling(*[page(LATER, count=2)] * 3))


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        pytest.param(429, {"retry-after": "7"}, [7.0], id="a rate limit, as long as it says"),
        pytest.param(429, {}, [15.0], id="a rate limit that says nothing"),
        pytest.param(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, [15.0], id="a date"),
        pytest.param(500, {}, [2.0], id="an outage"),
        pytest.param(503, {"retry-after": "9999"}, [120.0], id="never longer than two minutes"),
    ],
)
def test_what_may_pass_is_asked_again(status: int, headers: dict[str, str], waits: list[float]) -> None:
    answers = iter([httpx2.Response(status, headers=headers), httpx2.Response(200, json=page(LATER))])
    waited: list[float] = []
    assert len(api(lambda request: next(answers), waited).events(AT - DAY, AT + DAY)) == 1
    assert waited == waits


def test_no_more_than_twenty_requests_are_sent_in_a_minute() -> None:
    now, sent = 0.0, list[float]()

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal now
        sent.append(now)
        now += 0.5
        return httpx2.Response(200, json=page())

    paced = CursorApi("https://api.example", ADMIN, wait, lambda: now, httpx2.MockTransport(answer))
    for _ in range(70):
        paced.older(AT)
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[20:], strict=False))
    assert sent[-1] < 60 * 4


def got(body: Any, status: int = 200, **headers: str) -> httpx2.Response:
    """As bytes, so that what no JSON is can be told too."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.Response(status, headers=headers, content=content)


def one(**otherwise: Any) -> httpx2.Response:
    return got(page(LATER | otherwise))


UNPRICED = {"inputTokens": 1}
NOT_A_NUMBER = b'{"usageEvents": [{"chargedCents": NaN}]}'
ENDLESS = json.dumps(page(LATER)).replace("21.36232", "1e400").encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            got({"message": f"{ADMIN} is none"}, 401), "401 (… is none): is CURSOR_ADMIN_KEY", id="key"
        ),
        pytest.param(got({"error": "Forbidden"}, 403), "answered 403 (Forbidden)", id="no admin"),
        pytest.param(got({"error": "Too Many Requests"}, 429), "answered 429 (Too", id="a limit that lasts"),
        pytest.param(got({}, 500), "answered 500 at", id="an outage that lasts"),
        pytest.param(got({}, 302, location="https://x.example"), "answered 302", id="elsewhere"),
        pytest.param(got(b"<html>"), "no JSON", id="a page"),
        pytest.param(got(NOT_A_NUMBER), "no JSON", id="no number"),
        pytest.param(got(b"[" * 100_000), "no JSON", id="too deep"),
        pytest.param(got([]), "no object", id="a list"),
        pytest.param(got({"usageEvents": 3}), "no list 'usageEvents'", id="another shape"),
        pytest.param(got({"usageEvents": ["x"]}), "no list 'usageEvents'", id="events that are none"),
        pytest.param(got({"usageEvents": []}), "no object 'pagination'", id="no pages"),
        pytest.param(got(page(LATER, more=None)), "hasNextPage", id="whether more follows is not said"),
        pytest.param(got(page(more=True)), "page 1 of", id="nothing, and more of it"),
        pytest.param(one(chargedCents=None, tokenUsage=UNPRICED), "missing is never zero", id="no amount"),
        pytest.param(one(chargedCents="21"), "'21' in the place of an amount", id="an amount as text"),
        pytest.param(one(chargedCents=True), "True in the place of an amount", id="a truth"),
        pytest.param(got(ENDLESS), "in the place of an amount", id="more than there is"),
        pytest.param(one(timestamp="yesterday"), "'yesterday' in the place of a time", id="no time"),
        pytest.param(one(timestamp="1750979225"), "'1750979225' in the place of a time", id="seconds"),
        pytest.param(one(timestamp="\u0661" * 13), "in the place of a time", id="other digits"),
        pytest.param(one(userEmail=7), "7 in the place of a text (userEmail)", id="an account that is none"),
        pytest.param(one(model="\ud800"), "in the place of a text (model)", id="what no database takes"),
        pytest.param(one(kind="k" * 101), "in the place of a text (kind)", id="longer than any"),
        pytest.param(one(tokenUsage={"inputTokens": -1}), "-1 in the place of a whole number", id="tokens"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_without_the_key(answer: httpx2.Response, said: str) -> None:
    with pytest.raises(CursorError) as refused:
        events(lambda request: answer)
    assert said in str(refused.value)
    assert "Cursor" in str(refused.value) or EVENTS in str(refused.value)
    assert ADMIN not in str(refused.value)


def test_spend_by_user_is_the_overall_one_where_that_is_told() -> None:
    first = {"email": "A@x.example", "spendCents": 1875, "overallSpendCents": 3200}
    second = {"email": "b@x.example", "spendCents": 2450}
    about = {"subscriptionCycleStart": AT, "totalPages": 2}
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(200, json={"teamMemberSpend": [first if len(asked) == 1 else second], **about})

    spent = api(answer).spent()
    assert spent.by_email == {"a@x.example": Usd.parse("32"), "b@x.example": Usd.parse("24.50")}
    assert (spent.since, asked) == (AT, [SPEND, SPEND])


# -- against the stand-in, over HTTP --


@pytest.fixture
def cursor() -> Iterator[Started]:
    with start("cursor", key=ADMIN, month="2026-10", a_day=90, a_minute=0) as started:
        yield started


def test_a_month_over_http_is_what_the_team_used(cursor: Started) -> None:
    team = cursor.ask("/_sandbox/state")["events"]
    first = 1_790_812_800_000  # 2026-10-01
    ours = CursorApi(cursor.url, ADMIN, wait=lambda seconds: None)
    found = ours.events(first, first + 30 * DAY) + ours.events(first + 30 * DAY, first + 31 * DAY)
    assert len(found) == len(team) > 1_000
    assert sum(one.amounts.nanos for one in found) == sum(round(one["chargedCents"] * CENT) for one in team)
    assert ours.older(first) is False
    assert ours.older(first + DAY) is True
    ours.close()


def test_half_a_page_a_limit_and_an_outage_over_http_lose_nothing(cursor: Started) -> None:
    first = 1_790_812_800_000
    waited: list[float] = []
    ours = CursorApi(cursor.url, ADMIN, waited.append)
    whole = ours.events(first, first + DAY)
    cursor.ask("/_sandbox/faults", [{"cut": True}, {"status": 500}, {"status": 429, "retry_after": "3"}])
    assert ours.events(first, first + DAY) == whole
    assert waited == [2.0, 4.0, 3.0]
    cursor.ask("/_sandbox/conduct", {"a_minute": 1})
    with pytest.raises(CursorError, match="answered 429"):
        ours.events(first, first + DAY)
    ours.close()
