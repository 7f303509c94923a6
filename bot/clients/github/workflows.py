"""Runs of GitHub Actions: started once, and ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from bot.clients.github.errors import GitHubError
from bot.clients.github.scopes import LOOK, RUN
from bot.clients.github.shapes import Dispatched, Json, Repo

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection


def dispatch(
    wire: Connection, repo: Repo, workflow: str, ref: str, inputs: Mapping[str, str], run_name: str
) -> Dispatched:
    """A run of a workflow file; one of that name that GitHub lists already is it."""
    path = f"/actions/workflows/{quote(workflow, safe='')}"
    asked = {"event": "workflow_dispatch"}
    for known in wire.pages(repo, LOOK, f"{path}/runs", asked, key="workflow_runs", most=3):
        if known["display_title"] == run_name:
            return Dispatched(int(known["id"]), str(known["html_url"]))
    sent: Json = {"ref": ref, "inputs": dict(inputs), "return_run_details": True}
    made = wire.call(repo, RUN, "POST", f"{path}/dispatches", body=sent)
    if not made:  # 204: an older GitHub does not say which run it became
        return Dispatched(None, None)
    return Dispatched(int(made["workflow_run_id"]), str(made["html_url"]))


def cancel(wire: Connection, repo: Repo, id: int) -> None:
    """The end of a run; one that has ended already is fine."""
    try:
        wire.call(repo, RUN, "POST", f"/actions/runs/{id}/cancel")
    except GitHubError as error:
        if error.status != 409:
            raise
