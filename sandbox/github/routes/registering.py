"""The pages on which a person registers an App from a manifest, installs it, and removes it again."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from sandbox.github.access import Refused
from sandbox.github.door import Doors
from sandbox.github.state import Account, App, Installation
from sandbox.github.verbs import apps

# A form's answer may lead to the App's own service: `form-action` holds for redirects too.
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; form-action 'self' http: https:"
)
ADMIN = "ada"  # who does it: these pages ask nobody to sign in


def blueprint(doors: Doors) -> Blueprint:
    hub, hooks = doors.hub, doors.hooks
    pages = Blueprint("registering", __name__)

    @pages.errorhandler(Refused)
    def no(error: Refused) -> tuple[Response, int]:
        return page("oops.html", "That did not work", why=error.message), error.status

    def page(template: str, title: str, **more: Any) -> Response:
        response = Response(render_template(template, title=title, **more), content_type="text/html")
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    def owner(org: str | None) -> Account:
        known = hub.accounts.get((org or ADMIN).lower())
        if known is None or (org and known.type != "Organization"):
            abort(404)
        return known

    def app_of(slug: str) -> App:
        known = next((app for app in hub.apps.values() if app.slug == slug), None)
        if known is None:
            abort(404)
        return known

    def installation_of(id: int) -> Installation:
        known = hub.installations.get(id)
        if known is None:
            abort(404)
        return known

    @pages.post("/settings/apps/new")
    @pages.post("/organizations/<org>/settings/apps/new")
    def new(org: str | None = None) -> Response:
        """Where a service sends a person with a manifest: GitHub shows what it asks for."""
        manifest = apps.read_manifest(request.form.get("manifest", ""))
        return page(
            "new_app.html",
            "Create GitHub App",
            manifest=manifest,
            text=request.form["manifest"],
            owner=owner(org),
            action=request.path.removesuffix("/new"),
            state=request.args.get("state", ""),
        )

    @pages.post("/settings/apps")
    @pages.post("/organizations/<org>/settings/apps")
    def create(org: str | None = None) -> AnyResponse:
        """The person said yes: the App exists, and the service gets the code for its credentials."""
        manifest = apps.read_manifest(request.form.get("manifest", ""))
        with hub.lock:
            name = request.form.get("name") or str(manifest.get("name", ""))
            _, code = apps.register(hub, owner(org), name, manifest)
        query = {"code": code} | ({"state": request.form["state"]} if request.form.get("state") else {})
        return redirect(f"{manifest.get('redirect_url') or manifest['url']}?{urlencode(query)}")

    @pages.get("/apps/<slug>/installations/new")
    def choose(slug: str) -> Response:
        app = app_of(slug)
        accounts = {repo.owner.login: repo.owner for repo in hub.repositories.values()}
        if not app.manifest.get("public", True):
            accounts = {login: one for login, one in accounts.items() if one is app.owner}
        listed = [(one, apps.repositories_of(hub, one)) for one in accounts.values()]
        return page("install.html", f"Install {app.name}", app=app, accounts=listed)

    @pages.post("/apps/<slug>/installations")
    def install(slug: str) -> AnyResponse:
        app = app_of(slug)
        chosen = {int(id) for id in request.form.getlist("repository")}
        account = hub.accounts.get(request.form.get("account", "").lower())
        if account is None:
            abort(404)
        with hub.lock:
            everything = request.form.get("selection", "all") == "all"
            made = apps.install(hooks, app, account, owner(None), None if everything else chosen)
        to = app.manifest.get("setup_url")
        query = urlencode({"installation_id": made.id, "setup_action": "install"})
        return redirect(f"{to}?{query}" if to else f"/settings/installations/{made.id}")

    @pages.get("/settings/installations/<int:id>")
    @pages.get("/organizations/<org>/settings/installations/<int:id>")
    def installation(id: int, org: str | None = None) -> Response:
        made = installation_of(id)
        listed = apps.repositories_of(hub, made.account)
        return page("installation.html", f"{made.app.name} on {made.account.login}", made=made, repos=listed)

    @pages.post("/settings/installations/<int:id>")
    def change(id: int) -> AnyResponse:
        made, by = installation_of(id), owner(None)
        with hub.lock:
            match request.form.get("do"):
                case "uninstall":
                    apps.uninstall(hooks, made, by)
                    return redirect("/")
                case "suspend" | "unsuspend":
                    apps.suspend(hooks, made, by, request.form["do"] == "suspend")
                case "choose":
                    apps.choose(hooks, made, by, {int(id) for id in request.form.getlist("repository")})
                case _:
                    abort(400)
        return redirect(f"/settings/installations/{made.id}")

    return pages
