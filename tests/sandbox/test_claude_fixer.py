"""The fixer repairs what it was never told about, with nothing but the tools it is given."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import anthropic
import pytest

from bot.core import pieces
from sandbox import world
from sandbox.processes import Started, start

TOOLS: list[Any] = [
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
]


@pytest.fixture(scope="module")
def claude() -> Iterator[Started]:
    with start("claude", character="auto") as started:
        yield started


@dataclass
class Tree:
    """A small repository and the two tools of an agent over it."""

    root: Path
    edits: int = 0
    commands: list[str] = field(default_factory=list)

    def use(self, name: str, given: dict[str, str]) -> tuple[str, bool]:
        if name in ("bash", "Bash"):
            self.commands.append(given["command"])
            command = f"PATH={Path(sys.executable).parent}:$PATH; {given['command']}"
            run = subprocess.run(["bash", "-c", command], cwd=self.root, capture_output=True, text=True)
            return run.stdout + run.stderr, run.returncode != 0
        file = self.root / (given.get("path") or given["file_path"])
        text = file.read_text()
        if given.get("command") == "view" or name == "Read":
            return "".join(
                f"{number:6}\t{line}\n" for number, line in enumerate(text.split("\n")[:-1], 1)
            ), False
        old, new = (
            given.get("old_str") or given["old_string"],
            given.get("new_str", given.get("new_string", "")),
        )
        if text.count(old) != 1:
            return f"{text.count(old)} places match", True
        file.write_text(text.replace(old, new))
        self.edits += 1
        return "edited", False

    def passes(self) -> bool:
        run = subprocess.run(
            [sys.executable, "-B", "-m", "unittest"], cwd=self.root, capture_output=True, text=True
        )
        return run.returncode == 0


def tree(root: Path, files: dict[str, str]) -> Tree:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(dedent(text).lstrip("\n"))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return Tree(root)


def work(
    url: str,
    tree: Tree,
    task: str,
    *,
    turns: int = 40,
    tools: list[Any] = TOOLS,
    wrap_up_at: int = 0,
    seen: list[tuple[anthropic.types.Message, Any]] | None = None,
) -> tuple[str, int]:
    """The tool loop of an agent: the last words and how many turns it took."""
    client = anthropic.Anthropic(api_key="sk-test", base_url=url, max_retries=0)
    messages: list[Any] = [{"role": "user", "content": task}]
    with client:
        for turn in range(1, turns + 1):
            answer = client.messages.create(
                model="claude-opus-4-7",
                max_tokens=16_000,
                thinking={"type": "adaptive"},
                cache_control={"type": "ephemeral"},
                tools=tools,
                messages=messages,
            )
            words = " ".join(block.text for block in answer.content if block.type == "text")
            calls = [block for block in answer.content if block.type == "tool_use"]
            if not calls:
                return words, turn
            results: list[Any] = []
            for call in calls:
                text, failed = tree.use(call.name, call.input)  # type: ignore[arg-type]
                results.append(
                    {"type": "tool_result", "tool_use_id": call.id, "content": text, "is_error": failed}
                )
            if seen is not None:
                seen.append((answer, results))
            if turn == wrap_up_at:
                results.append(
                    {"type": "text", "text": "Your budget is nearly gone: leave the tree usable, finish."}
                )
            messages += [{"role": "assistant", "content": answer.to_dict()["content"]}]
            messages += [{"role": "user", "content": results}]
    return "", turns


PAGES = """
    def pages(items: int, size: int) -> int:
        '''How many pages of `size` hold so many items.'''
        return {body}


    def page(items: list, number: int, size: int) -> list:
        '''The items of page `number`, from 1.'''
        first = {first}
        return items[first : first + size]
