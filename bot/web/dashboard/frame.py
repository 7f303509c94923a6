"""What every page has: who is looking, the head with the switch, the headers, the errors, CSV.

A page is a file with `mount(frame)`: it adds its link to `frame.links`, and a function under `frame.get` that
gets the visitor and hands `frame.show` its template, its tables and its values. What is private is kept by no
cache; no page runs a script.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, redirect, render_template, request
from markupsafe import Markup, escape
from werkzeug.wrappers import Response as AnyResponse

from bot.core.caps import month_of
from bot.core.visibility import Sight
from bot.services import Services
from bot.web import otherwise
from bot.web.answers import Problem
from bot.web.dashboard.tables import Table
from bot.web.who import Visitor, Who

View = Callable[..., AnyResponse]
# Nothing from elsewhere, no script, no style but the one file, in nobody's frame.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
MONTH = re.compile(r"2[0-9]{3}-(?:0[1-9]|1[0-2])")
YEAR = 31_536_000
NOT_SET_UP = (
    "Nobody can sign in yet: whoever runs this service sets SESSION_SECRET (and GITHUB_CLIENT_ID and "
    "GITHUB_CLIENT_SECRET, where the App was registered by hand) and starts it again"
)
FORGED = "No page of this service that is open here sent this form. Load the page anew, and repeat"
TITLES = {
    400: "That did not work",
    403: "You may not see this",
    404: "There is no such page",
    405: "That cannot be done here",
    413: "That is too much",
    429: "Not just now",
    500: "Something broke",
    503: "Not just now",
}
MAX_FORM = 64 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """A page in the head of every page, for whoever may see it."""

    to: str
    name: str
    for_whom: Callable[[Sight], bool] = lambda sight: True


class Frame:
    def __init__(self, services: Services, clock: Callable[[], float]) -> None:
        self.services = services
        self.clock = clock
        self.who = Who(services)
        self.links: list[Link] = []
        self.blueprint = Blueprint(
            "dashboard",
            __name__,
            template_folder="templates",
            static_folder="static",
            static_url_path="/static",
        )
        self.blueprint.after_request(self._guarded)
        self.blueprint.before_request(self._open)
        self.blueprint.register_error_handler(Problem, self.problem)
        otherwise.mount(self.blueprint, lambda problem: self._guarded(self.problem(problem)))
        self.blueprint.app_template_filter("coded")(coded)

    # --- doors

    def get(self, rule: str) -> Callable[[View], View]:
        """A page for who is signed in; its function takes the visitor first."""

        def mounted(view: View) -> View:
            self.blueprint.add_url_rule(rule, view.__name__, self._for_visitors(view), methods=["GET"])
            return view

        return mounted

    def post(self, rule: str) -> Callable[[View], View]:
        """What a form of ours sends; one that another site has sent is refused."""

        def mounted(view: View) -> View:
            @wraps(view)
            def checked(visitor: Visitor, **where: Any) -> AnyResponse:
                request.max_content_length = MAX_FORM
                if not self.who.seal.same(visitor.mark, request.form.get("mark", "")):
                    raise Problem(403, FORGED)
                return view(visitor, **where)

            self.blueprint.add_url_rule(rule, view.__name__, self._for_visitors(checked), methods=["POST"])
            return view

        return mounted

    def _for_visitors(self, view: View) -> View:
        @wraps(view)
        def serve(**where: Any) -> AnyResponse:
            visitor = self.who(request)
            if visitor is not None:
                return view(visitor, **where)
            if request.path.startswith("/api/"):
                raise Problem(401, "sign in first: open this service in a browser")
            if request.method != "GET":
                return redirect("/", 303)
            return self.render("welcome.html", "Sign in", 401, next=quote(self.address(), safe=""))

        return serve

    # --- what a page asks for

    def month(self) -> str:
        """The month of the address, or the one that it is. Raises Problem 400."""
        asked = request.args.get("month", "") or self.this_month()
        if not MONTH.fullmatch(asked):
            raise Problem(400, f"{asked[:20]!r} is not a month such as 2026-11")
        return asked

    def this_month(self) -> str:
        return month_of(self.services.database.now_ms(), self.services.policy.caps.zone)

    def address(self, **changed: str) -> str:
        """This page's address with some filters changed; one that is "" goes."""
        query = {name: value for name, value in {**request.args.to_dict(), **changed}.items() if value}
        return request.path + (f"?{urlencode(query)}" if query else "")

    # --- what it answers

    def show(
        self, visitor: Visitor, template: str, title: str, tables: Sequence[Table] = (), **values: Any
    ) -> Response:
        """The page; or, where the address asks for it with `csv=ID`, one of its tables."""
        if wanted := request.args.get("csv"):
            table = next((one for one in tables if one.id == wanted), None)
            if table is None:
                raise Problem(404, f"This page has no table {wanted[:40]!r}")
            response = Response(table.csv(), content_type="text/csv; charset=utf-8")
            name = f"tollgate-{table.id}-{values.get('month', '')}".rstrip("-")
            response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
            return response
        by_id = {table.id: table for table in tables}
        if "month" in values:
            values |= dict(zip(("before", "after"), _beside(values["month"]), strict=True))
        return self.render(template, title, 200, visitor=visitor, tables=by_id, **values)

    def render(self, template: str, title: str, status: int, **values: Any) -> Response:
        visitor: Visitor | None = values.get("visitor")
        links = [link for link in self.links if visitor and link.for_whom(visitor.sight)]
        switches = self.services.switch.all() if visitor else ()  # an error's page needs no database
        paused = [one for one in switches if visitor and _told(one.repository, visitor)]
        text = render_template(
            f"dashboard/{template}",
            title=title,
            paused=paused,
            links=links,
            address=self.address,
            css=_version(),
            **values,
        )
        return Response(text, status, content_type="text/html; charset=utf-8")

    def problem(self, problem: Problem) -> Response:
        """A sentence, as JSON at the API and else as a page."""
        if request.path.startswith("/api/"):
            return problem.response()
        title = TITLES.get(problem.status, TITLES[400])
        return self.render("oops.html", title, problem.status, why=str(problem))

    def _open(self) -> AnyResponse | None:
        if self.services.settings.secrets.session or request.endpoint == "dashboard.static":
            return None
        raise Problem(503, NOT_SET_UP)

    def _guarded(self, response: Any) -> Any:
        response.headers.update(HEADERS)
        static = request.endpoint == "dashboard.static" and response.status_code in (200, 304)
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable" if static else "no-store"
        if self.who.https:
            response.headers["Strict-Transport-Security"] = f"max-age={YEAR}"
        return response


def coded(text: str) -> Markup:
    """A sentence of ours in which `this` is code; everything in it is escaped."""
    pieces = re.split(r"`([^`]*)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece)
        for number, piece in enumerate(pieces)
    )


def _beside(month: str) -> tuple[str, str]:
    """The months before and after."""
    at = int(month[:4]) * 12 + int(month[5:]) - 1
    return tuple(f"{one // 12}-{one % 12 + 1:02d}" for one in (at - 1, at + 1))  # type: ignore[return-value]


def _told(repository: str, visitor: Visitor) -> bool:
    """Whether a pause is this visitor's business: everywhere, or where they may look."""
    mine = {one.repo.full_name.lower() for one in visitor.access}
    return not repository or visitor.sight.everyone or repository in mine


@cache
def _version() -> str:
    """Of the style: a browser keeps it until it is another."""
    style = files("bot.web.dashboard").joinpath("static", "dashboard.css").read_bytes()
    return hashlib.sha256(style).hexdigest()[:12]
