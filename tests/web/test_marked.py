"""What a report says in Markdown a page says as HTML: the same words, and nobody's markup but ours."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core.untrusted import code, line, plain
from bot.web.dashboard.marked import coded, marked

TAGS = re.compile(r"</?(?:p|ul|li|b|code)>|</a>|<a href=\"https?://[^\"<>]+\">")


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
        ("[`a/b`](https://x/y)", '<p><a href="https://x/y"><code>a/b</code></a></p>'),
        ("[a](javascript:alert)", "<p>[a](javascript:alert)</p>"),
        (r"a \[b] \*c \\ d", "<p>a [b] *c \\ d</p>"),
        ("<b> & `<i>`", "<p>&lt;b&gt; &amp; <code>&lt;i&gt;</code></p>"),
        ("", ""),
    ],
)
def test_code_bold_links_and_lists_are_set_as_such(text: str, shown: str) -> None:
    assert marked(text) == shown


@given(st.text(max_size=60))
@example('[x](https://a"onclick=1)')
@example("**`<script>`**")
@example("[`a`](https://x)[b](http://y)")
def test_nobody_else_makes_a_tag(text: str) -> None:
    for told in (text, code(text), line(text), plain(text), f"[{code(text)}](https://x/y)", f"- {text}"):
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
