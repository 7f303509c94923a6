"""Through the gateway, before the worst tokenizer there is: no answer ever costs more than its hold."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.core import meter
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from bot.core.prices import PriceBook
from bot.stores.database import Database
from bot.stores.tables import turns
from sandbox.claude.tokens import sign
from sandbox.processes import Started, start
from tests.core.test_meter import NOW
from tests.web.gates import Gate, gated
from tests.web.test_gateway import MODEL, post

pytestmark = pytest.mark.slow

WIDE = Ceilings(Usd.parse("100000"), 10**12, 10**6, 3600)
CONVERSATIONS, TURNS = 30, 8
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
# Every kind: ASCII, two, three and four bytes, combining, right to left, controls, a lone surrogate's escape.
LETTERS = 'aZ 0~\n\t"\\é߿ࠀ漢\uffff😀\U0010ffff\u0301\u202eא\u0001\u007f\u2028'
TOOLS: list[dict[str, Any]] = [
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    {"name": "look", "description": "Sieht nach. 漢😀", "input_schema": {"type": "object"}},
]


class Talker:
    """One conversation: grows over turns, as agents grow them and as they should not."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.messages: list[dict[str, Any]] = []
        self.tools = self.dice.sample(TOOLS, self.dice.randrange(len(TOOLS) + 1))
        self.system = self.text(2_500) if self.dice.random() < 0.7 else ""
        self.lifetime = self.dice.choice([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
        self.calls = 0

    def text(self, most: int) -> str:
        letters = self.dice.choice([LETTERS, "abc ", "漢", "😀", "\\", '"'])
        return "x" + "".join(self.dice.choices(letters, k=self.dice.randrange(most)))

    def image(self) -> dict[str, Any]:
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL * self.dice.randrange(1, 3)}
        return {"type": "image", "source": source}

    def ask(self, answer: dict[str, Any] | None) -> dict[str, Any]:
        """The next request, after the last one's answer."""
        if answer is not None:
            self.messages.append({"role": "assistant", "content": answer["content"]})
            calls = any(block["type"] == "tool_use" for block in answer["content"])
            if self.tools and not calls and self.dice.random() < 0.4:
                self.messages += [{"role": "user", "content": "go on"}, self.invented()]
        said: list[dict[str, Any]] = []
        last = self.messages[-1]["content"] if self.messages else []
        for block in last if isinstance(last, list) else []:
            if block["type"] == "tool_use":
                inside = self.dice.choice(
                    [self.text(300), [{"type": "text", "text": self.text(200)}, self.image()]]
                )
                said.append({"type": "tool_result", "tool_use_id": block["id"], "content": inside})
        said.append({"type": "text", "text": self.text(400)})
        if self.dice.random() < 0.2:
            said.append(self.image())
        plain = len(said) == 1 and self.dice.random() < 0.5
        self.messages.append({"role": "user", "content": said[0]["text"] if plain else said})
        return self.body()

    def invented(self) -> dict[str, Any]:
        """A turn that the model never took: a history that was rewritten, or came from elsewhere."""
        self.calls += 1
        thought = self.text(100)
        signature = sign(thought, len(thought.encode()))
        return {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": thought, "signature": signature},
                {
                    "type": "tool_use",
                    "id": f"toolu_{self.calls}",
                    "name": self.tools[0]["name"],
                    "input": {"command": self.text(120), "cache_control": {"ttl": "1h"}, "é": [1.5, None]},
                },
            ],
        }

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"model": MODEL, "max_tokens": self.dice.randrange(1, 400)}
        messages = json.loads(json.dumps(self.messages))
        if self.lifetime and isinstance(messages[-1]["content"], list):
            messages[-1]["content"][-1]["cache_control"] = self.lifetime
        if self.system:
            block = {"type": "text", "text": self.system}
            body["system"] = [block | ({"cache_control": self.lifetime} if self.lifetime else {})]
        if self.tools:
            body["tools"] = self.tools
            if self.dice.random() < 0.2:
                body["tool_choice"] = {"type": "any"}
        if self.dice.random() < 0.2:
            body["thinking"] = {"type": "adaptive"}
        if self.dice.random() < 0.3:
            body["inference_geo"] = self.dice.choice(["us", "global"])
        return body | {"messages": messages}


