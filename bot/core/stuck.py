"""Whether a conversation goes round in circles at its end: the gateway halts such a run before it pays (R8).

Everything is judged from the conversation that a request carries, so that it holds for every engine, in every
process, after a resume. Only its end counts: one new thing there, and it is not stuck. Where that cannot be
told, it is not stuck either; the ceilings hold all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any

from bot.core import acts, edits, failures
from bot.core.acts import Act, Turn
from bot.core.edits import Edit
from bot.core.rules import Stuck as Limits

WAITING = 3  # times as often may it ask again who lets time pass in between
MOST = 400  # acts that are compared
READ_TWICE = 2  # what has been read so often is not new; a second look is nobody's fault
SHORT_ERROR = 300  # characters: a longer one that is new tells something
RUNS = 3  # times as many earlier runs are read as must have failed
STATES = 3  # so many ways of failing may take turns; more of them are progress


class Pattern(StrEnum):
    """The ways of being stuck."""

    ACTION = "same action"
    FAILURE = "same failure"
    UNDOING = "edits that undo each other"
    IDLE = "nothing new"
    ERRORS = "tool errors"


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why a run is stuck. `evidence` says what repeated: `tests/t.py::test_x failed the same way 4 times`."""

    pattern: Pattern
    evidence: str


def judge(messages: Sequence[Mapping[str, Any]], limits: Limits) -> Stuck | None:
    """The verdict on a conversation as it would be sent; None: it goes on."""
    turns = acts.read(messages)
    while turns and not turns[-1].acts and not turns[-1].heard and not turns[-1].said:
        turns.pop()
    if not turns:
        return None
    for looked in (_errors, _action, _failure, _undoing, _idle):
        found = looked(turns, limits)
        if found is not None:
            return found
    return None


def _known(turns: Sequence[Turn]) -> Iterator[Act]:
    """The acts whose result is there, the newest first."""
    return islice(chain.from_iterable(reversed(turn.known) for turn in reversed(turns)), MOST)


def _outcome(one: Act, other: Act) -> bool:
    """The same action with the same result."""
    return one.same(other) and one.alike(other)


# -- the same action, the same result --


def _action(turns: Sequence[Turn], limits: Limits) -> Stuck | None:
    for act in turns[-1].known:
        needed = limits.repeats * (WAITING if act.waits else 1)
        if (
            sum(act.same(other) for other in _known(turns)) >= needed
            and (times := _times(act, turns)) >= needed
        ):
            return Stuck(Pattern.ACTION, f'"{act}" gave the same result {times} times')
    return None


def _times(act: Act, turns: Sequence[Turn]) -> int:
    """In how many turns, with nothing relevant between, it came out the same."""
    once = _once(turns)
    seen: set[int] = set()
    best = news = 0
    for other in _known(turns):
        if _outcome(act, other):
            seen.add(other.turn)
            # As much that is new as is repeated: it is looking around, not turning round.
            if news < len(seen):
                best = len(seen)
        elif act.same(other):
            break  # it came out differently
        elif once(other):
            if other.may_change:
                break
            news += not other.chatter
    return best


def _once(turns: Sequence[Turn]) -> Callable[[Act], bool]:
    """Whether an act, with what came of it, happened in one turn only."""
    found: dict[object, list[Act]] = {}

    def once(act: Act) -> bool:
        if not found:
            for known in _known(turns):
                found.setdefault(known.mark, []).append(known)
        alike = found.get(act.mark, ())
        return not any(other.turn != act.turn and _outcome(act, other) for other in alike)

    return once


# -- the same failure after different edits --

_NOT_MINE = re.compile(
    r"pre-?existing|unrelated|not related|already fail|known (?:failure|to fail|broken|issue)"
    r"|fail\w* before my"
    r"|fail\w* on (?:main|master|the base)|expected (?:failure|to fail)",
    re.I,
)
_LOOKING = re.compile(
    r"\s*(?:(?:print|pprint|breakpoint|console\.\w+|log(?:ger|ging)?\.\w+|dbg!|e?println!|fmt\.Print\w*|puts|p|pp"
    r"|var_dump|echo|debugger)\b|import (?:pdb|sys|logging|pprint)|set -x|$)"
)


