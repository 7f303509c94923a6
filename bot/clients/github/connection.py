"""The wire to GitHub: the App's identity, narrow tokens, one connection a thread, no hidden retries."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakSet

import jwt
import requests
from github import GithubException
from github.Auth import Auth
from github.Requester import Requester
from urllib3.util import Retry

from bot.clients.github.errors import (
    GitHubError,
    Limited,
    Unavailable,
    Unrecognized,
    exhausted,
    redacted,
    refused,
    unreachable,
)
from bot.clients.github.pace import APP, LIVE, Pace, heed, share_of
from bot.clients.github.scopes import LOOK
from bot.clients.github.shapes import Json, Repo

TIMEOUT = 20  # seconds without a byte
API_VERSION = "2022-11-28"
PAGE = 100
MAX_PAGES = 50
EARLY = 300.0  # seconds before its end in which a token is not used any more
# Seconds in which nothing is signed after GitHub did not know it: after several wrong credentials within a
# short time it refuses right ones too, by 403.
# https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api, read 2026-11
UNRECOGNIZED_WAIT = 30.0
_LOGIN_LIMIT = "login attempts exceeded"

# PyGithub logs whole answers at DEBUG, among them the one that carries an installation token.
logging.getLogger("github.Requester").setLevel(logging.INFO)


class _Bearer(Auth):
    """The token of the call that this thread is making; none for a call as nobody."""

    def __init__(self) -> None:
        self.current = ""

    @property
    def token_type(self) -> str:
        return "Bearer"

    @property
    def token(self) -> str:
        return self.current

    def authentication(self, headers: dict[str, Any]) -> None:
        if self.current:
            super().authentication(headers)


class _Kept:
    """An installation token and when, on the monotonic clock, it is too old to use."""

    __slots__ = ("text", "until")

    def __init__(self, text: str, until: float) -> None:
        self.text = text
        self.until = until


class Connection:
    """Calls to one GitHub as one App. Threads may share it. Raises GitHubError and Unavailable only."""

    def __init__(
        self, app_id: int, private_key: str, api_url: str, pace: Pace, now: Callable[[], float]
    ) -> None:
        """`now`: seconds since the epoch, for what the App signs."""
        self.app_id = app_id
        self._pace, self._now = pace, now
        self._key = private_key
        self._unrecognized: tuple[float, str] | None = None  # when, by `now`, and GitHub's words
        self._url = api_url.rstrip("/")
        self._tokens: dict[tuple[int, int, tuple[tuple[str, str], ...]], _Kept] = {}
        self._lock = threading.Lock()
        # PyGithub's connection keeps the request it is making on itself: one for each thread.
        self._mine = threading.local()
        self._all: WeakSet[Requester] = WeakSet()

    def close(self) -> None:
        """Closes every thread's connection."""
        with self._lock:
            for requester in list(self._all):
                requester.close()

    # -- calls --

    def call(
        self,
        repo: Repo,
        scope: Mapping[str, str],
        verb: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Json = None,
        *,
        live: bool = False,
    ) -> Json:
        """One call about a repository, `path` below it; the answer's JSON, None when it has no body.

        `live`: what is soon said again, and gives way to everything else.
        """
        return self._as_installation(repo, scope, verb, repo.path + path, query, body, live)[1]

    def find(
        self, repo: Repo, scope: Mapping[str, str], path: str, query: Mapping[str, Any] | None = None
    ) -> Json:
        """A GET below the repository; None for what is not there."""
        try:
            return self.call(repo, scope, "GET", path, query)
        except GitHubError as error:
            if error.status == 404:
                return None
            raise

    def pages(
        self,
        repo: Repo,
        scope: Mapping[str, str],
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        most: int | None = None,
    ) -> Iterator[Json]:
        """The items of a list, page after page; `key` names the list inside an answer that is an object.

        At most `most` pages. Without it over 5,000 items raise GitHubError: half a list decides nothing.
        """

        def ask(asked: Mapping[str, Any]) -> tuple[dict[str, Any], Json]:
            return self._as_installation(repo, scope, "GET", repo.path + path, asked, None)

        whole = most is None
        yield from _pages(
            ask, query, f"{repo.full_name}{path}", key, MAX_PAGES if most is None else most, whole
        )

    def repositories(self, installation: int) -> Iterator[Json]:
        """Those of an installation, with a token for all of them that reads nothing but what they are."""
        whole = Repo(installation, 0, f"installation {installation}")

        def ask(asked: Mapping[str, Any]) -> tuple[dict[str, Any], Json]:
            names = {"metadata": "read"}
            return self._as_installation(whole, names, "GET", "/installation/repositories", asked, None)

        yield from _pages(ask, None, whole.full_name, "repositories", MAX_PAGES, whole=True)

    def graphql(self, repo: Repo, query: str, variables: Mapping[str, Any]) -> Json:
        """The data of a GraphQL query with a token for this repository."""
        _, answer = self._as_installation(
            repo, LOOK, "POST", "graphql", None, {"query": query, "variables": dict(variables)}
        )
        if answer.get("errors"):
            if any(error.get("type") == "RATE_LIMITED" for error in answer["errors"]):
                raise self._limited(repo.installation, Limited("GitHub's limit of GraphQL is reached", 200))
            said = "; ".join(str(error.get("message")) for error in answer["errors"])
            raise GitHubError(redacted(f"GitHub could not answer a GraphQL query: {said}"), 200)
        return answer["data"]

    def as_app(self, verb: str, path: str, body: Json = None) -> Json:
        """One call as the App itself."""
        return self._send_as_app(verb, path, None, body)[1]

    def as_nobody(self, verb: str, path: str) -> Json:
        """One call without any token."""
        return self._exchange("", verb, path, None, None)[1]

    def as_user(self, token: str, path: str) -> Json:
        """One look with a person's own token: it has limits of its own, and none of the App's are used up."""
        return self._exchange(token, "GET", path, None, None)[1]

    def user_pages(self, token: str, path: str, key: str) -> Iterator[Json]:
        """The items of a list that a person sees, page after page; over 5,000 raise GitHubError."""

        def ask(asked: Mapping[str, Any]) -> tuple[dict[str, Any], Json]:
            return self._exchange(token, "GET", path, asked, None)

        yield from _pages(ask, None, path, key, MAX_PAGES, whole=True)

    def app_pages(self, path: str, most: int) -> Iterator[Json]:
        """The items of a list of the App's own, page after page; more than `most` pages raise GitHubError."""

        def ask(asked: Mapping[str, Any]) -> tuple[dict[str, Any], Json]:
            return self._send_as_app("GET", path, asked, None)

        yield from _pages(ask, None, path, None, most, whole=True)

    # -- inside --

    def _signed(self, now: float) -> str:
        """The App's own token, made anew. Raises Unrecognized for a key that cannot sign."""
        # https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app: a minute back
        # for clocks that differ, ten minutes at most.
        claims = {"iat": int(now) - 60, "exp": int(now) + 300, "iss": str(self.app_id)}
        try:
            return jwt.encode(claims, self._key, "RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise self._unknown(now, f"it cannot sign ({type(error).__name__})") from error

    def _as_installation(
        self,
        repo: Repo,
        scope: Mapping[str, str],
        verb: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Json,
        live: bool = False,
    ) -> tuple[dict[str, Any], Json]:
        heed(self._pace.ask(repo.installation, LIVE if live else share_of(verb, path)))
        token = self._token(repo, scope)
        try:
            return self._send(repo.installation, token, verb, path, query, body)
        except GitHubError as error:
            if error.status != 401:
                raise
        # Revoked before its time. Nothing was done, so a new token and the same call again are safe.
        self._forget(token)
        return self._send(repo.installation, self._token(repo, scope), verb, path, query, body)

    def _token(self, repo: Repo, scope: Mapping[str, str]) -> str:
        """An installation token for this repository with this scope and nothing more."""
        key = (repo.installation, repo.id, tuple(sorted(scope.items())))
        with self._lock:
            kept = self._tokens.get(key)
            if kept and time.monotonic() < kept.until:
                return kept.text
        asked: Json = {"permissions": dict(scope)} | ({"repository_ids": [repo.id]} if repo.id else {})
        path = f"/app/installations/{repo.installation}/access_tokens"
        headers, made = self._send_as_app("POST", path, None, asked)
        # Its life by GitHub's clock, counted on ours from now.
        life = 3600.0
        if headers.get("date"):
            started = parsedate_to_datetime(headers["date"])
            life = (datetime.fromisoformat(made["expires_at"]) - started).total_seconds()
        kept = _Kept(made["token"], time.monotonic() + min(life, 3600.0) - EARLY)
        with self._lock:
            now = time.monotonic()
            self._tokens = {key: old for key, old in self._tokens.items() if now < old.until}
            self._tokens[key] = kept
        return kept.text

    def _forget(self, token: str) -> None:
        with self._lock:
            self._tokens = {key: kept for key, kept in self._tokens.items() if kept.text != token}

    def _send_as_app(
        self, verb: str, path: str, query: Mapping[str, Any] | None, body: Json
    ) -> tuple[dict[str, Any], Json]:
        heed(self._pace.ask(APP, None))
        now = self._now()
        if self._unrecognized and 0 <= now - self._unrecognized[0] < UNRECOGNIZED_WAIT:
            raise self._unknown(*self._unrecognized)
        try:
            answer = self._send(APP, self._signed(now), verb, path, query, body)
        except GitHubError as error:
            if error.status == 401 or (error.status == 403 and _LOGIN_LIMIT in str(error)):
                raise self._unknown(now, str(error), error.status) from error
            raise
        self._unrecognized = None
        return answer

    def _unknown(self, at: float, why: str, status: int = 0) -> Unrecognized:
        self._unrecognized = at, why
        said = f"GitHub does not know App {self.app_id} by its private key: {why}"
        return Unrecognized(said, status, UNRECOGNIZED_WAIT)

    def _send(
        self,
        installation: int,
        token: str,
        verb: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Json,
    ) -> tuple[dict[str, Any], Json]:
        try:
            headers, answer = self._exchange(token, verb, path, query, body)
        except Limited as limited:
            raise self._limited(installation, limited) from limited
        self._pace.answered(installation)
        # The last request of the hour: the next one would be refused. (GraphQL has an account of its own.)
        if path != "graphql" and (seconds := exhausted(headers)) is not None:
            self._pace.limited(installation, seconds)
        return headers, answer

    def _limited(self, installation: int, limited: Limited) -> Unavailable:
        seconds = self._pace.limited(installation, limited.retry_after)
        return Unavailable(str(limited), limited.status, seconds)

    def _exchange(
        self, token: str, verb: str, path: str, query: Mapping[str, Any] | None, body: Json
    ) -> tuple[dict[str, Any], Json]:
        requester, bearer = self._requester()
        headers = {"Accept": "application/vnd.github+json"}
        url = requester.graphql_url if path == "graphql" else path
        # That GitHub has closed a kept connection shows only when it is used: reading again is safe.
        chances = 2 if verb == "GET" else 1
        while True:
            chances -= 1
            bearer.current = token
            try:
                return requester.requestJsonAndCheck(verb, url, dict(query or {}), headers, body)
            except GithubException as error:
                raise refused(verb, path, error, Requester.isRateLimitError) from error
            except requests.Timeout as error:
                raise unreachable(verb, path, error) from error
            except requests.ConnectionError as error:
                if not chances:
                    raise unreachable(verb, path, error) from error
            except (requests.RequestException, RuntimeError, ValueError, AssertionError) as error:
                # What PyGithub raises for a redirection elsewhere, and for an answer that is not JSON.
                raise unreachable(verb, path, error) from error
            finally:
                bearer.current = ""

    def _requester(self) -> tuple[Requester, _Bearer]:
        """This thread's connection."""
        known: tuple[Requester, _Bearer] | None = getattr(self._mine, "pair", None)
        if known is not None:
            return known
        bearer = _Bearer()
        requester = Requester(
            auth=bearer,
            base_url=self._url,
            timeout=TIMEOUT,
            user_agent="tollgate",
            per_page=PAGE,
            verify=True,
            # Only a connection that was never made is tried again: what had left might have been done.
            retry=Retry(total=None, connect=1, read=0, redirect=0, status=0, other=0, backoff_factor=0.2),
            pool_size=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
            api_version=API_VERSION,
        )
        with self._lock:
            self._all.add(requester)
        self._mine.pair = (requester, bearer)
        return requester, bearer


def _pages(
    ask: Callable[[Mapping[str, Any]], tuple[dict[str, Any], Json]],
    first: Mapping[str, Any] | None,
    what: str,
    key: str | None,
    most: int,
    whole: bool,
) -> Iterator[Json]:
    asked = dict(first or {}) | {"per_page": PAGE}
    for _ in range(most):
        headers, answer = ask(asked)
        yield from answer[key] if key else answer
        following = re.search(r'<([^>]+)>;\s*rel="next"', headers.get("link", ""))
        if not following:
            return
        asked = dict(parse_qsl(urlsplit(following[1]).query))
    if whole:
        raise GitHubError(f"{what} has more than {most * PAGE} entries")
