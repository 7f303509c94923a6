"""A YAML document read strictly: every value with its line, and none of YAML's surprises.

Nothing is ever constructed from it: no anchors (they can grow without bound), no tags, no merge keys, no key
twice. A value keeps the text that stands in the file: `20:00` or `on` is never read as something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

MAX_BYTES = 64 * 1024
MAX_DEPTH = 12
MAX_NODES = 5_000

_KINDS = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:int": "whole",
    "tag:yaml.org,2002:float": "float",
    "tag:yaml.org,2002:bool": "bool",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
}


class PolicyError(Exception):
    """What is wrong in a policy file, for whoever wrote it: `line` from 1, `key` dotted ("" for the file)."""

    def __init__(self, line: int, key: str, why: str) -> None:
        super().__init__(f"line {line}: " + (f"`{key}`: " if key else "") + why)
        self.line = line
        self.key = key
        self.why = why


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` as written, without its quotes. `kind`: text, whole, float, bool, null, date or other."""

    line: int
    key: str
    text: str
    kind: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    line: int
    key: str
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """`lines` are those of the keys."""

    line: int
    key: str
    items: dict[str, Node]
    lines: dict[str, int]


Node = Scalar | Sequence | Mapping


def read(text: str | bytes) -> Node | None:
    """The one document in it; None if it holds nothing but comments. Raises PolicyError and nothing else."""
    source = _decoded(text)
    try:
        for event in _checked(yaml.parse(source, Loader=yaml.SafeLoader)):
            del event
        root = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = " ".join(part for part in (error.context, error.problem) if part)
        raise PolicyError(mark.line + 1 if mark else 1, "", f"this is not YAML: {_tame(why)}") from error
    except yaml.reader.ReaderError as error:
        line = source.count("\n", 0, error.position) + 1
        raise PolicyError(line, "", "a character that YAML does not allow") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise PolicyError(1, "", f"this is not YAML: {_tame(str(error))}") from error
    return _node(root, "") if root is not None else None


def _decoded(text: str | bytes) -> str:
    if len(text) > MAX_BYTES:
        raise PolicyError(1, "", f"the file is larger than {MAX_BYTES // 1024} KB")
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(text.count(b"\n", 0, error.start) + 1, "", "the file is not UTF-8") from error


def _checked(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """The same events; refuses what could grow or mean something else, before anything is built from it."""
    depth = nodes = documents = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise PolicyError(line, "", "only one YAML document is read; `---` begins a second one")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise PolicyError(line, "", "anchors and aliases (& and *) are not read here; write it out")
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if getattr(event, "tag", None):
                raise PolicyError(line, "", "tags (!) are not read here; write the plain value")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise PolicyError(line, "", "the file is nested too deeply or holds too many values")
        yield event


def _node(node: yaml.Node, key: str) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        kind = _KINDS.get(node.tag, "other")
        return Scalar(line, key, node.value, kind, node.style in ("'", '"', "|", ">"))
    if isinstance(node, yaml.SequenceNode):
        return Sequence(line, key, tuple(_node(item, f"{key}[{i}]") for i, item in enumerate(node.value)))
    items: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for name, value in node.value:
        at = name.start_mark.line + 1
        if not isinstance(name, yaml.ScalarNode):
            raise PolicyError(at, key, "a key must be a plain word")
        path = f"{key}.{shown(name.value)}" if key else shown(name.value)
        if name.value in items:
            raise PolicyError(at, path, f"this key is there already, on line {lines[name.value]}")
        items[name.value], lines[name.value] = _node(value, path), at
    return Mapping(line, key, items, lines)


def shown(text: str) -> str:
    """What somebody wrote, fit for a code span in a sentence."""
    plain = "".join(c if c.isprintable() and c != "`" else "?" for c in text)
    return plain if len(plain) <= 60 else plain[:57] + "..."


def _tame(text: str) -> str:
    return " ".join("".join(c if c.isprintable() and c not in "`@<>" else " " for c in text).split())[:200]
