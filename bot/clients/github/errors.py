"""What goes wrong at GitHub, as sentences; never with a token in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from github import GithubException

# Installation tokens of both forms (the newer one has dots), and JWTs.
_TOKEN = re.compile(r"\b(?:gh[a-z]_|github_pat_|ey[A-Za-z0-9_-]{8,}\.)[A-Za-z0-9._-]{16,}")


class GitHubError(Exception):
    """GitHub said no. `str()` is a sentence for the audit or the thread; `status` is 0 without an answer."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence, status)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


class Unavailable(GitHubError):
    """GitHub could not (no answer, 5xx, a rate limit): the same call may work after `retry_after` seconds."""

    def __init__(self, sentence: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(sentence, status)
        self.args = (sentence, status, retry_after)
        self.retry_after = retry_after


class Limited(Unavailable):
    """A rate limit; `retry_after` is None where GitHub did not say for how long."""


class Unrecognized(Unavailable):
    """GitHub does not know the App by what its private key signs: it is for us to set that right, and no
    answer to what was asked."""


def unreachable(verb: str, path: str, error: Exception) -> Unavailable:
    """The sentence for a call that got no answer, or none that can be read."""
    return Unavailable(f"GitHub did not answer {verb} {path} ({type(error).__name__})")


def refused(
    verb: str, path: str, error: GithubException, is_rate_limit: Callable[[str], bool]
) -> GitHubError:
    """The error for an answer above 399; a rate limit (by its words, too), 408 and 5xx are Unavailable."""
    headers = {name.lower(): str(value) for name, value in (error.headers or {}).items()}
    said = _said(error.data)
    sentence = redacted(f"GitHub answered {error.status} to {verb} {path}" + (f": {said}" if said else ""))
    limited = error.status == 429 or (
        error.status == 403
        and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or is_rate_limit(said))
    )
    if limited:
        return Limited(sentence, error.status, _wait(headers))
    if error.status >= 500 or error.status == 408:
        return Unavailable(sentence, error.status, _seconds(headers.get("retry-after")))
    return GitHubError(sentence, error.status)


def redacted(text: str) -> str:
    """Without anything that looks like a token of GitHub's."""
    return _TOKEN.sub("(token)", text)


def _said(data: Any) -> str:
    """GitHub's message with the particulars of a validation, at most 500 characters."""
    if not isinstance(data, Mapping):
        return ""
    parts = [str(data.get("message") or "")]
    for wrong in data.get("errors") or []:
        if isinstance(wrong, Mapping):
            parts.append(str(wrong.get("message") or " ".join(str(v) for v in wrong.values())))
        else:
            parts.append(str(wrong))
    return "; ".join(part for part in parts if part)[:500]


def _wait(headers: Mapping[str, str]) -> float | None:
    asked = _seconds(headers.get("retry-after"))
    return exhausted(headers) if asked is None else asked


def exhausted(headers: Mapping[str, str]) -> float | None:
    """Seconds until an hour's requests, of which none is left, are counted anew; None if some are left."""
    reset = _seconds(headers.get("x-ratelimit-reset"))
    if headers.get("x-ratelimit-remaining") != "0" or reset is None or "date" not in headers:
        return None
    # GitHub's own clock for both, so that ours does not matter.
    return max(1.0, reset - parsedate_to_datetime(headers["date"]).timestamp())


def _seconds(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]+", text) else None
