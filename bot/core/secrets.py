"""What looks like a credential: by the rules of gitleaks and the kinds of our own, in what an agent wrote.

The rules are data (secret_rules.json; tests/contracts/secret_rules.py cuts it anew). They are written for RE2
and read by RE2: no text makes it slow. A comment `gitleaks:allow` excuses nothing here, for the agent could
write one; what is encoded is not decoded. It is a net under the work, not a wall around secrets.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

# Of one expression's automaton; gitleaks itself sets no bound, and RE2's own is eight times that.
MEMORY = 1 << 20
LINE = 2_000  # bytes before and behind a match that count as its line: not all of a file without line breaks
# Matches of one rule that are judged one by one. What follows counts as one more: it is not worth the time.
MANY = 1_000
# A key in whole or cut off; its mere first line stands in many a program that reads keys.
_KEY = (
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^A-Za-z0-9]|\\[nr])*[A-Za-z0-9+/]{16}[A-Za-z0-9+/=\s\\\"',-]*"
)
OURS = (
    ("a private key", "private key", _KEY),
    ("a run token of this service", "run_", r"\b(run_[A-Za-z0-9_-]{43})(?:[^A-Za-z0-9_-]|$)"),
    ("a login of this service", "user_", r"\b(user_[A-Za-z0-9_-]{43})(?:[^A-Za-z0-9_-]|$)"),
    ("an Anthropic API key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{24,}"),
    # Installation tokens of both forms: the newer one has dots.
    ("a GitHub token", "gh", r"\b(?:gh[pousr]_[A-Za-z0-9._-]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
)
# Files that hold nothing else.
NAMES = r"(?:^|/)(?:\.env|\.netrc|\.pgpass|\.git-credentials|\.htpasswd|id_(?:rsa|dsa|ecdsa|ed25519))$"


@dataclass(frozen=True, slots=True)
class Secret:
    """Where it stands, in bytes, and what it looks like, such as `a credential (npm-access-token)`."""

    what: str
    start: int
    end: int


def find(content: bytes, path: str = "") -> Iterator[Secret]:
    """Everything in a file's content that looks like one; `path` may excuse it, or be it."""
    name = path.encode(errors="replace")
    lower = content.lower()
    rules = _ours() if _any(_excused().paths, name) else (*_ours(), *_rules())
    for rule in rules:
        yield from rule.find(content, name, lower)


def redacted(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without what looks like a credential, and of what kinds that was."""
    raw = text.encode(errors="replace")
    found = sorted(find(raw), key=lambda one: (one.start, -one.end))
    if not found:
        return text, ()
    parts, at = [], 0
    for one in found:
        if one.start >= at:
            parts += [raw[at : one.start], f"({one.what}, left out)".encode()]
        at = max(at, one.end)
    return b"".join([*parts, raw[at:]]).decode(errors="replace"), tuple(sorted({one.what for one in found}))


# -- the rules --


@dataclass(frozen=True)
class Excuse:
    """What is no secret after all. `all`: every one of its lists has to say so, else any."""

    paths: tuple[Any, ...]
    regexes: tuple[Any, ...]
    stopwords: tuple[bytes, ...]
    target: str
    all: bool

    def holds(self, path: bytes, secret: bytes, match: bytes, line: bytes) -> bool:
        text = {"match": match, "line": line}.get(self.target, secret)
        said = []
        if self.paths:
            said.append(_any(self.paths, path))
        if self.regexes:
            said.append(_any(self.regexes, text))
        if self.stopwords:
            lower = secret.lower()
            said.append(any(word in lower for word in self.stopwords))
        return bool(said) and (all(said) if self.all else any(said))


@dataclass(frozen=True)
class Rule:
    """One rule; compiled when a text first holds one of its keywords (in lower case).

    `ours`: nothing excuses what it finds.
    """

    what: str
    pattern: str | None
    keywords: tuple[bytes, ...] = ()
    path: str | None = None
    entropy: float = 0.0
    group: int = 0
    allow: tuple[Mapping[str, Any], ...] = ()
    ours: bool = False

    @cached_property
    def expression(self) -> Any:
        return _compiled(self.pattern or "")

    @cached_property
    def place(self) -> Any:
        return _compiled(self.path or "")

    @cached_property
    def excuses(self) -> tuple[Excuse, ...]:
        return () if self.ours else (*(_excuse(one) for one in self.allow), _excused())

    def find(self, content: bytes, path: bytes, lower: bytes) -> Iterator[Secret]:
        """`lower`: the content in lower case, once for all rules."""
        if self.path is not None and not self.place.search(path):
            return
        if self.pattern is None:
            yield Secret(self.what, 0, len(content))
            return
        if not any(word in lower for word in self.keywords):
            return
        for number, match in enumerate(self.expression.finditer(content)):
            start, end = self._secret(match)
            if number == MANY:
                yield Secret(self.what, start, len(content))
                return
            if self.entropy and entropy(content[start:end]) <= self.entropy:
                continue
            if self._excused(content, path, match, start, end):
                continue
            yield Secret(self.what, start, end)

    def _secret(self, match: Any) -> tuple[int, int]:
        """The group that holds it, as gitleaks chooses: the one that is named, else the first one."""
        if self.group:
            start, end = match.span(self.group)
            return start, end
        for number in range(1, (match.re.groups or 0) + 1):
            start, end = match.span(number)
            if end > start >= 0:
                return start, end
        start, end = match.span()
        return start, end

    def _excused(self, content: bytes, path: bytes, match: Any, start: int, end: int) -> bool:
        first, last = match.span()
        before, after = content[max(0, first - LINE) : first], content[last : last + LINE]
        line = before[before.rfind(b"\n") + 1 :] + content[first:last] + after.partition(b"\n")[0]
        secret, whole = content[start:end], content[first:last]
        return any(excuse.holds(path, secret, whole, line) for excuse in self.excuses)


def entropy(text: bytes) -> float:
    """Shannon's, in bits for each byte."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


@cache
def _data() -> Any:
    return json.loads(Path(__file__).with_name("secret_rules.json").read_text(encoding="utf-8"))


@cache
def _ours() -> tuple[Rule, ...]:
    named = Rule("a file for credentials alone", None, path=NAMES, ours=True)
    return (named, *(Rule(what, pattern, (word.encode(),), ours=True) for what, word, pattern in OURS))


@cache
def _rules() -> tuple[Rule, ...]:
    return tuple(
        Rule(
            f"a credential ({one['id']})",
            one.get("regex"),
            tuple(word.encode() for word in one.get("keywords", ())),
            one.get("path"),
            one.get("entropy", 0.0),
            one.get("group", 0),
            tuple(one.get("allow", ())),
        )
        for one in _data()["rules"]
    )


@cache
def _excused() -> Excuse:
    """What is no secret by any rule."""
    return _excuse(_data()["allow"])


def _excuse(said: Mapping[str, Any]) -> Excuse:
    return Excuse(
        tuple(_compiled(one) for one in said.get("paths", ())),
        tuple(_compiled(one) for one in said.get("regexes", ())),
        tuple(word.lower().encode() for word in said.get("stopwords", ())),
        said.get("target", "secret"),
        said.get("all", False),
    )


def _any(expressions: tuple[Any, ...], text: bytes) -> bool:
    return any(one.search(text) for one in expressions)


def _compiled(pattern: str) -> Any:
    # Here and not above: a web process at rest does without.
    import re2

    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are
    return re2.compile(pattern.encode(), options)
