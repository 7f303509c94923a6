"""What a workflow gives to the action: three ways that go together, and one sentence for all others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from bot.core.money import Usd
from bot.core.reports import Check
from bot.runner.inputs import FAILED, FAILS, HALTED, INPUTS, Inputs, WrongInputs, exit_code, read, variable

PASSES, FAILING = Check("make test", 0), Check("make test", 1)


def given(key: bool = True, inputs: Mapping[str, str] = MappingProxyType({}), **more: str) -> Inputs:
    return read({variable(name): text for name, text in {**inputs, **more}.items()}, key)


def test_a_task_with_a_key_is_a_run_alone_and_with_a_service_one_of_its() -> None:
    assert given(task="x").mode == "alone"
    assert given(False, task="x", service="https://t.example").mode == "served"
    assert given(False, run="r", attempt="1", service="https://t.example").mode == "dispatched"


def test_every_quantity_is_read_as_a_comments_is() -> None:
    asked = {"cost": "$2.50", "tokens": "800k", "steps": "5", "wall": "20m", "class": "feature"}
    inputs = given(inputs=asked, task="x")
    assert (inputs.cost, inputs.tokens, inputs.steps, inputs.wall) == (Usd.parse("2.50"), 800_000, 5, 1_200)
    assert (inputs.task_class, inputs.fails) == ("feature", frozenset(FAILS))


def test_blanks_are_nothing_given() -> None:
    blank = dict.fromkeys(INPUTS, "  ")
    assert given(inputs=blank, task="x") == given(task="x")


@pytest.mark.parametrize(
    ("key", "inputs", "names"),
    [
        pytest.param(True, {}, ["`task`"], id="no task"),
        pytest.param(False, {"task": "x"}, ["`service`", "`anthropic-api-key`"], id="no key and no service"),
        pytest.param(True, {"task": "x", "service": "s"}, ["`service`", "`anthropic-api-key`"], id="both"),
        pytest.param(False, {"run": "r", "service": "s"}, ["`attempt`"], id="half a dispatched run"),
        pytest.param(False, {"attempt": "1", "run": "r"}, ["`service`"], id="no service to report to"),
        pytest.param(
            False, {"run": "r", "attempt": "1", "service": "s", "cost": "9"}, ["`cost`", "`run`"],
            id="a dispatched run with a ceiling of one's own",
        ),
        pytest.param(
            True, {"run": "r", "attempt": "1", "service": "s"}, ["`anthropic-api-key`", "`run`"],
            id="a dispatched run with a key",
        ),
        pytest.param(
            False, {"task": "x", "service": "s", "model": "m", "policy": "p"}, ["`model`", "`policy`"],
            id="what is the service's to say",
        ),
        pytest.param(True, {"task": "x", "line": "evals"}, ["`line`", "`service`"], id="a line of nobody's"),
        pytest.param(True, {"task": "x", "cost": "a lot"}, ["`cost`"], id="no amount"),
        pytest.param(True, {"task": "x", "cost": "0"}, ["`cost`"], id="an amount of nothing"),
        pytest.param(True, {"task": "x", "steps": "-1"}, ["`steps`"], id="none"),
        pytest.param(True, {"task": "x", "wall": "20"}, ["`wall`"], id="no time"),
        pytest.param(True, {"task": "x", "engine": "cursor"}, ["`engine`", "opus"], id="engine"),
        pytest.param(True, {"task": "x", "class": "split"}, ["`class`"], id="class"),
        pytest.param(True, {"task": "x", "fail-on": "halts"}, ["`fail-on`", "halted"], id="outcome"),
        pytest.param(True, {"task": "x", "fail-on": "nothing, failed"}, ["`fail-on`"], id="nothing and more"),
        pytest.param(True, {"task": "x" * 60_001}, ["`task`", "60,001"], id="a task that is too long"),
    ],
)  # fmt: skip
def test_any_other_combination_is_refused_in_one_sentence_that_names_the_inputs(
    key: bool, inputs: dict[str, str], names: list[str]
) -> None:
    with pytest.raises(WrongInputs) as caught:
        given(key, inputs)
    for name in names:
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("outcome", "check", "fails", "code"),
    [
        ("done", PASSES, FAILS, 0),
        ("done", None, FAILS, 0),
        ("done", FAILING, FAILS, FAILED),
        ("done", FAILING, ("failed", "halted"), 0),
        ("halted", PASSES, FAILS, HALTED),
        ("halted", FAILING, ("failed", "tests"), 0),
        ("failed", None, FAILS, FAILED),
        ("failed", None, (), 0),
        ("lost", None, FAILS, FAILED),
        ("running", None, FAILS, FAILED),
    ],
)
def test_the_step_fails_for_what_it_was_told_to(
    outcome: str, check: Check | None, fails: tuple[str, ...], code: int
) -> None:
    assert exit_code(outcome, check, frozenset(fails)) == code
