"""Signing in with GitHub: the App's web flow for a browser, and its device flow for a terminal.

Source: GitHub Docs, "Generating a user access token for a GitHub App" (read 2026-11-26). GitHub refuses with
status 200 and an `error`; what is not one of its own words is not shown to anyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from bot.clients.github.errors import GitHubError, Unavailable

TIMEOUT = 20  # seconds without a byte
TOKEN_PATH = "/login/oauth/access_token"  # noqa: S105 - a path
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER = 5  # seconds more between two polls, each time that GitHub says so
LIFE = 8 * 3600  # seconds of a token: also where its App let it live for ever

SAID = {
    "access_denied": "you did not allow it",
    "application_suspended": "the GitHub App is suspended",
    "bad_verification_code": "the code was used before, or is too old",
    "device_flow_disabled": "the GitHub App has no device flow: an owner turns it on in its settings",
    "expired_token": "the code was not typed in time",
    "incorrect_client_credentials": "the service's GITHUB_CLIENT_ID or GITHUB_CLIENT_SECRET is wrong",
    "incorrect_device_code": "the code is not known",
    "redirect_uri_mismatch": "PUBLIC_URL/sign-in/callback is no callback URL of the GitHub App",
    "token_expired": "the code was not typed in time",
    "unverified_user_email": "your e-mail address at GitHub is not verified",
}


class Refused(GitHubError):
    """GitHub gave no token; `reason` is its word for why, `str()` a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"GitHub did not sign you in: {SAID.get(reason, 'it gave another reason')}", 200)
        self.reason = reason


class Granted:
    """A person's token, for `seconds` (at most eight hours); no repr, no dataclass: it is a secret."""

    __slots__ = ("seconds", "token")

    def __init__(self, raw: dict[str, Any]) -> None:
        self.token = str(raw["access_token"])
        self.seconds = min(int(raw.get("expires_in") or LIFE), LIFE)


class Device:
    """What a terminal shows (`user_code`, `verification_uri`) and what it polls with; times in seconds."""

    __slots__ = ("device_code", "expires_in", "interval", "user_code", "verification_uri")

    def __init__(self, raw: dict[str, Any]) -> None:
        self.device_code = str(raw["device_code"])
        self.user_code = str(raw["user_code"])
        self.verification_uri = str(raw["verification_uri"])
        self.expires_in = int(raw.get("expires_in") or 900)
        self.interval = int(raw.get("interval") or 5)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nobody has typed the code yet: ask again in so many seconds, and no sooner."""

    seconds: int


def authorize_url(web_url: str, client_id: str, redirect_uri: str, state: str, verifier: str) -> str:
    """Where a browser is sent to sign in. `verifier`: 43 to 128 characters, kept for the exchange (PKCE)."""
    with closing(OAuth2Session(client_id, code_challenge_method="S256")) as session:
        url, _ = session.create_authorization_url(
            f"{web_url}/login/oauth/authorize",
            state,
            verifier,
            redirect_uri=redirect_uri,
            allow_signup="false",
        )
    return str(url)


def exchange(
    web_url: str, client_id: str, client_secret: str, code: str, redirect_uri: str, verifier: str
) -> Granted:
    """The token for the code that a browser came back with, once. Raises Refused and Unavailable."""
    # GitHub takes the secret in the body; a header is not documented.
    with _talk(client_id, client_secret, "client_secret_post") as session:
        return Granted(
            session.fetch_token(
                web_url + TOKEN_PATH,
                grant_type="authorization_code",
                code=code,
                redirect_uri=redirect_uri,
                code_verifier=verifier,
            )
        )


def begin_device(web_url: str, client_id: str) -> Device:
    """Asks for a code to be typed at GitHub. Raises Refused and Unavailable."""
    with _talk(client_id) as session:
        headers = {"Accept": "application/json"}
        asked = session.post(
            f"{web_url}/login/device/code", {"client_id": client_id}, headers=headers, withhold_token=True
        )
        raw = asked.json()
        if "error" in raw:
            raise OAuthError(raw["error"])
        return Device(raw)


def poll_device(web_url: str, client_id: str, device: Device) -> Granted | Waiting:
    """The token if the person has said yes by now, else how long to wait; `device` keeps the pace.

    Raises Refused when they said no or it is too late, and Unavailable.
    """
    try:
        with _talk(client_id) as session:
            sent = {"grant_type": DEVICE_GRANT, "device_code": device.device_code}
            return Granted(session.fetch_token(web_url + TOKEN_PATH, **sent))
    except Refused as refused:
        if refused.reason not in ("authorization_pending", "slow_down"):
            raise
        device.interval += SLOWER if refused.reason == "slow_down" else 0
        return Waiting(device.interval)


@contextmanager
def _talk(client_id: str, secret: str | None = None, method: str = "none") -> Iterator[OAuth2Session]:
    """A session whose errors are ours: sentences without what was sent or answered."""
    with closing(
        OAuth2Session(client_id, secret, token_endpoint_auth_method=method, default_timeout=TIMEOUT)
    ) as session:
        session.max_redirects = 0  # what is sent here is for that host alone
        try:
            yield session
        except OAuthError as error:
            raise Refused(str(error.error)) from None
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else 0
            raise Unavailable(f"GitHub did not answer ({type(error).__name__})", status) from None
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"GitHub's answer could not be read ({type(error).__name__})") from None
