"""Small changes of a Python source that may be the repair of it, each as a piece of text to replace."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from sandbox.characters.source import Change, Mutation, Source, reweighed, walk

_FLIPS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">", ">=")),
    ast.LtE: ("<=", ("<", ">=", ">")),
    ast.Gt: (">", (">=", "<", "<=")),
    ast.GtE: (">=", (">", "<=", "<")),
    ast.Eq: ("==", ("!=", "<=", ">=")),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
}
_SUMS: dict[type[ast.operator], tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-", "*")),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("/", "+", "//", "**")),
    ast.Div: ("/", ("//", "*")),
    ast.FloorDiv: ("//", ("/", "%")),
    ast.Mod: ("%", ("//", "/")),
    ast.Pow: ("**", ("*",)),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
}
_TWINS = {
    one: other
    for pair in (
        ("min", "max"), ("any", "all"), ("floor", "ceil"), ("startswith", "endswith"), ("lower", "upper"),
        ("lstrip", "rstrip"), ("keys", "values"), ("values", "items"), ("append", "extend"),
        ("ljust", "rjust"),
        ("find", "rfind"), ("split", "rsplit"), ("popleft", "pop"), ("sum", "len"), ("remove", "discard"),
        ("union", "intersection"), ("partition", "rpartition"), ("index", "rindex"),
        ("insort_left", "insort_right"),
        ("bisect_left", "bisect_right"), ("add", "remove"), ("isalpha", "isalnum"), ("title", "capitalize"),
    )
    for one, other in (pair, pair[::-1])
}  # fmt: skip
_TWINS |= {"lstrip": "strip", "rstrip": "strip", "strip": "rstrip"}


def mutations(path: str, text: str, values: list[str]) -> list[Mutation]:
    """Every change that we would try in this file. `values`: constants that tests compare with.

    A source that does not parse gives only what may make it parse.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return list(_parsing(path, text, error))
    source = Source(path, text, tree)
    found: dict[tuple[str, str], Mutation] = {}
    for node, function in walk(tree, ""):
        for change in _changes(node, source, values):
            made = source.mutation(change, function)
            if made is not None and source.loops(change):
                made = reweighed(made, -3)  # rather in a copy, where it is stopped
            if made is not None:
                found.setdefault((made.old, made.new), made)
    return list(found.values())


def _changes(node: ast.AST, source: Source, values: list[str]) -> Iterator[Change]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _FLIPS:
            sign, others = _FLIPS[type(op)]
            place = source.between(left, right, sign)
            if place:
                for number, other in enumerate(others):
                    weight = 5 - 1.5 * number if sign[0] in "<>" else 4.2 - number
                    yield Change(*place, other, "comparison", weight, node)
        case ast.BoolOp(op=op, values=[left, right, *_]):
            sign, other = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
            place = source.between(left, right, sign)
            if place:
                yield Change(*place, other, "logic", 4, node)
            for side in (left, right):
                if not isinstance(side, (ast.UnaryOp, ast.Compare)):
                    at = source.start(side)
                    yield Change(at, at, "not ", "logic", 3.2, node)
            yield Change(source.start(node), source.end(node), source.of(left), "logic", 1, node)
            yield Change(source.start(node), source.end(node), source.of(right), "logic", 1, node)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield Change(source.start(node), source.end(node), source.of(operand), "logic", 3.5, node)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield Change(source.start(node), source.end(node), source.of(operand), "sign", 3, node)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
            yield from _sums(node, source)
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in _SUMS:
            sign, others = _SUMS[type(op)]
            place = source.between(target, value, sign + "=")
            if place:
                for number, other in enumerate(others):
                    yield Change(*place, other + "=", "arithmetic", 4 - number, node)
                yield Change(*place, "=", "arithmetic", 1.5, node)
        case ast.Assign(targets=[ast.Name() as target], value=value):
            if isinstance(value, ast.Constant) and type(value.value) is int and target.id.isupper():
                for number in range(41):
                    yield Change(source.start(value), source.end(value), str(number), "constant", 1, value)
            place = source.between(target, value, "=")
            if place and not isinstance(value, ast.Constant):
                yield Change(*place, "+=", "arithmetic", 2.4, node)
        case ast.Constant() if id(node) not in source.docstrings:
            yield from _constants(node, source, values)
        case ast.Call():
            yield from _calls(node, source)
        case ast.Subscript(slice=ast.Slice() as part):
            for bound in (part.lower, part.upper):
                if bound is not None and not isinstance(bound, ast.Constant):
                    yield from _nudged(bound, source, 3.5)
                if bound is not None:
                    yield Change(source.start(bound), source.end(bound), "", "slice", 2, node)
        case ast.Subscript(slice=ast.expr() as index) if not isinstance(index, ast.Constant):
            yield from _nudged(index, source, 2.5)
        case ast.IfExp(test=test) | ast.If(test=test) | ast.While(test=test):
            negated = (
                f"not ({source.of(test)})"
                if isinstance(test, (ast.BoolOp, ast.Compare))
                else (f"not {source.of(test)}")
            )
            if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
                yield Change(source.start(test), source.end(test), negated, "logic", 2.5, test)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield from _nudged(value, source, 1)
            if not isinstance(value, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp)):
                yield Change(
                    source.start(value), source.end(value), f"not {source.of(value)}", "logic", 0.5, node
                )
        case ast.Break():
            yield Change(source.start(node), source.end(node), "continue", "flow", 1.5, node)
        case ast.Continue():
            yield Change(source.start(node), source.end(node), "break", "flow", 1.5, node)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from _swapped_names(node, source)
        case _:
            pass


