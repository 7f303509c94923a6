"""Webhook deliveries as GitHub sends them: published examples, patched, checked against the schema, signed.

    headers, body = samples.delivery("issue_comment", "created", on_pull=True, comment="/agent fix")

The examples are those of @octokit/webhooks-examples (see tests/contracts/operations.py). Old ones lack keys
that GitHub has added since; `_modern` adds those, and nothing leaves here that breaks the published schema.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import hmac
import json
import re
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.contracts.checker import complaints, contract

Json = Any
SECRET = "the webhook's secret"
# Actions without a published example: the nearest one, and what differs.
NEAREST: dict[tuple[str, str], tuple[str, Json]] = {
    ("issues", "closed"): ("issues.reopened", {"issue": {"state": "closed", "state_reason": "completed"}}),
    ("pull_request", "edited"): ("pull_request.reopened", {"changes": {"title": {"from": "before"}}}),
    ("workflow_run", "in_progress"): ("workflow_run.requested", {"workflow_run": {"status": "in_progress"}}),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a delivery tells about. The defaults are one small world, the same in every payload."""

    full_name: str = "acme/widgets"
    repository_id: int = 4242
    installation: int | None = 99  # None: the key is left out, as in most published examples
    login: str = "dana"  # who did it: sender, and the comment's author
    sender_type: str = "User"
    association: str = "MEMBER"
    author: str = "dana"  # who opened the thread
    number: int = 7
    on_pull: bool = False  # issue_comment: the thread is a pull request
    comment: str = "text"
    comment_id: int = 1001
    label: str = "agent:cost=$10"
    merged: bool = False  # pull_request.closed
    head_sha: str = "0123456789abcdef0123456789abcdef01234567"
    run_id: int = 555  # workflow_run
    run_title: str = "text"
    run_event: str = "workflow_dispatch"
    run_path: str = ".github/workflows/agent.yml"
    conclusion: str | None = "success"


def payload(event: str, action: str = "", *, patch: Json = None, check: bool = True, **facts: Any) -> Json:
    """A payload with these Facts, then `patch` laid over it (objects merge, everything else replaces).

    Raises ValueError when the result breaks GitHub's schema, unless `check` is False.
    """
    told = Facts(**facts)
    near, differs = NEAREST.get((event, action), (f"{event}.{action}".rstrip("."), {}))
    made = _modern(copy.deepcopy(_examples()[near]))
    if action:
        made["action"] = action
    made = _told(event, _renamed(_merged(made, differs), told), told)
    made = _merged(made, patch or {})
    if check and (wrong := complaints(contract().payload_validator(event, action), made, "payload")):
        raise ValueError("\n".join(wrong))
    return made


def delivery(
    event: str,
    action: str = "",
    *,
    secret: str = SECRET,
    guid: str | None = None,
    patch: Json = None,
    check: bool = True,
    **facts: Any,
) -> tuple[dict[str, str], bytes]:
    """Headers and the signed bytes of one delivery; see `payload` for what may be said."""
    body = json.dumps(payload(event, action, patch=patch, check=check, **facts)).encode()
    return headers(event, body, secret=secret, guid=guid), body


