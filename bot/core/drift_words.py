"""Each kind of drift in a sentence or two: what it is, whose, and what to do (docs/reconciliation.md)."""

from __future__ import annotations

from collections.abc import Callable

from bot.core import drift as drifting
from bot.core.drift import Drift
from bot.core.invoice import BATCH, SEARCHES, UNPRICED, WORDS
from bot.core.money import Usd

SHOWN = 10  # runs named in a sentence


def sentence(drift: Drift) -> str:
    """What it is and what to do, for whoever answers for the bill; without the day."""
    hint = f" ({drift.hint})" if drift.hint else ""
    return _SENTENCES[drift.kind](drift) + hint + "."


def _missing(drift: Drift) -> str:
    used = f"{drift.invoiced} of {drift.model} was used with {drift.key}"
    if drift.part == BATCH:
        return f"{used} in batches, which pass no gateway: somebody else has that key"
    if drift.part == UNPRICED:
        return (
            f"{drift.invoiced_tokens:,} tokens of {drift.model} were used with {drift.key}. The gateway "
            "refuses a model without a price, so somebody else has that key"
        )
    near = f" While it was, {_runs(drift)} ran with that key." if drift.runs else ""
    return (
        f"{used}, {drift.invoiced_tokens:,} tokens, and no turn in the ledger explains it.{near} Either "
        "somebody uses the key beside the gateway, or rows of a run are gone: give the gateway a key that "
        "nobody else has"
    )


def _double(drift: Drift) -> str:
    return (
        f"{_runs(drift)} has turns with a request id that another turn has too, and the invoice has "
        f"them once. The ledger shows {drift.expected} that was never billed; caps and ceilings have "
        "counted it"
    )


def _model(drift: Drift) -> str:
    return (
        f"{_runs(drift)} is booked as {drift.model} for {drift.expected}; at the same time the invoice has "
        f"exactly its {drift.invoiced_tokens:,} tokens as {drift.part}, which is {drift.invoiced}"
    )


def _price(drift: Drift) -> str:
    if not drift.part:
        return (
            f"{_runs(drift)} is booked with {drift.expected}, and the report has the same tokens at "
            f"{drift.invoiced}: they ran in another region or context size than their answers said, or "
            "PRICE_FILE was changed since"
        )
    part, _, workspace = drift.part.partition("@")
    of = f" of {drift.model}" if drift.model else ""
    where = f" in the workspace {workspace}" if workspace else ""
    ran = f"; most of it was {_runs(drift)}" if drift.runs else ""
    return (
        f"{drift.invoiced_tokens:,} {_unit(part)}{of}{where} were billed {drift.invoiced}"
        f"{_rate(drift.invoiced, drift.invoiced_tokens, part)}; by our price list they cost {drift.expected}"
        f"{_rate(drift.expected, drift.expected_tokens, part)}{ran}. The ledger goes by the list: if the "
        "invoice is right, correct it with PRICE_FILE"
    )


def _cache(drift: Drift) -> str:
    if "→" not in drift.part:
        return _price(drift)
    booked, _, told = drift.part.partition(" → ")
    return (
        f"{drift.expected_tokens:,} tokens of {_runs(drift)} are booked as {_names(booked)} for "
        f"{drift.expected}, and the invoice has them as {_names(told)} for {drift.invoiced}"
    )


def _other_key(drift: Drift) -> str:
    where = f" in the workspace {drift.part}" if drift.part else ""
    return (
        f"{drift.invoiced_tokens:,} tokens of {drift.model}{where} were used with {drift.key}, which is "
        f"none of this service's keys: {drift.invoiced} at our price list. It is not this service's spend"
    )


def _late(drift: Drift) -> str:
    return (
        f"the report has {drift.expected} ({drift.expected_tokens:,} tokens) of {_runs(drift)} not yet. "
        "It is not judged before it is a day old, and is looked at again every day"
    )


def _unexplained(drift: Drift) -> str:
    if not drift.invoiced_tokens:
        return (
            f"{_runs(drift)} is booked with {drift.expected} ({drift.expected_tokens:,} tokens) that the "
            "invoice has not, and that nothing known here explains: ask Anthropic with its request ids"
        )
    return (
        f"the ledger has {drift.expected} ({drift.expected_tokens:,} tokens) that the invoice has not, and "
        f"the invoice {drift.invoiced} ({drift.invoiced_tokens:,} tokens) that the ledger has not; nothing "
        f"that is known here explains it. In those minutes ran {_runs(drift) or 'nothing'}"
    )


_SENTENCES: dict[str, Callable[[Drift], str]] = {
    drifting.MISSING: _missing,
    drifting.DOUBLE: _double,
    drifting.MODEL: _model,
    drifting.CACHE_PRICE: _cache,
    drifting.PRICE: _price,
    drifting.OTHER_KEY: _other_key,
    drifting.LATE: _late,
    drifting.UNEXPLAINED: _unexplained,
}


def _runs(drift: Drift) -> str:
    more = len(drift.runs) - SHOWN
    return ", ".join(drift.runs[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _names(parts: str) -> str:
    return " and ".join(WORDS[part] for part in parts.split("+"))


def _unit(part: str) -> str:
    return WORDS[part] if part == SEARCHES else f"tokens of {WORDS[part]}"


def _rate(usd: Usd, tokens: int, part: str) -> str:
    if not tokens or part == SEARCHES:
        return ""
    return f" ({Usd(usd.nanos * 1_000_000 // tokens)} a million)"
