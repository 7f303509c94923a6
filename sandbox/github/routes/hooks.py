"""An App's webhook: where it goes, and the log of what was delivered, which reaches three days back."""

from __future__ import annotations

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Cursored, Table
from sandbox.github.hooks import PENDING
from sandbox.github.routes.apps import app_of
from sandbox.github.shapes import runs
from sandbox.github.state import Delivery, Json

routes = Table()
LOGGED = 3 * 86_400.0  # seconds


def config(call: Call) -> Json:
    url = app_of(call).hook_url or ""
    return {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url}


@routes("GET", "/app/hook/config", "app")
def hook_config(call: Call) -> Answer:
    return 200, config(call)


@routes("PATCH", "/app/hook/config", "app")
def set_hook_config(call: Call) -> Answer:
    app = app_of(call)
    app.hook_url = call.field("url", app.hook_url)
    app.hook_secret = call.field("secret", app.hook_secret)
    return 200, config(call)


@routes("GET", "/app/hook/deliveries", "app")
def list_deliveries(call: Call) -> Cursored:
    """Newest first, by a cursor. `failure` means 400-599 only: what timed out is in neither."""
    listed = logged(call)[::-1]
    match call.query.get("status"):
        case "success":
            listed = [one for one in listed if 200 <= one.status_code < 400]
        case "failure":
            listed = [one for one in listed if 400 <= one.status_code < 600]
        case _:
            pass
    return Cursored(listed, runs.delivery, lambda one: one.id)


def logged(call: Call) -> list[Delivery]:
    """What the log shows: attempts that have ended, of the last days."""
    since = call.hub.now() - LOGGED
    mine = [one for one in call.hub.deliveries if one.app is app_of(call)]
    return [one for one in mine if one.status != PENDING and one.delivered_at >= since]


def delivery_of(call: Call, id: int) -> Delivery:
    for one in logged(call):
        if one.id == id:
            return one
    raise Refused(404, "Not Found")


@routes("GET", "/app/hook/deliveries/<int:id>", "app")
def get_delivery(call: Call, id: int) -> Answer:
    return 200, runs.delivery_whole(call.hub, delivery_of(call, id))


@routes("POST", "/app/hook/deliveries/<int:id>/attempts", "app")
def redeliver(call: Call, id: int) -> Answer:
    call.hooks.redeliver(delivery_of(call, id))
    return 202, {}
