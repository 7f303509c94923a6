"""A report offers exactly the commands that apply: by state, by reason, by what work there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core import reports
from bot.core.ceilings import Reason
from bot.core.commands import Malformed, parse
from bot.core.marks import of_report
from bot.core.offers import offers
from bot.core.reports import Published, Report
from tests.core.test_reports import DONE, FAILING, KEPT, halted

HELD = Published("held", "", "", "", "`x` is under `x`, which no run may change", held=(("x", "why"),))
WAITING = replace(HELD, needs="maintain")
REFUSED = Published("refused", "", "", "", "it could not be committed: 403")


def going_on(reason: Reason) -> Report:
    """A halted run that left its conversation behind."""
    return replace(halted(reason), resumable=True)


NOTHING_LEFT = replace(halted(Reason.COST), published=None)
LOST = replace(NOTHING_LEFT, outcome="lost", reason=None, message="was lost: its runner fell silent")


NO_MONEY = replace(LOST, outcome="refused", reason=Reason.CAP_REACHED, message="dana's cap is reached")


@pytest.mark.parametrize(
    ("report", "commands"),
    [
        pytest.param(replace(DONE, outcome="queued"), ["stop"], id="in line"),
        pytest.param(NO_MONEY, ["ack", "fix"], id="refused when it was let in: its cap is spent"),
        pytest.param(replace(NO_MONEY, resumable=True), ["ack", "resume"], id="refused, going on"),
        pytest.param(replace(NO_MONEY, reason=None), ["fix"], id="refused for another reason"),
        pytest.param(replace(DONE, outcome="open"), ["stop"], id="waiting"),
        pytest.param(replace(DONE, outcome="running"), ["stop"], id="running"),
        pytest.param(DONE, [], id="done"),
        pytest.param(FAILING, [], id="done, though tests fail: a sentence says what to do"),
        pytest.param(replace(DONE, published=KEPT), ["accept", "discard"], id="done, but no pull request"),
        pytest.param(replace(DONE, published=HELD), ["discard"], id="done and held for good"),
        pytest.param(replace(DONE, published=WAITING), ["accept", "discard"], id="done and held"),
        pytest.param(
            going_on(Reason.COST), ["resume cost=$10", "accept", "discard", "split"], id="halted by cost"
        ),
        pytest.param(
            going_on(Reason.TOKENS), ["resume tokens=1M", "accept", "discard", "split"], id="by tokens"
        ),
        pytest.param(
            going_on(Reason.STEPS), ["resume steps=40", "accept", "discard", "split"], id="by steps"
        ),
        pytest.param(
            going_on(Reason.WALL_CLOCK), ["resume wall=20m", "accept", "discard", "split"], id="by time"
        ),
        pytest.param(
            going_on(Reason.CACHED_TOKENS),
            ["accept", "discard", "split"],
            id="by cached tokens, which no option raises",
        ),
        pytest.param(going_on(Reason.STUCK), ["resume", "accept", "discard"], id="stuck"),
        pytest.param(going_on(Reason.STOPPED), ["resume", "accept", "discard"], id="stopped"),
        pytest.param(going_on(Reason.UPSTREAM_LIMIT), ["resume", "accept", "discard"], id="by the key"),
        pytest.param(going_on(Reason.BOUND_EXCEEDED), ["resume", "accept", "discard"], id="by its bound"),
        pytest.param(
            halted(Reason.COST), ["fix cost=$10", "accept", "discard", "split"], id="nothing to go on from"
        ),
        pytest.param(NOTHING_LEFT, ["fix cost=$10", "split"], id="halted without work"),
        pytest.param(
            replace(NOTHING_LEFT, published=HELD), ["fix cost=$10", "discard", "split"], id="halted and held"
        ),
        pytest.param(
            replace(NOTHING_LEFT, published=REFUSED),
            ["fix cost=$10", "accept", "discard", "split"],
            id="not taken by GitHub",
        ),
        pytest.param(replace(going_on(Reason.COST), settled="accepted"), [], id="accepted"),
        pytest.param(replace(going_on(Reason.COST), settled="discarded", published=None), [], id="discarded"),
        pytest.param(LOST, ["fix"], id="lost with nothing"),
        pytest.param(
            replace(LOST, resumable=True, published=KEPT), ["resume", "accept", "discard"], id="lost"
        ),
        pytest.param(replace(LOST, outcome="failed"), ["fix"], id="failed"),
        pytest.param(
            replace(NOTHING_LEFT, task_class="split"), ["split cost=$10"], id="a split that was halted"
        ),
    ],
)
def test_exactly_these_commands_apply(report: Report, commands: list[str]) -> None:
    assert [offer.command for offer in offers(report)] == [f"/agent {command}" for command in commands]
    text = reports.markdown(report)
    for offer in offers(report):
        assert str(offer) in text
        assert not isinstance(parse(offer.command), Malformed | None), "it would not be read"
    for verb in ("accept", "discard", "resume", "stop"):
        applies = any(command.split()[0] == verb for command in commands)
        assert (f"`/agent {verb}" in text) == applies, verb
    shown = of_report(report)
    decided = [command for command in commands if command in ("accept", "discard")]
    assert [one.identifier for one in shown.buttons] == decided, "a button for each, and no other"
    for one in shown.buttons:
        assert 0 < len(one.label) <= 20
        assert 0 < len(one.does) <= 40
        assert 0 < len(one.identifier) <= 20


def test_what_was_accepted_or_discarded_says_so_with_who_and_where() -> None:
    pushed = Published("pushed", "fix-dates", "c" * 40, "https://github.com/o/r/commit/ccc")
    report = replace(halted(Reason.COST), settled="accepted", settled_by="max", published=pushed)
    text = reports.final(report)
    assert "$5.00 cost ceiling reached; accepted** ·" in text
    assert "Accepted by `max`. Committed to [`fix-dates`](https://github.com/o/r/commit/ccc)" in text
    text = reports.final(replace(report, settled="discarded", published=None))
    assert "$5.00 cost ceiling reached; discarded** ·" in text
    assert "Discarded by `max`: nothing of what it had made is kept." in text


def test_what_github_did_not_take_is_kept_and_said() -> None:
    text = reports.final(replace(NOTHING_LEFT, published=REFUSED))
    assert "Nothing was committed: it could not be committed: 403. What it had made is kept here." in text
