"""How the doors for programs answer: JSON, and every error a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Request, Response, jsonify

from bot.web.anteroom import ANTEROOM, BROKEN_OFF
from bot.web.wire import client_of


class Problem(Exception):
    """An answer that is not 2xx: `{"error": sentence}`. `again`: in so many seconds try it again."""

    def __init__(self, status: int, sentence: str, again: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {} if again is None else {"Retry-After": str(again)}

    def response(self) -> Response:
        made = answer(self.status, error=str(self))
        made.headers.update(self.headers)
        return made


def answer(status: int, **content: Any) -> Response:
    made = jsonify(**content)
    made.status_code = status
    return made


def body(request: Request, most: int, known: bool = False) -> bytes:
    """The raw body, at most so many bytes. Raises Problem 413, and 400 if it does not come, or not in time.

    `known`: of somebody who has shown who they are.
    """
    length = request.content_length
    told = f"{most // 1024**2} MB" if most >= 1024**2 else f"{most // 1024} KB"
    too_large = Problem(413, f"the body may have {told} at most")
    if length is not None and length > most:
        raise too_large
    with reading(request, known):
        content = request.stream.read(most + 1)
    if len(content) > most:
        raise too_large
    if length is not None and len(content) != length:
        raise Problem(400, "the body ended too early")
    return content


@contextmanager
def reading(request: Request, known: bool) -> Iterator[None]:
    """While a body comes in. Raises Problem 400 for one that does not, or is no HTTP."""
    try:
        with ANTEROOM.reading(client_of(request.environ), known):
            yield
    except BROKEN_OFF as error:
        raise Problem(400, "the body did not come, or not in time, or is no HTTP") from error


def json_object(content: bytes) -> dict[str, Any]:
    """Raises Problem 400."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is not JSON") from error
    if not isinstance(found, dict):
        raise Problem(400, "the body must be a JSON object")
    return found


def bearer(request: Request) -> str:
    """The token of `Authorization: Bearer …`. Raises Problem 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "this needs `Authorization: Bearer …`")
    return token.strip()
