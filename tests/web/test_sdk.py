"""Through the gateway the real anthropic SDK sees what it sees straight from the upstream, field by field."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from bot.stores.database import Database
from sandbox.processes import Started, start
from tests.web.gates import Gate, gated

MODEL = "claude-opus-4-7"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LONG = "The rules of this house are many, and here is one of them. " * 200
MARK = {"cache_control": {"type": "ephemeral"}}
BASH = {"type": "bash_20250124", "name": "bash"}
LOOK = {
    "name": "look",
    "description": "Looks.",
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}


def talk(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
RESULT = {
    "messages": [
        {"role": "user", "content": "character: stuck"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("a.py"), IMAGE]}],
        },
    ]
}
ASKED: dict[str, dict[str, Any]] = {
    "a word": talk(text("hello 🙂 ñ 漢")),
    "tools": {**talk(text("character: stuck")), "tools": [BASH, LOOK]},
    "a tool's result": {**RESULT, "tools": [BASH]},
    "thinking": {
        **talk(text("fix the failing test")),
        "tools": [BASH],
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "high"},
    },
    "an image": talk(IMAGE, text("what is this?")),
    "a cache mark": {**talk(text("hello")), "system": [text(LONG, **MARK)]},
    "marks of an hour": {
        **talk(text("hello")),
        "system": [text(LONG, cache_control={"type": "ephemeral", "ttl": "1h"})],
    },
    "a stop sequence": {**talk(text("hello")), "stop_sequences": ["from"]},
    "cut by max_tokens": {**talk(text("character: expensive")), "max_tokens": 20},
    "a refusal": talk(text("character: refuses-midway")),
    "a place": {**talk(text("hello")), "inference_geo": "us"},
    "slowly": talk(text("character: slow")),
}


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="auto", invoice=tmp_path / "invoice", event_ms=2) as started:
        yield started


@pytest.fixture
def gate(database: Database, claude: Started) -> Iterator[Gate]:
    with gated(database, claude.url) as made:
        yield made


@pytest.fixture
def addresses(gate: Gate, claude: Started) -> tuple[dict[str, Any], dict[str, Any]]:
    """How clients are made: through the gateway, and straight."""
    _, token = gate.run()
    common = {"max_retries": 0, "timeout": 60}
    return {"base_url": gate.url, "api_key": token, **common}, {
        "base_url": claude.url,
        "api_key": "sk-straight",
        **common,
    }


def plain(value: Any) -> Any:
    """Without what is drawn anew for every answer."""
    raw = json.dumps(value.to_dict(mode="json") if hasattr(value, "to_dict") else value, sort_keys=True)
    return json.loads(re.sub(r"\b(msg|toolu|req)_0\w+", r"\1_x", raw))


def full(asked: dict[str, Any]) -> Any:
    return {"model": MODEL, "max_tokens": 2_000, **asked}


def created(client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
    return plain(client.messages.create(**full(asked)))


def streamed(client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
    """Every event of the streaming helper, and its last message and text."""
    with client.messages.stream(**full(asked)) as stream:
        events = [plain(event) for event in stream]
        return events, plain(stream.get_final_message())


def raw_stream(client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
    with client.messages.create(**full(asked), stream=True) as stream:
        return [plain(event) for event in stream]


def beta(client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
    return plain(client.beta.messages.create(**full(asked), betas=["context-1m-2025-08-07"]))


def beta_streamed(client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
    with client.beta.messages.stream(**full(asked), betas=["context-1m-2025-08-07"]) as stream:
        return [plain(event) for event in stream]


def raw(client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
    """Status, body and every header of the upstream's."""
    answer = client.messages.with_raw_response.create(**full(asked))
    own = ("tollgate-", "date", "server", "connection", "request-id")
    headers = {name: value for name, value in answer.headers.items() if not name.startswith(own)}
    headers.pop("content-length", None)  # ids are of one length, numbers of a place's cache are not
    return answer.http_response.status_code, headers, plain(answer.parse())


def counted(client: anthropic.Anthropic, asked: dict[str, Any]) -> Any:
    counting = {name: value for name, value in full(asked).items() if name in COUNTED}
    return plain(client.messages.count_tokens(**counting))