def _failure(turns: Sequence[Turn], limits: Limits) -> Stuck | None:
    for newest in reversed(turns[-1].known):
        failing = failures.read(newest.result or "").failing if _may_run(newest) else {}
        if failing:
            times = _failed(turns, newest, failing, limits)
            if times < limits.repeats:
                return None
            first, *others = failing
            more = f" and {len(others)} more" if others else ""
            return Stuck(Pattern.FAILURE, f"{acts.line(first, 120)}{more} failed the same way {times} times")
    return None


def _failed(turns: Sequence[Turn], newest: Act, failing: Mapping[str, str], limits: Limits) -> int:
    """How many runs failed like this one, each after an edit of what had been edited before."""
    ways: list[Mapping[str, str]] = [failing]
    batches: list[set[str]] = []  # the files edited between two such runs, the newest first
    edited: set[str] = set()
    looked = 0
    told = False  # something failed in between that does not fail now
    for turn in reversed(turns):
        if _NOT_MINE.search(turn.said):
            return 1  # it knows of this failure, and does something else
        for act in reversed(turn.acts):
            if act is not newest and act.result is not None:
                earlier = _run(act, newest, failing)
                if earlier is not None:
                    looked += 1
                    if looked > RUNS * limits.repeats:
                        return _most(batches)
                    if not earlier or _passed(act) != _passed(newest):
                        return _most(batches)
                    if earlier == failing or (not told and earlier.items() <= failing.items()):
                        if edited:
                            batches.append(edited)
                            edited = set()
                    else:
                        told = True
                        if earlier not in ways:
                            ways.append(earlier)
                        if len(ways) > STATES:
                            return _most(batches)
            edited |= {edit.path for edit in act.edits if not _only_looks(edit)}
    return _most(batches)


def _run(act: Act, newest: Act, failing: Mapping[str, str]) -> Mapping[str, str] | None:
    """What failed in an earlier run of the same things; None where it was something else."""
    if not _may_run(act):
        return None
    result, same = act.result or "", act.same(newest)
    if not (same or any(_short(name) in result for name in failing)):
        return {} if failures.green(result) else None
    output = failures.read(result)
    if output.failing or same or output.green:
        return output.failing
    return None  # named, but not as failing: it was only read


def _may_run(act: Act) -> bool:
    """Its result may be what tests or compilers say, and not a file."""
    return act.name == acts.TEXT or (not act.edits and not act.path)


def _short(name: str) -> str:
    return name.partition(" ")[0].rpartition("::")[2] or name


def _passed(act: Act) -> tuple[str, ...]:
    return failures.read(act.result or "").passed


def _most(batches: Sequence[set[str]]) -> int:
    """Runs that failed the same way around the edits of one file: tried again and again, not passed by."""
    files = {path for batch in batches for path in batch}
    return 1 + max((sum(path in batch for batch in batches) for path in files), default=0)


def _only_looks(edit: Edit) -> bool:
    """It puts in or takes out nothing but what prints: looking is not yet trying."""
    if edit.old is None or edit.old == edits.OPAQUE:
        return False
    changed = set(edit.old.split("\n")) ^ set(edit.new.split("\n"))
    return bool(changed) and all(_LOOKING.match(line) for line in changed)


# -- edits that undo each other --


def _undoing(turns: Sequence[Turn], limits: Limits) -> Stuck | None:
    if not any(_changes(act) for act in turns[-1].acts):
        return None
    made = [(turn, edit) for turn in turns for act in turn.acts for edit in _changes(act)]
    back = 0
    files: list[str] = []
    for number in range(len(made) - 1, 0, -1):
        edit = made[number][1]
        if not _returns(edit, [each for _, each in made[:number]]):
            break
        back += 1
        files.append(edit.path)
    if back + 1 < limits.repeats:
        return None
    return Stuck(Pattern.UNDOING, f"{files[0]}: the last {back + 1} edits only undo and redo each other")


