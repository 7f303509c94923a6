"""The Messages API of the sandbox: what is asked, who answers, what it costs, how it is sent."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from secrets import token_hex
from typing import Any

from sandbox.characters.answers import Delivery, Failure
from sandbox.characters.cast import named
from sandbox.characters.plain import Character, Manner
from sandbox.characters.talk import Talk
from sandbox.claude import analytics
from sandbox.claude.admin import COST, USAGE, Reports
from sandbox.claude.cache import Plan, PromptCache
from sandbox.claude.checks import Refused, check
from sandbox.claude.continuity import Continuity
from sandbox.claude.faults import mark
from sandbox.claude.http import Headers, Played, Response
from sandbox.claude.invoice import Invoice
from sandbox.claude.playing import SSE, Booking, Playing, Till, now_ms
from sandbox.claude.prices import MODELS, Model, model_named
from sandbox.claude.reading import Request
from sandbox.claude.rendering import events, fit, message
from sandbox.claude.tokens import Scale

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
}
_ORGANIZATION = ("anthropic-organization-id", "00000000-5a4d-4b0c-8c0f-5a4db0c5a4db")
_LIMITS = (("anthropic-ratelimit-requests-limit", "4000"), ("anthropic-ratelimit-requests-remaining", "3999"))
REMEMBERED = 64  # requests that GET /_sandbox/requests shows


@dataclass
class Conduct:
    """How this address behaves; tests change it through POST /_sandbox/conduct."""

    think_ms: int = 0  # before the first event of an answer
    generates_on: bool = True  # an answer whose reader left is generated, and billed, to its end
    report_lag_ms: int = 300_000  # how far the reports are behind
    report_by_start: bool = False  # they count a request in the minute in which it was asked, not billed
    tells_costs: bool = True  # the cost report is open to the admin key
    legacy: bool = True  # the two reports of 2023-06-01 are still served
    replays: bool = False  # the same body again has its first answer's request id, and is not billed again


class Claude:
    """Answers requests. One thread; everything it does between two waits is done at once."""

    def __init__(
        self,
        character: str,
        invoice: Invoice,
        *,
        key: str | None = None,
        admin_key: str | None = None,
        dense: bool = False,
        manner: Manner | None = None,
        conduct: Conduct | None = None,
    ) -> None:
        self._manner = manner or Manner()
        self._scale = Scale(dense)
        self._usual: Character = named(character, self._manner)
        self._for_now: Character | None = None
        self._for_times = 0
        self._invoice = invoice
        self._key = key
        self._admin_key = admin_key
        self._cache = PromptCache()
        self._continuity = Continuity()
        self._conduct = conduct or Conduct()
        self._till = Till(invoice, lambda: self._conduct.generates_on)
        self._ahead = 0.0  # seconds that tests have put the clock of cache and reports forward
        self._seen: deque[tuple[Request, str, int]] = deque(maxlen=REMEMBERED)
        self._keys: dict[str, str] = {}  # those seen, and the marks by which the invoice knows them
        self.reports = Reports(invoice, self._keys)
        self._replayed: dict[bytes, str] = {}  # bodies and the request ids that they had first
        if key is not None:
            self._fingerprint({"x-api-key": key})
        self._routes: dict[tuple[str, str], Callable[[Request], Response | Played]] = {
            ("GET", "/healthz"): self._health,
            ("GET", "/invoice"): self._show_invoice,
            ("GET", "/_sandbox/requests"): self._show_requests,
            ("GET", "/_sandbox/conversations"): lambda request: _json(self._continuity.json()),
            ("POST", "/_sandbox/character"): self._set_character,
            ("POST", "/_sandbox/clock"): self._set_clock,
            ("POST", "/_sandbox/conduct"): self._set_conduct,
            ("POST", "/_sandbox/reports"): lambda request: _json(self.reports.set(json.loads(request.body))),
        }

    # Doors

    def handle(self, request: Request) -> Response | Played:
        """The answer to any request at all."""
        if request.path == "/v1/messages" and request.method == "POST":
            return self._guarded(request, self._messages)
        route = self._routes.get((request.method, request.path))
        if route is not None:
            try:
                return route(request)
            except (ValueError, KeyError, TypeError, AttributeError) as wrong:
                return _json({"error": f"{type(wrong).__name__}: {wrong}"}, 400)
        if request.path == "/v1/messages/count_tokens" and request.method == "POST":
            return self._guarded(request, self._count)
        if request.path.startswith("/v1/models") and request.method in ("GET", "HEAD"):
            return self._guarded(request, self._models)
        if (Reports.serves(request.path) or analytics.serves(request.path)) and request.method == "GET":
            return self._guarded(request, self._admin, self._administrator)
        return refusal(404, "Not found")

    def stopped(self) -> None:
        """The process ends: what was being answered is billed as it stands."""
        self._till.stopped()
        self._invoice.close()

    def _guarded(
        self,
        request: Request,
        door: Callable[[Request, str, str], Response | Played],
        known: Callable[[dict[str, str]], str] | None = None,
    ) -> Response | Played:
        request_id = f"req_011{token_hex(10)}"
        if self._conduct.replays and request.body:
            request_id = self._replayed.setdefault(request.body, request_id)
        fingerprint = ""
        try:
            fingerprint = (known or self._fingerprint)(request.headers)
            answer = door(request, request_id, fingerprint)
        except Refused as refused:
            answer = _error(refused.status, refused.kind, refused.message, request_id)
        except Exception:  # noqa: BLE001  a fault of ours is a 500 as it is at Anthropic, and free
            sys.stderr.write(traceback.format_exc())
            answer = _error(500, "api_error", "Internal server error", request_id)
        self._seen.append((request, fingerprint, answer.status if isinstance(answer, Response) else 200))
        return answer

    def _administrator(self, headers: dict[str, str]) -> str:
        if self._admin_key is None or _given(headers) != self._admin_key:
            raise Refused("invalid x-api-key", 401, "authentication_error")
        return "admin"

    def _fingerprint(self, headers: dict[str, str]) -> str:
        given = _given(headers)
        if self._key is not None and given != self._key:
            raise Refused("invalid x-api-key", 401, "authentication_error")
        if given not in self._keys:
            self._keys[given] = mark(given)
        return self._keys[given]

    # /v1/messages

    def _messages(self, request: Request, request_id: str, key: str) -> Response | Played:
        body, model = _checked(request)
        self._continuity.heard(body, key)
        pieces = self._scale.pieces(body, b'"cache_control"' in request.body)
        plan = self._cache.plan(pieces, key, model, self._now())
        total = sum(piece.tokens for piece in pieces)
        if total > model.context:
            raise Refused(f"prompt is too long: {total} tokens > {model.context} maximum")
        answer = self._character().answer(Talk(body))
        if isinstance(answer, Failure):
            return _failed(answer, request_id)
        room = min(body["max_tokens"], model.context - total)
        made = fit(answer, body, self._scale, room)
        if made.stop_reason == "max_tokens" and room < body["max_tokens"]:
            made.stop_reason = "model_context_window_exceeded"
        usage = replace(plan.usage, output=made.output, thinking=made.thinking)
        if answer.delivery.overbilled > 1:
            usage = replace(usage, input=len(request.body) * answer.delivery.overbilled + 10_000)
        geo = body.get("inference_geo") or ("global" if "geo" in model.allows else "not_available")
        stream = body.get("stream", False)
        user = str((body.get("metadata") or {}).get("user_id") or "")
        booking = Booking(request_id, key, model, geo, usage, stream, user, now_ms())
        id, headers = f"msg_01{token_hex(11)}", (("request-id", request_id), _ORGANIZATION, *_LIMITS)
        if answer.delivery.ends == "gibberish":
            return Response(200, b"<html><body>Please sign in to the network.</body></html>", (), "text/html")
        whole = events(made, id, model, usage, geo) if stream else []
        text = b"" if stream else message(made, id, model, usage, geo)
        if self._conduct.think_ms or answer.delivery != _AT_ONCE:
            self._till.begin(booking)
            begun = partial(self._begun, plan)
            playing = Playing(self._till, booking, answer.delivery, headers, whole, text, begun)
            return Played(lambda pen: playing.play(pen, self._conduct.think_ms))
        self._begun(plan)
        self._till.bill(booking, "complete")
        if stream:
            return Response(200, b"", headers, SSE, chunks=tuple([sent for sent, _ in whole]))
        return Response(200, text, headers)

    def _begun(self, plan: Plan) -> None:
        self._cache.begun(plan, self._now())

    def _character(self) -> Character:
        if self._for_now is None:
            return self._usual
        character, self._for_times = self._for_now, self._for_times - 1
        if self._for_times == 0:
            self._for_now = None
        return character

    def _now(self) -> float:
        return time.monotonic() + self._ahead

    # The API's other paths

    def _count(self, request: Request, request_id: str, key: str) -> Response:
        """An estimate, as documented: here always one in a hundred too low, so that nobody relies on it."""
        body, _ = _checked(request, counting=True)
        total = sum(piece.tokens for piece in self._scale.pieces(body, caching=False))
        return _json({"input_tokens": total - total // 100}, headers=(("request-id", request_id),))

    def _models(self, request: Request, request_id: str, key: str) -> Response:
        headers = (("request-id", request_id),)
        if request.path == "/v1/models":
            data = [_model_json(model) for model in MODELS.values()]
            page = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
            return _json(page, headers=headers)
        model = model_named(request.path.removeprefix("/v1/models/"))
        if model is None:
            raise Refused(f"model: {request.path.removeprefix('/v1/models/')}", 404, "not_found_error")
        return _json(_model_json(model), headers=headers)

    def _admin(self, request: Request, request_id: str, key: str) -> Response:
        now = now_ms() + round(self._ahead * 1000)
        how = self._conduct
        if not how.legacy and request.path in (USAGE, COST):
            raise Refused("Not found", 404, "not_found_error")
        if not how.tells_costs and request.path in (COST, analytics.COST):
            raise Refused("This key may not read the cost report", 403, "permission_error")
        if analytics.serves(request.path):
            rows = self.reports.rows(now - how.report_lag_ms)
            found = analytics.report(
                request.path, request.raw_query, request.headers, rows, how.report_by_start
            )
        else:
            found = self.reports.answer(
                request.path, request.raw_query, now, how.report_lag_ms, how.report_by_start
            )
        return _json(found, headers=(("request-id", request_id),))

    # The sandbox's own paths, for tests and pages

    def _health(self, request: Request) -> Response:
        return _json({"status": "ok", "in_flight": self._till.in_flight, "peak": self._till.peak})

    def _show_invoice(self, request: Request) -> Response:
        limit = request.query.get("limit")
        after = int(request.query.get("after", 0))
        return _json(self._invoice.json(after, None if limit is None else int(limit)))

    def _show_requests(self, request: Request) -> Response:
        secret = ("authorization", "x-api-key")
        return _json(
            [
                {
                    "path": seen.path,
                    "query": seen.query,
                    "headers": {name: value for name, value in seen.headers.items() if name not in secret},
                    "key": fingerprint,
                    "status": status,
                    "body": seen.body.decode(errors="replace"),
                }
                for seen, fingerprint, status in self._seen
            ]
        )

    def _set_character(self, request: Request) -> Response:
        """`{"character": NAME, "times": N}`: for the next N requests, or from now on without `times`."""
        wish = json.loads(request.body)
        manner = replace(self._manner, **wish.get("manner", {}))
        character = named(wish["character"], manner)
        if wish.get("times"):
            self._for_now, self._for_times = character, int(wish["times"])
        else:
            self._usual, self._for_now = character, None
        return _json({"character": wish["character"]})

    def _set_clock(self, request: Request) -> Response:
        """`{"advance_seconds": N}`: prompt cache and reports grow older by so much."""
        self._ahead += float(json.loads(request.body)["advance_seconds"])
        return _json({"ahead_seconds": self._ahead})

    def _set_conduct(self, request: Request) -> Response:
        self._conduct = replace(self._conduct, **json.loads(request.body))
        return _json(asdict(self._conduct))


_AT_ONCE = Delivery()


def _given(headers: dict[str, str]) -> str:
    given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ").strip()
    if not given:
        raise Refused("x-api-key header is required", 401, "authentication_error")
    return given


def refusal(status: int, sentence: str) -> Response:
    """What HTTP itself refuses, worded as the API words errors."""
    return _error(
        status, KINDS.get(status, "invalid_request_error"), sentence, f"req_011{token_hex(10)}", close=True
    )


def _checked(request: Request, counting: bool = False) -> tuple[dict[str, Any], Model]:
    version = request.headers.get("anthropic-version")
    if version is None:
        raise Refused("anthropic-version: header is required")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Refused("The request body is not valid JSON") from None
    return body, check(body, version, counting, request.headers.get("anthropic-beta", ""))


def _failed(failure: Failure, request_id: str) -> Response:
    return _error(failure.status, failure.kind, failure.message, request_id, failure.headers, failure.details)


def _error(
    status: int,
    kind: str,
    sentence: str,
    request_id: str,
    headers: Headers = (),
    details: dict[str, Any] | None = None,
    close: bool = False,
) -> Response:
    error: dict[str, Any] = {"type": kind, "message": sentence}
    if details:
        error["details"] = details
    body = json.dumps({"type": "error", "error": error, "request_id": request_id}).encode()
    should = (("x-should-retry", "true" if status in (429, 529) or status >= 500 else "false"),)
    return Response(status, body, (("request-id", request_id), *should, *headers), close=close)


def _json(value: object, status: int = 200, headers: Headers = ()) -> Response:
    return Response(status, json.dumps(value).encode(), headers)


def _model_json(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": f"{model.released}T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
    }
