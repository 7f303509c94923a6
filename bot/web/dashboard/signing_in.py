"""`/sign-in`, its callback and `/sign-out`: GitHub's web flow with state and PKCE, a session of ours."""

from __future__ import annotations

import hmac
import json
import re
import secrets

from flask import make_response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bot.clients.github import GitHubError
from bot.stores.sessions import hashed, new_cookie
from bot.web.answers import Problem
from bot.web.dashboard.frame import Frame
from bot.web.turnstile import Turnstile
from bot.web.who import CANNOT_TELL, NOT_A_MEMBER, Visitor

MOST_SIGN_INS = 60  # answers in a minute, of anybody: each has GitHub asked
ASKED_SECONDS = 600  # in which GitHub must send the person back
# A path of ours, and nothing that a browser takes for another host's: no `//`, no `\`, no controls.
# Nor longer than a cookie has room for, in which it waits.
OURS = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,1000}")
NOT_ASKED = (
    "This answer of GitHub's belongs to no question that this browser has asked, or came too late, or twice. "
    "Nobody was signed in; try it again"
)

TOO_MANY = (
    "Too many sign in just now, so GitHub was not asked and you are not signed in. Try again in a minute"
)


def mount(frame: Frame) -> None:
    services, who = frame.services, frame.who
    settings = services.settings
    back = f"{settings.public_url}/sign-in/callback"
    asking = f"{who.cookie}-asked"
    turnstile = Turnstile(MOST_SIGN_INS, frame.clock)
    kept = {"httponly": True, "samesite": "Lax", "secure": who.https, "path": "/"}

    @frame.blueprint.get("/sign-in")
    def ask() -> AnyResponse:
        """To GitHub, with a question that only this browser can bring back the answer to."""
        # Here and not above: with it comes an HTTP client, which a web process at rest does without.
        from bot.clients.github.oauth import authorize_url

        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        told = json.dumps([state, verifier, ours(request.args.get("next", "")), services.database.own_ms()])
        url = authorize_url(settings.github_web_url, settings.github_client_id, back, state, verifier)
        answered = redirect(url, 303)
        answered.set_cookie(asking, who.seal.seal(told, "asked"), max_age=ASKED_SECONDS, **kept)  # type: ignore[arg-type]
        return answered

    @frame.blueprint.get("/sign-in/callback")
    def answered() -> AnyResponse:
        state, verifier, to = _asked(request.cookies.get(asking, ""))
        if not hmac.compare_digest(state.encode(), request.args.get("state", "").encode("utf-8", "replace")):
            raise Problem(400, NOT_ASKED)
        if request.args.get("error"):
            raise Problem(403, "You did not let GitHub say who you are, so nobody was signed in")
        if not turnstile.passes():
            raise Problem(429, TOO_MANY)
        response = make_response(redirect(to, 303))
        cookie, seconds = _signed_in(request.args.get("code", ""), verifier)
        services.sessions.end(request.cookies.get(who.cookie, ""))
        response.set_cookie(who.cookie, cookie, max_age=seconds, **kept)  # type: ignore[arg-type]
        response.delete_cookie(asking, **kept)  # type: ignore[arg-type]
        return response

    @frame.post("/sign-out")
    def sign_out(visitor: Visitor) -> AnyResponse:
        services.sessions.end(request.cookies.get(who.cookie, ""))
        response = make_response(redirect("/", 303))
        response.delete_cookie(who.cookie, **kept)  # type: ignore[arg-type]
        return response

    def _asked(sealed: str) -> tuple[str, str, str]:
        """State, verifier and where to go then, of a question of this browser's that is not too old."""
        told = who.seal.open(sealed, "asked")
        state, verifier, to, at = json.loads(told) if told else ("", "", "/", 0)
        if not told or services.database.own_ms() - at > ASKED_SECONDS * 1000:
            raise Problem(400, NOT_ASKED)
        return state, verifier, to

    def _signed_in(code: str, verifier: str) -> tuple[str, int]:
        """The cookie of a new session, never one that was there before, and its seconds."""
        from bot.clients.github.oauth import Refused, exchange

        secret = settings.secrets.github_client_secret
        try:
            granted = exchange(
                settings.github_web_url, settings.github_client_id, secret, code, back, verifier
            )
            user = services.github.user(granted.token)
            access = services.github.access(granted.token)
        except Refused as refused:
            raise Problem(400, str(refused)) from refused
        except GitHubError as error:
            raise Problem(503, CANNOT_TELL) from error
        if not access:
            raise Problem(403, f"You are {user.login}. {NOT_A_MEMBER}")
        cookie = new_cookie()
        sealed = who.seal.seal(granted.token, hashed(cookie))
        services.sessions.open(cookie, user.id, user.login, sealed, granted.seconds, access)
        services.views.record(user.id, user.login, "/sign-in")
        return cookie, granted.seconds


def ours(path: str) -> str:
    """A path of this service's to go to, or its first page."""
    return path if OURS.fullmatch(path) else "/"
