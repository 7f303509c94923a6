"""The comment of a run: what it may spend, then what it does, then its report. Whole texts.

Without the marker that is its first line (bot/core/reports.py `comment` puts it). Never more than MAX_BYTES:
detail is left out, the least needed first, and the comment says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core import bill, headlines, patches, pieces
from bot.core.ceilings import span
from bot.core.headlines import count
from bot.core.offers import LIVE, offers
from bot.core.outcomes import MOST_NOTE, Published, Report
from bot.core.untrusted import cell, code, cut, fenced, folded, line, listing, plain, quoted, tail

MAX_BYTES = 59_000  # GitHub takes 65,536 characters; the marker and room to spare
BAR = 20


@dataclass(frozen=True, slots=True)
class Detail:
    """How much of each part is shown: turns as rows and points, the rest in characters."""

    turns: int
    points: int
    output: int
    summary: int
    notes: int = 30
    patch: int = patches.MOST


_DETAILS = (
    Detail(200, 100, 8_000, 12_000),
    Detail(100, 100, 4_000, 6_000),
    Detail(30, 50, 2_000, 3_000),
    Detail(0, 50, 1_000, 1_500, 15),
    Detail(0, 0, 300, 500, 5),
    Detail(0, 0, 300, 500, 5, 0),
)


def accepted(report: Report) -> str:
    """The first comment: what holds and why, before anything is spent; in line, also what it waits for."""
    return _parts(
        f"**{headlines.outcome(report)}** · {_limits(report)}",
        f"{report.waits_for} It costs nothing until it starts." if report.waits_for else "",
        _asked(report),
        _resumed(report),
        "A run never spends past one of these:",
        _ceilings(report),
        _clamps(report, 30),
        _live_offers(report),
        _origin(report),
    )


def progress(report: Report, last_lines: Sequence[str] = ()) -> str:
    """While it runs: how far each ceiling is used up, and what it said last."""
    said = "\n".join(cut(line(text), 200) for text in last_lines[-10:])
    return _parts(
        f"**{headlines.outcome(report)}** · {headlines.spent(report)} so far",
        _asked(report),
        _bars(report),
        f"Last:\n\n{fenced(said)}" if said.strip() else "",
        _clamps(report, 30),
        _live_offers(report),
        _origin(report),
    )


def final(report: Report, here: str = "") -> str:
    """The report of a run that has ended, however it ended.

    `here`: of a run that belongs to no thread, where its work is and what can be done next (text of ours).
    """
    for detail in _DETAILS:
        text = _final(report, detail, here)
        if len(text.encode(errors="replace")) <= MAX_BYTES:
            break
    return text


def came_of(report: Report, here: str = "") -> str:
    """What became of its work, and what a person can do next; `here` as `final` has it."""
    return _parts(
        here or _work(report), "" if here else headlines.next_step(report), headlines.unsent(report)
    )


def tried(report: Report) -> str:
    """What its tests say, and how far its commands were kept apart."""
    return _parts(_check(report), _isolation(report))


def _final(report: Report, detail: Detail, here: str) -> str:
    return _parts(
        f"**{headlines.outcome(report)}** · {headlines.spent(report)}",
        here or _work(report),
        pieces.listed(report.pieces, report.sizes),
        "" if here else headlines.next_step(report),
        headlines.unsent(report),
        _patch(report, detail.patch),
        f"**This month**: {report.notice}" if report.notice else "",
        _merged(report),
        _check(report),
        _summary(report, detail.summary),
        _ceilings(report),
        _clamps(report, detail.notes),
        bill.costs(report),
        headlines.own(report),
        bill.chart(report.turns, detail.points),
        bill.turns(report, detail.turns),
        _output(report, detail.output),
        _isolation(report),
        "" if detail is _DETAILS[0] else "_Some detail was left out so that this fits._",
        _origin(report),
    )


def _merged(report: Report) -> str:
    pull = report.merged
    if pull is None:
        return ""
    runs = f"{pull.runs} run{'s' if pull.runs != 1 else ''}"
    back = " and was reverted since" if pull.reverted else ""
    return (
        f"**Merged**: `#{pull.number}` is merged{back}. It has cost {pull.usd} in {runs}; "
        "`/agent cost` there lists them."
    )


def _live_offers(report: Report) -> str:
    return " ".join([*(f"{offer}." for offer in offers(report)), "This comment becomes its report."])


def _parts(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


# -- what came of it --


def _work(report: Report) -> str:
    """Where what it made is kept."""
    published = report.published
    if report.settled == "discarded":
        return f"Discarded{_by(report)}: nothing of what it had made is kept."
    if published is not None and published.kind == "dropped":
        return f"A planning run changes nothing: {plain(published.note)}."
    if published is None and report.task_class == "split":
        return ""
    if published is None:
        return "" if report.outcome == "done" else "It left no changes, so there is nothing to keep."
    where = f"[{code(published.ref)}]({_link(published.url)})" if published.url else code(published.ref)
    sha = f" ({code(published.sha[:10])})" if published.sha else ""
    because = f" Because {plain(published.note, 500)}." if published.note else ""
    accepted = f"Accepted{_by(report)}{_let_through(published)}. " if report.settled == "accepted" else ""
    match published.kind:
        case "pushed":
            return f"{accepted}Committed to {where}{sha}.{because}"
        case "branch":
            return f"What it had made so far is kept on {where}{sha}; it is not on your branch.{because}"
        case "pull_request":
            return f"{accepted}Its changes are a pull request of their own: {where}{sha}.{because}"
        case "patch":
            return f"Its changes are a patch on {where}, below; they were put on no branch.{because}"
        case "refused":
            return f"Nothing was committed: {line(published.note, MOST_NOTE)}. What it had made is kept here."
        case _:
            return _held(published)


def _held(published: Published) -> str:
    why = f": {line(published.note, MOST_NOTE)}" if published.note else ""
    nobody = (
        "" if published.needs else " No command lets this through: who wants it has to push it themselves."
    )
    return f"Nothing was committed, a person has to look first{why}.{nobody}"


def _let_through(published: Published) -> str:
    """What it had been held for."""
    if not published.held:
        return ""
    reasons = [f"{code(path)} {line(why)}" if path else line(why) for path, why in published.held[:10]]
    more = f", and {len(published.held) - 10} more" if published.held[10:] else ""
    return f", who let through what it was held for: {'; '.join(reasons)}{more}"


def _patch(report: Report, most: int) -> str:
    """What it has made, where a patch is all there is of it."""
    published = report.published
    if published is None or published.kind not in ("patch", "held"):
        return ""
    left_out = [
        *published.lacks[:10],
        *([f"{len(published.lacks) - 10} more"] if published.lacks[10:] else []),
    ]
    lacks = f"Not in it: {line('; '.join(left_out), 1_500)}." if left_out else ""
    if len(published.patch) > most:
        return _parts("The patch was left out, for this comment would have been too long with it.", lacks)
    how = "`git apply` takes it:"
    whole = f"{how}\n\n{listing(published.patch, 'diff')}" if published.patch else ""
    return _parts(whole, lacks)


def _by(report: Report) -> str:
    return f" by {code(report.settled_by)}" if report.settled_by else ""


def _check(report: Report) -> str:
    check = report.check
    if check is None:
        return ""
    exit_code = f" (exit code {check.exit_code})" if check.exit_code else ""
    ran = "Run again on the final tree, outside the model"
    return f"{ran}: tests {headlines.verdict(check)}: {code(check.command)}{exit_code}"


def _summary(report: Report, most: int) -> str:
    words = report.summary.strip()
    if words and report.pieces:
        return folded("In the agent's words", quoted(cut(words, most)))
    return f"In the agent's words:\n\n{quoted(cut(words, most))}" if words else ""


def _output(report: Report, most: int) -> str:
    if report.check is None or not report.check.output.strip():
        return ""
    return folded("The end of the tests' output", fenced(tail(report.check.output.strip("\n"), most)))


# -- ceilings --


def _limits(report: Report) -> str:
    most = {name: full for name, _, full, _, _ in headlines.rows(report)}
    return f"at most {most['cost']}, {most['tokens']} tokens, {most['steps']} steps, {most['wall']}"


def _asked(report: Report) -> str:
    who = f", asked for by {code(report.actor)}" if report.actor else ""
    return f"A {code(report.task_class)} run by {code(report.model or report.engine)}{who}."


def _resumed(report: Report) -> str:
    """What has been used already counts, and what going on costs before anything new is done (L4)."""
    resumed, used = report.resumed, report.spent
    if resumed is None:
        return ""
    again = (
        f" Its conversation is no longer in the prompt cache: reading {resumed.tokens:,} tokens of it "
        f"anew costs about {resumed.cost}, once."
        if resumed.tokens
        else ""
    )
    return (
        f"Resumed by {code(resumed.by)}: it goes on from where it stopped. The ceilings below are totals, of "
        f"which {used.usd}, {used.tokens:,} tokens, {count(used.steps, 'step')} and {span(used.seconds)} are "
        f"used already.{again}"
    )


def _ceilings(report: Report) -> str:
    live = report.outcome in LIVE
    table = ["| ceiling | most | from |", "|---|--:|---|"]
    if not live:
        table = ["| ceiling | used | of | | from |", "|---|--:|--:|--:|---|"]
    for name, used, most, part, source in headlines.rows(report):
        used_of = "" if live else f" {used} |"
        percent = "" if live else f" {part} % |"
        table.append(f"| {name} |{used_of} {most} |{percent} {cell(source)} |")
    return "\n".join(table)


def _bars(report: Report) -> str:
    found = headlines.rows(report)
    wide = max(len(name) for name, *_ in found)
    bars = []
    for name, used, most, part, _ in found:
        if name == "wall" and not report.spent.seconds:
            bars.append(f"{name:<{wide}}  at most {most}")
            continue
        filled = min(BAR, part * BAR // 100)
        bar = "█" * filled + "░" * (BAR - filled)
        bars.append(f"{name:<{wide}}  {bar} {part:>3} %  {used} of {most}")
    return "```text\n" + "\n".join(bars) + "\n```"


def _clamps(report: Report, most: int) -> str:
    if not report.clamps:
        return ""
    shown = [f"- {line(clamp)}" for clamp in report.clamps[:most]]
    if len(report.clamps) > most:
        shown.append(f"- and {len(report.clamps) - most} more")
    return "Where this differs from what was asked for:\n\n" + "\n".join(shown)


# -- the rest --


def _isolation(report: Report) -> str:
    if report.isolation != "none":
        return ""
    return (
        "**Not isolated:** the agent's commands ran as the same user as its runner and could see what that "
        "user sees. A runner's machine holds no Anthropic key and no right to push."
    )


def _origin(report: Report) -> str:
    attempt = f", attempt {report.attempt}" if report.attempt > 1 else ""
    run = f"[{code(report.run)}]({_link(report.page)})" if report.page else code(report.run)
    found = [f"run {run}{attempt}"]
    if report.workflow_url:
        found.append(f"[its workflow]({_link(report.workflow_url)})")
    if report.model:
        found.append(code(report.model, 60))
    if report.engine:
        found.append(f"engine {code(report.engine, 60)}")
    if report.price_book:
        found.append(f"prices {code(report.price_book, 80)}")
    return f"<sub>{' · '.join(found)}</sub>"


def _link(url: str) -> str:
    """A URL of GitHub's or of the service, so that it cannot end the link it stands in."""
    safe = "".join(c for c in url if c.isprintable() and c not in " ()<>[]\"'`|\\")
    return safe[:500] if safe.startswith(("https://", "http://")) else "#"
