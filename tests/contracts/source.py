"""Which operations the client's own source can ask for, by a look at every call of its connection.

A call is found by what it calls: a method of `Connection` that takes a `path` (or a GraphQL `query`), or any
function that takes a `verb` and a `path`. What the path is made of is followed through literals, f-strings,
names of the same function or module, conditionals and look-ups in a constant table; whatever else it may be
stands for one segment. A path that cannot be told is an error, not an omission.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bot.clients.github
from tests.contracts.checker import contract
from tests.contracts.operations import REPO

PACKAGE = Path(bot.clients.github.__file__).parent
WIRE = "connection.py"
ANY = "x"  # a segment, or a part of one, that is known only when it runs


class Untold(Exception):
    """A call whose verb or path cannot be told from the source."""


@dataclass(frozen=True, slots=True)
class Site:
    """One call in the source and the operations that it can be."""

    place: str
    operations: tuple[str, ...]


@dataclass(slots=True)
class _Sink:
    """Where a function takes its verb, its path and its query, counted without self."""

    verb: int | None
    path: int | None
    query: int | None
    below: bool  # its path is below a repository


@dataclass(slots=True)
class _Scope:
    """What the names in one function stand for; its own parameters stand for nothing known."""

    parameters: set[str] = field(default_factory=set)
    names: dict[str, list[ast.expr]] = field(default_factory=dict)


def sites(package: Path = PACKAGE) -> list[Site]:
    """Every call of GitHub in the package. Raises Untold, with what to do about it."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
    sinks = _sinks(trees)
    found: list[Site] = []
    for path, tree in trees.items():
        module = _Scope(names=_assigned(tree.body))
        for piece in _pieces(tree):
            scope = _scope(piece) if isinstance(piece, ast.FunctionDef) else _Scope()
            for call in (node for node in ast.walk(piece) if isinstance(node, ast.Call)):
                sink = sinks.get(_called(call))
                if sink is not None:
                    place = f"{path.relative_to(package)}:{call.lineno}"
                    found += _site(call, sink, scope, module, place)
    return found


def operations(package: Path = PACKAGE) -> set[str]:
    """The operations that the client can ask for, as `named` names them."""
    return {operation for site in sites(package) for operation in site.operations}


def documents(package: Path = PACKAGE) -> dict[str, str]:
    """The constants of the package that are text, by name: its GraphQL documents are among them."""
    made = {}
    for path in sorted(package.rglob("*.py")):
        for name, given in _assigned(ast.parse(path.read_text(encoding="utf-8")).body).items():
            for one in given:
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    made[name] = one.value
    return made


def named(verb: str, path: str) -> str:
    """`VERB /published/{path}` of a concrete call. Raises Untold for one that GitHub does not publish."""
    known = contract().operation(verb, path)
    if known is None:
        raise Untold(
            f"{verb} {path} is not among the kept operations: if GitHub publishes it, add it to "
            "tests/contracts/operations.py and run `python -m tests.contracts.rebuild`"
        )
    return f"{verb} {known.path}"


def _sinks(trees: dict[Path, ast.Module]) -> dict[str, _Sink]:
    made = {}
    for path, tree in trees.items():
        for function in (piece for piece in _pieces(tree) if isinstance(piece, ast.FunctionDef)):
            names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            names = names[1:] if names[:1] == ["self"] else names
            at = {name: names.index(name) for name in ("verb", "path", "query") if name in names}
            # A query with a path is a query string; one without is a document of GraphQL.
            document = "query" in at and "path" not in at
            if {"verb", "path"} <= at.keys() or (path.name == WIRE and ("path" in at or document)):
                query = at["query"] if document else None
                # What the connection has for others takes a path below the repository that it takes too.
                below = "repo" in names and not function.name.startswith("_")
                made[function.name] = _Sink(at.get("verb"), at.get("path"), query, below)
    return made


def _site(call: ast.Call, sink: _Sink, scope: _Scope, module: _Scope, place: str) -> Iterator[Site]:
    if sink.query is not None:
        document = _argument(call, sink.query, "query")
        if not isinstance(document, ast.Name) or document.id not in module.names:
            raise Untold(f"{place}: give graphql() a document that is a constant of this module")
        yield Site(place, (f"GRAPHQL {document.id}",))
        return
    given = _argument(call, sink.path, "path")
    if given is None:
        return  # too few arguments for this function: another of the same name, such as text's `find`
    paths = _strings(given, scope, module)
    asked = ast.Constant("GET") if sink.verb is None else _argument(call, sink.verb, "verb")
    verbs = _strings(asked, scope, module)
    if paths is None and "path" in scope.parameters and (place.startswith(WIRE) or verbs is None):
        return  # hands on what it was given: whoever calls it is looked at
    if verbs is None or paths is None:
        raise Untold(f"{place}: write the verb and the path of a call as (f-)strings that can be read here")
    root = REPO.format(owner=ANY, repo=ANY) if sink.below else ""
    # `graphql` is the way of the documents, which are looked at where they are given.
    whole = sorted(root + path for path in paths if path != "graphql")
    yield Site(place, tuple(named(verb, path) for verb, path in itertools.product(sorted(verbs), whole)))


def _argument(call: ast.Call, position: int | None, name: str) -> ast.expr | None:
    given = next((word.value for word in call.keywords if word.arg == name), None)
    if given is None and position is not None and position < len(call.args):
        return call.args[position]
    return given


def _strings(expression: ast.expr | None, scope: _Scope, module: _Scope) -> set[str] | None:
    """Everything that the expression can be; None if nothing of it is known."""
    match expression:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.JoinedStr(values=parts):
            pieces = [_strings(part, scope, module) or {ANY} for part in parts]
            return {"".join(piece) for piece in itertools.product(*pieces)}
        case ast.FormattedValue(value=value):
            return _strings(value, scope, module)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            halves = (_strings(left, scope, module), _strings(right, scope, module))
            if halves == (None, None):
                return None
            return {a + b for a, b in itertools.product(halves[0] or {ANY}, halves[1] or {ANY})}
        case ast.IfExp(body=one, orelse=other):
            both = (_strings(one, scope, module), _strings(other, scope, module))
            return None if None in both else (both[0] or set()) | (both[1] or set())
        case ast.Subscript(value=ast.Name(id=table)) if table in module.names:
            (named,) = module.names[table]
            values = named.values if isinstance(named, ast.Dict) else []
            found = [_strings(value, scope, module) for value in values]
            return set().union(*(one or {ANY} for one in found)) if found else None
        case ast.Name(id=name) if name in scope.parameters:
            return None
        case ast.Name(id=name):
            given = scope.names.get(name) or module.names.get(name) or []
            found = [_strings(value, scope, module) for value in given]
            if not found or None in found:
                return None
            return set().union(*(one for one in found if one is not None))
        case _:
            return None


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _pieces(tree: ast.Module) -> Iterator[ast.stmt]:
    """Functions and methods (one inside another belongs to the outer one), and what stands beside them."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.ClassDef) else [node]


def _scope(function: ast.FunctionDef) -> _Scope:
    arguments = function.args
    parameters = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return _Scope(parameters - {"self"}, _assigned(list(ast.walk(function))))


def _assigned(nodes: list[ast.stmt] | list[ast.AST]) -> dict[str, list[ast.expr]]:
    made: dict[str, list[ast.expr]] = {}
    for node in nodes:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs += zip(target.elts, value.elts, strict=False)
            elif isinstance(target, ast.Name):
                made.setdefault(target.id, []).append(value)
    return made
