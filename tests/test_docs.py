"""The pages: links lead somewhere, files that they name are there, the commands are those of the help."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from bot.cli import main
from bot.core.commands import HELP

ROOT = Path(__file__).parent.parent
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
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


TYPED = re.compile(r"python -m bot ([a-z][a-z-]*)([^`|#\n]*)")


def test_every_command_that_a_page_names_is_there_with_its_options_and_each_is_named() -> None:
    """What stands behind ` -- ` is another program's."""
    typed = [found for page in PAGES for found in TYPED.findall(page.read_text(encoding="utf-8"))]
    for name, words in typed:
        assert name in main.commands, name
        known = {option for param in main.commands[name].params for option in param.opts}
        asked = set(re.findall(r"--[a-z][a-z-]*", words.partition(" -- ")[0]))
        assert asked <= known, f"{name}: {asked - known}"
    assert {name for name, _ in typed} == main.commands.keys(), "a command of which no page tells"


def test_the_readme_draws_the_house_as_the_imports_are_held_to() -> None:
    """Each room with the number of its floor: who imports whom stands in pyproject.toml."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\nbot/\n")[2].partition("\nexam/")[0]
    drawn = {name: int(floor) for name, floor in re.findall(r"^  (\w+)(?:/|\.py) +(\d)", text, re.MULTILINE)}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    [layers] = [each["layers"] for each in contracts["contracts"] if each.get("containers") == ["bot"]]
    rooms = [room.strip() for layer in layers for room in re.split("[|:]", layer)]
    rooms.remove("__main__")  # it is cli
    assert drawn.keys() == set(rooms)
    assert [drawn[room] for room in rooms] == sorted(drawn.values(), reverse=True), "one is drawn too high"
