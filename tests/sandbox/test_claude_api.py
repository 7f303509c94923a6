"""The real SDK cannot tell the sandbox's Claude from Anthropic's, and its invoice is what the usage says."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from sandbox.processes import Started, start

ASK: Any = {
    "model": "claude-opus-4-7",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "hello"}],
}
BASH: Any = {"type": "bash_20250124", "name": "bash"}
CALL: Any = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "bash", "input": {}}]}
RESULT: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}
LONG = "x" * 10_000  # 3,125 tokens
# Typed from the price list once more: dollars a million tokens.
LIST = {
    "claude-opus-4-8": (5, 6.25, 10, 0.5, 25),
    "claude-opus-4-7": (5, 6.25, 10, 0.5, 25),
    "claude-opus-4-6": (5, 6.25, 10, 0.5, 25),
    "claude-opus-4-5": (5, 6.25, 10, 0.5, 25),
    "claude-sonnet-4-6": (3, 3.75, 6, 0.3, 15),
    "claude-sonnet-4-5": (3, 3.75, 6, 0.3, 15),
    "claude-haiku-4-5": (1, 1.25, 2, 0.1, 5),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Started]:
    with start("claude", character="echo", event_ms=20) as started:
        yield started


@pytest.fixture
def claude(shared: Started) -> Iterator[Started]:
    yield shared
    shared.ask("/_sandbox/character", {"character": "echo"})
    shared.ask("/_sandbox/conduct", {"think_ms": 0, "generates_on": True})


@pytest.fixture
def client(claude: Started) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="sk-test", base_url=claude.url, max_retries=0) as made:
        yield made


def billed(claude: Started, request_id: str | None) -> Any:
    rows = [row for row in claude.invoice()["rows"] if row["request_id"] == request_id]
    assert len(rows) <= 1
    return rows[0] if rows else None


def last(claude: Started) -> Any:
    return claude.invoice()["rows"][-1]


# Answers


def test_the_sdk_gets_a_whole_message(claude: Started, client: anthropic.Anthropic) -> None:
    answer = client.messages.create(**ASK)
    assert (answer.content[0].type, answer.stop_reason, answer.model) == (
        "text",
        "end_turn",
        "claude-opus-4-7",
    )
    row = billed(claude, answer._request_id)
    assert (row["input"], row["output"]) == (answer.usage.input_tokens, answer.usage.output_tokens)
    assert row["nanos"] == row["input"] * 5_000 + row["output"] * 25_000


def test_the_sdk_streams_and_the_usage_is_the_same(claude: Started, client: anthropic.Anthropic) -> None:
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    plain = client.messages.create(**ASK)
    assert [block.text for block in plain.content if block.type == "text"] == [text]
    assert final.usage.output_tokens == plain.usage.output_tokens
    assert (
        billed(claude, stream.response.headers["request-id"])["nanos"]
        == billed(claude, plain._request_id)["nanos"]
    )


def test_the_async_sdk_asks_many_at_once(claude: Started) -> None:
    async def ask_many() -> list[anthropic.types.Message]:
        async with anthropic.AsyncAnthropic(api_key="sk-many", base_url=claude.url, max_retries=0) as client:
            return await asyncio.gather(*[client.messages.create(**ASK) for _ in range(32)])

    before = claude.invoice()["count"]
    answers = asyncio.run(ask_many())
    assert len({answer._request_id for answer in answers}) == 32
    assert claude.invoice()["count"] == before + 32


def test_a_bearer_and_a_key_are_the_same_customer(claude: Started) -> None:
    for headers in ({"x-api-key": "sk-one"}, {"authorization": "Bearer sk-one"}):
        answer = post(claude, ASK, headers)
        assert answer.status_code == 200
    assert len({row["key"] for row in claude.invoice()["rows"][-2:]}) == 1


def test_a_query_string_and_beta_change_nothing(client: anthropic.Anthropic) -> None:
    assert client.beta.messages.create(**ASK).stop_reason == "end_turn"


def test_count_tokens_is_a_free_estimate_a_little_too_low(
    claude: Started, client: anthropic.Anthropic
) -> None:
    before = claude.invoice()["count"]
    asked = {**ASK, "messages": [{"role": "user", "content": LONG}]}
    del asked["max_tokens"]
    counted = client.messages.count_tokens(**asked).input_tokens
    assert claude.invoice()["count"] == before
    assert 0 < client.messages.create(**asked, max_tokens=10).usage.input_tokens - counted < 100


def test_models_are_listed_and_found_by_alias(client: anthropic.Anthropic) -> None:
    assert "claude-opus-4-7" in [model.id for model in client.models.list()]
    assert client.models.retrieve("claude-haiku-4-5").id == "claude-haiku-4-5-20251001"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nobody")


def test_thinking_is_signed_hidden_billed_and_taken_back(
    claude: Started, client: anthropic.Anthropic
) -> None:
    claude.ask("/_sandbox/character", {"character": "fixer"})
    asked: Any = {**ASK, "thinking": {"type": "adaptive"}, "tools": [BASH]}
    hidden = client.messages.create(**asked)
    thought = hidden.content[0]
    assert thought.type == "thinking"
    assert (thought.thinking, bool(thought.signature)) == ("", True)
    assert hidden.usage.output_tokens_details is not None
    assert 0 < hidden.usage.output_tokens_details.thinking_tokens < hidden.usage.output_tokens
    with client.messages.stream(
        **{**asked, "thinking": {"type": "adaptive", "display": "summarized"}}
    ) as stream:
        shown = stream.get_final_message().content[0]
    assert shown.type == "thinking"
    assert shown.thinking
    call = next(block for block in hidden.content if block.type == "tool_use")
    content = hidden.to_dict()["content"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "/tree\na.py"}
    went = [
        *ASK["messages"],
        {"role": "assistant", "content": content},
        {"role": "user", "content": [result]},
    ]
    assert client.messages.create(**{**asked, "messages": went}).stop_reason == "tool_use"
    content[0]["signature"] = "forged"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        client.messages.create(**{**asked, "messages": went})


def test_max_tokens_cuts_text_calls_and_thoughts(claude: Started, client: anthropic.Anthropic) -> None:
    claude.ask("/_sandbox/character", {"character": "echo", "manner": {"answer_tokens": 700}})
    assert client.messages.create(**ASK).usage.output_tokens == 700
    cut = client.messages.create(**{**ASK, "max_tokens": 55})
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 55)
    claude.ask("/_sandbox/character", {"character": "fixer"})
    for most in range(1, 120, 7):
        asked = {**ASK, "max_tokens": most, "thinking": {"type": "adaptive"}, "tools": [BASH]}
        whole = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
        assert whole.usage.output_tokens == streamed.usage.output_tokens <= most
        assert (
            whole.stop_reason
            == streamed.stop_reason
            == ("max_tokens" if whole.usage.output_tokens == most else "tool_use")
        )


def test_a_stop_sequence_ends_the_answer(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(**ASK, stop_sequences=["sandbox"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "sandbox")
    assert answer.content[0].to_dict()["text"] == "Hello from the "


# The invoice


@pytest.mark.filterwarnings("ignore:The model .* is deprecated")
@pytest.mark.parametrize("geo", [None, "global", "us"])
@pytest.mark.parametrize("model", LIST)
def test_every_model_is_billed_at_its_list_price(
    claude: Started, client: anthropic.Anthropic, model: str, geo: str | None
) -> None:
    cached = {
        "type": "text",
        "text": f"{model} {geo} {LONG * 2}",
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    later = {"type": "text", "text": f"{model} {geo} {LONG}", "cache_control": {"type": "ephemeral"}}
    asked: Any = {**ASK, "model": model, "system": [cached, later]}
    if geo and model.endswith("-5"):
        with pytest.raises(anthropic.BadRequestError, match="inference_geo"):
            client.messages.create(**asked, inference_geo=geo)
        return
    for _ in range(2):
        answer = client.messages.create(**asked, inference_geo=geo)
        usage, row = answer.usage, billed(claude, answer._request_id)
        assert usage.cache_creation is not None
        used = (
            usage.input_tokens,
            usage.cache_creation.ephemeral_5m_input_tokens,
            usage.cache_creation.ephemeral_1h_input_tokens,
            usage.cache_read_input_tokens or 0,
            usage.output_tokens,
        )
        assert used == tuple(
            row[name] for name in ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
        )
        tenths = 11 if geo == "us" else 10
        prices = [round(price * 1_000) for price in LIST[model]]
        assert (
            row["nanos"] * 10
            == sum(count * price for count, price in zip(used, prices, strict=True)) * tenths
        )
    assert row["cache_read"] > 9_000


def test_the_whole_cache_goes_through_the_api(claude: Started) -> None:
    with anthropic.Anthropic(api_key="sk-cache", base_url=claude.url, max_retries=0) as client:
        asked: Any = {**ASK, "system": LONG, "tools": [BASH], "cache_control": {"type": "ephemeral"}}
        first = client.messages.create(**asked).usage
        again = client.messages.create(**asked).usage
        claude.ask("/_sandbox/clock", {"advance_seconds": 301})
        late = client.messages.create(**asked).usage
    total = first.cache_creation_input_tokens
    assert total == 675 + 325 + 3_125 + 2 + 3
    assert (again.cache_read_input_tokens, again.cache_creation_input_tokens, again.input_tokens) == (
        total,
        0,
        0,
    )
    assert (late.cache_read_input_tokens, late.cache_creation_input_tokens) == (0, total)


def test_changing_the_tool_choice_keeps_the_cache_of_tools_and_system(claude: Started) -> None:
    with anthropic.Anthropic(api_key="sk-choice", base_url=claude.url, max_retries=0) as client:
        marked = {"type": "ephemeral"}
        said = [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": marked}]}]
        system = [{"type": "text", "text": LONG, "cache_control": marked}]
        asked: Any = {**ASK, "tools": [BASH], "system": system, "messages": said}
        client.messages.create(**asked)
        used = client.messages.create(**asked, tool_choice={"type": "any"}).usage
    assert used.cache_read_input_tokens == 804 + 325 + 3_125
    assert used.cache_creation_input_tokens == 2 + 3


def test_the_invoice_is_the_sum_of_its_rows_and_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "invoice.ndjson"
    with start("claude", character="expensive", invoice=file) as claude:
        with (
            anthropic.Anthropic(api_key="k", base_url=claude.url, max_retries=0) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            answers = list(
                pool.map(lambda most: client.messages.create(**{**ASK, "max_tokens": most}), range(1, 40))
            )
        bill = claude.invoice()
        written = [json.loads(line) for line in file.read_text().splitlines()]
        assert bill["rows"] == written
        assert bill["total_nanos"] == sum(row["nanos"] for row in written)
        assert bill["total_nanos"] == sum(
            answer.usage.input_tokens * 5_000 + answer.usage.output_tokens * 25_000 for answer in answers
        )
        assert [row["sequence"] for row in written] == list(range(1, 40))
        assert claude.ask("/invoice?after=37")["rows"] == written[37:]
        assert claude.stop() == 0
    with start("claude", character="echo", invoice=file) as again:
        assert again.invoice() == bill


def test_sigterm_bills_what_was_being_answered(tmp_path: Path) -> None:
    file = tmp_path / "invoice.ndjson"
    with (
        start("claude", character="pings", invoice=file, event_ms=10, answer_tokens=500) as claude,
        httpx2.Client(headers=HEADERS) as http,
        http.stream("POST", f"{claude.url}/v1/messages", json=STREAM) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        claude.process.send_signal(signal.SIGTERM)
        assert claude.process.wait(5) == 0
        with pytest.raises(httpx2.HTTPError):
            list(lines)
    (row,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (row["ended"], row["output"]) == ("stopped", 500)


def test_a_row_is_written_before_the_answer_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "invoice.ndjson"
    with (
        start("claude", character="slow", invoice=file, event_ms=5) as claude,
        httpx2.Client(headers=HEADERS) as http,
        http.stream("POST", f"{claude.url}/v1/messages", json=STREAM) as answer,
    ):
        for line in answer.iter_lines():
            if line == "event: message_delta":
                assert json.loads(file.read_text())["ended"] == "complete"
                return
    raise AssertionError("no message_delta came")


def test_nothing_but_the_process_writes_the_invoice(claude: Started) -> None:
    with httpx2.Client(headers=HEADERS) as http:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert http.request(method, f"{claude.url}/invoice", json={"total_nanos": 0}).status_code == 404


# Refusals

HEADERS = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
STREAM = {**ASK, "stream": True}


def post(claude: Started, body: object, headers: dict[str, str] | None = None) -> httpx2.Response:
    wire = {"anthropic-version": "2023-06-01", **(HEADERS if headers is None else headers)}
    with httpx2.Client() as http:
        return http.post(f"{claude.url}/v1/messages", json=body, headers=wire)


def without(name: str) -> Any:
    return {key: value for key, value in ASK.items() if key != name}


def marked(count: int) -> Any:
    return [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * count


REFUSED = [
    pytest.param({**ASK, "model": "claude-nobody"}, 404, "model: claude-nobody", id="unknown model"),
    pytest.param(without("max_tokens"), 400, "max_tokens: Field required", id="no max_tokens"),
    pytest.param(without("messages"), 400, "messages: Field required", id="no messages"),
    pytest.param({**ASK, "max_tokens": 128_001}, 400, "128001 > 128000", id="max_tokens over 128k"),
    pytest.param({**ASK, "max_tokens": 0}, 400, "greater than or equal to 1", id="max_tokens of nothing"),
    pytest.param({**ASK, "max_tokens": "9"}, 400, "valid integer", id="max_tokens in words"),
    pytest.param({**ASK, "temperature": 0}, 400, "temperature", id="temperature"),
    pytest.param({**ASK, "top_p": 0.5}, 400, "top_p", id="top_p"),
    pytest.param(
        {**ASK, "thinking": {"type": "enabled", "budget_tokens": 2000}}, 400, "adaptive", id="enabled"
    ),
    pytest.param(
        {**ASK, "thinking": {"type": "adaptive", "budget_tokens": 1}}, 400, "budget_tokens", id="budget"
    ),
    pytest.param({**ASK, "messages": []}, 400, "at least one message", id="no message"),
    pytest.param(
        {**ASK, "messages": [{"role": "tool", "content": "x"}]}, 400, "Unexpected role", id="a role"
    ),
    pytest.param(
        {**ASK, "messages": [{"role": "assistant", "content": "x"}]}, 400, "first message", id="first role"
    ),
    pytest.param(
        {**ASK, "messages": [{"role": "user", "content": ""}]}, 400, "non-empty", id="empty content"
    ),
    pytest.param(
        {**ASK, "messages": [*ASK["messages"], {"role": "assistant", "content": "x"}]},
        400,
        "prefill",
        id="prefill",
    ),
    pytest.param(
        {**ASK, "messages": [RESULT]}, 400, "unexpected `tool_use_id`", id="a result without a call"
    ),
    pytest.param(
        {**ASK, "messages": [*ASK["messages"], CALL, *ASK["messages"]]},
        400,
        "without `tool_result`",
        id="no result",
    ),
    pytest.param({**ASK, "system": marked(5)}, 400, "A maximum of 4 blocks", id="five breakpoints"),
    pytest.param(
        {**ASK, "system": marked(4), "cache_control": {"type": "ephemeral"}},
        400,
        "Found 5",
        id="automatic counts",
    ),
    pytest.param(
        {**ASK, "cache_control": {"type": "ephemeral", "ttl": "2h"}}, 400, "ttl", id="an unknown ttl"
    ),
    pytest.param({**ASK, "tools": [BASH, BASH]}, 400, "unique", id="a tool twice"),
    pytest.param({**ASK, "tools": [{"name": "f"}]}, 400, "input_schema", id="a tool without schema"),
    pytest.param({**ASK, "tool_choice": {"type": "any"}}, 400, "tool_choice", id="a choice of nothing"),
    pytest.param({**ASK, "inference_geo": "mars"}, 400, "inference_geo", id="an unknown geo"),
    pytest.param({**ASK, "output_config": {"effort": "huge"}}, 400, "effort", id="an unknown effort"),
    pytest.param([], 400, "JSON object", id="a list"),
]


@pytest.mark.parametrize(("body", "status", "says"), REFUSED)
def test_what_is_refused_costs_nothing_and_says_why(
    claude: Started, body: Any, status: int, says: str
) -> None:
    before = claude.invoice()["count"]
    answer = post(claude, body)
    said = answer.json()
    assert (answer.status_code, said["type"]) == (status, "error")
    assert says in said["error"]["message"]
    assert said["request_id"] == answer.headers["request-id"]
    assert claude.invoice()["count"] == before


def test_a_key_and_a_version_are_asked_for(claude: Started) -> None:
    with httpx2.Client() as http:
        keyless = http.post(f"{claude.url}/v1/messages", json=ASK)
        versionless = http.post(f"{claude.url}/v1/messages", json=ASK, headers={"x-api-key": "k"})
    assert (keyless.status_code, keyless.json()["error"]["type"]) == (401, "authentication_error")
    assert "anthropic-version" in versionless.json()["error"]["message"]


def test_only_the_one_key_is_taken_when_there_is_one(tmp_path: Path) -> None:
    with start("claude", character="echo", key="sk-right") as claude:
        assert post(claude, ASK, {"x-api-key": "sk-wrong"}).status_code == 401
        assert post(claude, ASK, {"x-api-key": "sk-right"}).status_code == 200


def test_the_newest_version_takes_no_temperature_at_all(claude: Started) -> None:
    assert post(claude, {**ASK, "temperature": 1}).status_code == 200
    assert (
        post(claude, {**ASK, "temperature": 1}, {**HEADERS, "anthropic-version": "2026-10-21"}).status_code
        == 400
    )


# Failures


@pytest.mark.parametrize(
    ("character", "status", "kind"),
    [
        ("overloaded", 529, "overloaded_error"),
        ("rate-limited", 429, "rate_limit_error"),
        ("broken", 500, "api_error"),
        ("upstream-limit", 400, "invalid_request_error"),
        ("tier-limit", 429, "rate_limit_error"),
        ("no-credit", 402, "billing_error"),
    ],
)
def test_an_error_before_the_answer_costs_nothing(
    claude: Started, client: anthropic.Anthropic, character: str, status: int, kind: str
) -> None:
    before = claude.invoice()["count"]
    claude.ask("/_sandbox/character", {"character": character})
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**ASK)
    assert caught.value.status_code == status
    assert caught.value.body["error"]["type"] == kind  # type: ignore[index]  # an error body is an object
    assert claude.invoice()["count"] == before


def test_a_failure_may_pass_so_that_the_sdk_tries_again(claude: Started) -> None:
    before = claude.invoice()["count"]
    claude.ask("/_sandbox/character", {"character": "overloaded", "times": 2, "manner": {"retry_after": 0}})
    with anthropic.Anthropic(api_key="k", base_url=claude.url, max_retries=2) as client:
        assert client.messages.create(**ASK).stop_reason == "end_turn"
    assert claude.invoice()["count"] == before + 1


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("character", ["cuts", "truncated", "reset-midway", "error-midway"])
def test_a_stream_that_breaks_off_is_billed(
    claude: Started, client: anthropic.Anthropic, character: str, on: bool
) -> None:
    claude.ask("/_sandbox/conduct", {"generates_on": on})
    claude.ask("/_sandbox/character", {"character": character, "manner": {"answer_tokens": 300}})
    kinds: list[str] = []
    try:
        with client.messages.create(**ASK, stream=True) as stream:
            kinds = [event.type for event in stream]
    except (httpx2.HTTPError, anthropic.APIError) as broken:
        kinds.append(type(broken).__name__)
    assert "message_stop" not in kinds
    row = last(claude)
    assert row["input"] > 0
    whole = on and character != "error-midway"
    assert (row["output"] == 300) == whole
    assert 1 <= row["output"] <= 300


@pytest.mark.parametrize("character", ["cuts", "truncated", "reset", "reset-midway"])
def test_an_answer_in_one_piece_that_breaks_off_is_billed(
    claude: Started, client: anthropic.Anthropic, character: str
) -> None:
    claude.ask("/_sandbox/character", {"character": character, "manner": {"answer_tokens": 300}})
    with pytest.raises((httpx2.HTTPError, anthropic.APIConnectionError)):
        client.messages.create(**ASK)
    assert last(claude)["output"] == 300


@pytest.mark.parametrize(("on", "output"), [(True, 400), (False, 1)])
@pytest.mark.parametrize("character", ["pings", "silent"])
def test_a_reader_who_leaves_pays(claude: Started, character: str, on: bool, output: int) -> None:
    before = claude.invoice()["count"]
    claude.ask("/_sandbox/conduct", {"generates_on": on})
    claude.ask("/_sandbox/character", {"character": character, "manner": {"answer_tokens": 400}})
    with (
        httpx2.Client(headers=HEADERS, timeout=0.2) as http,
        pytest.raises(httpx2.ReadTimeout)
        if character == "silent"
        else http.stream("GET", f"{claude.url}/healthz"),
    ):
        if character == "silent":
            http.post(f"{claude.url}/v1/messages", json=STREAM)
        else:
            with http.stream("POST", f"{claude.url}/v1/messages", json=STREAM) as answer:
                lines = answer.iter_lines()
                while "ping" not in next(lines):
                    pass
    while claude.ask("/healthz")["in_flight"]:
        pass
    assert claude.invoice()["count"] == before + 1
    assert (last(claude)["ended"], last(claude)["output"]) == ("client_left", output)


def test_a_refusal_before_any_output_is_not_billed_one_amid_it_is(
    claude: Started, client: anthropic.Anthropic
) -> None:
    for stream in (False, True):
        claude.ask("/_sandbox/character", {"character": "refuses"})
        if stream:
            with client.messages.stream(**ASK) as streamed:
                answer: Any = streamed.get_final_message()
        else:
            answer = client.messages.create(**ASK)
        assert (answer.stop_reason, answer.stop_details.category, answer.content) == ("refusal", "cyber", [])
        assert (last(claude)["nanos"], last(claude)["ended"]) == (0, "refused")
        assert answer.usage.input_tokens > 0
    claude.ask("/_sandbox/character", {"character": "refuses-midway"})
    assert client.messages.create(**ASK).stop_reason == "refusal"
    assert last(claude)["nanos"] > 0


def test_a_bill_may_be_above_every_bound(claude: Started, client: anthropic.Anthropic) -> None:
    claude.ask("/_sandbox/character", {"character": "bills-above"})
    used = client.messages.create(**ASK).usage.input_tokens
    assert used == last(claude)["input"] > 10_000


def test_gibberish_is_no_message_and_not_billed(claude: Started) -> None:
    before = claude.invoice()["count"]
    claude.ask("/_sandbox/character", {"character": "gibberish"})
    assert post(claude, ASK).headers["content-type"] == "text/html"
    assert claude.invoice()["count"] == before


def test_the_dense_tokenizer_counts_bytes(tmp_path: Path) -> None:
    with (
        start("claude", character="echo", dense=True, answer_tokens=100) as claude,
        anthropic.Anthropic(api_key="k", base_url=claude.url, max_retries=0) as client,
    ):
        answer = client.messages.create(**{**ASK, "messages": [{"role": "user", "content": "é" * 50}]})
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (100 + 26, 100)


def test_what_was_asked_can_be_looked_up_without_its_key(claude: Started) -> None:
    post(claude, ASK, {"x-api-key": "sk-secret", "anthropic-beta": "one,two"})
    seen = claude.ask("/_sandbox/requests")[-1]
    assert seen["headers"]["anthropic-beta"] == "one,two"
    assert json.loads(seen["body"]) == ASK
    assert "sk-secret" not in json.dumps(seen)
