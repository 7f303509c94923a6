"""Check runs: the mark beside a commit, with annotations on lines and buttons for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.clients.github.scopes import CHECK, LOOK
from bot.clients.github.shapes import Json, Repo
from bot.core.marks import Output

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection


def start(
    wire: Connection,
    repo: Repo,
    sha: str,
    name: str,
    external_id: str,
    details_url: str,
    shown: Output,
    queued: bool,
) -> int:
    """A check run that waits or is in progress; the id of it, once for an `external_id`."""
    if known := _known(wire, repo, sha, name, external_id):
        return int(known["id"])
    sent = {"status": "queued" if queued else "in_progress", "details_url": details_url}
    return int(_make(wire, repo, sha, name, external_id, sent, shown)["id"])


def begin(wire: Connection, repo: Repo, check_id: int) -> None:
    """What has waited is in progress."""
    wire.call(repo, CHECK, "PATCH", f"/check-runs/{check_id}", body={"status": "in_progress"})


def conclude(
    wire: Connection, repo: Repo, sha: str, name: str, external_id: str, conclusion: str, shown: Output
) -> str:
    """A check run that is over as it begins, once for an `external_id`; its page."""
    known = _known(wire, repo, sha, name, external_id)
    if known is None:
        over = {"status": "completed", "conclusion": conclusion}
        known = _make(wire, repo, sha, name, external_id, over, shown)
    return str(known["html_url"] or "")


def finish(wire: Connection, repo: Repo, check_id: int, conclusion: str, shown: Output) -> None:
    """Ends a check run. Every request adds its annotations, so those that are there are not sent again."""
    path = f"/check-runs/{check_id}"
    there = 0
    if shown.annotations:
        there = int(wire.call(repo, LOOK, "GET", path)["output"]["annotations_count"])
    sent: Json = {
        "status": "completed",
        "conclusion": conclusion,
        "output": _output(shown, there),
        # An empty list takes the buttons away: what they offered may have been done.
        "actions": [
            {"label": one.label, "description": one.does, "identifier": one.identifier}
            for one in shown.buttons
        ],
    }
    wire.call(repo, CHECK, "PATCH", path, body=sent)


def _known(wire: Connection, repo: Repo, sha: str, name: str, external_id: str) -> Json | None:
    asked = {"check_name": name, "app_id": wire.app_id, "filter": "all"}
    found = wire.pages(repo, LOOK, f"/commits/{sha}/check-runs", asked, key="check_runs")
    return next((known for known in found if known["external_id"] == external_id), None)


def _make(
    wire: Connection, repo: Repo, sha: str, name: str, external_id: str, more: Json, shown: Output
) -> Json:
    body = {
        "name": name,
        "head_sha": sha,
        "external_id": external_id,
        "output": _output(shown),
    }
    return wire.call(repo, CHECK, "POST", "/check-runs", body=body | more)


def _output(shown: Output, there: int = 0) -> Json:
    """`there`: how many of its annotations the check run has already."""
    output: Json = {"title": shown.title, "summary": shown.summary}
    if shown.text:
        output["text"] = shown.text
    if shown.annotations[there:]:
        output["annotations"] = [
            {
                "path": one.path,
                "start_line": one.line,
                "end_line": one.line,
                "annotation_level": one.level,
                "title": one.title,
                "message": one.message,
            }
            for one in shown.annotations[there:]
        ]
    return output
