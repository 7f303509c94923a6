"""Which items of an issue's text a sweep runs, and that ticking one changes nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.money import Usd
from bot.core.pieces import Piece, listed
from bot.core.sizes import Size
from bot.core.tasklist import LONGEST, Item, items, tick

URL = "https://github.com/acme/calendar/pull/12"
LINK = f" ([#12]({URL}))"


@pytest.mark.parametrize(
    ("body", "titles"),
    [
        pytest.param("- [ ] one\n- [ ] two", ["one", "two"], id="the least"),
        pytest.param("Please:\r\n\r\n- [ ] one\r\n- [x] two\r\n", ["one"], id="as the web form sends it"),
        pytest.param("* [ ] a\n+ [ ] b\n1. [ ] c\n2) [ ] d", ["a", "b", "c", "d"], id="every marker"),
        pytest.param("- [x] done\n- [X] done too\n- [ ] open", ["open"], id="ticked in either case"),
        pytest.param("-  [ ]  wide\n-\t[ ]\ttabbed", ["wide", "tabbed"], id="spaces and tabs"),
        pytest.param("- [ ]\n- [ ] \n- [ ]none\n- []", [], id="a box without words, or none at all"),
        pytest.param("```\n- [ ] code\n```\n- [ ] open", ["open"], id="in a fence"),
        pytest.param("- [ ] a\n  ```\n  - [ ] code\n  ```\n- [ ] b", ["a", "b"], id="in an item's fence"),
        pytest.param(
            "1.  [ ] a\n\n    ~~~\n    - [ ] code\n    ~~~\n\n- [ ] b", ["a", "b"], id="in a deep fence"
        ),
        pytest.param("- [ ] a\n  ```\n  never closed\n- [ ] b", ["a", "b"], id="a fence ends with its item"),
        pytest.param("```\n- [ ] never closed", [], id="an open fence"),
        pytest.param("Text\n\n    - [ ] code\n", [], id="indented code"),
        pytest.param("> - [ ] quoted", [], id="a quote"),
        pytest.param("<!-- - [ ] a\n- [ ] b\n-->\n- [ ] c", ["c"], id="an HTML comment"),
        pytest.param(
            "- [ ] a <!-- owner: kim\n- [ ] hidden --> \n- [ ] b", ["a", "b"], id="one begun behind"
        ),
        pytest.param("- [ ] <!-- only this -->", [], id="nothing but a comment"),
        pytest.param("<pre>\n- [ ] a\n</pre>\n- [ ] b", ["b"], id="preformatted"),
        pytest.param("<details>\n<summary>More</summary>\n\n- [ ] a\n</details>", ["a"], id="folded is seen"),
        pytest.param("- [ ] a\n  - [ ] part\n- [ ] b", ["a", "b"], id="a box below is part of the item"),
        pytest.param("- [ ] a\n    - [ ] part\n        - [ ] part\n- [ ] b", ["a", "b"], id="four spaces"),
        pytest.param("- Group\n  - [ ] a\n  - [x] b\n  - [ ] c", ["a", "c"], id="below an item without one"),
        pytest.param("- [x] a\n  - [ ] left over", ["left over"], id="below one that a person ticked"),
        pytest.param(f"- [x] a{LINK}\n  - [ ] part", [], id="below one that a run has done"),
        pytest.param("# A\n- [ ] a\n# B\n- [ ] b", ["a", "b"], id="several lists"),
        pytest.param("Now:\n- [ ] a\nmore of a\n\nText\n\n    - [ ] code", ["a"], id="text ends a list"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_an_item_is_what_github_shows_as_an_open_box(body: str, titles: list[str]) -> None:
    assert [item.title for item in items(body)] == titles


def test_what_stands_below_an_item_is_part_of_its_task() -> None:
    body = (
        "- [ ] Rename `Year`\n  It is a *span*.\n  <!-- kim -->\n\n"
        "  - [ ] in `years.py`\n  - [x] in the docs\n\n"
        "  ```sh\n  make test\n  ```\n- [ ] next"
    )
    first, second = items(body)
    assert first.task == (
        "Rename `Year`\n\nIt is a *span*.\n\n\n- [ ] in `years.py`\n- [x] in the docs\n\n"
        "```sh\nmake test\n```"
    )
    assert second.task == "next"


def test_a_list_that_a_split_wrote_is_swept_with_its_classes() -> None:
    pieces = [Piece("bugfix", "Leap years"), Piece("refactor", "One table (of months)")]
    sizes = [Size("bugfix", "repository", 14, Usd.parse("0.42"), Usd.parse("1.10"))]
    found = items(listed(pieces, sizes))
    assert [(item.task_class, item.task) for item in found] == [
        ("bugfix", "Leap years"),
        ("refactor", "One table (of months)"),
    ]
    assert items("- [ ] (sweep) no class of a piece")[0] == Item(
        "(sweep) no class of a piece", "(sweep) no class of a piece"
    )


@pytest.mark.parametrize(
    ("body", "text", "after"),
    [
        pytest.param("- [ ] a\n- [ ] b", "b", f"- [ ] a\n- [x] b{LINK}", id="its box alone"),
        pytest.param("* [ ] a \r\nText\r\n", "a", f"* [x] a{LINK} \r\nText\r\n", id="line ends and spaces"),
        pytest.param("1. [\t] a\r2. [ ] b", "a", f"1. [x] a{LINK}\r2. [ ] b", id="old line ends"),
        pytest.param("- [ ] a\n- [ ] a", "a", f"- [x] a{LINK}\n- [ ] a", id="the first of twins"),
        pytest.param("- [x] a\n- [ ] a", "a", f"- [x] a\n- [x] a{LINK}", id="the open one of twins"),
        pytest.param("- [X] a", "a", f"- [X] a{LINK}", id="ticked by a person meanwhile"),
        pytest.param("- [ ] b\n\n- [ ] a", "a", f"- [ ] b\n\n- [x] a{LINK}", id="moved meanwhile"),
        pytest.param(f"- [x] a{LINK}\n- [ ] a", "a", f"- [x] a{LINK}\n- [ ] a", id="done before"),
        pytest.param(
            "```\n- [ ] a\n```\n- [ ] a", "a", f"```\n- [ ] a\n```\n- [x] a{LINK}", id="not in code"
        ),
        pytest.param("- [ ] a <!-- x -->", "a <!-- x -->", f"- [x] a <!-- x -->{LINK}", id="with a comment"),
        pytest.param("- [ ] A", "a", None, id="other words"),
        pytest.param("", "a", None, id="gone"),
    ],
)
def test_ticking_changes_one_box_and_adds_one_link(body: str, text: str, after: str | None) -> None:
    assert tick(body, text, 12, URL) == after
    if after is not None:
        assert tick(after, text, 12, URL) == after, "again: nothing more"


LINES = st.sampled_from(
    ["- [ ] a", "- [x] a", "  - [ ] b", "* [ ] c ", "1. [ ] d", "```", "~~~", "    - [ ] a", "<!--", "-->",
     "text", "", "> - [ ] a", "# h", "\t- [ ] e", "- x", "- [ ] a ([#3](u))", "- [ ] \u2028a\x0bb"]
)  # fmt: skip
BODIES = st.lists(
    st.one_of(LINES, st.text(alphabet="-*[] x`~<>!ab1.\t#\u2028", max_size=12)), max_size=14
).flatmap(
    lambda lines: st.lists(
        st.sampled_from(["\n", "\r\n", "\r"]), min_size=len(lines), max_size=len(lines)
    ).map(lambda ends: "".join(line + end for line, end in zip(lines, ends, strict=True)))
)


@given(BODIES)
def test_every_item_can_be_ticked_and_all_else_stays_byte_for_byte(body: str) -> None:
    found, now = items(body), body
    for number, item in enumerate(found, 100):
        ticked = tick(now, item.text, number, URL)
        assert ticked is not None
        assert tick(ticked, item.text, number, URL) == ticked
        now = ticked
    assert items(now) == () or len(items(now)) <= len(found)
    undone = re.sub(r" \(\[#1[0-9][0-9]\]\(" + re.escape(URL) + r"\)\)", "", now)
    assert len(undone) == len(body)
    changed = [(a, b) for a, b in zip(body, undone, strict=True) if a != b]
    assert all(a in " \t" and b == "x" for a, b in changed)
    assert len(changed) <= len(found)


@given(st.text(max_size=300), st.text(max_size=20))
def test_no_text_breaks_it(body: str, text: str) -> None:
    items(body)
    tick(body, text, 1, URL)


def test_long_texts_are_read_and_cut() -> None:
    assert len(items("- [ ] a\n" * 8_000)) == 8_000
    assert items("- " * 30_000) == ()
    for long in (
        "- [ ] " + "`" * 60_000,
        "- [ ] " + "<!--" * 15_000,
        " " * 60_000 + "- [ ] a",
        "- [ ] a" + "\t" * 60_000 + "b",  # a minute and more, if each blank is where the words might end
        "- [ ]" + " " * 60_000 + "\x0bb",
    ):
        items(long)
        tick(long, "a", 1, URL)
    [item] = items("- [ ] a\n" + "  b\n" * 15_000)
    assert len(item.task) <= LONGEST + 3