"""
PAGES_TEST = """
    import unittest

    from shop.pages import page, pages


    class PagesTest(unittest.TestCase):
        def test_a_full_last_page_needs_no_more(self):
            self.assertEqual(pages(20, 10), 2)
            self.assertEqual(pages(21, 10), 3)

        def test_the_first_page_begins_at_the_start(self):
            self.assertEqual(page([1, 2, 3, 4, 5], 1, 2), [1, 2])
            self.assertEqual(page([1, 2, 3, 4, 5], 3, 2), [5])
"""
ORDERS = """
    from shop.rates import RATE, shipping


    class Order:
        def __init__(self, lines):
            self.lines = lines

        def net(self):
            total = 0
            for price, count in self.lines:
                total {sign} price * count
            return total

        def discount(self):
            # Ten percent for five pieces or more.
            if self.pieces() {compare} 5:
                return self.net() // 10
            return 0

        def pieces(self):
            return sum(count for _, count in self.lines)

        def total(self):
            due = self.net() {minus} self.discount()
            return due + due * RATE // 100 + shipping(due)

        def is_open(self, paid, cancelled):
            return {opened}
"""
RATES = """
    RATE = {rate}
    FREE_FROM = 100


    def shipping(due):
        return 0 if due >= FREE_FROM else 5
"""
ORDERS_TEST = """
    import unittest

    from shop.orders import Order


    class OrderTest(unittest.TestCase):
        def test_the_net_is_the_sum_of_the_lines(self):
            self.assertEqual(Order([(10, 2), (5, 1)]).net(), 25)

        def test_five_pieces_are_discounted(self):
            self.assertEqual(Order([(10, 5)]).discount(), 5)
            self.assertEqual(Order([(10, 4)]).discount(), 0)

        def test_the_total_has_tax_and_shipping(self):
            self.assertEqual(Order([(10, 1)]).total(), 16)
            self.assertEqual(Order([(20, 10)]).total(), 214)

        def test_an_order_is_open_until_it_is_paid_or_cancelled(self):
            order = Order([])
            self.assertTrue(order.is_open(False, False))
            self.assertFalse(order.is_open(True, False))
            self.assertFalse(order.is_open(False, True))
"""
RIGHT = {
    "sign": "+=",
    "compare": ">=",
    "minus": "-",
    "opened": "not paid and not cancelled",
    "rate": "19",
    "body": "(items + size - 1) // size",
    "first": "(number - 1) * size",
}


def shop(root: Path, **bugs: str) -> Tree:
    def filled(text: str) -> str:
        for name, value in {**RIGHT, **bugs}.items():
            text = text.replace("{" + name + "}", value)
        return text

    return tree(
        root,
        {
            "README.md": "# Shop\n",
            "shop/__init__.py": "",
            "shop/pages.py": filled(PAGES),
            "shop/orders.py": filled(ORDERS),
            "shop/rates.py": filled(RATES),
            "tests/__init__.py": "",
            "tests/test_pages.py": PAGES_TEST,
            "tests/test_orders.py": ORDERS_TEST,
        },
    )


@pytest.mark.parametrize(
    "bugs",
    [
        pytest.param({"compare": ">"}, id="a boundary"),
        pytest.param({"first": "number * size"}, id="off by one"),
        pytest.param({"opened": "not paid or not cancelled"}, id="or for and"),
        pytest.param({"opened": "paid and not cancelled"}, id="a missing not"),
        pytest.param({"minus": "+"}, id="plus for minus"),
        pytest.param({"rate": "7"}, id="a wrong constant, elsewhere", marks=pytest.mark.slow),
        pytest.param({"sign": "="}, id="not summed up"),
        pytest.param({"body": "items // size"}, id="rounded down"),
        pytest.param({"first": "(number - 1) * sise"}, id="a misspelt name"),
        pytest.param({"compare": ">", "first": "number * size"}, id="two bugs"),
    ],
)
def test_the_fixer_repairs_a_bug_that_it_was_not_told(
    claude: Started, tmp_path: Path, bugs: dict[str, str]
) -> None:
    broken = shop(tmp_path, **bugs)
    assert not broken.passes()
    words, turns = work(claude.url, broken, "The tests fail. Please fix the bug.")
    assert broken.passes(), words
    assert words.startswith("Fixed.")
    assert turns <= 30


@pytest.mark.parametrize("bug", world.BUGS)
def test_the_fixer_repairs_the_demos_repository(claude: Started, tmp_path: Path, bug: str) -> None:
    broken = tree(tmp_path, {**world.FILES, **world.branch_files(bug)})
    assert not broken.passes()
    words, turns = work(claude.url, broken, world.PULL)
    assert broken.passes(), words
    assert turns <= 15


def test_changing_the_test_changes_the_repair(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path)
    test = tmp_path / "tests/test_orders.py"
    test.write_text(
        test.read_text().replace('"""', "").replace("(10, 5)]).discount(), 5", "(10, 5)]).discount(), 0")
    )
    words, _ = work(claude.url, broken, "Please fix what fails.")
    assert "`self.pieces() >= 5` where it should have `self.pieces() > 5`" in words
    assert broken.passes()


