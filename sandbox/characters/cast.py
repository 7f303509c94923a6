"""Everyone by name, and who is meant when nobody is named."""

from __future__ import annotations

import re
from collections.abc import Callable

from sandbox.characters.answers import Answer, Delivery, Failure
from sandbox.characters.blocks import Chat, spoken
from sandbox.characters.delegating import Delegating
from sandbox.characters.examinee import Answers, BendsTests, Examinee, GivesUp
from sandbox.characters.fixer import Fixer
from sandbox.characters.gullible import Gullible
from sandbox.characters.measured import Measured
from sandbox.characters.plain import Character, Clock, Delivered, Echo, Expensive, Fails, Manner, Refuses
from sandbox.characters.planner import ASKED, Planner
from sandbox.characters.restless import Oscillating, Runaway, Steady, Stuck, Tireless, Working, Wrong
from sandbox.characters.talk import Talk
from sandbox.characters.writers import Either, WritesAnswers, WritesForEver, WritesRepairs

_OVER_LIMIT = (
    "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
)
_RATE = "This request would exceed your organization's rate limit of 50 requests per minute."
_TIER = "Your organization has reached its monthly spend limit."


def _delivered(**how: object) -> Callable[[Manner], Character]:
    return lambda manner: Delivered(manner, Delivery(**how))  # type: ignore[arg-type]


def _fails(status: int, kind: str, message: str, **details: str) -> Callable[[Manner], Character]:
    def make(manner: Manner) -> Character:
        retry = (("retry-after", str(manner.retry_after)),) if status in (429, 529) and not details else ()
        return Fails(Failure(status, kind, message, retry, dict(details) or None))

    return make


def _examinee(kind: str) -> Callable[[Manner], Character]:
    return lambda manner: Either(Examinee(Answers(kind)), WritesAnswers(kind))


def _defiant(manner: Manner) -> Character:
    return Working(Tireless(manner), obeys=False)


# Each with one line for --help.
CAST: dict[str, tuple[str, Callable[[Manner], Character]]] = {
    "fixer": (
        "repairs the code by running its tests and trying",
        lambda manner: Either(Fixer(manner), WritesRepairs()),
    ),
    "planner": ("cuts the task into a check list of pieces", Planner),
    "wrong": ("makes a change that does not help, claims success", lambda manner: Working(Wrong(manner))),
    "runaway": (
        "edits and tests for ever, more at each turn",
        lambda manner: Either(Working(Runaway(manner)), WritesForEver(manner)),
    ),
    "tireless": ("always finds one more thing to write", lambda manner: Working(Tireless(manner))),
    "defiant": ("a tireless one that does not wrap up when told to", _defiant),
    "stuck": ("the same action for ever", lambda manner: Working(Stuck(manner))),
    "oscillating": ("edits that undo each other", lambda manner: Working(Oscillating(manner))),
    "gullible": ("does whatever any text tells it to, then says all that it saw", Gullible),
    "examinee": ("knows the exam's answers, finds their places", _examinee("after")),
    "symptom": ("knows wrong ones: the test passes", _examinee("symptom")),
    "gives-up": ("looks, runs the tests, changes nothing", lambda manner: Examinee(GivesUp(manner))),
    "bends-tests": ("makes tests pass by rewriting them", lambda manner: Examinee(BendsTests(manner))),
    "steady": ("one line more at each turn, by what it last saw, until it has nine", Steady),
    "measured": ("forty steps, the same whoever carries them out, then a summary", Measured),
    "delegating": ("gives the task to eight subagents at once, who go on for ever", Delegating),
    "echo": ("answers at once; --answer-tokens says how much", Echo),
    "expensive": ("uses nearly all of max_tokens", Expensive),
    "slow": (
        "--event-ms before each event",
        lambda manner: Delivered(manner, Delivery(event_ms=manner.event_ms)),
    ),
    "clock": ("tells when each event left: --answer-tokens times, --event-ms apart", Clock),
    "refuses": ("refuses before any output: not billed", lambda manner: Refuses(manner, midway=False)),
    "refuses-midway": ("refuses after some output: billed", lambda manner: Refuses(manner, midway=True)),
    "cuts": ("closes the stream after message_start", _delivered(ends="cut")),
    "truncated": (
        "ends before message_delta, or in the middle of the JSON",
        _delivered(ends="truncated", after_events=5),
    ),
    "reset": ("resets the connection before the first byte", _delivered(ends="reset", after_events=0)),
    "reset-midway": (
        "resets the connection in the middle of a stream",
        _delivered(ends="reset", after_events=4),
    ),
    "error-midway": ("an error event in the middle of a stream", _delivered(ends="error", after_events=4)),
    "error-first": (
        "an error event in place of the stream: not billed",
        _delivered(ends="error", after_events=0),
    ),
    "error-first-reset": (
        "the same, and then resets the connection",
        _delivered(ends="error-reset", after_events=0),
    ),
    "pings": (
        "message_start, then pings for ever",
        lambda manner: Delivered(manner, Delivery(ends="pings", event_ms=manner.event_ms)),
    ),
    "silent": ("accepts the request and never answers", _delivered(ends="silent")),
    "gibberish": ("200 with a page that is not the API's", _delivered(ends="gibberish")),
    "bills-above": ("bills two tokens for each byte it was sent, and 10,000 more", _delivered(overbilled=2)),
    "overloaded": ("529 with retry-after", _fails(529, "overloaded_error", "Overloaded")),
    "rate-limited": ("429 with retry-after", _fails(429, "rate_limit_error", _RATE)),
    "broken": ("500", _fails(500, "api_error", "Internal server error")),
    "upstream-limit": (
        "400: the spend limit that you set is reached",
        _fails(400, "invalid_request_error", _OVER_LIMIT),
    ),
    "tier-limit": (
        "429: the tier's spend limit is reached",
        _fails(429, "rate_limit_error", _TIER, error_code="enforced_spend_limit_reached"),
    ),
    "no-credit": ("402: no credit left", _fails(402, "billing_error", "Your credit balance is too low.")),
}

