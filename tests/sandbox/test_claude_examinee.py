"""Those who take the exam: what they change is made of what they saw."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.characters.examinee import replacements

TEXT = st.lists(st.sampled_from(["a\n", "b\n", "\n", "  a\n"]), min_size=1, max_size=9).map("".join)


@given(TEXT, TEXT)
def test_pieces_that_stand_once_make_one_text_of_another(text: str, wanted: str) -> None:
    for old, new in replacements(text, wanted):
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert text == wanted