COUNTED = ("model", "messages", "system", "tools", "thinking")
WAYS: list[Callable[[anthropic.Anthropic, dict[str, Any]], Any]] = [
    created, streamed, raw_stream, beta, beta_streamed, raw, counted,
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_sync_client_sees_no_difference(
    addresses: tuple[dict[str, Any], dict[str, Any]], asked: dict[str, Any]
) -> None:
    with anthropic.Anthropic(**addresses[0]) as through, anthropic.Anthropic(**addresses[1]) as straight:
        for way in WAYS:
            assert way(through, asked) == way(straight, asked), way.__name__


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_async_client_sees_no_difference(
    addresses: tuple[dict[str, Any], dict[str, Any]], asked: dict[str, Any]
) -> None:
    async def answers(address: dict[str, Any]) -> Any:
        async with anthropic.AsyncAnthropic(**address) as client:
            whole = plain(await client.messages.create(**full(asked)))
            async with client.messages.stream(**full(asked)) as stream:
                events = [plain(event) async for event in stream]
                return whole, events, plain(await stream.get_final_message())

    async def both() -> Any:
        return await asyncio.gather(*(answers(address) for address in addresses))

    ours, theirs = asyncio.run(both())
    assert ours == theirs


def test_the_list_of_models_is_the_upstreams(addresses: tuple[dict[str, Any], dict[str, Any]]) -> None:
    with anthropic.Anthropic(**addresses[0]) as through, anthropic.Anthropic(**addresses[1]) as straight:
        ours, theirs = ([plain(model) for model in c.models.list(limit=5)] for c in (through, straight))
    assert ours == theirs
    assert ours


ERRORS: list[Any] = [
    pytest.param(
        {"messages": [{"role": "assistant", "content": "x"}]}, anthropic.BadRequestError, id="400"
    ),
    pytest.param(talk(text("character: no-credit")), anthropic.APIStatusError, id="402"),
    pytest.param(talk(text("character: rate-limited")), anthropic.RateLimitError, id="429"),
    pytest.param(talk(text("character: overloaded")), anthropic.APIStatusError, id="529"),
    pytest.param(talk(text("character: broken")), anthropic.InternalServerError, id="500"),
    pytest.param({**talk(text("x")), "model": "claude-opus-4-6", "max_tokens": 200_000},
                 anthropic.BadRequestError, id="max_tokens above the model's"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
@pytest.mark.parametrize(("asked", "kind"), ERRORS)
def test_an_error_is_of_the_same_class_with_the_same_words(
    addresses: tuple[dict[str, Any], dict[str, Any]], asked: dict[str, Any], kind: Any, stream: bool
) -> None:
    seen = []
    for address in reversed(addresses):  # the limit of the key upstream ends the run
        with anthropic.Anthropic(**address) as client, pytest.raises(kind) as caught:
            client.messages.create(**full(asked), stream=stream)
        error = caught.value
        seen.append(
            (type(error), error.status_code, plain(error.body), error.response.headers.get("retry-after"))
        )
    assert seen[0] == seen[1]


def test_a_key_that_is_none_is_an_authentication_error(gate: Gate) -> None:
    with (
        anthropic.Anthropic(base_url=gate.url, api_key="run_x", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        created(client, ASKED["a word"])


def test_a_body_above_32_megabytes_is_413(addresses: tuple[dict[str, Any], dict[str, Any]]) -> None:
    for address in addresses:
        with anthropic.Anthropic(**address) as client, pytest.raises(anthropic.APIStatusError) as caught:
            created(client, talk(text("x" * (33 << 20))))
        assert caught.value.status_code == 413
        assert json.loads(caught.value.response.content)["error"]["type"] == "request_too_large"


def test_an_error_in_the_middle_of_a_stream_is_an_error_of_the_stream(
    addresses: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    seen = []
    for address in addresses:
        with anthropic.Anthropic(**address) as client, pytest.raises(anthropic.APIStatusError) as caught:
            streamed(client, talk(text("character: error-midway")))
        seen.append((caught.value.status_code, plain(caught.value.body)))
    assert seen[0] == seen[1]