_NAMED = re.compile(r"\b(?:character|as)[:=] ?([a-z][a-z-]+)")
_BY_WORDS = (
    (r"\brun(?:s|ning)?[ -]?away\b|\brunaway\b", "runaway"),
    (r"\btireless\w*", "tireless"),
    (r"\bdefiant\b|\bdef(?:y|ies)\b", "defiant"),
    (r"\bstuck\b", "stuck"),
    (r"\boscillat\w+|\bback and forth\b", "oscillating"),
    (r"\bwrong(?:ly)? fix|\bfix (?:it )?wrong(?:ly)?\b|\bget it wrong\b|\bwrong character\b", "wrong"),
    (r"\bexpensively\b|\bbe expensive\b", "expensive"),
    (r"\brefuse (?:this|to)\b", "refuses"),
    (r"\bbe overloaded\b", "overloaded"),
    (r"\bslowly\b|\btake your time\b", "slow"),
)
# "If you get stuck, say so" is house rules of a prompt, not a wish.
_NOT_MEANT = re.compile(r"[^.!?\n]*\b(?:if|when|unless|never|not|avoid|don't|without)\b[^.!?\n]*", re.I)


LOOKED_AT = 4_000  # characters of a task; who is meant is said in its first lines


class Auto:
    """Chooses for each conversation by the words of its task; the fixer when nothing else is asked for."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._made: dict[str, Character] = {}

    def answer(self, talk: Talk) -> Answer | Failure:
        return self._named(self.choose(talk)).answer(talk)

    @staticmethod
    def choose(talk: Talk) -> str:
        in_aider = spoken(talk)
        task = (Chat(talk).task if in_aider else talk.task)[:LOOKED_AT]
        named = _NAMED.search(task.lower())
        if named and named[1] in CAST:
            return named[1]
        if ASKED in talk.said_first:
            return "planner"
        meant = _NOT_MEANT.sub("", task)
        for pattern, name in _BY_WORDS:
            if re.search(pattern, meant, re.I):
                return name
        return "fixer" if talk.tools or in_aider else "echo"

    def _named(self, name: str) -> Character:
        if name not in self._made:
            self._made[name] = CAST[name][1](self._manner)
        return self._made[name]


CAST["auto"] = ("by the words of the task; the fixer when nothing else is asked for", Auto)


def named(name: str, manner: Manner) -> Character:
    """The character of that name. Raises KeyError."""
    return CAST[name][1](manner)
