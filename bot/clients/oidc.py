"""Who a workflow run is, by the OIDC token that GitHub signed for it. Any doubt is a no.

Only two URLs are ever fetched: the configured issuer's discovery document and the key set that it names,
which must be on the issuer's own host. Nothing in a token chooses an address.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests

from bot.clients.identity import Claims, OidcError, OidcUnavailable

ALGORITHM = "RS256"
LEEWAY = 30  # seconds that the two clocks may differ
TIMEOUT = 10  # seconds without a byte
REFETCH = 60.0  # seconds between two looks for a key that we do not know
PAUSE = 5.0  # seconds after a look that failed
LIFE = 3600.0  # seconds that a fetched key set is used
MOST_BYTES = 512 * 1024
LONGEST = 16_384  # characters of a token; GitHub's are about 2,000
REQUIRED = ("iss", "aud", "exp", "nbf", "iat")


class Verifier:
    """Tokens of one issuer for one audience. Threads may share it. `fetch` is URL → bytes, for tests."""

    def __init__(self, issuer: str, audience: str, fetch: Callable[[str], bytes] | None = None) -> None:
        self._issuer = issuer.rstrip("/")
        self._audience = audience
        self._fetch = fetch or _get
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._failed_at: float | None = None

    def verify(self, token: str, now: float) -> Claims:
        """The claims of a token that is sound at `now` (seconds since the epoch).

        Raises OidcError for any doubt, OidcUnavailable when the issuer's keys cannot be had.
        """
        key = self._key(_header(token))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                # Times are judged below, by the time that we were given.
                options={
                    "require": list(REQUIRED),
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "strict_aud": True,
                },
            )
        except jwt.InvalidIssuerError as error:
            raise OidcError(f"the token is not from {self._issuer}") from error
        except jwt.InvalidAudienceError as error:
            raise OidcError(f"the token is not meant for {self._audience}") from error
        except jwt.MissingRequiredClaimError as error:
            raise OidcError(f"the token has no claim {error.claim!r}") from error
        except jwt.InvalidSignatureError as error:
            raise OidcError("the token's signature is not the issuer's") from error
        except jwt.PyJWTError as error:
            raise OidcError("the token cannot be read as one of GitHub Actions") from error
        _in_time(claims, now)
        return _claims(claims)

    # -- keys --

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """The issuer's key of this name; asks the issuer again at most once a minute for one that is new."""
        name = header["kid"]
        with self._lock:
            since = time.monotonic()
            age = None if self._fetched_at is None else since - self._fetched_at
            if age is None or age > LIFE or (name not in self._keys and age >= REFETCH):
                if self._failed_at is not None and since - self._failed_at < PAUSE:
                    raise OidcUnavailable(f"{self._issuer} did not answer just now")
                self._failed_at = since
                self._keys = self._fetch_keys()
                self._fetched_at, self._failed_at = time.monotonic(), None
            if name not in self._keys:
                raise OidcError("the token is signed with a key that its issuer does not publish")
            return self._keys[name]

    def _fetch_keys(self) -> dict[str, jwt.PyJWK]:
        discovered = self._json(f"{self._issuer}/.well-known/openid-configuration")
        if not isinstance(discovered, dict) or discovered.get("issuer") != self._issuer:
            raise OidcUnavailable(f"the discovery document of {self._issuer} is not its own")
        address = discovered.get("jwks_uri")
        if not isinstance(address, str) or _origin(address) != _origin(self._issuer):
            raise OidcUnavailable(f"the keys of {self._issuer} are said to be on another host")
        listed = self._json(address)
        keys = listed.get("keys") if isinstance(listed, dict) else None
        found = {}
        for raw in keys if isinstance(keys, list) else []:
            if not isinstance(raw, dict) or raw.get("kty") != "RSA" or raw.get("use", "sig") != "sig":
                continue
            if isinstance(raw.get("kid"), str) and raw.get("alg", ALGORITHM) == ALGORITHM:
                try:
                    found[raw["kid"]] = jwt.PyJWK(raw, algorithm=ALGORITHM)
                except jwt.PyJWTError:
                    continue  # a key that we cannot read is a key that we do not have
        if not found:
            raise OidcUnavailable(f"{self._issuer} publishes no key that can be used")
        return found

    def _json(self, url: str) -> Any:
        try:
            return json.loads(self._fetch(url))
        except (requests.RequestException, OSError) as error:
            raise OidcUnavailable(f"{self._issuer} did not answer ({type(error).__name__})") from error
        except ValueError as error:
            raise OidcUnavailable(f"{self._issuer} answered with something other than JSON") from error


def _get(url: str) -> bytes:
    """At most MOST_BYTES of a 200 at exactly this URL: redirections are not followed."""
    with requests.get(
        url, timeout=TIMEOUT, allow_redirects=False, stream=True, headers={"Accept": "application/json"}
    ) as answer:
        if answer.status_code != 200:
            raise requests.HTTPError(f"status {answer.status_code}", response=answer)
        body = b""
        for part in answer.iter_content(65_536):
            body += part
            if len(body) > MOST_BYTES:
                raise ValueError("too long for a key set")
        return body


def _header(token: str) -> Mapping[str, Any]:
    """The token's header: the one algorithm, and the name of a key."""
    try:
        if not token.isascii() or len(token) > LONGEST:
            raise jwt.DecodeError("not a token")
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise OidcError("the bearer token is not a signed JSON web token") from error
    if header.get("alg") != ALGORITHM:
        raise OidcError(f"the token is not signed with {ALGORITHM}")
    if not isinstance(header.get("kid"), str) or not header["kid"]:
        raise OidcError("the token does not name its key")
    return header


def _in_time(claims: Mapping[str, Any], now: float) -> None:
    times = [claims["exp"], claims["nbf"], claims["iat"]]
    if any(isinstance(time, bool) or not isinstance(time, int | float) for time in times):
        raise OidcError("the token's times are not numbers")
    if now >= claims["exp"] + LEEWAY:
        raise OidcError("the token has expired")
    if now < claims["nbf"] - LEEWAY or now < claims["iat"] - LEEWAY:
        raise OidcError("the token is not valid yet: are the clocks right?")


def _claims(raw: Mapping[str, Any]) -> Claims:
    def text(name: str) -> str:
        value = raw.get(name)
        if not isinstance(value, str) or not value:
            raise OidcError(f"the token has no claim {name!r}")
        return value

    def number(name: str) -> int:
        value = raw.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not (value.isascii() and value.isdigit()) or len(value) > 19:
            raise OidcError(f"the token's claim {name!r} is not a number")
        return int(value)

    return Claims(
        repository=text("repository"),
        repository_id=number("repository_id"),
        run_id=number("run_id"),
        run_attempt=number("run_attempt"),
        workflow_ref=text("workflow_ref"),
        event_name=text("event_name"),
        ref=text("ref"),
        sha=text("sha"),
        actor=text("actor"),
        actor_id=number("actor_id") if raw.get("actor_id") else None,
        job_id=number("check_run_id") if raw.get("check_run_id") else None,
    )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        return "", None, None
