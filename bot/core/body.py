"""The JSON of a body, without ever having it whole: a long text stands in as its hash and its length.

Text in memory takes up to four times its bytes, and what is parsed of it as much again. So a large body is
read in a window, value by value; only a small one is decoded at once.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from json.decoder import (  # type: ignore[attr-defined]  # typeshed has no scanstring
    JSONDecodeError,
    JSONDecoder,
    scanstring,
)
from json.encoder import encode_basestring
from typing import Any, Self

from bot.core.allowances import Refused

SHORT = 1 << 10  # characters; a longer text is known by its hash


@dataclass(frozen=True, slots=True)
class Limits:
    """How a body is read; smaller ones are for tests."""

    whole: int = 1 << 20  # bytes: a body of so many is decoded at once, and no text of it is replaced
    window: int = 1 << 20  # characters of one value, its long texts beside
    long: int = 1 << 16  # characters: a longer text of a large body is replaced
    step: int = 1 << 16  # by which the window grows at the least; bytes, or characters
    piece: int = 1 << 12  # bytes of a text that are looked at first, and up to 32 times of it then


LIMITS = Limits()
Bytes = bytes | memoryview
Span = tuple[int, int]  # from, to


class Long(str):
    """What stands for a long text; equal where the texts are. As a text it says what it stands for.

    `length` is in characters, `size` in bytes as JSON writes it without need; `digest` is of those bytes.
    """

    __slots__ = ("digest", "length", "size")
    digest: str
    length: int
    size: int

    def __new__(cls, digest: str, length: int, size: int) -> Self:
        made = super().__new__(cls, f"({length:,} characters, sha256 {digest})")
        made.digest, made.length, made.size = digest, length, size
        return made


def weighed(text: str) -> tuple[str, int]:
    """The digest and the size of a text, or of what a stand-in stands for."""
    if isinstance(text, Long):
        return text.digest, text.size
    written = _written(text)
    return hashlib.sha256(written).hexdigest(), len(written)


def length(text: str) -> int:
    """Of a text or of what a stand-in stands for, in characters."""
    return text.length if isinstance(text, Long) else len(text)


def scan(
    body: Bytes,
    listed: str,
    each: Callable[[Any, int], None],
    sought: Collection[str],
    limits: Limits = LIMITS,
) -> tuple[dict[str, Any], dict[str, Span]]:
    """The top-level object, and the bytes between which the values of those `sought` stand, in their order.

    The items of the list `listed` are not in it: they go to `each`, with the characters that they take.
    Raises Refused for what is not JSON, has a key twice, or has too much of what is small.
    """
    try:
        return _Scan(body, limits).members(listed, each, sought)
    except RecursionError as error:
        raise Refused("the body is nested too deeply") from error
    except ValueError as error:
        raise Refused(f"the body is not a JSON object: {error or 'it ends too early'}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("the body has the same key twice in one object; which one counts is not defined")
    return found


def _written(text: str) -> bytes:
    """As JSON writes it between its quotes, nothing escaped that need not be."""
    return encode_basestring(text)[1:-1].encode("utf-8", "surrogatepass")


_SPACE = " \t\n\r"
_SPACES = re.compile(r"[ \t\n\r]++")
_STAND_IN = "NaN"
_A_KEY = re.compile(rb"[ \t\n\r]*+:")


@cache
def _as_it_is(most: int) -> re.Pattern[bytes]:
    """All that may stay as it is: what is no text, and texts of up to so many bytes.

    N and I begin what Python takes for a number and JSON does not know: NaN is free to mark a stand-in.
    Possessive, so that it needs no memory; an escape and what follows it are at most 65 bytes.
    """
    text = rb'(?:[^"NI]++|"[^"\\]{0,%d}+(?:\\.[^"\\]{0,63}+){0,%d}+")*+'
    return re.compile(text % (most // 4, most * 3 // 4 // 65), re.DOTALL)


class _StandIns:
    """Those in the window, in their order. (In the scan itself they would tie it to its decoder.)"""

    def __init__(self) -> None:
        self.all: list[Long] = []
        self.used = 0

    def next(self, name: str) -> Long:
        if self.used == len(self.all):
            raise Refused(f"the body is not a JSON object: JSON does not know {name}")
        self.used += 1
        return self.all[self.used - 1]

    def forget(self) -> None:
        """Those that were used."""
        del self.all[: self.used]
        self.used = 0


_PLAIN = JSONDecoder(object_pairs_hook=_unique, parse_constant=_StandIns().next)  # of which there are none


class _Scan:
    """One reading of a body: `text[at:]` is what comes next of it, `end` how many bytes are in the window."""

    def __init__(self, body: Bytes, limits: Limits) -> None:
        self.body = memoryview(body)
        self.limits = limits
        self.text = ""
        self.at = 0
        self.began = 0  # where in `text` the last value began
        self.end = 0
        self._segments: list[tuple[int, int]] = []  # where in `text` what begins at which byte of the body
        self._stand_ins = _StandIns()
        self._long = limits.long
        if len(body) <= limits.whole:
            self.text, self.end, self._segments = str(self.body, "utf-8"), len(body), [(0, 0)]
            self._decode = _PLAIN.raw_decode
        else:
            self._decode = JSONDecoder(
                object_pairs_hook=_unique, parse_constant=self._stand_ins.next
            ).raw_decode

    # -- the grammar of the top --

    def members(
        self, listed: str, each: Callable[[Any, int], None], sought: Collection[str]
    ) -> tuple[dict[str, Any], dict[str, Span]]:
        top: dict[str, Any] = {}
        spans: dict[str, Span] = {}
        room = max(self.limits.window, len(self.text))
        self._expect("{", "")
        while self._peek() != "}":
            if top:
                self._expect(",", "a comma is missing")
                if self._peek() == "}":
                    raise Refused("the body is not a JSON object: a comma too many")
            key = self._key()
            if key in top:
                raise Refused(f"the body has {key!r} twice; which one counts is not defined")
            self._expect(":", "a colon is missing")
            if self._peek() == "[" and key == listed:
                start = self._byte(self.at) if key in sought else 0
                self._items(each)
                top[key] = ()
                if key in sought:
                    spans[key] = start, self._byte(self.at)
                continue
            top[key] = self._value()
            if key in sought:
                spans[key] = self._byte(self.began), self._byte(self.at)
            room -= self.at - self.began
            if room < 0:
                raise _too_large()
        self.at += 1
        if self._peek():
            raise Refused("the body goes on after its JSON object")
        return top, spans

    def _key(self) -> str:
        if self._peek() != '"':
            raise Refused("the body is not a JSON object: a key must be a string")
        key: str = self._value()
        if self.text[self.began + 1 : self.at - 1] != key:
            raise Refused(f"the key {key!r} is written with escapes; write it plainly")
        return key

    def _items(self, each: Callable[[Any, int], None]) -> None:
        self.at += 1
        first = True
        while self._peek() != "]":
            if not first:
                self._expect(",", "a comma is missing")
                self._peek()
            first = False
            item = self._value()
            each(item, self.at - self.began)
        self.at += 1

    def _expect(self, sign: str, why: str) -> None:
        if self._peek() != sign:
            raise Refused(f"the body is not a JSON object{why and ': '}{why}")
        self.at += 1

    # -- the window --

    def _peek(self) -> str:
        """The next character that is no space; none at the end."""
        while True:
            sign = self.text[self.at : self.at + 1]
            if sign and sign not in _SPACE:
                return sign
            if found := _SPACES.match(self.text, self.at):
                self.at = found.end()
            elif self.end == len(self.body):
                return ""
            else:
                self._more()

    def _value(self) -> Any:
        while True:
            used = self._stand_ins.used
            whole = self.end == len(self.body)
            try:
                value, end = self._decode(self.text, self.at)
            except JSONDecodeError:
                if whole:
                    raise
            else:
                # A number may go on behind the window, by as much as `e+1`.
                if whole or end + 3 < len(self.text):
                    self.began, self.at = self.at, end
                    self._long = self.limits.long
                    return value
            self._stand_ins.used = used
            self._more()

    def _more(self) -> None:
        """Let what was read out of the window and twice of what was not yet into it."""
        held = len(self.text) - self.at
        if held <= self.limits.window:
            start = self._byte(self.at)
            self._segments = [(max(0, at - self.at), byte) for at, byte in self._segments if at > self.at]
            self._segments.insert(0, (0, start))
            self.text, self.at = self.text[self.at :], 0
            self._stand_ins.forget()
        elif self._long > SHORT:  # once more from its beginning, with all but short texts replaced
            self._long, self.end = SHORT, self._byte(self.at)
            self.text, self.at, held = "", 0, 0
            self._segments = []
            self._stand_ins.all.clear()
            self._stand_ins.used = 0
        else:
            raise _too_large()
        self._fill(max(self.limits.step, min(held, self.limits.window + 1 - held)))

    def _fill(self, most: int) -> None:
        as_it_is = _as_it_is(self._long)
        parts, size = [self.text], len(self.text)
        until = size + most
        while size < until and self.end < len(self.body):
            found = as_it_is.match(self.body, self.end, min(len(self.body), self.end + most))
            stop = found.end() if found else self.end
            self._segments.append((size, self.end))
            if stop > self.end:
                part = str(self.body[self.end : stop], "utf-8")
                self.end = stop
            elif self.body[stop] == ord('"'):
                part, self.end = self._string(stop)
            else:
                raise Refused("the body is not a JSON object: it has a word that JSON does not know")
            parts.append(part)
            size += len(part)
        self.text = "".join(parts)

    def _byte(self, at: int) -> int:
        """Where in the body a place of `text` is."""
        for start, byte in reversed(self._segments):
            if start <= at:
                return byte + len(self.text[start:at].encode())
        return self.end

    def _string(self, start: int) -> tuple[str, int]:
        """The string that begins at this byte, as it stands or replaced; and the byte behind it."""
        digest, length, size = hashlib.sha256(), 0, 0
        at, piece, high, ended = start + 1, self.limits.piece, "", False
        while not ended:
            words, at, ended = self._words(at, piece)
            words = _joined(high + words) if high else words
            # The first half of a letter that was written as two escapes.
            high = words[-1] if words and not ended and "\ud800" <= words[-1] <= "\udbff" else ""
            written = _written(words[:-1] if high else words)
            digest.update(written)
            length, size = length + len(words) - len(high), size + len(written)
            piece = min(2 * piece, 32 * self.limits.piece)
        if length <= self._long:
            return str(self.body[start:at], "utf-8"), at
        if _A_KEY.match(self.body, at):
            raise Refused(f"a key of the body is longer than {self._long:,} characters")
        self._stand_ins.all.append(Long(digest.hexdigest(), length, size))
        return _STAND_IN, at

    def _words(self, at: int, most: int) -> tuple[str, int, bool]:
        """What up to so many bytes inside a string say, where they end, and whether the string ends there."""
        raw = bytes(self.body[at : at + most])
        if not raw:
            raise ValueError("a string does not end")
        if at + most < len(self.body):
            raw = raw[: _whole_escapes(raw)]
        text, used = codecs.utf_8_decode(raw, "strict", at + most >= len(self.body))
        words, stop = scanstring(text + '"', 0)
        if stop > len(text):
            return words, at + used, False
        return words, at + len(text[:stop].encode()), True


def _whole_escapes(raw: bytes) -> int:
    """How much of a piece of a string ends with no escape cut in two (`\\u0061` is the longest)."""
    last = raw.rfind(b"\\", max(0, len(raw) - 6))
    if last < 0:
        return len(raw)
    before = len(raw[: last + 1].rstrip(b"\\"))
    # Before the last row of backslashes; of a piece that is nothing else, pairs.
    return before or (last + 1) // 2 * 2


def _joined(text: str) -> str:
    """The two halves of a letter that began in one piece and ended in the next, as the one that they are."""
    return text[:2].encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") + text[2:]


def _too_large() -> Refused:
    return Refused(
        f"one part of the body has more than {LIMITS.window:,} characters beside texts of over {SHORT:,}; "
        "a message of so many small parts is not read"
    )
