"""The shapes of what the API takes and answers, as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = dict[str, Any]

TEXT: Shape = {"type": "string"}
COUNT: Shape = {"type": "integer", "minimum": 0}
NUMBER: Shape = {"type": "number"}
YES: Shape = {"type": "boolean"}
MS: Shape = {"type": "integer", "description": "milliseconds since 1970-01-01 UTC"}
USD: Shape = {
    "type": "string",
    "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?$",
    "description": "US dollars as a decimal string, exact to the nano-dollar",
}


def record(fields: Mapping[str, Shape]) -> Shape:
    """An object that has these fields, all of them; a later version may have more."""
    return {"type": "object", "properties": dict(fields), "required": sorted(fields)}


def rows(of: Shape) -> Shape:
    return {"type": "array", "items": of}


def by_name(of: Shape) -> Shape:
    """An object whose names are not known beforehand."""
    return {"type": "object", "additionalProperties": of}


def maybe(shape: Shape) -> Shape:
    """It, or null."""
    return {"anyOf": [shape, {"type": "null"}]}


def word(*words: str) -> Shape:
    """One of these."""
    return {"type": "string", "enum": list(words)}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an address takes, in its path or in its query; `about`: a sentence."""

    about: str
    shape: Shape

    @property
    def empty(self) -> bool:
        """Whether "" is a value of it, which then is the same as none."""
        return self.shape.keys() <= TEXT.keys() | {"maxLength"} and self.shape["type"] == "string"


MONTH = Parameter(
    "A month such as 2026-11, in the time zone of the caps; without it the month that it is",
    {"type": "string", "pattern": r"^2[0-9]{3}-(0[1-9]|1[0-2])$"},
)
# A day of a year in which there can be a ledger.
DAY: Shape = {
    "type": "string",
    "format": "date",
    "pattern": r"^(19(7[1-9]|[89][0-9])|2[0-8][0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
}
LOGIN = Parameter("A person's name at GitHub", TEXT)

CEILINGS = record({"usd": USD, "tokens": COUNT, "steps": COUNT, "seconds": COUNT})
COST_BY = record(dict.fromkeys(("input", "cache_write", "cache_read", "output", "server_tools"), USD))
PART = record({"name": TEXT, "usd": USD, "tasks": COUNT})
