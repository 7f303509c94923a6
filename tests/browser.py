"""A browser without a screen: follows redirects, keeps cookies, fills in and sends a page's forms."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin


@dataclass
class Form:
    """One form as the page has it: its fields already filled in."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """What came back in the end, wherever the redirects have led."""

    status: int
    url: str
    text: str
    headers: dict[str, str]
    forms: tuple[Form, ...]
    links: tuple[str, ...]


class Browser:
    """`token`: it is a program instead, and tells this one with everything that it asks."""

    def __init__(self, token: str = "") -> None:
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.sends = [("Authorization", f"Bearer {token}")] if token else []
        self._opener.addheaders += self.sends

    def open(self, url: str, data: dict[str, str] | list[tuple[str, str]] | None = None) -> Page:
        """GET, or a form's POST."""
        body = None if data is None else urlencode(data).encode()
        asked = urllib.request.Request(url, body, {"Accept": "text/html"})  # noqa: S310 - loopback
        try:
            with self._opener.open(asked, timeout=60) as answer:
                return _page(answer)
        except urllib.error.HTTPError as error:
            with error:
                return _page(error)

    def send(self, page: Page, number: int = 0, button: int = 0, **changed: str) -> Page:
        """Send one of the page's forms, with some of its fields changed, by one of its buttons."""
        form = page.forms[number]
        kept = [(name, value) for name, value in form.fields if name not in changed]
        told = kept + list(changed.items()) + [pair for pair in form.buttons[button : button + 1] if pair[0]]
        to = urljoin(page.url, form.action)
        return self.open(to, told) if form.method == "post" else self.open(f"{to}?{urlencode(told)}")


def _page(answer: HTTPResponse | urllib.error.HTTPError) -> Page:
    text = answer.read().decode()
    reader = _Reader()
    reader.feed(text)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Page(answer.status or 0, answer.url, text, headers, tuple(reader.forms), tuple(reader.links))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        has = dict(attrs)
        if tag == "a" and has.get("href"):
            self.links.append(has["href"])
        if tag == "form":
            self.forms.append(Form(has.get("method", "get").lower(), has.get("action", "")))
        if not self.forms:
            return
        name, value = has.get("name") or "", has.get("value") or ""
        if tag == "button":
            self.forms[-1].buttons.append((name, value))
        if tag == "input" and name and (has.get("type") not in ("checkbox", "radio") or "checked" in has):
            self.forms[-1].fields.append((name, value))
