"""Cuts the slices of GitHub's published contract anew: `python -m tests.contracts.rebuild [NODE_MODULES]`.

Without an argument it installs the four npm packages (SOURCES, exact versions, no scripts run) in a temporary
directory. Kept: schemas and the structure and values of examples. Left out: every description, summary,
example text and link to prose. Needs npm; the tests do not.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphql
from graphql.language import ast

from tests.contracts.checker import Contract, complaints, to_2020_12
from tests.contracts.operations import (
    EVENTS,
    GRAPHQL_TYPES,
    OPERATIONS,
    SAMPLES,
    SHARED_SCHEMAS,
    SOURCES,
)

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "samples" / "examples.json.gz"
PROSE = {
    "description",
    "summary",
    "title",
    "example",
    "examples",
    "externalDocs",
    "deprecated",
    "readOnly",
    "tags",
    "xml",
}

Json = Any


def main() -> None:
    if len(sys.argv) > 1:
        build(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as home:
        wanted = [f"{name}@{version}" for name, version in SOURCES.items()]
        subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", home, *wanted],
            check=True,
        )
        build(Path(home) / "node_modules")


def build(modules: Path) -> None:
    for name, version in SOURCES.items():
        package = json.loads((modules / name / "package.json").read_text(encoding="utf-8"))
        if (package["version"], package["license"]) != (version, "MIT"):
            raise SystemExit(f"{name} is {package['version']}, {package['license']}; wanted {version}, MIT")
    write(HERE / "rest.json.gz", rest(read(modules / "@octokit/openapi/generated/api.github.com.json")))
    hooks = read(modules / "@octokit/openapi-webhooks/generated/api.github.com.json")
    write(HERE / "webhooks.json.gz", webhooks(hooks))
    sdl = (modules / "@octokit/graphql-schema/schema.graphql").read_text(encoding="utf-8")
    write(HERE / "graphql.json.gz", header("@octokit/graphql-schema") | {"sdl": graphql_sdl(sdl)})
    published = read(modules / "@octokit/webhooks-examples/api.github.com/index.json")
    write(EXAMPLES, header("@octokit/webhooks-examples") | {"examples": examples(published)})
    (HERE / "NOTICE").write_text(notice(modules), encoding="utf-8")


def read(path: Path) -> Json:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, value: Json) -> None:
    """The same bytes for the same value: no time, no name in the gzip header."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    sys.stdout.write(f"{path.name}: {len(text):,} bytes, {path.stat().st_size:,} compressed\n")


def header(source: str) -> Json:
    return {"source": source, "version": SOURCES[source], "license": "MIT (see tests/contracts/NOTICE)"}


def notice(modules: Path) -> str:
    """The licences under which the slices are distributed, word for word."""
    parts = [
        "The *.json.gz files here and tests/samples/examples.json.gz are cut from these npm packages "
        "by tests/contracts/rebuild.py.\n"
    ]
    for name, version in SOURCES.items():
        found = sorted((modules / name).glob("LICENSE*"))
        text = found[0].read_text(encoding="utf-8") if found else "MIT, as its package.json says.\n"
        parts.append(f"## {name} {version}\n\n{text.strip()}\n")
    return "\n".join(parts)


