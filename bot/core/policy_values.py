"""The kinds of value that a policy file has: how each is read, and as what JSON Schema knows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.core.care import CONTEXTS
from bot.core.document import Scalar, shown
from bot.core.money import Usd
from bot.core.quantities import duration, whole

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """One scalar. `read` raises ValueError with what is wrong; `schema` accepts what it accepts."""

    read: Callable[[Scalar], Any]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one kind of value, each at most once."""

    of: Value
    least: int = 0
    most: int = 100


@dataclass(frozen=True, slots=True)
class Table:
    """Keys with their kinds."""

    keys: Mapping[str, Key]


@dataclass(frozen=True, slots=True)
class Named:
    """Names that the file chooses, each with the same kind of value. They are folded to lower case."""

    name: str  # a pattern
    form: str
    of: Value | Table


@dataclass(frozen=True, slots=True)
class Key:
    kind: Kind
    says: str


Kind = Value | Many | Table | Named


# -- values --


def _money(node: Scalar) -> Usd:
    text = _plain(node, "float", advice='money is never a float here: write "$' + shown(node.text) + '"')
    amount = Usd.parse(text)
    if not amount:
        raise ValueError("a ceiling of nothing would start nothing")
    return amount


def _whole(node: Scalar) -> int:
    return whole(_plain(node, "float", advice="write a whole number such as 50, 800k or 1M"))


def _wall(node: Scalar) -> int:
    text = _plain(node, "float")
    if text.isdigit():
        raise ValueError(f"{shown(text)} of what? Write it with its unit: {shown(text)}s, {shown(text)}m")
    return duration(text)


def _days(node: Scalar) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,2})d", _plain(node).strip())
    if not found or int(found[1]) > 365:
        raise ValueError(f"{node.text!r} is not a number of days such as 30d, at most 365d")
    return int(found[1])


def number(least: int, most: int) -> Value:
    """A plain whole number of these bounds, both included."""

    def read(node: Scalar) -> int:
        text = _plain(node)
        if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or not least <= int(text) <= most:
            raise ValueError(f"{node.text!r} is not a whole number from {least} to {most}")
        return int(text)

    return Value(read, {"type": "integer", "minimum": least, "maximum": most})


def choice(*words: str) -> Value:
    """One of these words."""

    def read(node: Scalar) -> str:
        if node.text not in words:
            raise ValueError(f"{node.text!r} is not one of {', '.join(words)}{meant(node.text, words)}")
        return node.text

    return Value(read, {"enum": list(words)})


def context() -> Value:
    """A size of the conversation, in tokens."""

    chosen = choice(*CONTEXTS)
    return Value(lambda node: CONTEXTS[chosen.read(node)], chosen.schema)


def words(pattern: str, most: int, form: str) -> Value:
    """A text of at most `most` characters; `form`: what it should be, for people."""

    def read(node: Scalar) -> str:
        if node.kind != "text":
            raise ValueError(f"YAML reads {node.text!r} as something else than text: put it in quotes")
        if len(node.text) > most or not re.fullmatch(pattern, node.text):
            raise ValueError(f"{shown(node.text)!r} is not {form}")
        return node.text

    return Value(read, {"type": "string", "maxLength": most, "pattern": f"^(?:{pattern})$"})


def _plain(node: Scalar, *refused: str, advice: str = "") -> str:
    """A number's text, if YAML sees the same in it as people do."""
    text = node.text
    if not node.quoted and node.kind in (*refused, "float", "bool", "null", "date", "other"):
        if ":" in text:
            raise ValueError(f"YAML reads {shown(text)} in base 60: write it with a unit, such as 20m")
        raise ValueError(advice or f"YAML reads {shown(text)} as a {node.kind}: write it another way")
    if not node.quoted and node.kind == "whole" and not re.fullmatch(r"[1-9][0-9]*", text):
        if ":" in text:
            raise ValueError(f"YAML reads {shown(text)} in base 60: write it with a unit, such as 20m")
        raise ValueError(f"YAML may read {shown(text)} as another number: write plain digits")
    return text


_ZERO = r"0*(?:\.0*)?"
MONEY = Value(
    _money,
    {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 999_999_999},
            {"type": "string", "pattern": rf"^(?!\$?{_ZERO}$)\$?[0-9]{{1,9}}(\.[0-9]{{1,9}})?$"},
        ]
    },
)
WHOLE = Value(
    _whole,
    {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 999_999_999_999},
            {"type": "string", "pattern": "^(?!0+[kM]?$)[0-9]{1,12}[kM]?$"},
        ]
    },
)
WALL = Value(_wall, {"type": "string", "pattern": "^(?!0+[smh]$)[0-9]{1,6}[smh]$"})
DAYS = Value(_days, {"type": "string", "pattern": "^[1-9][0-9]{0,2}d$"})
_NOT_CONTROL = r"[^\x00-\x1f\x7f]"
COMMAND = words(rf"(?=.*\S){_NOT_CONTROL}+", 500, "a command on one line, of at most 500 characters")
MODEL = words(r"[a-z0-9][a-z0-9.@:_-]*", 100, "a model's name, such as claude-opus-4-7")
# Few stars: a pattern is matched against every path of a changeset.
PATTERN = words(
    r"(?!!)(?!(?:.*/)?\.{1,2}(?:/|$))(?!.*//)(?=.)[^*\x00-\x1f\x7f\\]*(?:\*{1,2}[^*\x00-\x1f\x7f\\]*){0,6}",
    200,
    "a path inside the repository, without .. or a leading !, with at most six * or **",
)

TIER = re.compile(r"[a-z][a-z0-9-]{0,30}")
LOGIN = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9])?"  # GitHub's names of people


def _tier_or_money(node: Scalar) -> Usd | str:
    return node.text if TIER.fullmatch(node.text) else _money(node)


def _zone(node: Scalar) -> str:
    try:
        ZoneInfo(node.text)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        why = f"{shown(node.text)!r} is not a time zone such as Europe/Berlin or UTC"
        raise ValueError(why) from error
    return node.text


def _truth(node: Scalar) -> bool:
    if node.text not in ("true", "false") or node.quoted:
        raise ValueError(f"{shown(node.text)!r} is neither true nor false")
    return node.text == "true"


AMOUNT_OR_TIER = Value(_tier_or_money, {"anyOf": [*MONEY.schema["anyOf"], {"pattern": f"^{TIER.pattern}$"}]})
ZONE = Value(_zone, {"type": "string"})
TRUTH = Value(_truth, {"type": "boolean"})


def meant(word: str, words: tuple[str, ...]) -> str:
    """A phrase for the one of these that it may be a slip of; "" for none."""

    close = get_close_matches(word[:60].lower(), words, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
