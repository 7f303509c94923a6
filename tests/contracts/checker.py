"""Whether traffic keeps GitHub's published contract: each violation is a sentence, no sentence is a pass.

The contract is not ours: schemas cut from the packages named in `operations.SOURCES`. Besides what a schema
says, a query parameter, a field of a request or a top-level field of an answer that it does not know is a
violation: GitHub would ignore the first two in silence, and never send the third.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import graphql as gql
import jsonschema_rs

Json = Any
HERE = Path(__file__).parent
WITH_SLASHES = {"path", "ref", "branch", "basehead", "name"}
# Statuses that GitHub's prose lets any operation answer with, whether its own list has them or not.
ANY_OPERATION = {304: "", 422: "validation-error"} | dict.fromkeys((400, 401, 403, 404, 429), "basic-error")
# Formats that are not checked: bots have brackets in their e-mail addresses (49699333+dependabot[bot]@…, at
# GitHub too) and in their URLs here, where GitHub writes %5B.
FORMATS = {"uri": lambda _: True, "email": lambda _: True}


@dataclass(frozen=True)
class Waiver:
    """Traffic that the published schema forbids and GitHub accepts or sends; each with its reason."""

    method: str
    path: str
    where: str  # "request" or "response"
    complaint: str  # a part of it
    reason: str


WAIVERS = (
    Waiver(
        "POST",
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        "request",
        "is not valid under any of",
        "a bare array of names: the operation's own prose allows it, and PyGithub sends it",
    ),
    Waiver(
        "PUT",
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        "request",
        "is not valid under any of",
        "a bare array of names: the operation's own prose allows it, and PyGithub sends it",
    ),
    *(
        Waiver(
            "POST",
            "/repos/{owner}/{repo}/git/blobs",
            "response",
            complaint,
            "a 422 is oneOf two shapes of which every plain error fits both: no answer can keep this schema",
        )
        for complaint in ("valid under more than one of", "422 body: Unevaluated properties")
    ),
)


def to_2020_12(value: Json, *, names: bool = False) -> Json:
    """A schema of OpenAPI 3.0 as JSON Schema 2020-12. `names`: the keys are data's, not the language's."""
    if isinstance(value, list):
        return [to_2020_12(item) for item in value]
    if not isinstance(value, dict):
        return value
    if names:
        return {key: to_2020_12(item) for key, item in value.items()}
    made = {
        key: item
        if key in ("enum", "required", "default", "const")
        else to_2020_12(item, names=key == "properties")
        for key, item in value.items()
        if key not in ("nullable", "discriminator")
    }
    for bound in ("Minimum", "Maximum"):
        if isinstance(made.get(f"exclusive{bound}"), bool):
            limit = made.pop(bound.lower(), None) if made.pop(f"exclusive{bound}") else None
            if limit is not None:
                made[f"exclusive{bound}"] = limit
    if value.get("nullable") is not True:
        return made
    if isinstance(made.get("type"), str) and not made.keys() & {"enum", "const", "allOf", "anyOf", "oneOf"}:
        return made | {"type": [made["type"], "null"]}
    return {"anyOf": [made, {"type": "null"}]}


def closed(schema: Json) -> Json:
    """A request's own schema, closed against fields that it does not name. Shared components stay open."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if isinstance(made.get("items"), dict):
        made["items"] = closed(made["items"])
    if "properties" not in made:
        for word in ("oneOf", "anyOf"):
            if word in made:
                made[word] = [closed(branch) for branch in made[word]]
        return made
    made["properties"] = {name: closed(item) for name, item in made["properties"].items()}
    for word in ("oneOf", "anyOf"):
        if word in made:  # GitHub opens each branch, so that the parent's fields pass it
            made[word] = [
                {key: item for key, item in branch.items() if key != "additionalProperties"}
                for branch in made[word]
            ]
    return made if "additionalProperties" in made else made | {"unevaluatedProperties": False}