def _sums(node: ast.BinOp, source: Source) -> Iterator[Change]:
    sign, others = _SUMS[type(node.op)]
    begin, end = source.end(node.left), source.start(node.right)
    gap = source.bytes[begin:end].decode()
    if gap.strip(" ()\\\n") == sign:
        at = begin + gap.index(sign)
        for number, other in enumerate(others):
            yield Change(at, at + len(sign), other, "arithmetic", 4 - number, node)
        if sign in "-//%":
            left, right = source.of(node.left), source.of(node.right)
            if not isinstance(node.left, ast.BinOp) and not isinstance(node.right, ast.BinOp):
                swapped = f"{right} {sign} {left}"
                yield Change(source.start(node), source.end(node), swapped, "order", 2.5, node)
    for side in (node.left, node.right):
        yield Change(source.start(node), source.end(node), source.of(side), "arithmetic", 1.5, node)
        if isinstance(side, (ast.Name, ast.Attribute)) and not isinstance(node.op, (ast.Add, ast.Sub)):
            for nudge in (" - 1", " + 1"):
                yield Change(
                    source.start(side),
                    source.end(side),
                    f"({source.of(side)}{nudge})",
                    "off by one",
                    2.8,
                    node,
                )
    if isinstance(node.op, (ast.FloorDiv, ast.Div)) and isinstance(node.right, (ast.Name, ast.Constant)):
        left, right = source.of(node.left), source.of(node.right)
        yield Change(source.start(node), source.end(node), f"-(-{left} // {right})", "rounding", 3.2, node)
    # Precedence: (a + b) * c for a + b * c.
    if isinstance(node.op, (ast.Add, ast.Sub)) and isinstance(node.right, ast.BinOp):
        inner = node.right
        if (
            isinstance(inner.op, (ast.Mult, ast.Div, ast.FloorDiv))
            and source.bytes[source.end(inner) - 1 :][:1] != b")"
        ):
            upto = source.bytes[source.start(node) : source.end(inner.left)].decode()
            rest = source.bytes[source.end(inner.left) : source.end(node)].decode()
            yield Change(source.start(node), source.end(node), f"({upto}){rest}", "precedence", 2, node)


def _constants(node: ast.Constant, source: Source, values: list[str]) -> Iterator[Change]:
    place = source.start(node), source.end(node)
    written = source.of(node)
    value = node.value
    if isinstance(value, bool):
        yield Change(*place, str(not value), "constant", 3, node)
    elif isinstance(value, (int, float)):
        likely: dict[str, float] = {}
        if isinstance(value, int):
            likely = {str(value - 1): 3.2, str(value + 1): 3.2}
            if value in (0, 1):
                likely[str(1 - value)] = 3.4
        else:
            likely = {repr(round(1 - value, 10)): 3 if 0 < value < 1 else 0.5}
        for seen in values:
            if not seen.startswith(("'", '"')):
                likely.setdefault(seen, 3.5)
        for factor in (10, 100, 1000, 60, 24, 2):
            likely.setdefault(_plain(value * factor), 2)
            likely.setdefault(_plain(value / factor), 2)
        for round_number in ("100", "10", "60", "1000", "12", "7", "24", "365", "3600", "1024", "400", "4"):
            likely.setdefault(round_number, 1.2)
        for new, weight in likely.items():
            if new not in (written, "-1"):
                yield Change(*place, new, "constant", weight, node)
    elif isinstance(value, str) and "\n" not in written:
        for seen in values:
            if seen.startswith(("'", '"')) and seen != written:
                yield Change(*place, seen, "text", 1.5, node)
        for new in {value.strip(), value + " ", value.lower(), value.upper(), value.title()} - {value}:
            yield Change(*place, repr(new) if written[0] == "'" else f'"{new}"', "text", 1, node)
    elif value is None:
        for new in ("0", "[]", '""', "False"):
            yield Change(*place, new, "constant", 0.8, node)


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 10))


