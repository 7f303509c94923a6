"""What every page has: who is looking, the head with the switch, the headers, the errors, CSV.

A page is a file with `mount(frame)`: it adds its link to `frame.links`, and a function under `frame.get` that
gets the visitor and hands `frame.show` its template, its tables and its values. What is private is kept by no
cache. A page runs no script, but for one that is live: there ours may run, which asks for it again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial, wraps
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from bot.core.caps import month_from, month_of
from bot.core.visibility import Sight
from bot.services import Services
from bot.stores.views import KEPT_DAYS
from bot.web import otherwise
from bot.web.answers import Problem, answer, bearer, reading
from bot.web.bearers import Bearers
from bot.web.dashboard.marked import coded, marked
from bot.web.dashboard.openapi import Operation
from bot.web.dashboard.shapes import Parameter, Shape
from bot.web.dashboard.tables import Table
from bot.web.seats import Full, Seats
from bot.web.who import Visitor, Who

View = Callable[..., AnyResponse]
# Nothing from elsewhere, no script, no style but our files, in nobody's frame.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
LIVE_POLICY = POLICY + "; script-src 'self'; connect-src 'self'"
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
SIGN_IN = (
    "sign in first: open this service in a browser, or send `Authorization: Bearer …` with the token of a "
    "login (`python -m bot login`)"
)
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
AT_ONCE = 6  # what a browser asks one host for at a time; a page of years takes a processor for a second
AGAIN_SECONDS = 2
FULL = "You have {most} of this service's pages under way, and nobody may have more at once"


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
        self.who, self.bearers = Who(services), Bearers(services, clock)
        self.seats = Seats(AT_ONCE, FULL)
        self.links: list[Link] = []
        self.operations: list[Operation] = []
        self.blueprint = Blueprint(
            "dashboard",
            __name__,
            template_folder="templates",
            static_folder="static",
            static_url_path="/static",
        )
        self.blueprint.after_app_request(self._guarded)  # what no door takes has them, too
        self.blueprint.before_request(self._open)
        self.blueprint.register_error_handler(Problem, self.problem)
        otherwise.mount(self.blueprint, self.problem)
        self.blueprint.app_template_filter("coded")(coded)
        homes = (services.settings.github_web_url, services.settings.public_url)
        self.blueprint.app_template_filter("marked")(partial(marked, homes=homes))

    # -- doors --

    def get(self, rule: str, others: bool = True) -> Callable[[View], View]:
        """A page for who is signed in; its function takes the visitor first.

        `others`: it shows other people's figures to whoever may see them, and so who looked is kept. Not
        their own looks at a page of one person: it has their `login` in its rule, or puts it into `g.whose`.
        """

        def mounted(view: View) -> View:
            serve = self._for_visitors(view, others)
            self.blueprint.add_url_rule(rule, view.__name__, serve, methods=["GET"])
            return view

        return mounted

    def api(
        self, rule: str, *, answers: Shape, takes: Mapping[str, Parameter] | None = None
    ) -> Callable[[Callable[..., Mapping[str, Any]]], View]:
        """The same as JSON: a view whose answer is of the shape `answers`; see `openapi`."""

        def mounted(view: Callable[..., Mapping[str, Any]]) -> View:
            about = " ".join((view.__doc__ or "").strip().partition("\n\n")[0].split())
            operation = Operation(rule, view.__name__, about, takes or {}, answers)
            self.operations.append(operation)
            in_query = operation.takes.keys() - set(operation.in_path)

            @wraps(view)
            def answered(visitor: Visitor, **where: Any) -> AnyResponse:
                for name, value in request.args.items():
                    if name not in in_query:
                        known = ", ".join(sorted(in_query)) or "nothing"
                        raise Problem(400, f"this address takes {known} in its query, not {name[:40]!r}")
                    if not value and not operation.takes[name].empty:
                        raise Problem(400, f"`{name}` is empty in this address: leave it out, or fill it in")
                return answer(200, **view(visitor, **where))

            return self.get(rule)(answered)

        return mounted

    def post(self, rule: str) -> Callable[[View], View]:
        """What a form of ours sends; one that another site has sent is refused."""

        def mounted(view: View) -> View:
            @wraps(view)
            def checked(visitor: Visitor, **where: Any) -> AnyResponse:
                request.max_content_length = MAX_FORM
                with reading(request, known=True):
                    mark = request.form.get("mark", "")
                if not self.who.seal.same(visitor.mark, mark):
                    raise Problem(403, FORGED)
                return view(visitor, **where)

            self.blueprint.add_url_rule(rule, view.__name__, self._for_visitors(checked), methods=["POST"])
            return view

        return mounted

    def _for_visitors(self, view: View, others: bool = False) -> View:
        @wraps(view)
        def serve(**where: Any) -> AnyResponse:
            api = request.path.startswith("/api/")
            with self._visit(api) as visitor:
                if visitor is not None:
                    _once()
                    answer = view(visitor, **where)
                    if others and answer.status_code == 200:
                        self._noted(visitor, str(where.get("login", "") or g.get("whose", "")))
                    return answer
            if api:
                raise Problem(401, SIGN_IN)
            if request.method != "GET":
                return redirect("/", 303)
            return self.render("welcome.html", "Sign in", 401, next=quote(self.address(), safe=""))

        return serve

    @contextmanager
    def _visit(self, api: bool) -> Iterator[Visitor | None]:
        """Of whoever has shown who they are: on one of the few seats that a person has, however they came."""
        if api and request.headers.get("Authorization", "").lower().startswith("bearer"):
            laptop = self.bearers.laptop(bearer(request))
            with self._seated(laptop.actor_id):
                yield self.bearers.visitor(laptop)
        elif session := self.who.session(request):
            with self._seated(session.person):
                yield self.who.visitor(session, request)
        else:
            yield None

    @contextmanager
    def _seated(self, person: int) -> Iterator[None]:
        """Raises Problem 429."""
        try:
            seat = self.seats.take(str(person))
        except Full as full:
            again = f"{full}. Wait until one of them is there, and ask for this again"
            raise Problem(429, again, AGAIN_SECONDS) from full
        try:
            yield
        finally:
            seat.give()

    def _noted(self, visitor: Visitor, login: str) -> None:
        """That they had other people's figures before them; not of who sees none, nor of one's own page."""
        if (visitor.sight.others or visitor.sight.admin) and login.lower() != visitor.login.lower():
            table = request.args.get("csv", "")
            what = request.path + (f"?csv={table}" if table else "")
            self.services.views.record(visitor.person, visitor.login, what)

    # -- what a page asks for --

    def tidied(self) -> AnyResponse | None:
        """To the same address without what a form has sent and nobody filled in; None: there is no such."""
        return redirect(self.address(), 303) if not all(request.args.values()) else None

    def month(self, zone: str = "") -> str:
        """The month of the address, or the one that it is. Raises Problem 400."""
        asked = request.args.get("month", "") or self.this_month(zone)
        if not MONTH.fullmatch(asked):
            raise Problem(400, f"{asked[:20]!r} is not a month such as 2026-11")
        return asked

    def this_month(self, zone: str = "") -> str:
        """In that time zone; without one in the caps'."""
        return month_of(self.services.database.now_ms(), zone or self.services.policy.caps.zone)

    def address(self, **changed: str) -> str:
        """This page's address with some filters changed; one that is "" goes."""
        query = {name: value for name, value in {**request.args.to_dict(), **changed}.items() if value}
        return request.path + (f"?{urlencode(query)}" if query else "")

    # -- what it answers --

    def word(self, visitor: Visitor, *told: object) -> str:
        """A word for what is shown to this visitor, another one for anything else."""
        of = repr((visitor.person, *told)).encode(errors="replace")
        return hashlib.sha256(of).hexdigest()[:24]

    def unchanged(self, live: str) -> Response | None:
        """304, where the browser has shown the page of this word already."""
        return Response(status=304) if live and request.if_none_match.contains_weak(live) else None

    def show(
        self,
        visitor: Visitor,
        template: str,
        title: str,
        tables: Sequence[Table] = (),
        live: str = "",
        **values: Any,
    ) -> Response:
        """The page; or, where the address asks for it with `csv=ID`, one of its tables.

        `live`: a word for what is shown, another one for anything else; such a page asks for itself again and
        again (`unchanged`).
        """
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
            month = str(values["month"])
            values |= {"before": month_from(month, -1), "after": month_from(month, 1)}
        shown = self.render(template, title, 200, visitor=visitor, tables=by_id, live=live, **values)
        if live:
            shown.set_etag(live, weak=True)
            shown.headers["Content-Security-Policy"] = LIVE_POLICY
        return shown

    def render(self, template: str, title: str, status: int, **values: Any) -> Response:
        visitor: Visitor | None = values.get("visitor")
        links = [link for link in self.links if visitor and link.for_whom(visitor.sight)]
        switches = self.services.switch.all() if visitor else ()  # an error's page needs no database
        paused = [one for one in switches if visitor and told(one.repository, visitor)]
        text = render_template(
            f"dashboard/{template}",
            title=title,
            paused=paused,
            links=links,
            address=self.address,
            asset=_asset,
            kept_days=KEPT_DAYS,
            **values,
        )
        return Response(text, status, content_type="text/html; charset=utf-8")

    def problem(self, problem: Problem) -> Response:
        """A sentence, as JSON at the API and else as a page."""
        if request.path.startswith("/api/"):
            return problem.response()
        title = TITLES.get(problem.status, TITLES[400])
        shown = self.render("oops.html", title, problem.status, why=str(problem))
        shown.headers.update(problem.headers)
        return shown

    def _open(self) -> AnyResponse | None:
        if self.services.settings.secrets.session or request.endpoint == "dashboard.static":
            return None
        raise Problem(503, NOT_SET_UP)

    def _guarded(self, response: Any) -> Any:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        static = request.endpoint == "dashboard.static" and response.status_code in (200, 304)
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable" if static else "no-store"
        if self.who.https:
            response.headers["Strict-Transport-Security"] = f"max-age={YEAR}"
        return response


def told(repository: str, visitor: Visitor) -> bool:
    """Whether a pause is this visitor's business: everywhere, or in a repository that they may read."""
    return not repository or visitor.names(repository)


def _once() -> None:
    """Raises Problem 400: of what is given twice nobody could tell which one is shown."""
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Problem(400, f"{name[:40]!r} stands more than once in this address: leave one")


@cache
def _asset(name: str) -> str:
    """The address of a file of ours: a browser keeps it until it is another."""
    content = files("bot.web.dashboard").joinpath("static", name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
