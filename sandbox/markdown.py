"""Comments as GitHub would show them: Markdown with tables and task lists, and only harmless HTML."""

from __future__ import annotations

import math
import re
from html import escape
from html.parser import HTMLParser
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

HARMLESS = (
    "a abbr b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img input ins kbd li ol "
    "p pre q s samp small span strike strong sub summary sup table tbody td tfoot th thead tr tt ul var"
)
TAGS = frozenset(HARMLESS.split())
VOID = {"br", "hr", "img", "input"}
DROPPED = {"script", "style", "template", "noscript", "iframe", "object", "math", "svg", "title", "textarea"}
ATTRIBUTES = {
    "*": {"title", "align", "dir", "lang"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "details": {"open"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "code": {"class"},
    "pre": {"class"},
}
CLASS = re.compile(r"language-[\w+-]+")
ALIGN = re.compile(r"text-align:(left|right|center)")
BARE = re.compile(
    r"(https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]])|(?<![\w/&])#(\d+)\b|(?<![\w/.`])@([a-zA-Z\d][\w-]*)"
)
ALERT = re.compile(r"<blockquote>\s*<p>\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\](?:<br ?/?>|\s)*")
COLORS = ("#2f6feb", "#d29922", "#2da44e", "#bf3989", "#8250df", "#1b7c83", "#cf222e", "#6e7781")


def render(text: str, base: str = "") -> str:
    """HTML of a comment that may be put into a page as it is. `base` is where `#12` links to: /owner/name."""
    charts: list[str] = []
    made = parser().render(text, {"charts": charts})
    clean = Sanitizer(base)
    clean.feed(made)
    clean.close()
    page = clean.html()
    page = ALERT.sub(alert, page)
    for number, chart in enumerate(charts):
        page = page.replace(f"<p>{mark(number)}</p>", chart).replace(mark(number), "")
    return page


def parser() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(["table", "strikethrough"])
    made.add_render_rule("fence", fence)
    return made


def mark(number: int) -> str:
    """Stands for a chart while the rest is made harmless; no comment can hold this character."""
    return f"\ue000{number}\ue000"


def fence(renderer: RendererHTML, tokens: list[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    """A code block; a Mermaid one as its picture where we can draw it, else as its text in a box."""
    token = tokens[at]
    language = token.info.split()[0] if token.info.split() else ""
    if language == "mermaid":
        charts: list[str] = env["charts"]
        charts.append(mermaid(token.content))
        return f"<p>{mark(len(charts) - 1)}</p>\n"
    name = f' class="language-{escape(language)}"' if language else ""
    return f"<pre><code{name}>{escape(token.content)}</code></pre>\n"


def alert(found: re.Match[str]) -> str:
    kind = found[1].lower()
    return f'<blockquote class="alert {kind}"><p class="alert-title">{kind.capitalize()}</p><p>'


class Sanitizer(HTMLParser):
    """Writes again only what is on the list; links bare addresses, #numbers and @names on the way."""

    def __init__(self, base: str) -> None:
        super().__init__(convert_charrefs=True)
        self._base = base
        self._out: list[str] = []
        self._open: list[str] = []
        self._silent = 0

    def html(self) -> str:
        return "".join(self._out) + "".join(f"</{tag}>" for tag in reversed(self._open))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in DROPPED:
            self._silent += 1
        elif tag == "img" and not here(dict(attrs).get("src") or ""):
            self.handle_data(dict(attrs).get("alt") or "")
        elif not self._silent and tag in TAGS and (tag != "input" or ("type", "checkbox") in attrs):
            kept = "".join(self._attribute(tag, name, value or "") for name, value in attrs)
            kept += ' rel="nofollow noopener"' if tag == "a" else ""
            kept += ' type="checkbox" disabled' if tag == "input" else ""
            self._out.append(f"<{tag}{kept}>")
            if tag not in VOID:
                self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in DROPPED:
            self.handle_starttag(tag, attrs)
            if tag in self._open and tag not in VOID:
                self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in DROPPED:
            self._silent = max(0, self._silent - 1)
        elif not self._silent and tag in self._open:
            while self._open:
                last = self._open.pop()
                self._out.append(f"</{last}>")
                if last == tag:
                    break

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if {"a", "code", "pre"} & set(self._open):
            self._out.append(escape(data, quote=False))
            return
        if self._open and self._open[-1] in ("li", "p") and "li" in self._open and self._fresh():
            box = re.match(r"\[([ xX])\] ", data)
            if box:
                checked = " checked" if box[1] != " " else ""
                self._out.append(f'<input type="checkbox" disabled{checked}> ')
                data = data[4:]
        at = 0
        for found in BARE.finditer(data):
            self._out.append(escape(data[at : found.start()], quote=False))
            self._out.append(self._link(found))
            at = found.end()
        self._out.append(escape(data[at:], quote=False))

    def _fresh(self) -> bool:
        """Whether nothing was written since the list item began."""
        return bool(self._out) and self._out[-1].startswith(("<li", "<p"))

    def _link(self, found: re.Match[str]) -> str:
        url, number, login = found.groups()
        if url:
            shown = escape(url)
            return f'<a href="{shown}" rel="nofollow noopener">{shown}</a>'
        if number:
            return (
                f'<a href="{escape(self._base)}/issues/{number}">#{number}</a>'
                if self._base
                else f"#{number}"
            )
        return f'<a class="mention" href="/{login}">@{login}</a>'

    def _attribute(self, tag: str, name: str, value: str) -> str:
        if name == "style" and tag in ("td", "th") and (found := ALIGN.search(value)):
            return f' align="{found[1]}"'
        if name not in ATTRIBUTES["*"] | ATTRIBUTES.get(tag, set()):
            return ""
        if name == "href" and urlsplit(value).scheme.lower() not in ("", "http", "https", "mailto"):
            return ""
        if name == "src" and not here(value):
            return ""
        if name == "class" and not CLASS.fullmatch(value):
            return ""
        return f' {name}="{escape(value)}"'


def here(url: str) -> bool:
    """Whether an image comes from this machine: the page asks no other host for anything."""
    parts = urlsplit(url)
    if not parts.scheme and not parts.netloc:
        return url.startswith("/")
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")


# -- Mermaid, the little of it that reports use --


def mermaid(text: str) -> str:
    """A pie or a bar chart as SVG; any other diagram as its text."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    kind = lines[0].split()[0] if lines else ""
    drawn = pie(lines) if kind == "pie" else bars(lines) if kind.startswith("xychart") else None
    if drawn is not None:
        return f'<figure class="chart">{drawn}</figure>'
    return f'<figure class="mermaid"><figcaption>mermaid</figcaption><pre>{escape(text)}</pre></figure>'


def pie(lines: list[str]) -> str | None:
    title, parts = lines[0].partition("title")[2].strip(), []
    for line in lines[1:]:
        found = re.match(r'"([^"]*)"\s*:\s*([\d.]+)', line)
        if found:
            parts.append((found[1], float(found[2])))
        elif line.startswith("title"):
            title = line.removeprefix("title").strip()
    total = sum(value for _, value in parts)
    if not total:
        return None
    slices, legend, turn = [], [], -math.pi / 2
    for number, (name, value) in enumerate(parts):
        color, share = COLORS[number % len(COLORS)], value / total
        end = turn + 2 * math.pi * min(share, 0.99999)
        x1, y1, x2, y2 = (90 + 70 * f(a) for a in (turn, end) for f in (math.cos, math.sin))
        large = int(share > 0.5)
        slices.append(
            f'<path fill="{color}" d="M90 90L{x1:.2f} {y1:.2f}A70 70 0 {large} 1 {x2:.2f} {y2:.2f}Z"/>'
        )
        y = 40 + 22 * number
        words = f"{escape(name)} ({share:.0%})"
        legend.append(f'<rect x="190" y="{y - 10}" width="12" height="12" rx="2" fill="{color}"/>')
        legend.append(f'<text x="210" y="{y}">{words}</text>')
        turn = end
    height = max(180, 50 + 22 * len(parts))
    head = f'<text x="190" y="16" class="t">{escape(title)}</text>' if title else ""
    size = f'viewBox="0 0 460 {height}" width="460" height="{height}"'
    return f'<svg {size} role="img">{"".join(slices)}{head}{"".join(legend)}</svg>'


def bars(lines: list[str]) -> str | None:
    title, names = "", list[str]()
    values: list[float] = []
    for line in lines[1:]:
        inside = re.search(r"\[(.*)\]", line)
        items = [item.strip().strip('"') for item in inside[1].split(",")] if inside else []
        if line.startswith("title"):
            title = line.removeprefix("title").strip().strip('"')
        elif line.startswith("x-axis"):
            names = items
        elif line.startswith(("bar", "line")) and not values:
            try:
                values = [float(item) for item in items]
            except ValueError:
                return None
    top = max(values, default=0)
    if top <= 0:
        return None
    wide = min(60.0, 400 / len(values))
    drawn = []
    for number, value in enumerate(values):
        height, x = 110 * value / top, 20 + number * wide
        size = f'width="{wide * 0.8:.1f}" height="{height:.1f}"'
        drawn.append(f'<rect x="{x:.1f}" y="{150 - height:.1f}" {size} fill="{COLORS[0]}"/>')
        if number < len(names):
            drawn.append(f'<text x="{x:.1f}" y="166">{escape(names[number])}</text>')
    head = f'<text x="20" y="20" class="t">{escape(title)}</text>'
    return f'<svg viewBox="0 0 460 175" width="460" height="175" role="img">{head}{"".join(drawn)}</svg>'
