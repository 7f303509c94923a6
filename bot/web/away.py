"""When the database cannot be used, every door says so with 503 and when to come again; none of them opens.

What nobody could write down was not begun: a hold is written before a request leaves, a delivery with its
story. GitHub's log has what it could not deliver (stories/missed); agents and runners ask again themselves.
"""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from bot.logs import Log
from bot.stores.away import AGAIN_SECONDS, away
from bot.web.answers import answer

log = Log("web")


def mount(roof: Flask) -> None:
    """For every door of Flask's."""
    roof.register_error_handler(Exception, _failed)


def _failed(error: Exception) -> Response | HTTPException:
    if isinstance(error, HTTPException):
        return error
    why = away(error)
    if why is None:
        raise error
    log.error("database_away", f"{why}: {request.method} {request.path} is answered 503")
    said = f"{why}: nothing was begun, and nothing was spent. Try again in a moment"
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        made = Response(f"{said[0].upper()}{said[1:]}.\n", 503, content_type="text/plain; charset=utf-8")
    else:
        made = answer(503, error=said)
    made.headers["Retry-After"] = str(AGAIN_SECONDS)
    return made
