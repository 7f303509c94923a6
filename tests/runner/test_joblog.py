"""What a job's log and summary show of what an agent said: words, and nothing that acts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.reports import Check
from bot.runner.engines import Ending
from bot.runner.joblog import Job

LINK = "[sign in](https://evil.example)"


@pytest.mark.parametrize("ticks", [3, 80, 255, 300])
def test_nothing_that_an_agent_says_gets_out_of_its_block_in_the_summary(tmp_path: Path, ticks: int) -> None:
    """GitHub's parser counts 80 ticks of a span, and 255 of a fence."""
    wall = "`" * ticks
    ending = Ending("failed", f"a\n{wall}\n{LINK}\n\ud800", message=f"{wall}{LINK}{wall}")
    job = Job({"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")})
    job.unreported(ending, Check(f"pytest {wall}{LINK}", 0, ""))
    text = (tmp_path / "summary").read_text(encoding="utf-8")
    assert "](https" not in text
    assert "sign in" in text
    fence = next(line for line in text.splitlines() if line.endswith("text")).removesuffix("text")
    assert text.splitlines().count(fence) == 1
    assert len(fence) < 255
