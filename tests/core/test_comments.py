"""The comment of a run: its chart is one that can be read, and it is never too long to be posted."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core import reports
from bot.core.comments import MAX_BYTES
from bot.core.money import Usd
from bot.core.reports import Check, Published
from tests.core.test_reports import DONE, TURNS, first, json_of

NUMBER = r"\d+(?:\.\d+)?"
# Source: mermaid 11, packages/mermaid/src/diagrams/xychart/parser/xychart.jison.
CHART = re.compile(
    r"```mermaid\nxychart-beta\n"
    r'    title "[^"\n]+"\n'
    rf'    x-axis "[^"\n]+" ({NUMBER}) --> ({NUMBER})\n'
    rf'    y-axis "[^"\n]+" ({NUMBER}) --> ({NUMBER})\n'
    rf"    line \[({NUMBER}(?:, {NUMBER})*)\]\n```"
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 10**17), min_size=1, max_size=7))
@example(10_000, [10**17])
@example(2, [0])
@example(100, [1])
def test_the_chart_is_one_that_mermaid_reads_whatever_was_spent(turns: int, amounts: list[int]) -> None:
    spent = tuple(
        replace(TURNS[0], step=n, usd=Usd(amounts[n % len(amounts)])) for n in range(turns)
    )  # fmt: skip
    text = reports.final(replace(DONE, turns=spent))
    assert len(text.encode()) <= MAX_BYTES
    assert text.count("```mermaid") == (turns > 1), "of one turn there is nothing to draw"
    if turns > 1:
        chart = CHART.search(text)
        assert chart is not None
        points = [float(value) for value in chart[5].split(", ")]
        assert (float(chart[1]), float(chart[2])) == (1, turns)
        assert points == sorted(points)
        assert 2 <= len(points) <= 100
        assert max(points) <= float(chart[4])
        assert float(chart[4]) > 0, "an axis from 0 to 0 is none"


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 400),
    st.integers(0, 30_000),
    st.integers(0, 30_000),
    st.integers(0, 300),
    st.sampled_from("a\n@|\U0001f600\\`"),
)
def test_a_report_fits_into_a_comment_and_says_what_it_left_out(
    turns: int, summary: int, output: int, clamps: int, letter: str
) -> None:
    report = replace(
        DONE,
        turns=tuple(replace(TURNS[0], step=n, model=letter * 100) for n in range(turns)),
        summary=letter * summary,
        check=Check(letter * output, 1, letter * output),
        clamps=(letter * 500,) * clamps,
        message=letter * output,
        published=Published("held", letter * 900, letter * 90, letter * 900, letter * summary),
    )
    for outcome in ("queued", "open", "running", "done", "failed"):
        text = reports.comment(replace(report, outcome=outcome), [letter * 5_000] * 20)
        assert len(text.encode()) <= MAX_BYTES + 100 <= 60_000
        assert first(text)
    summed = reports.job_summary(replace(report, clamps=report.clamps * 100))
    assert len(summed.encode()) <= 1024 * 1024
    assert json_of(summed)
    full = reports.final(replace(report, outcome="done"))
    if turns > 200 or summary > 12_000:
        assert "left out" in full or "…" in full