def _changes(act: Act) -> tuple[Edit, ...]:
    """Its edits; a diff that it read is the state of the tree, as if it had been written."""
    if act.edits or act.error or act.result is None:
        return act.edits
    if act.result.startswith("diff --git") and act.command is not None and "git diff" in act.command:
        return (Edit("what git diff shows", None, act.result),)
    return ()


def _returns(edit: Edit, before: Sequence[Edit]) -> bool:
    """It makes what was there before, in the same file."""
    of_it = [each for each in before if each.path == edit.path]
    if edit.old is None:
        states = [each.new for each in of_it if each.old is None]
        return edit.new in states[:-1] and edit.new != states[-1]
    if edit in of_it and (edit.old == edits.OPAQUE or edit.old not in edit.new):
        # Once more: what it made must have been undone. A script given inline may also be run for its output.
        return edit.old != edits.OPAQUE or of_it[-1] != edit
    core = _core(edit)
    out, put = ("\n".join(lines) for lines in core)
    return any(
        (each.old, each.new) == (edit.new, edit.old)
        or (out in each.new and put in each.old and _core(each) == core[::-1])
        or (edit.new and each.old == edit.new)
        for each in of_it
        if each.old is not None and each.old != edits.OPAQUE
    )


def _core(edit: Edit) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that an edit takes out and puts in, without those around them."""
    old, new = (edit.old or "").split("\n"), edit.new.split("\n")
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return tuple(old), tuple(new)


# -- nothing new --


def _idle(turns: Sequence[Turn], limits: Limits) -> Stuck | None:
    if len(turns) < limits.idle:
        return None
    once = _once(turns)
    for at in range(len(turns) - 1, len(turns) - 1 - limits.idle, -1):
        if not _is_idle(turns[at], turns[:at], once):
            return None
    last = next((f', the last "{act}"' for act in _known(turns)), "")
    return Stuck(Pattern.IDLE, f"nothing was changed and nothing new was read in {limits.idle} turns{last}")


def _is_idle(turn: Turn, before: Sequence[Turn], once: Callable[[Act], bool]) -> bool:
    if not turn.acts:
        return False
    for act in turn.acts:
        if act.result is None or act.waits:
            return False
        if act.chatter:
            continue
        if act.may_change and (act.edits or once(act)):
            return False
        again = (other for other in _known(before) if other.result == act.result)
        if len(list(islice(again, READ_TWICE))) < READ_TWICE:
            return False
    return True


# -- errors alone --


def _errors(turns: Sequence[Turn], limits: Limits) -> Stuck | None:
    number = equal = 0
    newest: Act | None = None
    for turn in reversed(turns):
        known = turn.known
        if not known:
            continue
        if not all(act.error for act in known) or _tells(known, turns):
            break
        number += 1
        newest = newest or known[-1]
        equal += equal == number - 1 and known[-1].alike(newest)
    if newest is None:
        return None
    first = str(newest.result)
    if equal >= limits.repeats:
        return Stuck(
            Pattern.ERRORS, f'{equal} tool calls in a row failed alike, with "{acts.line(first, 100)}"'
        )
    if number >= limits.errors:
        return Stuck(
            Pattern.ERRORS, f'{number} turns of nothing but tool errors, the last "{acts.line(first, 100)}"'
        )
    return None


def _tells(known: Sequence[Act], turns: Sequence[Turn]) -> bool:
    """A command that failed with much to read is a tool that worked."""
    return any(
        len(act.result or "") > SHORT_ERROR
        and not any(other is not act and other.result == act.result for other in _known(turns))
        for act in known
    )