def complaints(validator: Any, value: Json, where: str) -> list[str]:
    """One sentence for each way in which the value breaks the schema."""
    made = []
    for error in validator.iter_errors(value):
        place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.instance_path)
        text = str(error.message)
        made.append(f"{where}{place}: {text if len(text) <= 300 else '…' + text[-300:]}")
    return made


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    pattern: re.Pattern[str]
    spec: Json


class Contract:
    """GitHub's REST operations, webhooks and GraphQL types as published. Loaded and compiled as needed."""

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}

    # -- REST --

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation of a concrete path; None for one that is not published, or not kept."""
        return next((o for o in self._operations if o.method == method and o.pattern.match(path)), None)

    def request(
        self, method: str, path: str, query: Mapping[str, object] | None = None, body: Json = None
    ) -> list[str]:
        """What is wrong with a request. `path` without query; `body` parsed, None or {} for none."""
        operation = self.operation(method, path)
        if operation is None:
            return [f"{method} {path}: no such operation in GitHub's published API"]
        where = f"{method} {operation.path}"
        made = []
        found = operation.pattern.match(path)
        for number, (name, schema) in enumerate(self._parameters(operation), 1):
            value = unquote(found[number]) if found else ""
            made += complaints(self._validator(schema), _parsed(schema, value), f"{where} path.{name}")
        asked = dict(query or {})
        for name, given in asked.items():
            if name not in operation.spec["query"]:
                made.append(f"{where} query.{name}: no such query parameter")
                continue
            schema = operation.spec["query"][name]["schema"]
            for one in given if isinstance(given, list | tuple) else [given]:
                parsed = _parsed(schema, str(one))
                made += complaints(self._validator(schema), parsed, f"{where} query.{name}")
        for name, rule in operation.spec["query"].items():
            if rule["required"] and name not in asked:
                made.append(f"{where} query.{name}: is required")
        made += self._request_body(operation, where, body)
        return _kept(operation, "request", made)

    def _request_body(self, operation: Operation, where: str, body: Json) -> list[str]:
        declared = operation.spec.get("body")
        if body in (None, "", {}):
            required = bool(declared) and declared["required"]
            return complaints(self._closed_body(operation), {}, f"{where} body") if required else []
        if declared is None:
            return [f"{where} body: this operation takes none"]
        return complaints(self._closed_body(operation), body, f"{where} body")

    def response(self, method: str, path: str, status: int, body: Json) -> list[str]:
        """What is wrong with an answer: status, shape, and fields that GitHub does not send."""
        operation = self.operation(method, path)
        if operation is None:
            return [f"{method} {path}: no such operation in GitHub's published API"]
        where = f"{method} {operation.path} {status}"
        declared = operation.spec["responses"]
        schema = declared.get(str(status))
        if str(status) not in declared and status not in ANY_OPERATION and status < 500:
            return [f"{where}: GitHub does not answer with this status"]
        if schema is None and status >= 400:  # also one that is listed without a shape
            schema = {"$ref": f"#/components/schemas/{ANY_OPERATION.get(status, 'basic-error')}"}
        if schema is None or 300 <= status < 400:
            wrong = body not in (None, "", {}) and schema is None
            return [f"{where} body: GitHub sends none"] if wrong else []
        if body is None:
            return _kept(operation, "response", [f"{where} body: is missing"]) if schema else []
        if status >= 400 and isinstance(body, dict):
            # GitHub adds `status` to every error; only basic-error names it.
            body = {key: value for key, value in body.items() if key != "status"}
        made = complaints(self._validator(self._unextended(schema)), body, f"{where} body")
        return _kept(operation, "response", made)

    # -- webhooks --

    def webhook(self, event: str, action: str | None, headers: Mapping[str, str], payload: Json) -> list[str]:
        """What is wrong with a delivery: its required headers, and its payload."""
        key = f"{event}.{action}" if action and event not in ("ping", "push") else event
        known = self._webhooks["webhooks"].get(key)
        if known is None:
            return [f"{key}: no such webhook"]
        sent = {name.lower(): value for name, value in headers.items()}
        made = [f"{key} headers: {name} is missing" for name in known["headers"] if name not in sent]
        if sent.get("x-github-event", event) != event:
            made.append(f"{key} headers: x-github-event is {sent['x-github-event']!r}")
        signature = sent.get("x-hub-signature-256", "sha256=" + "0" * 64)
        if not re.fullmatch(r"sha256=[0-9a-f]{64}", signature):
            made.append(f"{key} headers: x-hub-signature-256 is not sha256= and 64 hex digits")
        if action and payload.get("action") != action:
            made.append(f"{key} payload.action: is {payload.get('action')!r}")
        return made + complaints(self.payload_validator(event, action or ""), payload, f"{key} payload")

    def payload_validator(self, event: str, action: str) -> Any:
        """The compiled schema of one webhook's payload. Raises KeyError for an unknown one."""
        key = f"{event}.{action}" if action and event not in ("ping", "push") else event
        if key not in self._webhooks["webhooks"]:
            raise KeyError(key)
        return self._at("webhooks", f"/webhooks/{key}/schema")

    # -- GraphQL --

    def graphql(self, query: str, variables: Mapping[str, Json] | None = None) -> list[str]:
        """What is wrong with a query: syntax, unknown fields and arguments, variables of the wrong type."""
        try:
            document = gql.parse(query)
        except gql.GraphQLSyntaxError as error:
            return [f"graphql: {error.message}"]
        made = [f"graphql: {error.message}" for error in gql.validate(self._graphql, document)]
        operation = gql.get_operation_ast(document)
        if made or variables is None or operation is None:
            return made
        values = gql.get_variable_values(self._graphql, operation.variable_definitions or (), dict(variables))
        return [f"graphql: {error.message}" for error in values] if isinstance(values, list) else []

    def graphql_data(self, query: str, variables: Mapping[str, Json], answer: Json) -> list[str]:
        """What is wrong with the data of an answer: it must be what the schema makes of the query."""
        data = answer.get("data") if isinstance(answer, dict) else None
        if data is None:  # an error, which has a shape of REST's or none
            said = isinstance(answer, dict) and (answer.get("errors") or answer.get("message"))
            return [] if said else ["graphql answer: neither data nor an error"]
        known = gql.execute_sync(
            self._graphql,
            gql.parse(query),
            data,
            variable_values=dict(variables),
            field_resolver=lambda source, info, **_: source.get(info.path.key),
            type_resolver=lambda source, info, kind: source.get("__typename"),
        )
        made = [f"graphql answer: {error.message}" for error in known.errors or ()]
        if not made and known.data != data:
            made = [f"graphql answer: has fields that nobody asked for: {data} and not {known.data}"]
        return made

    # -- a log of traffic --

    def check_traffic(self, log: Path) -> list[str]:
        """Every violation in the sandbox's log: a JSON object a line (see sandbox/github/traffic.py)."""
        made = []
        for number, text in enumerate(log.read_text(encoding="utf-8").splitlines(), 1):
            line = json.loads(text)
            made += [f"line {number}: {violation}" for violation in self.exchange(line)]
        return made

    def exchange(self, line: Json) -> list[str]:
        """Violations of one line of traffic: request and answer, or one webhook."""
        if line.get("kind") == "webhook":
            return self.webhook(line["event"], line.get("action"), line["headers"], line["payload"])
        method, path = line["method"], line["path"]
        if path == "/graphql":
            asked = line["request"] or {}
            query, variables = asked.get("query", ""), asked.get("variables") or {}
            return self.graphql(query, variables) or self.graphql_data(query, variables, line["response"])
        made = [] if line["status"] == 422 else self.request(method, path, line["query"], line["request"])
        if made and line["status"] == 404 and self.operation(method, path) is None:
            return made
        return made + self.response(method, path, line["status"], line["response"])

    # -- inside --

    @cached_property
    def _rest(self) -> Json:
        return _slice("rest.json.gz")

    @cached_property
    def _webhooks(self) -> Json:
        return _slice("webhooks.json.gz")

    @cached_property
    def _graphql(self) -> gql.GraphQLSchema:
        return gql.build_schema(_slice("graphql.json.gz")["sdl"], assume_valid_sdl=True)

    @cached_property
    def _operations(self) -> list[Operation]:
        made = []
        for path, methods in self._rest["paths"].items():
            pattern = re.compile(re.sub(r"\\\{(\w+)\\\}", lambda m: _segment(m[1]), re.escape(path)) + r"\Z")
            made += [Operation(method.upper(), path, pattern, spec) for method, spec in methods.items()]
        # The longest fixed text first: /commits/{ref}/status before /commits/{ref}, which takes slashes.
        return sorted(made, key=lambda o: -len(re.sub(r"\{\w+\}", "", o.path)))

    def _parameters(self, operation: Operation) -> list[tuple[str, Json]]:
        names = re.findall(r"\{(\w+)\}", operation.path)
        return [(name, operation.spec["path"][name]) for name in names]

    @cached_property
    def _registry(self) -> Any:
        return jsonschema_rs.Registry([("urn:rest", self._rest)], draft=jsonschema_rs.Draft202012)

    @cached_property
    def _hook_registry(self) -> Any:
        return jsonschema_rs.Registry([("urn:webhooks", self._webhooks)], draft=jsonschema_rs.Draft202012)

    def _validator(self, schema: Json) -> Any:
        """A schema that may name the components of the REST slice."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._compiled:
            schema = json.loads(key.replace('"#/components', '"urn:rest#/components'))
            self._compiled[key] = _validator(schema, self._registry)
        return self._compiled[key]

    def _closed_body(self, operation: Operation) -> Any:
        return self._validator(closed(operation.spec["body"]["schema"]))

    def _unextended(self, schema: Json) -> Json:
        """The schema of an answer, closed at its top (of each item, for a list) against invented fields."""
        whole = schema
        while set(whole) == {"$ref"}:
            whole = self._rest["components"]["schemas"][whole["$ref"].rsplit("/", 1)[1]]
        if "items" in whole:
            return whole | {"items": self._unextended(whole["items"])}
        known = whole.keys() & {"properties", "allOf", "anyOf", "oneOf"}
        return {"allOf": [schema], "unevaluatedProperties": False} if known else schema

    def _at(self, document: str, pointer: str) -> Any:
        key = f"urn:{document}#{pointer}"
        if key not in self._compiled:
            self._compiled[key] = _validator({"$ref": key}, self._hook_registry)
        return self._compiled[key]


@cache
def contract() -> Contract:
    """The one Contract of this process: what it has compiled is worth keeping."""
    return Contract()


def _validator(schema: Json, registry: Any) -> Any:
    return jsonschema_rs.Draft202012Validator(
        schema, registry=registry, validate_formats=True, formats=FORMATS
    )


def _kept(operation: Operation, where: str, made: list[str]) -> list[str]:
    waived = [
        w.complaint
        for w in WAIVERS
        if (w.method, w.path, w.where) == (operation.method, operation.path, where)
    ]
    return [violation for violation in made if not any(part in violation for part in waived)]


def _segment(name: str) -> str:
    return "(.+)" if name in WITH_SLASHES else "([^/]+)"


def _parsed(schema: Json, text: str) -> Json:
    """A path or query value as the type that its schema names."""
    kinds = schema.get("type") or [one.get("type") for one in schema.get("oneOf", schema.get("anyOf", []))]
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "integer" in kinds and re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    if "array" in kinds:
        return text.split(",")
    return text


def _slice(name: str) -> Json:
    return json.loads(gzip.decompress((HERE / name).read_bytes()))
