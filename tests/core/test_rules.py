"""A run's rules are kept as JSON; what is missing there is the strictest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.policy import Policy
from bot.core.rules import ADMISSIONS, STRICTEST, Allowance, Rules, Stuck

amounts = st.integers(0, 10**9)
rules = st.builds(
    Rules,
    st.sampled_from(ADMISSIONS),
    st.dictionaries(st.sampled_from(["web_search", "pdf"]), st.builds(Allowance, amounts, amounts, amounts)),
    st.builds(Stuck, st.integers(2, 20)),
)


@given(rules)
def test_rules_are_read_as_they_were_written(made: Rules) -> None:
    assert Rules.parse(made.json()) == made


@pytest.mark.parametrize(
    "text",
    ["{}", '{"admission": "lax"}', '{"of a later version": 1}', '{"stuck": {"also": 2}}', '{"allow": {}}'],
)
def test_what_is_not_said_or_not_known_is_the_strictest(text: str) -> None:
    assert Rules.parse(text) == STRICTEST


def test_an_allowance_that_does_not_say_how_much_allows_nothing() -> None:
    assert Rules.parse('{"allow": {"pdf": {}}}').allow == {"pdf": Allowance(0, 0, 0)}


def test_the_default_policy_is_the_strictest() -> None:
    assert Policy.default().rules == STRICTEST
    assert STRICTEST.json() == "{}"
