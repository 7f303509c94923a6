"""The API's OpenAPI file, made of the routes themselves: `GET /api/v1/openapi.json`, for anybody.

A route is added with `frame.api`, beside its view and nowhere else:

    @frame.api("/api/v1/people/<login>", takes={"login": LOGIN, "month": MONTH}, answers=PERSON_MONTH)
    def person_json(visitor: Visitor, login: str) -> dict[str, Any]:
        \"\"\"One person's month.\"\"\"

`takes` names everything in the path and in the query: a query that it does not name is refused with 400, and
so is one that is empty, where its shape is more than a text. `answers` is the JSON Schema of the answer, from
`shapes`; the docstring's first paragraph is for people.
Then tests/web/access.py wants rows that say who may ask for it, `make api` writes docs/openapi.json anew, and
tests/web/test_access.py holds each answer to its schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.web.dashboard.shapes import TEXT, Parameter, Shape, record

IN_PATH = re.compile(r"<(?:\w+:)?(\w+)>")
PATH = "/api/v1/openapi.json"
VERSION = "1"
ABOUT = (
    "What the dashboard's pages show, as JSON, read-only. Money is in US dollars as decimal strings, exact "
    "to the nano-dollar. Each visitor gets what GitHub and the service's policy let them see, and no more."
)
ERRORS = {
    400: "The address is not one that this takes",
    401: "Nobody is signed in, or the token is not good",
    403: "The visitor may not see this",
    404: "There is no such thing, or none that the visitor may know of",
    429: "Too much was asked, or tried, in this minute",
    503: "GitHub or the database could not be asked; try again in a minute",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One route of the API: its rule as Flask has it, its view's name and docstring, what goes in and out."""

    rule: str
    name: str
    about: str
    takes: Mapping[str, Parameter]
    answers: Shape

    @property
    def in_path(self) -> tuple[str, ...]:
        return tuple(IN_PATH.findall(self.rule))

    @property
    def path(self) -> str:
        """As OpenAPI writes it."""
        return IN_PATH.sub(r"{\1}", self.rule)


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI file, version 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tollgate", "version": VERSION, "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"session": []}, {"login": []}],
        "paths": {one.path: {"get": _get(one)} for one in sorted(operations, key=lambda one: one.path)},
        "components": {
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-tollgate",
                    "description": "Of a browser that has signed in with GitHub",
                },
                "login": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of a laptop's login, of `python -m bot login`",
                },
            },
            "schemas": {"Problem": record({"error": TEXT})},
            "responses": {f"Error{status}": _error(about) for status, about in ERRORS.items()},
        },
    }


def _get(operation: Operation) -> dict[str, Any]:
    in_path = operation.in_path
    ok = {"description": "What was asked for", "content": _json(operation.answers)}
    found = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in ERRORS}
    return {
        "operationId": operation.name,
        "summary": operation.about,
        "parameters": [
            {
                "name": name,
                "in": "path" if name in in_path else "query",
                "required": name in in_path,
                "description": parameter.about,
                "schema": parameter.shape,
            }
            for name, parameter in operation.takes.items()
        ],
        "responses": {"200": ok, **found},
    }


def _error(about: str) -> dict[str, Any]:
    return {"description": about, "content": _json({"$ref": "#/components/schemas/Problem"})}


def _json(shape: Shape) -> dict[str, Any]:
    return {"application/json": {"schema": shape}}
