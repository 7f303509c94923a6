"""Who a workflow run says it is, once that is proven (oidc.py), and why it is not."""

from __future__ import annotations

from dataclasses import dataclass


class OidcError(Exception):
    """The token does not prove what it must; `str()` is a sentence for the runner."""


class OidcUnavailable(OidcError):
    """The issuer's keys could not be fetched: the same token may be verified later."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What GitHub says about a job. Authorise on the ids and `workflow_ref`, never on names or `sub`."""

    repository: str
    repository_id: int
    run_id: int
    run_attempt: int
    workflow_ref: str
    event_name: str
    ref: str
    sha: str
    actor: str
    actor_id: int | None = None  # GitHub's number of that person
    job_id: int | None = None  # `check_run_id`; older servers do not say it
