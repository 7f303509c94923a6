"""What a check run shows beside a commit: texts, annotations on lines, buttons.

Source of the bounds: api.github.com, checks/create (@octokit/openapi 23.0.2). Annotations stand in the Checks
tab and in "Files changed", for files that a pull request does not touch in a part of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.core import comments, headlines
from bot.core.document import PolicyError
from bot.core.offers import DECISIONS, offers
from bot.core.outcomes import Report
from bot.core.untrusted import code, cut, line, plain, printable

MOST_TEXT = 65_535  # characters of a summary or text
MOST_ANNOTATIONS = 50  # in one request


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark on one line (from 1) of a file of the commit."""

    path: str
    line: int
    message: str
    title: str = ""
    level: Literal["notice", "warning", "failure"] = "failure"


@dataclass(frozen=True, slots=True)
class Button:
    """At most 20, 40 and 20 characters. Whoever presses it makes GitHub tell us `identifier`."""

    label: str
    does: str
    identifier: str


@dataclass(frozen=True, slots=True)
class Output:
    """At most 3 buttons. `text` is shown below the summary; both are Markdown."""

    title: str
    summary: str
    text: str = ""
    annotations: tuple[Annotation, ...] = ()
    buttons: tuple[Button, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", cut(self.title, 255))
        object.__setattr__(self, "summary", cut(self.summary, MOST_TEXT))
        object.__setattr__(self, "text", cut(self.text, MOST_TEXT))
        object.__setattr__(self, "annotations", self.annotations[:MOST_ANNOTATIONS])


def of_policy(path: str, branch: str, error: PolicyError | None) -> Output:
    """Of a policy file as a commit has it: what is wrong in it and where, or that it can be read."""
    if error is None:
        return Output(
            "The policy can be read",
            f"{code(path)} can be read. What it says holds as soon as it stands on {code(branch)}, and the "
            "service's own policy may be tighter.",
        )
    key = f"{error.key}: " if error.key else ""
    return Output(
        f"Line {error.line} of the policy is wrong",
        f"{code(path)}, line {error.line}: {plain(key + error.why, 1_000)}.\n\nAs long as it stands so on "
        f"{code(branch)}, no run is started.",
        annotations=(
            Annotation(path, max(1, error.line), cut(printable(key + error.why), 2_000), "Tollgate policy"),
        ),
    )


def of_report(report: Report) -> Output:
    """Beside a run's comment: what happened and its cost; the report; a mark on each file that is held."""
    title = f"{headlines.outcome(report, line)} · {headlines.spent(report)}"
    return Output(title, comments.final(report), "", _held(report), _buttons(report))


def _held(report: Report) -> tuple[Annotation, ...]:
    published = report.published
    if published is None or published.kind != "held":
        return ()
    # A file may be new, and its lines are not the commit's: the first one stands for all of it.
    return tuple(
        Annotation(path, 1, cut(printable(why), 2_000), "Held for a human", "warning")
        for path, why in published.held
        if path and not path.startswith("/") and ".." not in path.split("/")
    )


def _buttons(report: Report) -> tuple[Button, ...]:
    held = report.published is not None and report.published.kind == "held"
    needs = f"; needs {report.published.needs}" if report.published is not None and held else ""
    known = {
        "accept": Button("Publish anyway" if held else "Accept", f"Publishes it{needs}", "accept"),
        "discard": Button("Discard", "Drops what it has made", "discard"),
    }
    return tuple(known[DECISIONS[one.command]] for one in offers(report) if one.command in DECISIONS)
