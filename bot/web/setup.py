"""`/setup`: a service without an App registers one, for whoever holds the address that its console showed.

Once there is an App the page shows where to install it, and nothing else.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from bot import settings
from bot.clients.github import GitHubError
from bot.core import manifest
from bot.services import Services, build
from bot.settings import Registering, Settings, SettingsError
from bot.stores.credentials import CredentialsError
from bot.stories import setup
from bot.web.answers import Problem, answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from bot.clients.github import Registered

COOKIE = "tollgate_setup"
STATE_SECONDS = 15 * 60.0  # in which GitHub must send the person back
NOT_YET = "this service is not set up yet: nothing but /setup and /healthz answers"
NOT_ASKED = (
    "this answer of GitHub's belongs to no question of ours, or came too late, or for the second time. "
    "Nothing was kept of it"
)
STRANGER = (
    "This page registers the service's GitHub App, and is open only to who sees the service's console: the "
    "address with its token stands there, and works once. Start the service again for another."
)


class Claim:
    """Who may register the App: the token, once, becomes a cookie; each state lets one answer in."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_urlsafe(32)
        self._clock = clock
        self._lock = threading.Lock()
        self._cookie: str | None = None
        self._state: tuple[str, float] | None = None

    def take(self, token: str) -> str | None:
        """The cookie for the token; None for another one, and for the same one again."""
        with self._lock:
            if self._cookie is not None or not _same(token, self.token):
                return None
            self._cookie = secrets.token_urlsafe(32)
            return self._cookie

    def holds(self, cookie: str) -> bool:
        return self._cookie is not None and _same(cookie, self._cookie)

    def state(self) -> str:
        """A new state; only the last one counts."""
        with self._lock:
            made = secrets.token_urlsafe(32)
            self._state = (made, self._clock() + STATE_SECONDS)
            return made

    def spend(self, state: str) -> bool:
        """Whether this is the state that was given out last, not long ago; it then counts no more."""
        with self._lock:
            if self._state is None:
                return False
            known, until = self._state
            if not _same(state, known):
                return False
            self._state = None
            return self._clock() < until


def _same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())


class Page:
    """One registration. `base` is where a browser reaches these pages; `name`, `organization`: as a start."""

    def __init__(
        self, asked: Registering, env: Mapping[str, str], base: str, name: str = "", organization: str = ""
    ) -> None:
        self.asked = asked
        self.env = env
        self.base = base
        self.name = name
        self.organization = organization
        self.claim = Claim()
        self.made: Registered | None = None
        self.done = threading.Event()

    @property
    def address(self) -> str:
        """What the console shows."""
        return f"{self.base}/setup?token={self.claim.token}"

    def manifest(self) -> dict[str, Any]:
        return manifest.manifest(self.asked.public_url, f"{self.base}/setup/registered", self.name)


def door(page: Page) -> Blueprint:
    """`GET /setup` shows what is asked for, and `GET /setup/registered` is where GitHub sends the person."""
    made = Blueprint("setup", __name__, template_folder="pages")
    made.register_error_handler(Problem, lambda problem: problem.response())
    made.after_app_request(_guarded(page.asked.github_web_url))  # there is no other door

    def known() -> None:
        if not page.claim.holds(request.cookies.get(COOKIE, "")):
            raise Problem(403, STRANGER)

    def shown(status: int, template: str, **more: Any) -> Response:
        return Response(render_template(template, **more), status, content_type="text/html; charset=utf-8")

    @made.get("/setup")
    def ask() -> AnyResponse:
        if token := request.args.get("token", ""):
            cookie = page.claim.take(token)
            if cookie is None:
                raise Problem(403, STRANGER)
            answered = redirect("/setup", 303)
            https = page.base.startswith("https://")
            answered.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax", secure=https, path="/setup")
            return answered
        known()
        if page.made is not None:
            return shown(200, "setup_done.html", url=page.made.url, checks=setup.check(page.env, page.made))
        organization = request.args.get("organization", page.organization).strip()
        try:
            page.asked.place.try_it()
            to = manifest.new_app_url(page.asked.github_web_url, organization)
        except (CredentialsError, ValueError) as error:
            return shown(409, "setup_oops.html", why=str(error))
        asked = page.manifest()
        return shown(
            200,
            "setup.html",
            permissions=manifest.PERMISSIONS,
            events=manifest.EVENTS,
            hook=asked["hook_attributes"]["url"],
            manifest=json.dumps(asked),
            action=f"{to}?state={page.claim.state()}",
            organization=organization,
            place=str(page.asked.place),
        )

    @made.get("/setup/registered")
    def registered() -> Response:
        known()
        code = request.args.get("code", "")
        try:
            if not page.claim.spend(request.args.get("state", "")) or not code:
                return shown(400, "setup_oops.html", why=NOT_ASKED)
            page.asked.place.try_it()
            page.made = setup.register(page.asked, code)
        except (CredentialsError, GitHubError) as error:
            _tell(f"The App was not set up: {error}.")
            return shown(502, "setup_oops.html", why=str(error))
        answered = shown(200, "setup_done.html", url=page.made.url, checks=setup.check(page.env, page.made))
        answered.call_on_close(page.done.set)  # the browser has it all
        return answered

    return made


def configured(told: Settings) -> Blueprint:
    """`GET /setup` of a service that has its App: where to install it. GitHub leads here who has."""
    made = Blueprint("setup", __name__, template_folder="pages")
    made.after_request(_guarded(told.github_web_url))

    @made.get("/setup")
    def installed() -> Response:
        url = manifest.install_url(told.github_app_url) if told.github_app_url else ""
        return Response(render_template("setup_configured.html", url=url), content_type="text/html")

    return made


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _guarded(web_url: str) -> Callable[[Response], Response]:
    parts = urlsplit(web_url)

    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; "
            f"form-action 'self' {parts.scheme}://{parts.netloc}"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return guard


class UntilSetUp:
    """The web process while there is no App: the set-up page alone; with an App, the whole service.

    One process only (see gunicorn.conf.py): the token and the state are its memory.
    """

    def __init__(self, env: Mapping[str, str], create: Callable[[Services], Flask]) -> None:
        self._env = env
        self._create = create
        self._lock = threading.Lock()
        self._whole: Flask | None = None
        asked = settings.registering(env)
        self.page = Page(asked, env, asked.public_url)
        self._waiting = waiting(self.page)
        _tell(f"Set-up: open {self.page.address}")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._now()(environ, start_response)

    def _now(self) -> WSGIApplication:
        if self._whole is None and settings.registered(self._env):
            with self._lock:
                if self._whole is None:
                    try:
                        self._whole = self._create(build(settings.read(self._env), "web"))
                    except SettingsError:  # the page says which, to who may know
                        return self._waiting
        return self._whole or self._waiting


@contextmanager
def on_loopback(page: Page, port: int) -> Iterator[None]:
    """The page on 127.0.0.1 until the block ends; `page.base` is then where it is."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None:
            """Nothing: an address here has the token, or GitHub's code, in it."""

    server = make_server("127.0.0.1", port, waiting(page), threaded=True, request_handler=Silent)
    page.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def waiting(page: Page) -> Flask:
    """Only the set-up's doors; every other one says why it is closed."""
    roof = Flask(__name__, static_folder=None)
    roof.register_blueprint(door(page))

    @roof.get("/healthz")
    def healthz() -> Response:
        return answer(200, ok=True, set_up=False)

    @roof.errorhandler(404)
    @roof.errorhandler(405)
    def closed(_: Exception) -> Response:
        return Problem(503, NOT_YET).response()

    return roof
