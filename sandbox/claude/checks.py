"""What the Messages API refuses, in the words it uses: nothing here costs anything."""

from __future__ import annotations

from typing import Any

from sandbox.claude.prices import Model, model_named
from sandbox.claude.tokens import LIFE_NAMES, thought_tokens

BREAKPOINTS = 4
EFFORTS = ("low", "medium", "high", "xhigh", "max")
BLOCKS = {
    "user": {"text", "image", "document", "tool_result", "search_result", "container_upload"},
    "assistant": {
        "text",
        "image",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "document",
        "server_tool_use",
    },
}


class Refused(Exception):
    """A request that gets no answer: status, error type, sentence for the caller."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def check(body: Any, version: str, counting: bool = False, betas: str = "") -> Model:
    """The model of a request that may be answered. Raises Refused. `counting`: for count_tokens."""
    if not isinstance(body, dict):
        raise Refused("The request body is not a JSON object")
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            raise Refused(f"{name}: Field required")
    model = model_named(body["model"])
    if not isinstance(body["model"], str):
        raise Refused("model: Input should be a valid string")
    if model is None:
        raise Refused(f"model: {body['model']}", 404, "not_found_error")
    if not counting:
        _max_tokens(body["max_tokens"], model)
    if not isinstance(body.get("stream", False), bool):
        raise Refused("stream: Input should be a valid boolean")
    _sampling(body, model, version)
    _thinking(body, model)
    tools = _tools(body)
    _system(body.get("system"))
    _messages(body["messages"], model)
    _output_config(body.get("output_config"))
    _task_budget(body.get("output_config"), model, betas)
    _geo(body, model)
    _breakpoints(body, tools)
    return model


def _max_tokens(value: object, model: Model) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("max_tokens: Input should be a valid integer")
    if value < 1:
        raise Refused("max_tokens: must be greater than or equal to 1")
    if value > model.max_output:
        raise Refused(
            f"max_tokens: {value} > {model.max_output}, which is the maximum allowed number of output tokens "
            f"for {model.id}"
        )


def _sampling(body: dict[str, Any], model: Model, version: str) -> None:
    for name, default in (("temperature", 1), ("top_p", 1), ("top_k", None)):
        if name not in body or body[name] is None:
            continue
        if version >= "2026-10-21":
            raise Refused(f"{name}: Extra inputs are not permitted")
        if "sampling" not in model.allows and body[name] != default:
            raise Refused(f"`{name}` is deprecated for this model.")
        if name == "temperature" and not (isinstance(body[name], (int, float)) and 0 <= body[name] <= 1):
            raise Refused("temperature: range: 0..1")


def _thinking(body: dict[str, Any], model: Model) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in ("adaptive", "enabled", "disabled"):
        raise Refused(
            "thinking.type: Input tag does not match any of the expected tags: adaptive, disabled, enabled"
        )
    if kind == "enabled":
        if "budget" not in model.allows:
            raise Refused(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= body.get("max_tokens", budget + 1):
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
    elif "budget_tokens" in thinking:
        raise Refused(f"thinking.{kind}.budget_tokens: Extra inputs are not permitted")
    if kind == "adaptive" and "prefill" in model.allows:  # the models of 4.5 have no adaptive thinking
        raise Refused("adaptive thinking is not supported on this model")
    if thinking.get("display", "omitted") not in ("omitted", "summarized"):
        raise Refused("thinking.display: Input should be 'summarized' or 'omitted'")


def _tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise Refused("tools: Input should be a valid list")
    names = set()
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str) or not tool["name"]:
            raise Refused(f"tools.{index}.name: Field required")
        if tool.get("type", "custom") in ("custom", None) and not isinstance(tool.get("input_schema"), dict):
            raise Refused(f"tools.{index}.custom.input_schema: Field required")
        if tool["name"] in names:
            raise Refused("tools: Tool names must be unique.")
        names.add(tool["name"])
    choice = body.get("tool_choice")
    if choice is not None:
        kind = choice.get("type") if isinstance(choice, dict) else None
        if kind not in ("auto", "any", "tool", "none"):
            raise Refused(
                "tool_choice: Input tag does not match any of the expected tags: auto, any, tool, none"
            )
        if not tools and kind in ("any", "tool"):
            raise Refused("tool_choice may only be specified while providing tools.")
        if kind == "tool" and choice.get("name") not in names:
            raise Refused(f"Tool '{choice.get('name')}' not found in provided tools")
    return tools


def _system(system: object) -> None:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise Refused("system: Input should be a valid list")
    for index, block in enumerate(system):
        if (
            not isinstance(block, dict)
            or block.get("type") != "text"
            or not isinstance(block.get("text"), str)
        ):
            raise Refused(f"system.{index}.type: Input should be 'text'")


def _messages(messages: Any, model: Model) -> None:
    if not isinstance(messages, list):
        raise Refused("messages: Input should be a valid list")
    if not messages:
        raise Refused("messages: at least one message is required")
    waiting: dict[str, None] = {}
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in BLOCKS:
            raise Refused(
                f'messages: Unexpected role "{role}". Allowed roles are "user", "assistant", "system".'
            )
        if index == 0 and role != "user":
            raise Refused('messages: first message must use the "user" role')
        blocks = _content(message, index, index == len(messages) - 1)
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        for place, block in enumerate(blocks):
            if block["type"] == "tool_result" and block["tool_use_id"] not in waiting:
                raise Refused(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` "
                    f"blocks: {block['tool_use_id']}. Each `tool_result` block must have a corresponding "
                    "`tool_use` block in the previous message."
                )
        missing = [id for id in waiting if id not in results]
        if missing:
            raise _unanswered(index - 1, missing)
        if len(set(results)) != len(results):
            raise Refused(f"messages.{index}: each tool_use must have a single result")
        waiting = {block["id"]: None for block in blocks if block["type"] == "tool_use"}
    if waiting:
        raise _unanswered(len(messages) - 1, list(waiting))
    if messages[-1]["role"] == "assistant" and "prefill" not in model.allows:
        raise Refused(
            "This model does not support assistant message prefill. The conversation must end with a user "
            "message."
        )


def _unanswered(index: int, ids: list[str]) -> Refused:
    return Refused(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."
    )


def _content(message: dict[str, Any], index: int, last: bool) -> list[dict[str, Any]]:
    content = message.get("content")
    if not isinstance(content, (str, list)):
        raise Refused(f"messages.{index}.content: Input should be a valid list")
    if not content and not (last and message["role"] == "assistant"):
        raise Refused(
            f"messages.{index}: all messages must have non-empty content except for the optional final "
            "assistant message"
        )
    if isinstance(content, str):
        return []
    for place, block in enumerate(content):
        _block(block, message["role"], f"messages.{index}.content.{place}")
    return content


def _block(block: Any, role: str, where: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in BLOCKS["user"] | BLOCKS["assistant"]:
        raise Refused(
            f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        )
    if kind not in BLOCKS[role]:
        raise Refused(f"{where}: `{kind}` blocks cannot be in `{role}` messages")
    if kind == "text":
        if not isinstance(block.get("text"), str):
            raise Refused(f"{where}.text.text: Field required")
        if not block["text"]:
            raise Refused("messages: text content blocks must be non-empty")
    elif kind == "tool_use":
        for name, form in (("id", str), ("name", str), ("input", dict)):
            if not isinstance(block.get(name), form):
                raise Refused(f"{where}.tool_use.{name}: Field required")
    elif kind == "tool_result":
        if not isinstance(block.get("tool_use_id"), str):
            raise Refused(f"{where}.tool_result.tool_use_id: Field required")
        inside = block.get("content")
        if not (inside is None or isinstance(inside, str)):
            if not isinstance(inside, list):
                raise Refused(f"{where}.tool_result.content: Input should be a valid list")
            for number, each in enumerate(inside):
                _block(each, "user", f"{where}.tool_result.content.{number}")
    elif kind == "thinking" and thought_tokens(block) is None:
        raise Refused(f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "image" and not isinstance(block.get("source"), dict):
        raise Refused(f"{where}.image.source: Field required")


def _geo(body: dict[str, Any], model: Model) -> None:
    geo = body.get("inference_geo")
    if geo is None:
        return
    if geo not in ("us", "global"):
        raise Refused("inference_geo: Input should be 'global' or 'us'")
    if "geo" not in model.allows:
        raise Refused("inference_geo is not supported for this model")


def _output_config(config: object) -> None:
    if isinstance(config, dict) and config.get("effort") not in (None, *EFFORTS):
        raise Refused(f"output_config.effort: Input should be {', '.join(repr(each) for each in EFFORTS)}")


def _task_budget(config: object, model: Model, betas: str) -> None:
    # https://platform.claude.com/docs/en/build-with-claude/task-budgets (2026-08-22)
    budget = config.get("task_budget") if isinstance(config, dict) else None
    if budget is None:
        return
    if "task-budgets-2026-03-13" not in betas:
        raise Refused("output_config.task_budget: Extra inputs are not permitted")
    if "task_budget" not in model.allows:
        raise Refused(f"output_config.task_budget is not supported for {model.id}")
    total = budget.get("total") if isinstance(budget, dict) else None
    if not isinstance(total, int) or isinstance(total, bool) or budget.get("type") != "tokens":
        raise Refused("output_config.task_budget.total: Input should be a valid integer")
    if total < 20_000:
        raise Refused("output_config.task_budget.total: Input should be greater than or equal to 20000")


def _breakpoints(body: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    blocks: list[tuple[str, dict[str, Any]]] = [(f"tools.{index}", tool) for index, tool in enumerate(tools)]
    if isinstance(body.get("system"), list):
        blocks += [(f"system.{index}", block) for index, block in enumerate(body["system"])]
    for index, message in enumerate(body["messages"]):
        content = message["content"] if isinstance(message["content"], list) else [{}]
        blocks += [(f"messages.{index}.content.{place}", each) for place, each in enumerate(content)]
    marked = [(where, block) for where, block in blocks if block.get("cache_control")]
    automatic = body.get("cache_control")
    for where, block in [*marked, *([("", body)] if automatic else [])]:
        control = block["cache_control"]
        if not isinstance(control, dict) or control.get("type") != "ephemeral":
            raise Refused(f"{where}.cache_control.type: Input should be 'ephemeral'".lstrip("."))
        if control.get("ttl", "5m") not in LIFE_NAMES:
            raise Refused(f"{where}.cache_control.ttl: Input should be '5m' or '1h'".lstrip("."))
        if block.get("type") in ("thinking", "redacted_thinking"):
            raise Refused(f"{where}.thinking.cache_control: Extra inputs are not permitted")
    last = blocks[-1][1].get("cache_control") if blocks else None
    if automatic and last and last.get("ttl", "5m") != automatic.get("ttl", "5m"):
        raise Refused("cache_control.ttl: the last block already has a cache_control of another ttl")
    count = len(marked) + (1 if automatic and not last else 0)
    if count > BREAKPOINTS:
        raise Refused(f"A maximum of 4 blocks with cache_control may be provided. Found {count}.")
    short = False
    for where, block in [*marked, *([("", body)] if automatic else [])]:
        long = block["cache_control"].get("ttl", "5m") == "1h"
        if long and short:
            raise Refused(
                f"{where}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block.".lstrip(".")
            )
        short = short or not long
