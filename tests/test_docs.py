"""The pages: links lead somewhere, files that they name are there, the commands are those of the help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.core.commands import HELP

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
PLACE = re.compile(r"`((?:benchmarks|bot|docs|sandbox|tests|workflows)/[\w./-]+)(?:::\w+)?`")


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        to = page.parent / path if path else page
        assert to.exists(), link
        assert not anchor or anchor in anchors(to), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    for place in PLACE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / place).exists(), place


def test_the_readme_lists_the_commands_of_the_help() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("`", "").replace("\\|", "|")
    listed = re.findall(r"^\| (/agent .+) \| (.+) \|$", text, re.MULTILINE)
    assert tuple(listed) == HELP