def _calls(node: ast.Call, source: Source) -> Iterator[Change]:
    name = node.func
    last = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
    if last in _TWINS:
        at = source.end(name) - len(last)
        yield Change(at, source.end(name), _TWINS[last], "call", 4, node)
    plain = [each for each in node.args if not isinstance(each, ast.Starred)]
    if last in ("range", "islice"):
        for argument in plain:
            if not isinstance(argument, ast.Constant):
                yield from _nudged(argument, source, 4)
        if len(plain) == 1:
            whole = source.of(plain[0])
            place = source.start(plain[0]), source.end(plain[0])
            yield Change(*place, f"1, {whole}", "range", 2, node)
            yield Change(*place, f"1, {whole} + 1", "range", 3, node)
    if len(plain) == 2 and not node.keywords:
        one, two = plain
        gap = source.bytes[source.end(one) : source.start(two)].decode()
        swapped = source.of(two) + gap + source.of(one)
        yield Change(source.start(one), source.end(two), swapped, "order", 2, node)
    if last in ("sorted", "sort") and not any(each.arg == "reverse" for each in node.keywords):
        at = source.end(node) - 1
        comma = ", " if node.args or node.keywords else ""
        yield Change(at, at, f"{comma}reverse=True", "order", 3, node)
    for keyword in node.keywords:
        if keyword.arg == "reverse" and isinstance(keyword.value, ast.Constant):
            continue  # flipped as a constant
    if (
        last in ("int", "round", "abs", "sorted", "set", "list", "reversed", "str", "float")
        and len(plain) >= 1
    ):
        yield Change(source.start(node), source.end(node), source.of(plain[0]), "call", 2, node)
    if last in ("int", "round"):
        other = "round" if last == "int" else "int"
        yield Change(source.start(name), source.end(name), other, "call", 3, node)
    if isinstance(name, ast.Attribute) and not node.args:
        yield Change(source.start(node), source.end(node), source.of(name.value), "call", 1.5, node)


def _nudged(node: ast.expr, source: Source, weight: float) -> Iterator[Change]:
    place, written = (source.start(node), source.end(node)), source.of(node)
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, (ast.Add, ast.Sub))
        and (isinstance(node.right, ast.Constant) and node.right.value == 1)
    ):
        yield Change(*place, source.of(node.left), "off by one", weight, node)
        return
    if isinstance(node, (ast.BoolOp, ast.Compare, ast.IfExp, ast.Lambda, ast.Dict, ast.List, ast.JoinedStr)):
        return
    for nudge in (" + 1", " - 1"):
        yield Change(*place, written + nudge, "off by one", weight, node)


def _swapped_names(node: ast.FunctionDef | ast.AsyncFunctionDef, source: Source) -> Iterator[Change]:
    names = [each.arg for each in (*node.args.args, *node.args.kwonlyargs) if each.arg not in ("self", "cls")]
    names += [
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]
    names = list(dict.fromkeys(names))[:8]
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in names:
            for other in names:
                if other != each.id:
                    yield Change(source.start(each), source.end(each), other, "name", 1.4, each)
        elif isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Load):
            siblings = {
                one.attr
                for one in ast.walk(node)
                if isinstance(one, ast.Attribute) and ast.dump(one.value) == ast.dump(each.value)
            }
            for other in sorted(siblings - {each.attr}):
                at = source.end(each) - len(each.attr)
                yield Change(at, source.end(each), other, "name", 1.3, each)
    defaults = [each for each in node.args.defaults if isinstance(each, (ast.List, ast.Dict))]
    if defaults and node.body:
        # A default that is shared between calls: made anew in each.
        default = defaults[-1]
        argument = node.args.args[-1].arg
        begin = source.bytes.rfind(b"\n", 0, source.start(node.body[0])) + 1
        indent = source.bytes[begin : source.start(node.body[0])].decode()
        body = source.bytes[source.end(default) : source.start(node.body[0])].decode()
        guard = f"{argument} = {source.of(default)} if {argument} is None else {argument}\n{indent}"
        yield Change(
            source.start(default),
            source.start(node.body[0]),
            f"None{body}{guard}",
            "default",
            3,
            node.body[0],
        )


def misspelt(path: str, text: str, name: str) -> list[Mutation]:
    """A name that does not exist, replaced by the nearest that does."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    names = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    names |= {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
    names |= {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
    names |= {each.name for each in ast.walk(tree) if isinstance(each, (ast.FunctionDef, ast.ClassDef))}
    source, found = Source(path, text, tree), []
    for near in difflib.get_close_matches(name, names - {name}, 3, 0.6):
        for node, function in walk(tree, ""):
            place: tuple[int, int] | None = None
            if isinstance(node, ast.Name) and node.id == name:
                place = source.start(node), source.end(node)
            elif isinstance(node, ast.Attribute) and node.attr == name:
                place = source.end(node) - len(name), source.end(node)
            if place:
                made = source.mutation(Change(*place, near, "name", 8, node), function)
                if made:
                    found.append(made)
    return found


def _parsing(path: str, text: str, error: SyntaxError) -> Iterator[Mutation]:
    lines = text.split("\n")
    for number in {error.lineno or 1, (error.lineno or 1) - 1}:
        if not 1 <= number <= len(lines) or not lines[number - 1].strip():
            continue
        old = lines[number - 1]
        for new in (
            old + ":",
            old + ")",
            old + "]",
            old.replace("=", "==", 1),
            old[:-1],
            old + '"',
            old + "'",
        ):
            mended = "\n".join([*lines[: number - 1], new, *lines[number:]])
            try:
                ast.parse(mended)
            except SyntaxError:
                continue
            if text.count(old) == 1:
                yield Mutation(path, old, new, "syntax", "", number, old.strip(), new.strip(), 9)
