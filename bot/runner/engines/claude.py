"""Claude by the anthropic SDK, through a gateway: one streamed answer at a time."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from json import JSONDecodeError
from typing import Any

import anthropic
import httpx2

from bot.core.ceilings import WRAP_UP, Reason
from bot.core.money import Usd
from bot.runner.engines import Halted, Message, NoAnswer, Remaining, Reply, Task, WrapUp
from bot.runner.engines.answer import Answer
from bot.runner.engines.context import OUTPUT, READ, WRITE
from bot.runner.tools import DEFINITIONS

# Thinking is output too; the two highest efforts want 64k (docs: build-with-claude/effort).
MAX_TOKENS = {"low": 8_000, "medium": 16_000, "high": 32_000, "xhigh": 64_000, "max": 64_000}
RETRIES = 4  # by the SDK: connection, 429, 5xx, 529; each obeys retry-after and x-should-retry
STREAM_RETRIES = 2  # of a stream that broke: what it had used is paid, so only few
SILENCE = 300.0  # seconds; the gateway itself may wait 240 for other requests of the run (G1)
# All models' prices stand in these proportions (docs: about-claude/pricing, 2026-08-22).
WEIGHTS = {
    "input_tokens": 100,
    "cache_creation_input_tokens": WRITE,
    "cache_read_input_tokens": READ,
    "output_tokens": OUTPUT,
}
# Advisory (R11); docs: build-with-claude/task-budgets, 2026-08-22, also for the models and the minimum.
TASK_BUDGETS, LEAST_TASK_BUDGET = "task-budgets-2026-03-13", 20_000
_WITH_TASK_BUDGET = re.compile(r"claude-(?:opus-4-[78](?:\D|$)|(?:opus|fable|mythos)-5|(?:sonnet|haiku)-5-5)")
_WITHOUT_THINKING = re.compile(r"claude-(?:3|[a-z]+-4-[015](?:\D|$)|[a-z]+-4-20)")


class Claude:
    """The model of a task. Its system prompt and tools are the same bytes in every request."""

    def __init__(
        self,
        task: Task,
        http_client: httpx2.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = anthropic.Anthropic(
            api_key=task.token,
            base_url=task.base_url,
            max_retries=RETRIES,
            timeout=httpx2.Timeout(SILENCE, connect=15.0),
            http_client=http_client,
        )
        self._sleep = sleep
        system = [{"type": "text", "text": task.system, "cache_control": {"type": "ephemeral"}}]
        fixed: dict[str, Any] = {
            "model": task.model,
            "max_tokens": MAX_TOKENS.get(task.effort, MAX_TOKENS["high"]),
            "system": system,
            "tools": list(DEFINITIONS),
            "stream": True,
        }
        self._headers: dict[str, str] = {}
        if not _WITHOUT_THINKING.match(task.model):
            fixed["thinking"] = {"type": "adaptive"}
            fixed["output_config"] = {"effort": task.effort}
        if _WITH_TASK_BUDGET.match(task.model) and task.ceilings.tokens >= LEAST_TASK_BUDGET:
            # The same in every turn: the model counts down by itself, and a new number would miss the cache.
            budget = {"type": "tokens", "total": task.ceilings.tokens}
            fixed["output_config"] = {**fixed["output_config"], "task_budget": budget}
            self._headers["anthropic-beta"] = TASK_BUDGETS
        self._written = Written(fixed)

    def ask(self, messages: Sequence[Message], stop: threading.Event) -> Reply:
        """One answer, whole. Raises Halted, WrapUp: the gateway says so; NoAnswer: asking is no use."""
        for attempt in range(STREAM_RETRIES + 1):
            try:
                return self._answer(messages, stop)
            except anthropic.APIStatusError as error:
                self._judge(error)
                last: Exception = error
            except (anthropic.APIConnectionError, httpx2.TransportError, JSONDecodeError) as error:
                last = error
            if attempt < STREAM_RETRIES:
                self._sleep(2.0**attempt)
        raise NoAnswer(f"the model's answer broke off {STREAM_RETRIES + 1} times: {_words(last)}")

    def close(self) -> None:
        self._client.close()

    def _answer(self, messages: Sequence[Message], stop: threading.Event) -> Reply:
        answer, request = Answer(), self._written.request(messages)
        # Not by `messages.stream`: at every turn it copies the whole conversation, in Python, before sending.
        with self._client.post(
            "/v1/messages",
            content=request,
            options={"headers": self._headers},
            cast_to=object,
            stream=True,
            stream_cls=anthropic.Stream[object],
        ) as stream:
            headers = stream.response.headers
            for event in stream:
                if stop.is_set():
                    raise Halted(None, "stopped")
                answer.hear(event)
        if answer.stop_reason is None:
            raise httpx2.RemoteProtocolError("the stream ended before its answer did")
        return Reply(
            content=answer.content(),
            stop_reason=answer.stop_reason,
            tokens=answer.used("input_tokens", "cache_creation_input_tokens", "output_tokens"),
            input=answer.used("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
            size=len(request),
            weight=sum(answer.used(counter) * weight for counter, weight in WEIGHTS.items()),
            clamped=_number(headers, "tollgate-clamped-max-tokens"),
            before=remaining(headers),
            detail=answer.category,
        )

    def _judge(self, error: anthropic.APIStatusError) -> None:
        """Returns for an error in mid-stream that may be tried again; the SDK has repeated all others."""
        body = error.body.get("error", {}) if isinstance(error.body, dict) else {}
        said = body if isinstance(body, dict) else {}
        message = str(said.get("message") or error.message)
        if error.status_code == 402 or said.get("type") == "billing_error":
            reason = said.get("reason")
            if reason == WRAP_UP:
                raise WrapUp(Reason(said["ceiling"]), str(said["left"])) from error
            raise Halted(str(reason) if reason else None, message) from error
        if error.response.headers.get("tollgate-run") and _limit(error.status_code, message):
            raise Halted(Reason.UPSTREAM_LIMIT, message) from error
        if error.status_code != 200:
            raise NoAnswer(f"the model could not be asked ({error.status_code}): {message}") from error


class Written:
    """Requests as JSON. What a conversation began with was written before; only what is new is written."""

    def __init__(self, fixed: dict[str, Any]) -> None:
        self._fixed = _json(fixed).removesuffix(b"}")
        self._known: list[tuple[Message, bytes]] = []

    def request(self, messages: Sequence[Message]) -> bytes:
        """With these messages; one that is the same object as before is taken to be unchanged."""
        for index, message in enumerate(messages):
            if index >= len(self._known) or self._known[index][0] is not message:
                self._known[index:] = [(message, _json(message))]
        written = b",".join([text for _, text in self._known[: len(messages)]])
        return b'%b,"messages":[%b]}' % (self._fixed, written)


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a character, which only an escape can say
        return json.dumps(value, separators=(",", ":")).encode()


def remaining(headers: Mapping[str, str]) -> Remaining:
    """The gateway's headers `tollgate-remaining-…`; none of them: no gateway."""
    usd = headers.get("tollgate-remaining-usd")
    return Remaining(
        Usd.parse(usd) if usd else None,
        _number(headers, "tollgate-remaining-tokens"),
        _number(headers, "tollgate-remaining-steps"),
        _number(headers, "tollgate-remaining-seconds"),
    )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else None


def _limit(status: int, message: str) -> bool:
    # The spend limit of the key upstream (docs: api/rate-limits); the gateway has halted the run (G11).
    return status in (400, 429) and ("usage limits" in message or "spend limit" in message)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
