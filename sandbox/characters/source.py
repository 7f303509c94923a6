"""A Python source as text and as a tree: what it calls and imports; a change of it as lines to replace."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replace `old` by `new` in a file: `old` stands there once."""

    path: str
    old: str
    new: str
    kind: str
    function: str  # "" at module level
    line: int
    before: str  # the piece itself, for words
    after: str
    weight: float

    @property
    def words(self) -> str:
        where = (
            f"`{self.function}` in `{self.path}`" if self.function else f"`{self.path}`, line {self.line},"
        )
        return f"{where} has `{self.before.strip()}` where it should have `{self.after.strip()}`"


@dataclass(frozen=True, slots=True)
class Change:
    start: int  # offsets in bytes of the source
    end: int
    new: str
    kind: str
    weight: float
    node: ast.AST  # what is shown in words


def reweighed(mutation: Mutation, more: float) -> Mutation:
    return replace(mutation, weight=mutation.weight + more)


def _tree(text: str) -> ast.Module:
    """An empty one of what is no Python."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.Module([], [])


def functions_called(text: str, names: set[str] | None = None) -> set[str]:
    """What the functions of these names call, by last name (of None: all of the source)."""
    found = set()
    for node in ast.walk(_tree(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
            names is None or node.name in names
        ):
            for each in ast.walk(node):
                if isinstance(each, ast.Name):
                    found.add(each.id)
                elif isinstance(each, ast.Attribute):
                    found.add(each.attr)
    return found


def imports(text: str) -> set[str]:
    """Every module that a source imports or may import from, dotted; relative ones with their dots."""
    found = set()
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.add(module)
            found |= {f"{module}{'' if module.endswith('.') else '.'}{alias.name}" for alias in node.names}
    return found


class Source:
    def __init__(self, path: str, text: str, tree: ast.Module) -> None:
        self.path, self.text, self.bytes = path, text, text.encode()
        self.starts = [0]
        for line in self.bytes.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self._whiles = [
            (self.start(node), self.end(node)) for node in ast.walk(tree) if isinstance(node, ast.While)
        ]
        self.docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def of(self, node: ast.expr | ast.stmt) -> str:
        return self.bytes[self.start(node) : self.end(node)].decode()

    def between(self, left: ast.expr, right: ast.expr, sign: str) -> tuple[int, int] | None:
        """Where the operator between two operands stands; None when it cannot be told (comments)."""
        begin, end = self.end(left), self.start(right)
        gap = self.bytes[begin:end].decode()
        if "#" in gap or gap.count(sign) != 1:
            return None
        at = begin + gap.index(sign)
        return at, at + len(sign)

    def loops(self, change: Change) -> bool:
        """Whether a change may make a `while` go on for ever."""
        return any(start <= change.start < end for start, end in self._whiles) and change.weight < 5

    def mutation(self, change: Change, function: str) -> Mutation | None:
        """The change as whole lines that stand once in the file."""
        mutated = self.bytes[: change.start] + change.new.encode() + self.bytes[change.end :]
        try:
            ast.parse(mutated)
        except SyntaxError:
            return None
        first = self.bytes.rfind(b"\n", 0, change.start) + 1
        last = self.bytes.find(b"\n", change.end)
        last = len(self.bytes) if last < 0 else last
        while self.bytes.count(self.bytes[first:last]) > 1 and (first > 0 or last < len(self.bytes)):
            if first > 0:
                first = self.bytes.rfind(b"\n", 0, first - 1) + 1
            else:
                end = self.bytes.find(b"\n", last + 1)
                last = len(self.bytes) if end < 0 else end
        grown = len(change.new.encode()) - (change.end - change.start)
        old, new = self.bytes[first:last].decode(), mutated[first : last + grown].decode()
        if old == new:
            return None
        node = change.node
        assert isinstance(node, (ast.expr, ast.stmt))  # noqa: S101  changes are made of nothing else
        begin, stop = self.start(node), self.end(node)
        if b"\n" in self.bytes[begin:stop]:
            begin, stop = change.start, change.end
        if stop - begin < 10:  # too little to be understood: show its line
            begin = self.bytes.rfind(b"\n", 0, change.start) + 1
            stop = self.bytes.find(b"\n", change.end)
            stop = len(self.bytes) if stop < 0 else stop
        before, after = self.bytes[begin:stop].decode(), mutated[begin : stop + grown].decode()
        return Mutation(self.path, old, new, change.kind, function, node.lineno, before, after, change.weight)


def walk(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        yield child, inner
        yield from walk(child, inner)