@pytest.fixture(params=[True, False], ids=["a token a byte", "an ordinary tokenizer"])
def claude(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    with start("claude", character="expensive", invoice=tmp_path / "invoice", dense=request.param) as started:
        yield started


@pytest.fixture
def gate(tmp_path: Path, claude: Started) -> Iterator[Gate]:
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    database.migrate()
    with gated(database, claude.url) as made:
        yield made
    database.close()


def held_and_billed(gate: Gate, run: str) -> list[Any]:
    with gate.runs.database.read() as tx:
        return list(tx.execute(sa.select(turns).where(turns.c.run == run).order_by(turns.c.id)).mappings())


@pytest.mark.parametrize("ascii", [True, False], ids=["escaped", "as UTF-8"])
def test_no_conversation_ever_costs_more_than_its_hold(gate: Gate, claude: Started, ascii: bool) -> None:
    for seed in range(CONVERSATIONS):
        run, token = gate.run(WIDE)
        talker, answer = Talker(seed), None
        for _ in range(TURNS):
            claude.ask(
                "/_sandbox/character", {"character": talker.dice.choice(["expensive", "echo", "stuck"])}
            )
            if talker.dice.random() < 0.3:
                claude.ask("/_sandbox/clock", {"advance_seconds": talker.dice.choice([299, 301, 3601])})
            if talker.dice.random() < 0.15:  # told, but not billed: nothing may be concluded from it
                refused = {"character": "refuses", "times": 1}
                claude.ask("/_sandbox/character", refused)
                post_json(gate, talker.body() if talker.messages else talker.ask(None), token, ascii)
            status, answer = post_json(gate, talker.ask(answer), token, ascii)
            assert status == 200, answer
            if not answer["content"]:
                answer = None
                talker.messages.pop()
        for turn in held_and_billed(gate, run):
            assert turn["nanos"] <= turn["hold_nanos"]
            assert turn["tokens"] <= turn["hold_tokens"]
            used = turn["input"] + turn["cache_write_5m"] + turn["cache_write_1h"] + turn["cache_read"]
            assert used + turn["max_tokens"] <= turn["hold_tokens"]
        assert gate.account(run).state == "running"


def post_json(gate: Gate, body: dict[str, Any], token: str, ascii: bool) -> tuple[int, Any]:
    from tests.web.test_gateway import connect

    content = json.dumps(body, ensure_ascii=ascii).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\nconnection: close\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with connect(gate) as client:
        client.sendall(head.encode() + content)
        raw = b""
        while part := client.recv(1 << 16):
            raw += part
    top, _, answer = raw.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(answer)


def test_over_forty_turns_the_bound_is_close_to_what_is_used(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    database.migrate()
    with (
        start("claude", character="runaway", answer_tokens=300) as claude,
        gated(database, claude.url) as gate,
    ):
        run, token = gate.run(WIDE)
        mark = {"cache_control": {"type": "ephemeral"}}
        rules = {"type": "text", "text": "Be careful, and test what you change. " * 100, **mark}
        talk: list[Any] = [{"role": "user", "content": "Fix the failing test in the repository."}]
        for number in range(40):
            asked = {"model": MODEL, "max_tokens": 4_000, "system": [rules], "tools": TOOLS, "messages": talk}
            status, _, body = post(gate, asked, {"x-api-key": token})
            assert status == 200
            answer = json.loads(body)
            calls = [block for block in answer["content"] if block["type"] == "tool_use"]
            assert calls, answer
            output = "\n".join(f"src/a{line}.py:{number}: something happened here" for line in range(20))
            results = [
                {"type": "tool_result", "tool_use_id": call["id"], "content": output} for call in calls
            ]
            talk += [
                {"role": "assistant", "content": answer["content"]},
                {"role": "user", "content": results},
            ]
        rows = held_and_billed(gate, run)
    database.close()
    assert len(rows) == 40
    bounds = [row["hold_tokens"] - row["max_tokens"] for row in rows[1:]]
    used = [
        row["input"] + row["cache_write_5m"] + row["cache_write_1h"] + row["cache_read"] for row in rows[1:]
    ]
    assert all(bound >= true for bound, true in zip(bounds, used, strict=True))
    assert max(bound / true for bound, true in zip(bounds, used, strict=True)) <= 1.3


def test_a_price_holds_for_the_dearest_lifetime_marked_anywhere() -> None:
    price = PriceBook().price(MODEL, NOW)
    for place in ("system", "tools", "messages", "top"):
        mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        body: dict[str, Any] = {
            "model": MODEL,
            "max_tokens": 1,
            "messages": [{"role": "user", "content": "x"}],
        }
        match place:
            case "system":
                body["system"] = [{"type": "text", "text": "x", **mark}]
            case "tools":
                body["tools"] = [TOOLS[2] | mark]
            case "messages":
                result = {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "text", "text": "x", **mark}],
                }
                body["messages"] = [{"role": "user", "content": [result]}]
            case _:
                body |= mark
        assert meter.bound(meter.read(json.dumps(body).encode()), price).input_rate == 10_000