def test_a_tree_whose_tests_pass_is_left_alone(claude: Started, tmp_path: Path) -> None:
    whole = shop(tmp_path)
    words, turns = work(claude.url, whole, "Please fix what fails.")
    assert (whole.edits, turns) == (0, 3)
    assert "pass already" in words


def test_the_command_of_the_brief_is_the_one_that_is_run(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path, compare=">")
    work(claude.url, broken, "Fix it. The check is `python -m unittest tests.test_orders`.")
    assert "python -B -m unittest tests.test_orders" in broken.commands
    assert broken.passes()


def test_the_tools_may_have_other_names(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path, opened="not paid or not cancelled")
    text = {"type": "object", "properties": {}}
    tools = [{"name": name, "description": name, "input_schema": text} for name in ("Bash", "Read", "Edit")]
    words, _ = work(claude.url, broken, "Fix the failing test.", tools=tools)
    assert broken.passes(), words


def test_a_shell_is_enough(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path, minus="+")
    words, _ = work(claude.url, broken, "Fix the failing test.", tools=TOOLS[:1])
    assert broken.passes(), words


def test_an_editor_that_shows_files_in_its_own_way_is_no_obstacle(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path, minus="+")
    use = broken.use

    def plainly(name: str, given: dict[str, str]) -> tuple[str, bool]:
        if given["command"] == "view":
            return (tmp_path / given["path"]).read_text(), False
        return use(name, given)

    broken.use = plainly  # type: ignore[method-assign]  # the same tree, shown without numbers
    words, _ = work(claude.url, broken, "Fix the failing test.")
    assert broken.passes(), words


def test_told_that_the_budget_is_nearly_gone_it_takes_back_what_did_not_help(
    claude: Started, tmp_path: Path
) -> None:
    broken = shop(tmp_path, first="number * size")
    before = (tmp_path / "shop/pages.py").read_text()
    words, turns = work(claude.url, broken, "Fix the failing test.", wrap_up_at=7)
    assert turns == 9
    assert (tmp_path / "shop/pages.py").read_text() == before
    assert "budget is nearly gone" in words
    assert "first_page" in words


def test_what_was_not_executed_before_a_halt_is_done_again(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path, compare=">")
    use, asked = broken.use, []

    def halting(name: str, given: dict[str, str]) -> tuple[str, bool]:
        asked.append(given)
        return ("Not executed: the run had halted", True) if len(asked) == 3 else use(name, given)

    broken.use = halting  # type: ignore[method-assign]  # the same tree, halted once
    words, _ = work(claude.url, broken, "Fix the failing test.")
    assert asked[2] == asked[3]
    assert broken.passes(), words


def test_the_wrong_one_claims_success_over_a_failing_test(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path, compare=">")
    words, _ = work(claude.url, broken, "Please make a wrong fix of this.")
    assert "All tests pass now" in words
    assert broken.edits
    assert not broken.passes()