def headers(event: str, body: bytes, *, secret: str = SECRET, guid: str | None = None) -> dict[str, str]:
    """GitHub's headers over these very bytes; each call is another delivery unless `guid` is given."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": guid or str(uuid.uuid4()),
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "79929171",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature-256": f"sha256={signature}",
    }


def _merged(value: Json, patch: Json) -> Json:
    if not (isinstance(value, dict) and isinstance(patch, dict)):
        return patch
    return value | {key: _merged(value.get(key), item) for key, item in patch.items()}


@cache
def _examples() -> Json:
    return json.loads(gzip.decompress((Path(__file__).parent / "examples.json.gz").read_bytes()))["examples"]


def _modern(value: Json) -> Json:
    """With the keys and types that GitHub has introduced since the example was recorded."""
    if isinstance(value, list):
        return [_modern(item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", value):
        return value.replace(" ", "T") + "Z"
    if not isinstance(value, dict):
        return value
    made = {key: _modern(item) for key, item in value.items()}
    if "has_issues" in made:
        made = {"has_discussions": False, "disabled": False} | made
    if "access_tokens_url" in made:
        made = {"app_slug": "tollgate"} | made
        for key in ("created_at", "updated_at"):
            if isinstance(made[key], int):
                made[key] = "2026-11-01T00:00:00.000Z"
    if "check_suite" in made and "app" in made:  # a check run of before 2020
        made = {"node_id": "CR_1", "details_url": "https://example.org"} | made
    if "external_url" in made and "owner" in made:
        made = {"permissions": {}, "events": []} | made
    return made


def _renamed(made: Json, told: Facts) -> Json:
    """The repository under its name in our world, wherever the payload spells it."""
    if "repository" not in made:
        return made
    old = made["repository"]
    owner, name = told.full_name.split("/")
    text = json.dumps(made).replace(old["full_name"], told.full_name)
    made = json.loads(text)
    kept = {"id": told.repository_id, "name": name, "full_name": told.full_name, "private": old["private"]}
    for holder in (made, *_ends(made)):
        key = "repository" if holder is made else "repo"
        if holder.get(key) and holder[key]["full_name"] == told.full_name:
            holder[key] |= kept
            holder[key]["owner"]["login"] = owner
    return made


def _ends(made: Json) -> list[Json]:
    pull = made.get("pull_request") or {}
    return [pull[end] for end in ("head", "base") if end in pull]


def _told(event: str, made: Json, told: Facts) -> Json:
    if "sender" in made:
        made["sender"] |= {"login": told.login, "type": told.sender_type}
    if event not in ("ping", "installation", "installation_repositories"):
        made.pop("installation", None)
        if told.installation is not None:
            made["installation"] = {"id": told.installation, "node_id": "MDIzOkludGVncmF0aW9u"}
    elif "installation" in made and told.installation is not None:
        made["installation"]["id"] = told.installation
    if "comment" in made:
        made["comment"] |= {
            "id": told.comment_id,
            "body": told.comment,
            "author_association": told.association,
        }
        made["comment"]["user"] |= {"login": told.login, "type": told.sender_type}
    if "label" in made and event != "label":
        made["label"]["name"] = told.label
    if "issue" in made:
        made["issue"] = _issue(made["issue"], told)
    if "pull_request" in made:
        made["pull_request"] = _pull(event, made, told)
    if event == "workflow_run":
        run = {"id": told.run_id, "display_title": told.run_title, "head_sha": told.head_sha}
        run |= {"event": told.run_event, "path": told.run_path}
        made["workflow_run"] |= run | (
            {"conclusion": told.conclusion} if made["action"] == "completed" else {}
        )
    return made


def _issue(issue: Json, told: Facts) -> Json:
    issue = issue | {"number": told.number, "user": issue["user"] | {"login": told.author}}
    issue.pop("pull_request", None)
    if told.on_pull:
        page = f"https://github.com/{told.full_name}/pull/{told.number}"
        issue["html_url"] = page
        issue["pull_request"] = {
            "url": f"https://api.github.com/repos/{told.full_name}/pulls/{told.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": None,
        }
    return issue


def _pull(event: str, made: Json, told: Facts) -> Json:
    pull = made["pull_request"] | {
        "number": told.number,
        "user": made["pull_request"]["user"] | {"login": told.author},
        "head": made["pull_request"]["head"] | {"sha": told.head_sha},
    }
    if "number" in made:
        made["number"] = told.number
    if event == "pull_request" and made["action"] == "closed" and told.merged:
        merged = {
            "merged": True,
            "merged_at": "2026-11-20T12:00:00Z",
            "merge_commit_sha": "f" * 40,
            "merged_by": copy.deepcopy(made["sender"]),
        }
        pull |= merged
    return pull
