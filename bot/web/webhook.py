"""GitHub's door: the signature first, over the raw bytes; then the JSON; then one row and one story.

Nothing is done here: a delivery and its story are written in one transaction, and a worker tells it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from bot.core.events import Malformed
from bot.logs import Log
from bot.services import Services
from bot.stories.receive import receive
from bot.web.answers import Problem, answer, body, json_object

log = Log("webhook")

MAX_BODY = 26 * 1024 * 1024  # GitHub sends at most 25 MB
# As GitHub makes them, and no other: it becomes the key of a story, it is under no signature, and none of our
# own keys (finish-…, reconcile-…) looks like one.
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
EVENT = re.compile(r"[a-z_]{1,60}")


def door(services: Services) -> Blueprint:
    """`POST /webhooks/github`."""
    made = Blueprint("webhook", __name__)
    made.register_error_handler(Problem, lambda problem: problem.response())
    secret = services.settings.secrets.github_webhook_secret

    @made.post("/webhooks/github")
    def listen() -> Response:
        if not secret:
            raise Problem(503, "GITHUB_WEBHOOK_SECRET is not set: this door stays closed")
        content = body(request, MAX_BODY)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            check_signature(secret, content, headers.get("x-hub-signature-256"))
        except Problem as problem:
            log.warning("refused", str(problem))
            raise
        delivery, name = headers.get("x-github-delivery", ""), headers.get("x-github-event", "")
        payload = _payload(content, headers)
        if not GUID.fullmatch(delivery) or not EVENT.fullmatch(name):
            raise Problem(400, "a delivery carries X-GitHub-Delivery and X-GitHub-Event")
        if name == "ping":
            return answer(200, pong=payload.get("zen") or "pong")
        try:
            received = receive(services, delivery, name, payload)
        except Malformed as error:
            raise Problem(400, f"this {name} cannot be read: {error}") from error
        if received.story is None:
            return answer(202, delivery=delivery, started=None)
        started = received.story if received.new else None
        return answer(202, delivery=delivery, started=started, seen_before=not received.new)

    return made


def check_signature(secret: str, content: bytes, signature: str | None) -> None:
    """Raises Problem 401 unless GitHub's HMAC over these very bytes is there and right."""
    if not signature:
        raise Problem(401, "this delivery is not signed: X-Hub-Signature-256 is missing")
    expected = "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise Problem(
            401, "the signature does not fit the body: is the webhook's secret the same on both sides?"
        )


def _payload(content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(400, "set the webhook's content type to application/json; nothing else is read")
    return json_object(content)
