"""Others' words in our comments, as GitHub's own parser reads them: nothing pings, closes, links or hides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.core import reports
from bot.core.outcomes import Check, Published, Report
from bot.core.untrusted import cell, code, fenced, line, listing, neutral, plain, printable, quoted
from tests.core.test_reports import DONE, effects
from tests.core.test_reports import words as nasty

# What GitHub makes of text outside of code, where a letter before it does not forbid it.
MENTION = re.compile(r"(?<![\w`])@[A-Za-z\d]")
REFERENCE = re.compile(r"#\d|\bGH-\d|/(?:issues|pulls?|discussions)/\d", re.IGNORECASE)
OURS = {"https://github.com/o/r/commit/aaa", "https://github.com/o/r/actions/runs/1"}
# Of Markdown that only shapes the words it stands in.
SHAPES = {
    "p", "br", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "hr", "table", "thead",
    "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6", "input",
}  # fmt: skip
FOLDS = ("details", "summary", "sub")


class Page(HTMLParser):
    """Its elements, where its links and images lead, and its text outside of code."""

    def __init__(self, markdown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.words = ""
        self.comments: list[str] = []
        self._code = 0
        # Raw HTML passes here, so that it is seen; GitHub lets the harmless part of it pass.
        options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES
        self.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, options=options))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._code += tag in ("code", "pre")
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        self.words += data if not self._code else " "

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def acts(self) -> list[str]:
        """What it does to anybody, beyond showing words in the shapes of Markdown."""
        found = [f"<{tag}>" for tag in self.tags if tag not in {*SHAPES, "a", *FOLDS}]
        found += [link for link in self.links if link not in OURS]
        found += MENTION.findall(self.words) + REFERENCE.findall(self.words)
        return found + [f"<!--{one}-->" for one in self.comments if not one.startswith(" tollgate-run:")]


ATTEMPTS = (
    "@ada", "@org/team", "a@ada", "_@ada_", "**@ada**", "(@ada)", "fixes #1", "Closes: o/r#2",
    "closes GH-3", "xGH-3", "resolves https://github.com/o/r/issues/3", "https://evil.example/x",
    "HTTP://evil.example", "www.evil.example", "_www.evil.example_", "ftp://e.example",
    "mailto:a@e.example", "a.b@e.example", "xmpp:a@e.example/r", "[x](https://e.example)",
    "[x](javascript:alert(1))", "[x][y]\n\n[y]: https://e.example", "[y]\n\n[y]: <https://e.example> 'z'",
    "![x](https://e.example/p.png)", "![x][y]", "<https://e.example>", "<a@e.example>", "<img src=x>",
    "<img\nsrc=x>", "<!-- x -->", "<!-->", "<!x>", "<?x?>", "<![CDATA[x]]>", "</details>",
    "</blockquote>", "<details><summary>", "<details>" * 50, "&#64;ada", "&commat;ada", "&lt;b&gt;",
    "&#x3c;img src=x>", "\\@ada", "\\<img src=x>", "\\[x](https://e.example)", "```\n@ada", "~~~\n@ada",
    "`" * 40, "`" * 300 + "\n@ada <b>x</b>", "````mermaid\nx", "~~~suggestion\nx", "    @ada", "\t@ada",
    "> @ada", "> [!WARNING]\n> @ada", "[!NOTE]\nx", "| a |\n|---|\n| @ada |", "a|b\n-|-", "- [ ] @ada",
    "1. #1", "# #1", "===\n", "---\n@ada", "[^1]\n\n[^1]: @ada", "@\u200bada", "@\x00ada", "@\u202eada",
    "\u202e@ada", "@\ufeffada", "<\x1b[0mimg>", "@\r\nada", "#\r1", "\u2028@ada", "\ud800@ada",
    "@ad\u00e4", "\uff20ada", "#\u0661", "/approve", "\n/merge", "``@ada`", "`@ada", "**", "__",
    "*\n*\n*", "\U0001f600@ada", "$@ada$", "a\\", "x" * 300 + "@ada",
)  # fmt: skip
words = st.lists(
    st.one_of(
        st.sampled_from(ATTEMPTS),
        st.text(
            st.one_of(st.characters(), st.sampled_from("@#<>!&;`|~\\[]()-/:.\n \x1b0Ga1w_*")), max_size=40
        ),
    ),
    max_size=5,
).map("".join)
PLACES: dict[str, Callable[[str], str]] = {
    "as it is": neutral,
    "quoted": lambda text: f"Words:\n\n{quoted(text)}\n\nOurs.",
    "in a code block": lambda text: f"Out:\n\n{fenced(text)}\n\nOurs.",
    "word for word": lambda text: f"Out:\n\n{listing(text, 'diff')}\n\nOurs.",
    "in code": lambda text: f"It is {code(text)} here.",
    "in a line": lambda text: f"- {line(text)}",
    "in a sentence": lambda text: f"Because {plain(text)}.",
    "in a table": lambda text: f"| a | b |\n|---|---|\n| {cell(text)} | {code(text)} |\n\nOurs.",
}


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.parametrize("text", ATTEMPTS)
def test_each_attempt_does_nothing_anywhere(place: str, text: str) -> None:
    assert Page(PLACES[place](text)).acts() == []


@pytest.mark.parametrize("place", list(PLACES))
@settings(deadline=None, max_examples=200)
@given(text=words)
def test_no_words_do_anything_anywhere(place: str, text: str) -> None:
    page = Page(PLACES[place](text))
    assert page.acts() == []
    assert not page.tags["a"]
    if "code block" in place or place == "word for word":
        assert (page.tags["pre"], page.words.strip().endswith("Ours.")) == (1, True), "nothing gets out of it"
    if place in ("quoted", "in a table"):
        assert page.words.rstrip().endswith("Ours.")


@given(words)
def test_no_line_is_a_command_of_another_app(text: str) -> None:
    for made in (neutral(text), fenced(text), quoted(text)):
        assert not re.search(r"^\s*/[A-Za-z]", made, re.MULTILINE)


@given(nasty.filter(lambda text: printable(text).strip("\n")))
def test_a_listing_is_one_code_block_with_the_very_words_whatever_they_are(text: str) -> None:
    [token] = MarkdownIt("commonmark", {"html": True}).parse(listing(text, "diff"))
    assert (token.type, token.info) == ("fence", "diff")
    assert token.content == printable(text).strip("\n") + "\n"


@given(nasty)
def test_neutral_text_has_no_effect_and_loses_no_words(text: str) -> None:
    made = neutral(text)
    assert effects(made) == []
    assert neutral(made) == made
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", made)


@pytest.mark.parametrize(
    "text", ["Off by one: range(1, n) → range(n + 1)", "a < b && c > d", "50 % of $5.00", "x\n\ty"]
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text


@given(nasty)
def test_nothing_gets_out_of_its_fence(text: str) -> None:
    rows = fenced(text).split("\n")
    fence = rows[-1]
    assert set(fence) == {"`"}
    assert rows[0] == f"{fence}text"
    assert all(fence not in row for row in rows[1:-1])


@given(nasty)
def test_nothing_gets_out_of_its_line_or_quote(text: str) -> None:
    assert "\n" not in line(text) + cell(text) + code(text)
    assert code(text).count("`") == 2
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", cell(text))
    assert all(row.startswith(">") for row in quoted(text).split("\n"))


def report(text: str, outcome: str) -> Report:
    """A report that holds this text in every place where others' words may stand."""
    return replace(
        DONE,
        outcome=outcome,
        message=text,
        clamps=(text,),
        sources={"usd": text, "tokens": text},
        actor=text,
        summary=text,
        check=Check(text, 1, text),
        turns=tuple(replace(turn, stop_reason=text, model=text) for turn in DONE.turns[:2]),
        published=Published(
            "held", "", "", "", text, patch=text, lacks=(text,), held=((text, text),), needs="maintain"
        ),
        model=text,
        engine=text,
        price_book=text,
    )


@settings(deadline=None, max_examples=150)
@given(words, st.sampled_from(["queued", "open", "running", "done", "halted", "failed", "lost"]))
@example("</details>" * 3, "done")
@example("`" * 3_000, "done")
def test_no_report_does_anything_and_its_folds_are_its_own(text: str, outcome: str) -> None:
    page = Page(reports.comment(report(text, outcome), [text, text]))
    known = Page(reports.comment(report("word", outcome), ["word", "word"]))
    assert page.acts() == []
    for tag in FOLDS:
        assert page.tags[tag] <= known.tags[tag]
    assert page.tags["details"] == page.tags["summary"]
    assert set(page.links) == set(known.links)
