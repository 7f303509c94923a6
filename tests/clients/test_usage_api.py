"""The usage report is read whole or not at all, and what cannot be read is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anthropic
import httpx2
import pytest

from bot.clients.usage_api import GROUPS, KnownKey, UsageApi, UsageError
from bot.core.invoice import Billed
from bot.core.money import Usd
from bot.core.usage import Usage
from sandbox.processes import Started, start

ADMIN, KEY, MINUTE = "sk-ant-admin-secret", "sk-ant-api03-0123456789abcdefghij-wxyz", 60_000
Answer = Callable[[httpx2.Request], httpx2.Response]
ROW: dict[str, Any] = {
    "api_key_id": "apikey_1", "model": "claude-opus-4-7", "inference_geo": "us", "service_tier": "standard",
    "context_window": "200k-1M", "workspace_id": None, "uncached_input_tokens": 1,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
    "cache_read_input_tokens": 4, "output_tokens": 5, "server_tool_use": {"web_search_requests": 6},
}  # fmt: skip


@pytest.fixture
def claude() -> Iterator[Started]:
    with start("claude", character="echo", key=KEY, admin_key=ADMIN, report_lag_ms=0) as started:
        yield started


def api(answer: Answer, waited: list[float] | None = None) -> UsageApi:
    waits = [] if waited is None else waited
    return UsageApi("https://api.example", ADMIN, waits.append, httpx2.MockTransport(answer))


def page(*rows: dict[str, Any], at: str = "1970-01-01T00:00:00Z", following: str | None = None) -> Any:
    bucket = {"starting_at": at, "ending_at": at, "results": list(rows)}
    return {"data": [bucket], "has_more": following is not None, "next_page": following}


def keys(*hints: str | None) -> Answer:
    data = [
        {"id": f"apikey_{n}", "name": "k", "partial_key_hint": hint, "created_at": "1970-01-01T00:00:01Z"}
        for n, hint in enumerate(hints)
    ]
    return lambda request: httpx2.Response(200, json={"data": data, "has_more": False, "last_id": None})


def test_a_row_of_the_report_is_read_whole() -> None:
    (counted,) = api(lambda request: httpx2.Response(200, json=page(ROW))).report(0, MINUTE, ["apikey_1"])
    assert (counted.at, counted.key_id, counted.long) == (
        0,
        "apikey_1",
        True,
    )
    assert counted.usage == Usage(1, 2, 3, 4, 5, 6, "claude-opus-4-7", "us", "standard")


def test_every_page_is_read_and_what_is_asked_for_is_minutes_by_key_and_price() -> None:
    asked: list[httpx2.URL] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url)
        assert request.headers["x-api-key"] == ADMIN
        following = None if "page" in request.url.params else "page_2"
        return httpx2.Response(200, json=page(ROW, following=following))

    assert len(list(api(answer).report(0, MINUTE, ["apikey_1", "apikey_2"]))) == 2
    first = asked[0].params
    assert first.get_list("api_key_ids[]") == ["apikey_1", "apikey_2"]
    assert "inference_geo" in first.get_list("group_by[]")
    assert (first["bucket_width"], first["limit"]) == ("1m", "1440")
    assert (first["starting_at"], first["ending_at"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:02:00Z")
    assert asked[1].params["page"] == "page_2"


def test_a_minute_beyond_what_was_asked_for_is_left_out() -> None:
    beyond = page(ROW, at="1970-01-01T00:01:00Z")
    assert list(api(lambda request: httpx2.Response(200, json=beyond)).report(0, MINUTE, [])) == []


@pytest.mark.parametrize(
    "missing", ["uncached_input_tokens", "cache_creation", "cache_read_input_tokens", "output_tokens"]
)
def test_a_count_that_is_missing_is_never_zero(missing: str) -> None:
    row = {name: value for name, value in ROW.items() if name != missing}
    with pytest.raises(UsageError, match="missing is never zero"):
        list(api(lambda request: httpx2.Response(200, json=page(row))).report(0, MINUTE, []))


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        pytest.param(429, {"retry-after": "7"}, [7.0], id="a rate limit, as long as it says"),
        pytest.param(503, {}, [2.0], id="an outage"),
        pytest.param(529, {"retry-after": "9999"}, [120.0], id="never longer than two minutes"),
    ],
)
def test_what_may_pass_is_asked_again(status: int, headers: dict[str, str], waits: list[float]) -> None:
    answers = iter([httpx2.Response(status, headers=headers), httpx2.Response(200, json=page(ROW))])
    waited: list[float] = []
    assert len(list(api(lambda request: next(answers), waited).report(0, MINUTE, []))) == 1
    assert waited == waits


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx2.Response(401, json={"error": {"message": "invalid x-api-key"}}), id="no admin"),
        pytest.param(httpx2.Response(500), id="an outage that lasts"),
        pytest.param(httpx2.Response(200, content=b"<html>"), id="a page"),
        pytest.param(httpx2.Response(200, json={"data": 3}), id="another shape"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_without_the_key(answer: httpx2.Response) -> None:
    with pytest.raises(UsageError) as said:
        list(api(lambda request: answer).report(0, MINUTE, []))
    assert "Admin API" in str(said.value)
    assert ADMIN not in str(said.value)


def test_reports_are_asked_for_once_a_minute_at_most() -> None:
    waited: list[float] = []
    asked = api(lambda request: httpx2.Response(200, json=page()), waited)
    for _ in range(2):
        list(asked.report(0, MINUTE, []))
    assert [50 < pause <= 60 for pause in waited] == [True]


def test_a_key_is_known_by_its_hint() -> None:
    ours = api(keys("sk-ant-api03-zzz...wxyz", None, "sk-ant-api03-012...wxyz", "..."))
    assert ours.known({"ANTHROPIC_API_KEY": KEY}) == {"ANTHROPIC_API_KEY": KnownKey("apikey_2", 1000)}


@pytest.mark.parametrize(
    ("hints", "said"),
    [
        pytest.param(("sk-ant-api03-zzz...wxyz",), "no key of the 1", id="missing"),
        pytest.param(("sk-ant-api03-012...wxyz",) * 2, "2 keys of the 2", id="two that look like it"),
    ],
)
def test_a_key_that_cannot_be_told_is_refused_by_its_name(hints: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=f"ANTHROPIC_API_KEY cannot be told apart.*{said}") as refused:
        api(keys(*hints)).known({"ANTHROPIC_API_KEY": KEY})
    assert KEY not in str(refused.value)


def test_two_names_of_one_key_are_refused() -> None:
    with pytest.raises(UsageError, match="the same key as another"):
        api(keys("sk-ant-api03-012...wxyz")).known({"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_API_KEY_2": KEY})


# -- against the sandbox, over HTTP --


def test_the_report_is_the_invoice(claude: Started) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=claude.url, max_retries=0) as sdk:
        for model in ("claude-opus-4-7", "claude-haiku-4-5", "claude-opus-4-7"):
            sdk.messages.create(model=model, max_tokens=50, messages=[{"role": "user", "content": "hello"}])
    rows = claude.invoice()["rows"]
    ours = UsageApi(claude.url, ADMIN)
    ids = ours.known({"ANTHROPIC_API_KEY": KEY})
    since = rows[0]["at"] // MINUTE * MINUTE
    # Three days: more than one page.
    found = list(
        ours.report(since - 2 * 1440 * MINUTE, since + 1440 * MINUTE, [key.id for key in ids.values()])
    )
    ours.close()
    for model in {row["model"] for row in rows}:
        billed = [row for row in rows if row["model"] == model]
        mine = [each.usage for each in found if each.usage.model == model]
        for counter in ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output"):
            told = sum(getattr(usage, counter) for usage in mine)
            assert told == sum(row[counter] for row in billed), (model, counter)
    assert {each.at for each in found} <= {row["at"] // MINUTE * MINUTE for row in rows}


def test_the_sandboxs_report_is_late_and_closed_to_all_but_the_admin_key(claude: Started) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=claude.url, max_retries=0) as sdk:
        sdk.messages.create(
            model="claude-opus-4-7", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
        )
    at = claude.invoice()["rows"][0]["at"] // MINUTE * MINUTE
    claude.ask("/_sandbox/conduct", {"report_lag_ms": 300_000})
    late = UsageApi(claude.url, ADMIN)
    assert list(late.report(at, at + 2 * MINUTE, [])) == []
    late.close()
    stranger = UsageApi(claude.url, KEY)
    with pytest.raises(UsageError, match=r"answered 401 \(invalid x-api-key\)"):
        stranger.known({"ANTHROPIC_API_KEY": KEY})
    stranger.close()


# -- the cost report --

LINE: dict[str, Any] = {
    "amount": "123.45", "currency": "USD", "cost_type": "tokens", "description": "Claude Opus 4.7 Usage",
    "model": "claude-opus-4-7", "token_type": "cache_creation.ephemeral_1h_input_tokens",
    "context_window": "0-200k", "service_tier": "standard", "inference_geo": None, "workspace_id": "wrkspc_1",
}  # fmt: skip
DAY = 86_400_000


def costs(line: dict[str, Any]) -> list[Billed]:
    return list(api(lambda request: httpx2.Response(200, json=page(line))).costs(0, DAY))


def test_a_line_of_the_cost_report_is_in_cents() -> None:
    assert costs(LINE) == [
        Billed(0, "wrkspc_1", "claude-opus-4-7", "cache_write_1h", "standard", Usd.parse("1.2345"), 100_000)
    ]


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        pytest.param("web_search", "web_searches", id="web searches"),
        pytest.param("code_execution", "", id="code execution"),
        pytest.param("session_usage", "", id="one that we do not know"),
    ],
)
def test_lines_of_other_costs_are_told_apart(kind: str, part: str) -> None:
    (line,) = costs(LINE | {"cost_type": kind, "token_type": None, "model": None})
    assert (line.part, line.model, line.amount) == (part, "", Usd.parse("1.2345"))


@pytest.mark.parametrize(
    ("amount", "nanos", "rounded"),
    [
        ("0", 0, 10_000_000),
        ("1", 10_000_000, 10_000_000),
        ("0.0000001", 1, 1),
        ("-2.5", -25_000_000, 1_000_000),
    ],
)
def test_amounts_are_read_to_the_nano_dollar(amount: str, nanos: int, rounded: int) -> None:
    (line,) = costs(LINE | {"amount": amount})
    assert (line.amount.nanos, line.rounded) == (nanos, rounded)


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": None}, {"amount": 1.5}, {"amount": "NaN"}, {"amount": "Infinity"}, {"amount": "much"},
        {"currency": "EUR"}, {"token_type": "new_tokens"}, {"model": None},
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_never_nothing(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cost report"):
        costs(LINE | changed)


def test_days_are_asked_for_all_keys_and_workspaces_and_each_page_is_told() -> None:
    asked: list[httpx2.URL] = []
    told: list[tuple[str, int]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url)
        following = None if "page" in request.url.params else "page_2"
        line = ROW | LINE if "cost" in request.url.path else ROW | {"workspace_id": "wrkspc_1"}
        return httpx2.Response(200, json=page(line, following=following))

    ours = api(answer)
    used = list(ours.days(0, DAY, lambda report, pages: told.append((report, pages))))
    billed = list(ours.costs(0, DAY, lambda report, pages: told.append((report, pages))))
    assert (len(used), used[0].workspace, len(billed)) == (2, "wrkspc_1", 2)
    assert [path.rpartition("/")[2] + f" {pages}" for path, pages in told] == [
        "messages 1", "messages 2", "cost_report 1", "cost_report 2",
    ]  # fmt: skip
    usage, cost = asked[0].params, asked[2].params
    assert "api_key_ids[]" not in usage
    assert {"api_key_id", "workspace_id"} < set(usage.get_list("group_by[]"))
    assert cost.get_list("group_by[]") == ["workspace_id", "description"]
    assert {each["bucket_width"] for each in (usage, cost)} == {"1d"}
    assert cost["limit"] == "31"


def test_the_cost_report_of_the_sandbox_is_its_invoice(claude: Started) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=claude.url, max_retries=0) as sdk:
        for model in ("claude-opus-4-7", "claude-haiku-4-5"):
            sdk.messages.create(model=model, max_tokens=50, messages=[{"role": "user", "content": "hello"}])
    invoice = claude.invoice()
    first = invoice["rows"][0]["at"] // DAY * DAY
    ours = UsageApi(claude.url, ADMIN)
    billed = list(ours.costs(first, first + 2 * DAY))
    ours.close()
    assert sum(line.amount.nanos for line in billed) == invoice["total_nanos"]
    assert {line.model for line in billed} == {row["model"] for row in invoice["rows"]}


# -- where the reports of 2023-06-01 are no longer served --


def test_the_successors_are_asked_where_the_reports_are_gone() -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if "analytics" not in request.url.path:
            return httpx2.Response(404, json={"error": {"message": "Not found"}})
        asked.append(request)
        group = {name: ROW.get(name) for name in (*GROUPS, "workspace_id")}
        item = {"starting_at": "1970-01-01T00:00:00Z", "group": group, "usage": ROW}
        if request.url.path.endswith("cost"):
            cost = {"amount": "90", "list_amount": "100", "currency": "USD", "requests": None}
            item = item | {
                "group": group | {"cost_type": "tokens", "token_type": "output_tokens"},
                "cost": cost,
            }
        first = "page" not in request.url.params
        return httpx2.Response(200, json={"data": [item], "has_more": first, "next_page": "p2"})

    waited: list[float] = []
    (counted, _) = api(answer, waited).report(0, MINUTE, ["apikey_1"])
    assert counted.usage == Usage(1, 2, 3, 4, 5, 6, "claude-opus-4-7", "us", "standard")
    (billed, _) = api(answer, waited).costs(0, DAY)
    # The price list's price, for that is what ours is held against.
    assert (billed.part, billed.amount, billed.model) == ("output", Usd.parse("1"), "claude-opus-4-7")
    assert waited == []
    for request in asked:
        assert request.headers["anthropic-version"] == "2026-10-21"
        assert request.headers["anthropic-beta"] == "analytics-usage-cost-2026-08-24"
        assert len([g for g in request.url.params.get_list("group_by[]") if not g.endswith("_type")]) <= 5
    assert asked[0].url.params["time_bucket_width"] == "1m"
    assert asked[0].url.params.get_list("api_key_ids[]") == ["apikey_1"]
    assert asked[1].url.params["page"] == "p2"


def test_minutes_are_asked_for_a_day_at_a_time() -> None:
    ranges: list[tuple[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if "analytics" not in request.url.path:
            return httpx2.Response(410)
        ranges.append((request.url.params["starting_at"], request.url.params["ending_at"]))
        return httpx2.Response(200, json={"data": [], "has_more": False, "next_page": None})

    list(api(answer).report(0, DAY + MINUTE, []))
    assert ranges == [
        ("1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"),
        ("1970-01-02T00:00:00Z", "1970-01-02T00:01:00Z"),
    ]


def test_a_report_that_goes_away_in_the_middle_is_not_read_twice() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        gone = "page" in request.url.params
        return httpx2.Response(410) if gone else httpx2.Response(200, json=page(ROW, following="p2"))

    with pytest.raises(UsageError, match="answered 410"):
        list(api(answer).report(0, MINUTE, []))


def test_both_generations_of_the_sandboxs_reports_say_the_same(claude: Started) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=claude.url, max_retries=0) as sdk:
        for model in ("claude-opus-4-7", "claude-haiku-4-5", "claude-opus-4-7"):
            sdk.messages.create(model=model, max_tokens=50, messages=[{"role": "user", "content": "hello"}])
    first = claude.invoice()["rows"][0]["at"] // DAY * DAY
    told = []
    for legacy in (True, False):
        claude.ask("/_sandbox/conduct", {"legacy": legacy})
        ours = UsageApi(claude.url, ADMIN)
        used = sorted(ours.report(first, first + 2 * DAY, []), key=repr)
        days = sorted(ours.days(first, first + 2 * DAY), key=repr)
        costs = sorted((b.at, b.model, b.part, b.amount.nanos) for b in ours.costs(first, first + 2 * DAY))
        told.append((used, days, costs))
        ours.close()
    assert told[0] == told[1]
    assert all(told[0])


def test_the_sdk_reads_the_sandboxs_analytics(claude: Started) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=claude.url, max_retries=0) as sdk:
        sdk.messages.create(
            model="claude-opus-4-7", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
        )
    (row,) = claude.invoice()["rows"]
    first = datetime.fromtimestamp(row["at"] // DAY * DAY / 1000, UTC)
    window: Any = {"starting_at": first, "ending_at": first + timedelta(days=2), "time_bucket_width": "1d"}
    with anthropic.Anthropic(api_key=ADMIN, base_url=claude.url, max_retries=0) as sdk:
        reports = sdk.beta.organization.analytics
        (used,) = reports.usage.list(**window, group_by=["api_key_id", "model"])
        costs = list(reports.cost.list(**window, group_by=["model", "token_type", "cost_type"], limit=1))
    assert (used.usage.uncached_input_tokens, used.usage.output_tokens) == (row["input"], row["output"])
    assert used.group.model == row["model"]
    assert sum(float(item.cost.list_amount) for item in costs) * 10**7 == pytest.approx(row["nanos"])
    assert {item.group.token_type for item in costs} == {"uncached_input_tokens", "output_tokens"}
