"""What a workflow gave to the action (see action.yml): read once, and refused in one sentence if it is wrong.

Each input is in the environment as TOLLGATE_ and its name; the Anthropic key alone is not, it comes apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bot.core.commands import ENGINES
from bot.core.money import Usd
from bot.core.quantities import duration, whole
from bot.core.reports import Check
from bot.core.steps import MOST_CHECK, MOST_TASK, STEP_CLASSES

# dispatched: a run that the service opened and sent here. served: the service opens one for this step.
# alone: no service; the gateway is in this step, and so is the key.
Mode = Literal["dispatched", "served", "alone"]
DISPATCHED = ("run", "attempt", "service")
ASKED = ("task", "class", "cost", "tokens", "steps", "wall", "engine", "check", "fail-on")
SERVED = (*ASKED, "service", "line")
ALONE = (*ASKED, "anthropic-api-key", "model", "model-prices", "policy")
INPUTS = tuple(dict.fromkeys((*SERVED, *ALONE, *DISPATCHED)))
FAILS = ("failed", "halted", "tests")
FAILED, HALTED, REFUSED = 1, 3, 4


class WrongInputs(Exception):
    """Why nothing can be started with these inputs; a sentence that names them."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """None and "" where nothing was given."""

    mode: Mode
    task: str = ""
    task_class: str = "default"
    engine: str = ""  # whoever has the key decides
    cost: Usd | None = None
    tokens: int | None = None
    steps: int | None = None
    wall: int | None = None
    check: str = ""
    model: str = ""
    model_prices: str = ""
    policy: str = ""
    service: str = ""
    line: str = ""
    fails: frozenset[str] = frozenset(FAILS)


def read(env: Mapping[str, str], key: bool) -> Inputs:
    """The inputs; `key`: whether there is one for Anthropic. Raises WrongInputs."""
    given = {name: text for name in INPUTS if (text := env.get(variable(name), "").strip())}
    if key:
        given["anthropic-api-key"] = ""
    if "run" in given or "attempt" in given:
        _only(given, DISPATCHED, "with `run`, which is for runs that the service has dispatched")
        for name in DISPATCHED:
            if name not in given:
                raise WrongInputs(f"`{name}` is not given: `run`, `attempt` and `service` go together")
        return Inputs("dispatched", service=given["service"])
    mode = _mode(given)
    if mode == "alone":
        _only(given, ALONE, "without `service`, which keeps the budget lines")
    else:
        _only(given, SERVED, "with `service`, which has a key, a model, prices and a policy of its own")
    return _asked(mode, given)


def variable(name: str) -> str:
    """Where an input stands in the environment."""
    return f"TOLLGATE_{name.upper().replace('-', '_')}"


def exit_code(outcome: str, check: Check | None, fails: frozenset[str]) -> int:
    """How the step ends: 0, or why it is to fail."""
    if outcome == "halted":
        return HALTED if "halted" in fails else 0
    if outcome != "done":
        return FAILED if "failed" in fails else 0
    return FAILED if check is not None and check.exit_code and "tests" in fails else 0


def _mode(given: Mapping[str, str]) -> Mode:
    if "task" not in given:
        raise WrongInputs("`task` is not given: it says what the agent is to do")
    if "service" in given and "anthropic-api-key" in given:
        raise WrongInputs(
            "`service` and `anthropic-api-key` exclude each other: with a service the key is there"
        )
    if "service" in given:
        return "served"
    if "anthropic-api-key" in given:
        return "alone"
    raise WrongInputs(
        "neither `service` nor `anthropic-api-key` is given (a secret that does not exist, or that this "
        "event may not read, is empty)"
    )


def _only(given: Mapping[str, str], allowed: tuple[str, ...], why: str) -> None:
    if wrong := [f"`{name}`" for name in given if name not in allowed]:
        raise WrongInputs(f"{', '.join(wrong)} cannot be given {why}")


def _asked(mode: Mode, given: Mapping[str, str]) -> Inputs:
    def said(name: str, parse: Callable[[str], Any]) -> Any:
        try:
            return parse(given[name]) if name in given else None
        except ValueError as error:
            raise WrongInputs(f"`{name}`: {error}") from error

    cost = said("cost", Usd.parse)
    if cost is not None and cost <= Usd(0):
        raise WrongInputs("`cost`: a ceiling of nothing would start nothing")
    for name, most in (("task", MOST_TASK), ("check", MOST_CHECK)):
        if len(given.get(name, "")) > most:
            raise WrongInputs(f"`{name}` has {len(given[name]):,} characters, more than {most:,}")
    return Inputs(
        mode,
        task=given["task"],
        task_class=said("class", _one_of(STEP_CLASSES)) or "default",
        engine=said("engine", _one_of(ENGINES)) or "",
        cost=cost,
        tokens=said("tokens", whole),
        steps=said("steps", whole),
        wall=said("wall", duration),
        check=given.get("check", ""),
        model=given.get("model", ""),
        model_prices=given.get("model-prices", ""),
        policy=given.get("policy", ""),
        service=given.get("service", "").rstrip("/"),
        line=given.get("line", ""),
        fails=frozenset(FAILS) if "fail-on" not in given else said("fail-on", _fails),
    )


def _one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise ValueError(f"{text[:40]!r} is none of {', '.join(known)}")
        return text

    return parse


def _fails(text: str) -> frozenset[str]:
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if words == ["nothing"]:
        return frozenset()
    return frozenset(_one_of((*FAILS, "nothing alone"))(word) for word in words)