def test_the_runaway_never_repeats_itself_never_ends_and_leaves_work_behind(
    claude: Started, tmp_path: Path
) -> None:
    broken = shop(tmp_path, compare=">")
    words, turns = work(claude.url, broken, "Run away with this.", turns=14)
    assert (words, turns) == ("", 14)
    assert len(set(broken.commands)) == len(broken.commands)
    assert (
        "# Attempt 3" in (tmp_path / "shop/orders.py").read_text() + (tmp_path / "shop/pages.py").read_text()
    )


def test_the_runaway_wraps_up_when_told(claude: Started, tmp_path: Path) -> None:
    words, turns = work(claude.url, shop(tmp_path, compare=">"), "Be a runaway.", turns=14, wrap_up_at=6)
    assert turns == 7
    assert "The budget is nearly gone" in words


def test_the_stuck_one_does_the_same_again(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path)
    words, _ = work(claude.url, broken, "Get stuck, please. If you are slow, say so.", turns=6)
    assert words == ""
    assert len(set(broken.commands)) == 1


def test_the_oscillating_one_undoes_what_it_did(claude: Started, tmp_path: Path) -> None:
    broken = shop(tmp_path, compare=">")
    before = {path: path.read_text() for path in (tmp_path / "shop").glob("*.py")}
    work(claude.url, broken, "Oscillate between two edits.", turns=9)
    assert broken.edits == 4
    assert {path: path.read_text() for path in before} == before


def test_pytest_is_read_as_well(claude: Started, tmp_path: Path) -> None:
    broken = tree(
        tmp_path,
        {
            "conftest.py": "",
            "times.py": """
                def late(minutes: int, limit: int = 15) -> bool:
                    '''Later than the limit: the limit itself is in time.'''
                    return minutes >= limit
            """,
            "test_times.py": """
                import pytest

                from times import late


                @pytest.mark.parametrize(("minutes", "is_late"), [(14, False), (15, False), (16, True)])
                def test_the_limit_is_in_time(minutes, is_late):
                    assert late(minutes) == is_late
            """,
        },
    )
    words, _ = work(claude.url, broken, "Fix the failing test.")
    assert "`minutes >= limit` where it should have `minutes > limit`" in words


@pytest.mark.parametrize("dense", [False, True])
def test_a_conversation_grows_by_no_more_than_its_bytes(tmp_path: Path, dense: bool) -> None:
    seen: list[tuple[anthropic.types.Message, Any]] = []
    with start("claude", character="runaway", dense=dense) as started:
        work(started.url, shop(tmp_path, compare=">"), "Go on.", turns=10, seen=seen)
    for (before, results), (after, _) in pairwise(seen):
        assistant = len(json.dumps({"role": "assistant", "content": before.to_dict()["content"]}))
        user = len(json.dumps({"role": "user", "content": results}))
        most = whole(before) + max(before.usage.output_tokens, assistant) + user
        assert whole(before) < whole(after) <= most
        assert after.usage.cache_read_input_tokens in (0, whole(before))


def whole(answer: anthropic.types.Message) -> int:
    """Every input token of an answer."""
    used = answer.usage
    return used.input_tokens + (used.cache_creation_input_tokens or 0) + (used.cache_read_input_tokens or 0)


def test_the_planner_cuts_what_it_was_sent_and_changes_nothing(claude: Started, tmp_path: Path) -> None:
    whole = shop(tmp_path)
    task = (
        "Answer with lines such as `- [ ] (class) words`.\n<task>\nFix the wrong shipping of orders. Add a "
        "discount for clubs.\n</task>\n"
        "<before>\nhalted at step 9\n\nThe totals are still not rounded.\n</before>"
    )
    words, turns = work(claude.url, whole, task)
    found = pieces.read(words)
    assert [piece.task_class for piece in found] == ["bugfix", "feature", "default"]
    assert found[0].title.startswith("Fix the wrong shipping of orders (")
    assert found[2].title.startswith("The totals are still not rounded")
    assert (whole.edits, turns) == (0, 3)
