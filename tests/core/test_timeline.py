"""A run's timeline adds up to what the run has spent, and to the holds that it took."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.core.money import Usd, total
from bot.core.timeline import ANSWERED, KINDS, Timeline, in_order, request_json

START = 1_790_000_000_000
AMOUNTS = st.integers(0, 10**12)
TOKENS = st.integers(0, 10**6)


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Requests of up to three attempts, each attempt after the one before; some of them corrected later."""
    found: list[dict[str, Any]] = []
    at = START
    for attempt in range(1, draw(st.integers(0, 3)) + 1):
        at += draw(st.integers(0, 10**7))
        for _ in range(draw(st.integers(0, 6))):
            state = draw(st.sampled_from(["settled", "estimated", "released", "held"]))
            took = draw(st.integers(0, 10**5))
            found.append(
                row(len(found) + 1, attempt, state, at, took, draw(AMOUNTS), draw(AMOUNTS), draw(TOKENS))
            )
            at += draw(st.integers(0, took))
    for one in [one for one in found if one["state"] == "estimated"]:
        if draw(st.booleans()):
            back = row(len(found) + 1, one["attempt"], "corrected", at + 10**9, 0, 0, 0, 0)
            less = draw(st.integers(0, one["nanos"])), draw(st.integers(0, one["tokens"]))
            found.append(back | {"corrects": one["id"], "nanos": -less[0], "tokens": -less[1]})
    return found


def row(
    id: int, attempt: int, state: str, at: int, took: int, hold: int, nanos: int, tokens: int
) -> dict[str, Any]:
    charged = state in (*ANSWERED, "corrected")
    return {
        "id": id, "attempt": attempt, "state": state, "step": id if state in ANSWERED else None,
        "corrects": None, "held_at": at, "settled_at": None if state == "held" else at + took,
        "model_asked": "m", "model": "m", "max_tokens": 9, "clamped_max_tokens": None, "hold_nanos": hold,
        "hold_tokens": 10, "nanos": nanos if charged else 0, "tokens": tokens if charged else 0, "input": 1,
        "cache_write_5m": 2, "cache_write_1h": 3, "cache_read": tokens if charged else 0, "output": 5,
        "status": 200, "stop_reason": None, "ending": "json", "request_id": None, "price_book": "p",
    }  # fmt: skip


@given(rows(), st.integers(0, 2**32))
def test_the_last_point_is_what_was_charged_in_whatever_order_the_rows_come(
    given: list[dict[str, Any]], seed: int
) -> None:
    mixed = list(given)
    Random(seed).shuffle(mixed)
    timeline = in_order(mixed, None, 1)
    assert timeline == in_order(given, None, 1)
    points = timeline.points
    charged = [one for one in given if one["state"] in (*ANSWERED, "corrected")]
    assert len(points) == len(charged)
    if points:
        last = points[-1]
        assert last.usd == Usd(sum(one["nanos"] for one in charged))
        assert (last.tokens, last.cached) == (
            sum(one["tokens"] for one in charged), sum(one["cache_read"] for one in charged),
        )  # fmt: skip
        assert last.steps == sum(one["state"] in ANSWERED for one in given)


@given(rows(), st.none() | st.integers(START - 10**6, START))
def test_time_goes_on_and_no_longer_than_its_attempts(
    given: list[dict[str, Any]], started_at: int | None
) -> None:
    points = in_order(given, started_at, 1).points
    assert all(one.seconds <= other.seconds for one, other in pairwise(points))
    took = 0
    for attempt in {one["attempt"] for one in given}:
        mine = [one for one in given if one["attempt"] == attempt and one["state"] != "corrected"]
        first = min([one["held_at"] for one in mine] + ([started_at] if attempt == 1 and started_at else []))
        took += max(one["settled_at"] or one["held_at"] for one in mine) - first
    assert all(0 <= one.seconds * 1000 <= took + 1 for one in points)


@given(rows())
def test_what_was_held_was_used_or_went_back_or_is_in_flight(given: list[dict[str, Any]]) -> None:
    timeline = in_order(given, None, 1)
    for one in timeline.requests:
        match one.state:
            case "held":
                assert one.back == Usd(0)
            case "released":
                assert one.back == one.hold
            case "corrected":
                assert one.hold == one.back == Usd(0)
            case _:
                assert one.back == max(Usd(0), one.hold - one.usd)
    holds = timeline.holds
    assert [one.kind for one in holds] == [
        kind for kind in KINDS if any(row["state"] == kind for row in given)
    ]
    assert sum(one.requests for one in holds) == len(given)
    assert total(one.held for one in holds) == Usd(sum(one["hold_nanos"] for one in given))
    assert total(one.used for one in holds) == Usd(sum(one["nanos"] for one in given))


def test_time_between_attempts_is_left_out_and_a_correction_takes_none() -> None:
    hour = 3_600_000
    given = [
        row(1, 1, "settled", START, 2_000, 9, 5, 5),
        row(2, 2, "settled", START + hour, 4_000, 9, 5, 5),
        row(3, 2, "estimated", START + hour + 4_000, 1_000, 9, 5, 5),
        row(4, 2, "corrected", START + 9 * hour, 0, 0, 0, 0) | {"corrects": 3},
    ]
    # As the runs' table has it: the second attempt was claimed a second before its first request.
    began = START + hour - 1_000 - 2_000
    timeline = in_order(given, began, 2)
    assert [one.seconds for one in timeline.points] == [2.0, 7.0, 8.0, 8.0]
    assert [one.mended for one in timeline.requests] == [False, False, True, False]


def test_nothing_is_a_timeline_too() -> None:
    assert in_order([], None, 1) == Timeline((), None, 1)
    assert (Timeline((), None, 1).points, Timeline((), None, 1).holds) == ((), ())


def test_a_request_is_told_with_every_digit() -> None:
    (one,) = in_order([row(1, 1, "settled", START, 5, 30_000_000, 12_345_678, 7)], None, 1).requests
    told = request_json(one)
    assert (told["hold_usd"], told["usd"], told["back_usd"]) == ("0.03", "0.012345678", "0.017654322")
    assert (told["held_ms"], told["settled_ms"], told["id"]) == (START, START + 5, 1)
