"""Every task of the exam is one: its tests tell the reference change from none and from a wrong one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot import settings
from bot.exam import paper
from bot.exam.judge import judged, unfit
from bot.exam.paper import Exercise, PaperError, files

ENV = settings.environment()
EXERCISES = paper.read()
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)


def changed(exercise: Exercise, by: str, at: Path) -> Path:
    """The task's checkout with the files of `after` or `symptom` over it."""
    work = at / by
    exercise.hand_out(work)
    shutil.copytree(exercise.folder / by, work, dirs_exist_ok=True)
    return work


def here(exercise: Exercise) -> None:
    why = unfit(exercise, ENV)
    if "not on this machine" in why:
        pytest.skip(why)
    assert why == ""


@pytest.mark.slow
@each
def test_the_test_fails_and_the_reference_change_makes_it_and_the_hidden_ones_pass(
    exercise: Exercise, tmp_path: Path
) -> None:
    here(exercise)
    judgement = judged(exercise, changed(exercise, "after", tmp_path), ENV)
    assert judgement.solved, judgement.output


@pytest.mark.slow
@each
def test_a_change_of_the_symptom_passes_the_test_and_not_the_hidden_ones(
    exercise: Exercise, tmp_path: Path
) -> None:
    here(exercise)
    judgement = judged(exercise, changed(exercise, "symptom", tmp_path), ENV)
    assert judgement.why == "its test passes, the hidden tests fail", judgement.output


@each
def test_a_task_is_fair(exercise: Exercise) -> None:
    given, hidden = set(files(exercise.folder / "before")), set(files(exercise.folder / "hidden"))
    for answer in ("after", "symptom"):
        answered = list(files(exercise.folder / answer))
        assert answered
        # What is asked for can be done with what may be changed, and without a new file.
        assert all(exercise.may_change(path) and path in given for path in answered)
    # Nothing hidden is in the checkout, and nothing that an agent may write takes its place.
    assert not hidden & given
    assert not any(exercise.may_change(path) for path in hidden)
    # A file beside the tests could stand for a module that they import.
    assert all("/" in pattern or pattern in given for pattern in exercise.work)
    assert exercise.prompt in exercise.task
    assert all(pattern in exercise.task for pattern in exercise.work)


def test_the_exam_is_broad() -> None:
    assert len(EXERCISES) >= 12
    assert {each.language for each in EXERCISES} == {"python", "javascript", "shell", "sql"}
    assert {each.difficulty for each in EXERCISES} == set(paper.DIFFICULTIES)
    assert len({each.prompt for each in EXERCISES}) == len(EXERCISES)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("title = 'x'", "does not say its language", id="something is missing"),
        pytest.param("title = ", "odd/task.toml", id="not TOML"),
        pytest.param(None, "no tasks", id="an empty folder"),
    ],
)
def test_a_task_that_cannot_be_set_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    (tmp_path / "odd").mkdir()
    if text is not None:
        (tmp_path / "odd" / "task.toml").write_text(text)
    with pytest.raises(PaperError, match=says):
        paper.read(tmp_path)
