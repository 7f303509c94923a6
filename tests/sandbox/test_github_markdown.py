"""Comments as the sandbox shows them: Markdown in, only harmless HTML out."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from sandbox.markdown import render


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("**a** `b`", "<p><strong>a</strong> <code>b</code></p>\n", id="plain"),
        pytest.param("<!-- tollgate-run:a:1 -->\nx", "x", id="an HTML comment is not seen"),
        pytest.param(
            "- [x] done\n- [ ] not", '<input type="checkbox" disabled checked> done', id="a task list"
        ),
        pytest.param("see #12", '<a href="/acme/calendar/issues/12">#12</a>', id="a number"),
        pytest.param("hi @dana", '<a class="mention" href="/dana">@dana</a>', id="a mention"),
        pytest.param("`@dana` and #", "<code>@dana</code> and #", id="no mention in code"),
        pytest.param(
            "go https://example.org/a?b=1.", '<a href="https://example.org/a?b=1" rel="nofollow', id="address"
        ),
        pytest.param("| a |\n|--:|\n| 1 |", '<td align="right">1</td>', id="a table"),
        pytest.param(
            "<details><summary>s</summary>\n\n**b**\n\n</details>", "<strong>b</strong>", id="details"
        ),
        pytest.param("> [!WARNING]\n> mind", '<blockquote class="alert warning">', id="an alert"),
        pytest.param('```mermaid\npie title T\n"a" : 1\n"b" : 3\n```', "b (75%)</text>", id="a pie"),
        pytest.param(
            "```mermaid\ngraph TD; A-->B\n```", "graph TD; A--&gt;B", id="another diagram is its text"
        ),
        pytest.param('```\n<b>&"\n```', "&lt;b&gt;&amp;", id="code is text"),
    ],
)
def test_what_a_comment_says_is_shown(text: str, shown: str) -> None:
    assert shown in render(text, "/acme/calendar")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        '<a href="JavaScript:alert(1)">x</a>',
        "<svg onload=alert(1)></svg>",
        "<iframe src=//evil></iframe>",
        '<p style="background:url(//evil)">x</p>',
        "![x](https://tracker.example/pixel.png)",
        "<div onclick=alert(1) class=comment id=composer>x</div>",
        "</div></article><script src=//evil></script>",
        '```mermaid\npie title <script>alert(1)</script>\n"<img src=//evil onerror=alert(1)>" : 1\n```',
        "<form action=//evil><input type=text name=body><button>x</button></form>",
    ],
)
def test_no_comment_can_run_or_fetch_anything(text: str) -> None:
    seen = Seen()
    seen.feed(render(text, "/acme/calendar"))
    seen.close()
    assert not seen.tags & {"script", "iframe", "form", "img", "button", "input", "style", "object"}
    assert {name for name, _ in seen.attributes} <= HARMLESS
    assert all(
        not value.lower().startswith("javascript") for name, value in seen.attributes if name == "href"
    )


HARMLESS = {
    "href",
    "rel",
    "class",
    "align",
    "viewbox",
    "width",
    "height",
    "role",
    "fill",
    "d",
    "x",
    "y",
    "rx",
}


class Seen(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert tag != "article"


def test_what_is_left_open_is_closed() -> None:
    shown = render("<details><b>x")
    assert shown.count("<details>") == shown.count("</details>") == 1
    assert shown.count("<b>") == shown.count("</b>") == 1