def stripped(value: Json, *, names: bool = False) -> Json:
    """Without prose. `names`: this object's keys are the data's names, not the schema language's."""
    if isinstance(value, list):
        return [stripped(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        if not names and (key in PROSE or key.startswith("x-")):
            continue
        plain = not names and key in ("enum", "required", "default", "const", "mapping")
        kept[key] = item if plain else stripped(item, names=key == "properties" and not names)
    return kept


def references(value: Json) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from references(item)


def closure(schemas: Json, start: set[str]) -> Json:
    """The schemas named, and all that they name."""
    kept: dict[str, Json] = {}
    todo = set(start)
    while todo:
        name = todo.pop()
        kept[name] = stripped(schemas[name])
        todo |= {r.rsplit("/", 1)[1] for r in references(kept[name])} - kept.keys()
    return kept


def _resolved(document: Json, value: Json) -> Json:
    while "$ref" in value:
        place = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        value = place
    return value


def _body(value: Json) -> Json:
    """The JSON schema of a body: {} where the content is not JSON, None where there is none."""
    content = value.get("content")
    if not content:
        return None
    json_like = next((content[kind] for kind in content if "json" in kind), None)
    return stripped(json_like.get("schema", {})) if json_like else {}


def rest(document: Json) -> Json:
    """Operations with their parameters, bodies and answers; the schemas as JSON Schema 2020-12."""
    paths: Json = {}
    for path, methods in OPERATIONS.items():
        for method in methods.split():
            operation = document["paths"][path][method]
            shared = document["paths"][path].get("parameters", [])
            parameters = [_resolved(document, p) for p in [*shared, *operation.get("parameters", [])]]
            made: Json = {
                "path": {p["name"]: stripped(p["schema"]) for p in parameters if p["in"] == "path"},
                "query": {
                    p["name"]: {"schema": stripped(p["schema"]), "required": p.get("required", False)}
                    for p in parameters
                    if p["in"] == "query"
                },
                "responses": {
                    status: _body(_resolved(document, answer))
                    for status, answer in operation["responses"].items()
                },
            }
            if "requestBody" in operation:
                body = _resolved(document, operation["requestBody"])
                made["body"] = {"schema": _body(body), "required": body.get("required", False)}
            paths.setdefault(path, {})[method] = made
    start = {r.rsplit("/", 1)[1] for r in references(paths)} | set(SHARED_SCHEMAS)
    schemas = closure(document["components"]["schemas"], start)
    return header("@octokit/openapi") | {
        "paths": to_2020_12(paths),
        "components": {"schemas": to_2020_12(schemas)},
    }


def webhooks(document: Json) -> Json:
    """Payload schema and required headers, by "event.action" (ping and push have no action)."""
    made: Json = {}
    for operation in (webhook["post"] for webhook in document["webhooks"].values()):
        event, _, action = operation["operationId"].replace("-", "_").partition("/")
        if event not in EVENTS:
            continue
        made[f"{event}.{action}" if action and event not in ("ping", "push") else event] = {
            "schema": _body(operation["requestBody"]),
            "headers": sorted(
                p["name"].lower()
                for p in operation["parameters"]
                if p["in"] == "header" and p.get("required", False)
            ),
        }
    start = {r.rsplit("/", 1)[1] for r in references(made)}
    schemas = closure(document["components"]["schemas"], start)
    return header("@octokit/openapi-webhooks") | {
        "webhooks": to_2020_12(made),
        "components": {"schemas": to_2020_12(schemas)},
    }


def examples(published: Json) -> Json:
    """One payload for each (event, action) in SAMPLES, its free text replaced by a neutral word."""
    contract = Contract()
    chosen: Json = {}
    for entry in published:
        for action in SAMPLES.get(entry["name"], ()):
            fit = [e for e in entry["examples"] if not action or e.get("action") == action]
            if not fit:
                raise SystemExit(f"no example of {entry['name']}.{action}")
            key = f"{entry['name']}.{action}".rstrip(".")
            validator = contract.payload_validator(entry["name"], action)
            chosen[key] = _neutral(min(fit, key=lambda e: len(complaints(validator, e, "payload"))))
    return chosen


def _neutral(value: Json) -> Json:
    if isinstance(value, list):
        return [_neutral(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "text"
        if key in ("body", "description", "bio", "message") and isinstance(item, str)
        else _neutral(item)
        for key, item in value.items()
    }


class _Plain(graphql.Visitor):
    """Takes descriptions and directives off every definition, field, argument and enum value."""

    def leave(self, node: Any, *_: object) -> Any:
        names = {f.name for f in dataclasses.fields(node)} & {"description", "directives"}
        return dataclasses.replace(node, **{n: None if n == "description" else () for n in names})


def _named(node: Any) -> str:
    while not isinstance(node, ast.NamedTypeNode):
        node = node.type
    return node.name.value


def graphql_sdl(text: str) -> str:
    """The SDL cut to GRAPHQL_TYPES and what their arguments need, without descriptions and directives."""
    document = graphql.parse(text, no_location=True)
    types: dict[str, Any] = {
        d.name.value: d for d in document.definitions if isinstance(d, ast.TypeDefinitionNode)
    }
    leaf = ast.ScalarTypeDefinitionNode | ast.EnumTypeDefinitionNode
    shown = set(GRAPHQL_TYPES) | {name for name, d in types.items() if isinstance(d, leaf)}
    shown |= {"String", "Int", "Float", "Boolean", "ID"}
    kept: dict[str, str] = {}
    todo = set(GRAPHQL_TYPES)
    while todo:
        name = todo.pop()
        if name in kept or name not in types:
            continue
        node = graphql.visit(types[name], _Plain())
        if isinstance(node, ast.ObjectTypeDefinitionNode | ast.InterfaceTypeDefinitionNode):
            fields = tuple(f for f in node.fields or () if _named(f.type) in shown)
            parents = tuple(i for i in node.interfaces or () if i.name.value in GRAPHQL_TYPES)
            node = dataclasses.replace(node, fields=fields, interfaces=parents)
            todo |= {_named(a.type) for f in fields for a in f.arguments or ()}
            todo |= {_named(f.type) for f in fields}
        elif isinstance(node, ast.InputObjectTypeDefinitionNode):
            todo |= {_named(f.type) for f in node.fields or ()}
        kept[name] = graphql.print_ast(node)
    return "\n".join(kept[name] for name in sorted(kept)) + "\n"


if __name__ == "__main__":
    main()
