"""A runner's result, read strictly: what it says is a claim, not the truth (the gateway's goes first).

Its words are for people to read: what looks like a credential in them is left out, and the words say so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bot.core import changeset
from bot.core.ceilings import Reason
from bot.core.changeset import Changeset, Malformed
from bot.core.money import Usd
from bot.core.reports import Check
from bot.core.secrets import redacted
from bot.core.untrusted import storable

OUTCOMES = ("done", "halted", "failed")
# What a runner may say: also that it ended its agent before a ceiling, which only keeps the work aside.
# Every other reason is the gateway's to give.
ITS_OWN = (Reason.STUCK, Reason.WALL_CLOCK, Reason.STOPPED, Reason.COST, Reason.TOKENS, Reason.STEPS)
MAX_TEXT = 20_000
MAX_OUTPUT = 20_000
ROOM = 10_000  # looked through beside what is kept, so that a cut does not hide a credential's other half


@dataclass(frozen=True, slots=True)
class Result:
    outcome: str
    reason: Reason | None
    message: str
    summary: str
    changeset: Changeset
    check: Check | None
    isolation: str
    tool_calls: int
    engine: str
    own: Usd | None = None  # what a program of others says that it has cost


def read(body: bytes) -> Result:
    """A result from its JSON. Raises Malformed, with a sentence for the runner."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not JSON") from error
    if not isinstance(raw, dict):
        raise Malformed("the body must be a JSON object")
    if raw.get("outcome") not in OUTCOMES:
        raise Malformed(f"outcome must be one of {', '.join(OUTCOMES)}")
    reason = raw.get("reason")
    if reason is not None and reason not in tuple(Reason):
        raise Malformed("reason is not one that a run can halt for")
    engine = raw.get("engine")
    named = (engine.get("name"), engine.get("version")) if isinstance(engine, dict) else ()
    return Result(
        outcome=raw["outcome"],
        reason=Reason(reason) if reason is not None else None,
        message=_text(raw, "message", 2_000),
        summary=_text(raw, "summary", MAX_TEXT),
        changeset=changeset.read(raw.get("changeset")),
        check=_check(raw.get("check")),
        isolation=_text(raw, "isolation", 40),
        tool_calls=count(raw.get("tool_calls")) or 0,
        engine=" ".join(str(part)[:60] for part in named if part),
        own=_own(engine),
    )


def _own(engine: Any) -> Usd | None:
    """A claim that nothing depends on: what cannot be read was not said."""
    said = engine.get("own_usd") if isinstance(engine, dict) else None
    try:
        return Usd.parse(said) if isinstance(said, str) else None
    except ValueError:
        return None


def count(raw: Any) -> int | None:
    """A number of things as a runner sends it; None if it is none."""
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= 1_000_000 else None


def _text(raw: dict[str, Any], key: str, most: int) -> str:
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{key} must be text")
    value = _clean(value[: most + ROOM])
    return value if len(value) <= most else value[:most] + " […]"


def _clean(value: str) -> str:
    return redacted(storable(value))[0]


def _check(raw: Any) -> Check | None:
    if raw is None:
        return None
    if not isinstance(raw, dict) or not isinstance(raw.get("command"), str):
        raise Malformed("check must be an object with command, exit_code and output")
    code = raw.get("exit_code")
    if not isinstance(code, int) or isinstance(code, bool):
        raise Malformed("check.exit_code must be a number")
    output = _clean(str(raw.get("output") or "")[-MAX_OUTPUT - ROOM :])[-MAX_OUTPUT:]
    return Check(_text(raw, "command", 1_000), code, output)
