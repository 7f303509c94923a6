"""What nobody meant to send: text, numbers and JSON of every kind, and documents with some of it in them."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

Json = Any
ODD_WORDS = (
    "", " ", "\0", "a\0b", "\ud800", "a\udfffb", "\u202ex", "\ufeff", "é", "٣", "\U0001d7d9", "\u2028",
    "\r\n", "\n", "\t",
    "<script>alert(1)</script>", "<!--", "-->", "`", "```", "@ada", "closes #1", "'; --", "%00", "%",
    "../..", "/",
    "=1+1", "{{7*7}}", "${x}", "NaN", "Infinity", "1e999", "-1", "0", "00", "0x10", "1_000", "9" * 30,
    "9" * 5_000,
    "true", "null", "[]", "{}", "\\", '"', "*", "?", "(none)", "all", "x" * 5_000, "\x1b[2J",
)  # fmt: skip
ODD_NUMBERS = (
    0, -1, 1, 255, 256, 65_536, 10**6 + 1, 2**31 - 1, 2**31, 2**53 + 1, 10**12, 10**15, 2**63 - 1, 2**63,
    2**64,
    10**30, -(2**63), 0.5, -0.0, 1e308, float("nan"), float("inf"),
)  # fmt: skip

TENTHS = tuple(range(10))

# Also what is no Unicode by itself: JSON can say it, and no database takes it.
characters = st.characters()
words = st.one_of(st.sampled_from(ODD_WORDS), st.text(max_size=20), st.text(characters, max_size=10))
numbers = st.one_of(st.sampled_from(ODD_NUMBERS), st.integers(-10, 10**13))
leaves = st.one_of(st.none(), st.booleans(), numbers, words)
json_like = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
# JSON that no `json.dumps` writes; each stands in for one value.
DEEP, HUGE, DIGITS, TWICE = "@deep@", "@huge@", "@digits@", "@twice@"
RAW = {
    DEEP: "[" * 3_000 + "]" * 3_000,
    HUGE: '"' + "é" * 300_000 + '"',
    DIGITS: "7" * 6_000,
    TWICE: '{"a": 1, "a": {"id": 2}}',
}
raw_values = st.sampled_from(sorted(RAW))


def repeated(pieces: st.SearchStrategy[str], most: int = 60_000) -> st.SearchStrategy[str]:
    """A text in which a short piece comes again and again: what takes quadratic time shows it here."""
    return st.builds(
        lambda piece, times: (piece * times)[:most], pieces, st.sampled_from([1, 2, 50, 5_000, 60_000])
    )


@st.composite
def mutated(draw: st.DrawFn, documents: st.SearchStrategy[Json], most: int = 3) -> bytes:
    """A document as JSON with up to `most` things changed anywhere in it, and now and then its bytes too."""
    made = copy.deepcopy(draw(documents))
    for _ in range(draw(st.integers(0, most))):
        found = list(places(made))
        if not found:
            break
        holder, key = found[draw(st.integers(0, len(found) - 1))]
        match draw(st.sampled_from(("replaced", "replaced", "gone", "renamed", "wrapped", "another's"))):
            case "replaced":
                holder[key] = draw(raw_values if draw(st.sampled_from(TENTHS)) == 7 else json_like)
            case "gone":
                del holder[key]
            case "renamed" if isinstance(holder, dict):
                holder[draw(words)] = holder.pop(key)
            case "wrapped":
                holder[key] = draw(st.sampled_from([[holder[key]], {"id": holder[key]}, [holder[key]] * 40]))
            case _:
                other, at = found[draw(st.integers(0, len(found) - 1))]
                holder[key] = copy.deepcopy(other[at])
    return spoiled(draw, written(made, ascii=draw(st.booleans())))


def spoiled(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes as they are, mostly; else cut, with another byte, in another encoding or with more behind."""
    match draw(st.sampled_from(TENTHS * 2)):
        case 0:
            return raw[: draw(st.integers(0, len(raw)))]
        case 1 if raw and draw(st.booleans()):
            at = draw(st.integers(0, len(raw) - 1))
            return raw[:at] + draw(st.binary(max_size=3)) + raw[at + 1 :]
        case 2 if draw(st.booleans()):
            encoding = draw(st.sampled_from(["utf-16", "utf-32-be", "utf-8-sig", "latin-1"]))
            return raw.decode(errors="replace").encode(encoding, "replace")
        case 3 if draw(st.booleans()):
            return raw + draw(st.binary(max_size=5))
        case _:
            return raw


def places(made: Json) -> list[tuple[Any, Any]]:
    """Every place of a document: what holds it, and its key or index there."""
    found: list[tuple[Any, Any]] = []
    for key in list(made) if isinstance(made, dict) else range(len(made)) if isinstance(made, list) else ():
        found.append((made, key))
        found += places(made[key])
    return found


def written(made: Json, ascii: bool = True) -> bytes:
    """As JSON; what RAW has, and surrogates, as they are."""
    text = json.dumps(made, ensure_ascii=ascii)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode("utf-8", "surrogatepass")


def query(pairs: list[tuple[str, str]]) -> str:
    """A query string, every byte of it as it is meant."""
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)


def quoted(text: str) -> str:
    """As a part of an address."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")
