"""Where people sign in to an App's service: the page that asks, the device's page, and the token's door."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from sandbox.github.routes.registering import POLICY
from sandbox.github.sign_in import No, SignIn
from sandbox.github.state import Account, App, Json


def blueprint(signing_in: SignIn) -> Blueprint:
    hub = signing_in.hub
    pages = Blueprint("signing_in", __name__)

    def page(template: str, title: str, **more: Any) -> Response:
        people = [one for one in hub.accounts.values() if one.type == "User"]
        response = Response(render_template(template, title=title, people=people, **more))
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    def oops(why: str) -> tuple[Response, int]:
        return page("oops.html", "That did not work", why=why), 400

    def person(login: str) -> Account:
        known = hub.accounts.get(login.lower())
        if known is None or known.type != "User":
            abort(404)
        return known

    def answer(told: Json) -> Response:
        """JSON for who asks for it; else, as GitHub does, a form's text."""
        if "json" in request.headers.get("Accept", ""):
            return jsonify(told)
        return Response(urlencode(told), content_type="application/x-www-form-urlencoded; charset=utf-8")

    def asked() -> dict[str, str]:
        body = request.get_json(silent=True)
        sent = body if isinstance(body, dict) else {}
        return {**request.args.to_dict(), **request.form.to_dict(), **sent}

    def wanted(told: dict[str, str]) -> tuple[App, str]:
        """The App that somebody signs in to, and where they come back. Raises No."""
        app = signing_in.app(told.get("client_id", ""))
        urls = app.manifest.get("callback_urls") or [""]
        to = told.get("redirect_uri") or urls[0]
        if not to or not signing_in.may_return(app, to):
            raise No("redirect_uri_mismatch", f"{to} is not associated with this application.")
        if told.get("code_challenge") and told.get("code_challenge_method") != "S256":
            raise No("invalid_request", "The code_challenge_method must be S256.")
        return app, to

    @pages.get("/login/oauth/authorize")
    def ask() -> Response | tuple[Response, int]:
        """Nobody is signed in here, so the page asks for both: who they are, and whether they agree."""
        told = request.args.to_dict()
        try:
            app, to = wanted(told)
        except No as no:
            return oops(str(no))
        return page("authorize.html", f"Sign in to {app.name}", app=app, told=told, to=to)

    @pages.post("/login/oauth/authorize")
    def said() -> AnyResponse | tuple[Response, int]:
        told = request.form.to_dict()
        with hub.lock:
            try:
                app, to = wanted(told)
            except No as no:
                return oops(str(no))
            back = {"state": told["state"]} if told.get("state") else {}
            if not told.get("login"):
                why = {"error": "access_denied", "error_description": "The user has denied your application."}
                return redirect(f"{to}?{urlencode(why | back)}")
            code = signing_in.authorize(app, person(told["login"]), to, told.get("code_challenge", ""))
        return redirect(f"{to}?{urlencode({'code': code} | back)}")

    @pages.post("/login/oauth/access_token")
    def token() -> Response:
        with hub.lock:
            try:
                return answer(signing_in.token(asked()))
            except No as no:
                return answer(no.answer)

    @pages.post("/login/device/code")
    def begin_device() -> Response:
        with hub.lock:
            try:
                return answer(signing_in.begin_device(asked().get("client_id", "")))
            except No as no:
                return answer(no.answer)

    @pages.get("/login/device")
    def device() -> Response:
        return page("device.html", "Device activation")

    @pages.post("/login/device")
    def typed() -> Response | tuple[Response, int]:
        with hub.lock:
            known = signing_in.waiting(request.form.get("user_code", ""))
            if known is None:
                return oops("No device shows that code, or it has waited for too long.")
            if login := request.form.get("login"):
                known.account = person(login)
            else:
                known.denied = True
        words = (
            f"{known.app.name} on your device is signed in." if known.account else "The device gets nothing."
        )
        return page("said.html", "Device activation", words=words)

    return pages
