"""What people see of a run in CI: lines in the job's log, its summary, the step's outputs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from bot.core import headlines
from bot.core.money import ZERO, Usd
from bot.core.reports import Check
from bot.core.untrusted import code, fenced
from bot.runner.engines import Ending, Event
from bot.runner.service import Brief, Standing


class Job:
    """Writes for one job. Nothing that an agent says is at the beginning of a line, where commands stand."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._summary = env.get("GITHUB_STEP_SUMMARY")
        self._outputs = env.get("GITHUB_OUTPUT")
        self._brief: Brief | None = None
        self._standing: Standing | None = None

    def mask(self, secret: str) -> None:
        self._write(f"::add-mask::{secret}")

    def line(self, text: str) -> None:
        self._write(f"· {plain(text)}")

    def error(self, text: str) -> None:
        self._write(f"::error title=Tollgate::{plain(text).replace('%', '%25')}")

    def warning(self, text: str) -> None:
        self._write(f"::warning title=Tollgate::{plain(text).replace('%', '%25')}")

    def began(self, brief: Brief) -> None:
        self._brief = brief
        most = brief.ceilings
        self.line(
            f"run {brief.run}.{brief.attempt}: {brief.engine} with {brief.model}, at most {most.usd}, "
            f"{most.tokens:,} tokens, {most.steps} steps, {most.seconds}s"
        )

    def event(self, event: Event, most: Usd) -> None:
        if event.kind != "results":
            self._write(event_line(event, most))

    def heard(self, standing: Standing) -> None:
        self._standing = standing

    def ended(self, ending: Ending, notes: tuple[str, ...]) -> None:
        """The last lines of a run whose result is handed in."""
        self._write(f"· {headline(ending)}")
        for note in notes:
            self.line(f"not handed in: {note}")
        self.block(ending.summary)

    def block(self, text: str) -> None:
        """Lines as they are, behind a bar: a command counts at the start of a line, also behind blanks."""
        for words in text.splitlines():
            shown = "".join(c if c.isprintable() else " " for c in words).rstrip()
            self._write(f"| {shown.replace('##[', '## [')}".rstrip())

    def outputs(self, values: Mapping[str, str]) -> None:
        """Outputs of the step, each on one line."""
        if self._outputs:
            with Path(self._outputs).open("a", encoding="utf-8") as file:
                file.writelines(f"{name}={plain(value)}\n" for name, value in values.items())

    def summary(self, markdown: str) -> None:
        """A part of the job's summary."""
        if self._summary:
            with Path(self._summary).open("a", encoding="utf-8") as file:
                file.write(markdown)

    def unreported(self, ending: Ending, check: Check | None) -> None:
        """Outputs and summary by what is known here, of a run whose report the service does not tell yet."""
        spent = self.spent()
        self.outputs({"outcome": ending.outcome, "reason": ending.reason or "", **spent})
        self.summary(markdown(headline(ending), ending, check, spent, self._brief))

    def spent(self) -> dict[str, str]:
        """`cost`, `tokens`, `steps` as the service last counted them; empty where it never said."""
        left = self._standing.remaining if self._standing else None
        if not left or self._brief is None:
            return {"cost": "", "tokens": "", "steps": ""}
        most = self._brief.ceilings
        return {
            "cost": max(ZERO, most.usd - Usd.parse(str(left.get("usd", "0")))).exact,
            "tokens": str(max(0, most.tokens - int(left.get("tokens", 0)))),
            "steps": str(max(0, most.steps - int(left.get("steps", 0)))),
        }

    def _write(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def event_line(event: Event, most: Usd | None) -> str:
    """One line for what happened: in a job's log and on a terminal."""
    words = plain(event.text)
    match event.kind:
        case "turn":
            # Before this turn: the gateway's headers leave before the turn is paid (G9).
            before = event.before.usd
            cost = (
                "" if before is None or most is None else f"{max(most - before, ZERO)} of {most} before it · "
            )
            return f"turn {event.turn} · {cost}{_short(words)}"
        case "tool":
            return f"  {words if words.startswith('$ ') else '· ' + words}"
        case "wrap_up" | "note" | "results":
            return f"· {words}"


def headline(ending: Ending) -> str:
    return ending.outcome + (f": {plain(ending.message)}" if ending.message else "")


def markdown(
    headline: str, ending: Ending, check: Check | None, spent: Mapping[str, str], brief: Brief | None
) -> str:
    lines = [f"### Tollgate: {code(headline, 300)}", ""]
    if brief is not None and spent["cost"]:
        most = brief.ceilings
        lines += [
            "| | spent | ceiling |",
            "| --- | ---: | ---: |",
            f"| cost | {Usd.parse(spent['cost'])} | {most.usd} |",
            f"| tokens | {int(spent['tokens']):,} | {most.tokens:,} |",
            f"| steps | {spent['steps']} | {most.steps} |",
            f"| tool calls | {ending.tool_calls} | |",
            "",
        ]
    if check is not None:
        verdict = f"Tests {headlines.verdict(check)}"
        lines += [f"{verdict}: {code(check.command)}", ""]
    if ending.summary:
        lines += ["What the agent says:", "", fenced(ending.summary), ""]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """One line without the command form that runners look for anywhere in it; `::` counts at its start."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words.replace("##[", "## [")


def _short(words: str, most: int = 140) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
