"""What a report says in Markdown a page says as HTML: the same words, and nobody's markup but ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core import changeset, comments
from bot.core.objections import objections
from bot.core.outcomes import MOST_NOTE, Published
from bot.core.untrusted import ZWSP, cell, code, line, neutral, plain, quoted, several
from bot.web.dashboard import marked as reading
from bot.web.dashboard.marked import coded
from tests.core.test_reports import DONE

HOMES = ("https://github.com", "https://tollgate.example")
OURS = "https://github.com/o/r/commit/aaa"
TAGS = re.compile(r"</?(?:p|ul|li|b|code)>|</a>|<a href=\"https://github\.com/[^\"<>]+\">")
marked = partial(reading.marked, homes=HOMES)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a `b` c", "<p>a <code>b</code> c</p>"),
        ("one\n\ntwo", "<p>one</p><p>two</p>"),
        (
            "- `/agent resume` goes on\n- two",
            "<ul><li><code>/agent resume</code> goes on</li><li>two</li></ul>",
        ),
        ("**This month**: much", "<p><b>This month</b>: much</p>"),
        ("[`a/b`](https://github.com/y)", '<p><a href="https://github.com/y"><code>a/b</code></a></p>'),
        ("[a](https://tollgate.example/y)", '<p><a href="https://tollgate.example/y">a</a></p>'),
        ("[a [b](https://github.com/y)", '<p>[a <a href="https://github.com/y">b</a></p>'),
        ("[a](https://x/y)", "<p>[a](https://x/y)</p>"),
        ("[a](https://github.com.x/y)", "<p>[a](https://github.com.x/y)</p>"),
        ("[a](https://github.com@x/y)", "<p>[a](https://github.com@x/y)</p>"),
        ("[a](javascript:alert)", "<p>[a](javascript:alert)</p>"),
        (r"a \[b] \*c \\ d", "<p>a [b] *c \\ d</p>"),
        ("<b> & `<i>`", "<p>&lt;b&gt; &amp; <code>&lt;i&gt;</code></p>"),
        (f"@{ZWSP}ada `@{ZWSP}ada` **@{ZWSP}a**", "<p>@ada <code>@ada</code> <b>@a</b></p>"),
        ("", ""),
    ],
)
def test_code_bold_links_and_lists_are_set_as_such(text: str, shown: str) -> None:
    assert marked(text) == shown


@given(st.text(max_size=60))
@example('[x](https://github.com/a"onclick=1)')
@example("**`<script>`**")
@example("[`a`](https://github.com/x)[b](http://y)")
def test_nobody_else_makes_a_tag(text: str) -> None:
    for told in (text, code(text), line(text), plain(text), f"[{code(text)}]({OURS})", f"- {text}"):
        rest = TAGS.sub("", marked(told))
        assert not {"<", ">", '"'} & set(rest)
        assert "<script" not in coded(told)


@given(st.text("ab<>&\"'` *[]()\\", max_size=40))
def test_words_of_others_come_out_as_they_are(words: str) -> None:
    shown = " ".join(words.split())
    text = re.sub(TAGS, "", marked(f"Because {plain(words, 500)}."))
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        text = text.replace(entity, sign)
    assert text.replace("'", "`") == f"Because {shown}.".replace("'", "`")


class Read(HTMLParser):
    """Where its links lead, and whatever it has besides words and what shapes them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.strange: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("p", "ul", "li", "b", "code", "a"):
            self.strange.append(tag)
        for name, value in attrs:
            if (tag, name) == ("a", "href"):
                self.links.append(str(value))
            else:
                self.strange.append(name)


# On GitHub too, so that it is not the address that makes no link of it.
LINK = "[Sign in again](https://github.com/evil/sign-in)"
PIECES = (
    LINK, "[", "]", "(", ")", "](", "](https://github.com/evil)", "https://github.com/evil", "`", "``", "**",
    "*", "\\", "\\[", "|", "- ", "\n", "\n\n", "\n- ", "<img src=x onerror=y>", '"', "'", "&lt;", ZWSP,
    "![x]", "a b",
)  # fmt: skip
others = st.lists(st.sampled_from(PIECES) | st.text(max_size=10), max_size=8).map("".join)
MADE_FIT: dict[str, Callable[[str, int], str]] = {
    "line": line, "plain": plain, "code": code, "cell": cell, "neutral": lambda text, most: neutral(text),
    "quoted": lambda text, most: quoted(text),
}  # fmt: skip
SENTENCES = (
    "Nothing was committed: {0}. What it had made is kept here.",
    "Nothing was committed, a person has to look first: `{0}` is under `{1}`; {2}.",
    f"Accepted by {{0}}, who let through {{1}}. Committed to [`main`]({OURS}) (`aaa`). Because {{2}}.",
    f"{{0}}[{{1}}]({OURS}){{2}}",
    "- {0} goes on\n- **{1}** {2}",
    "{0}\n\n{1}{2}",
)


@pytest.mark.parametrize("how", MADE_FIT)
@given(words=st.tuples(others, others, others), most=st.integers(1, 120), sentence=st.sampled_from(SENTENCES))
@example(words=(LINK, LINK, LINK), most=120, sentence=SENTENCES[0])
@example(words=("`" + LINK, LINK + "`", "`"), most=60, sentence=SENTENCES[1])
@example(words=("[", "a", ""), most=120, sentence=SENTENCES[3])
def test_words_of_others_are_no_link_no_attribute_and_no_tag_wherever_they_stand(
    how: str, words: tuple[str, str, str], most: int, sentence: str
) -> None:
    fit = [MADE_FIT[how](one, most) for one in words]
    read = Read(marked(sentence.format(*fit)))
    assert read.strange == []
    assert set(read.links) <= {OURS}
    assert len(read.links) <= sentence.count(OURS)


def why(paths: list[str]) -> list[str]:
    """What is said of files of these names, as a runner hands them in."""
    files = [{"path": path, "text": ""} for path in paths]
    return [str(one) for one in objections(changeset.read({"base": "a" * 40, "files": files}), ())]


def came_of(note: str) -> str:
    return marked(comments.came_of(replace(DONE, published=Published("held", "", "", "", note))))


def test_no_names_of_files_are_so_long_that_one_of_them_becomes_a_link() -> None:
    """The cut at the end of what is shown goes through each place of such a name, its closing mark too."""
    for long in range(1, 120):
        reasons = why(["/" + "x" * long, *(f"{number:02}{LINK}" for number in range(20))])
        for note in (several(reasons, MOST_NOTE), "; ".join(reasons)):  # and as it was kept before
            assert Read(came_of(note)).links == [], long


@given(
    st.lists(others.filter(lambda path: path.isprintable() and path), unique=True, min_size=1, max_size=40)
)
@example([f"{number}/{LINK}{LINK}" for number in range(30)])
def test_what_a_person_has_to_look_at_is_told_whole_or_counted(paths: list[str]) -> None:
    reasons = why([f"/{path}" for path in paths])
    told = line(several(reasons, MOST_NOTE), MOST_NOTE)
    shown = next(
        n for n in range(len(reasons), -1, -1) if told.startswith(line("; ".join(reasons[:n]), 10**6))
    )
    assert shown > 0
    assert told.removeprefix(line("; ".join(reasons[:shown]), 10**6)) == (
        f"; {len(reasons) - shown} more" if shown < len(reasons) else ""
    )
    assert told.count("`") == 2 * shown
