"""People who sign in to an App's service: codes of the web and the device flow, and what they are worth.

Source: GitHub Docs, "Generating a user access token for a GitHub App" and "Refreshing user access tokens"
(read 2026-11-26). Every refusal is an answer with status 200 and an `error`, as GitHub's.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sandbox.github.access import USER_TOKEN_SECONDS, user_token
from sandbox.github.state import Account, App, Hub, Json

CODE_SECONDS = 600.0
DEVICE_SECONDS = 900.0
INTERVAL = 5.0  # between two polls of a device
REFRESH_SECONDS = 15_897_600  # about six months
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


class No(Exception):
    """A refusal: GitHub's word for it, and a sentence."""

    def __init__(self, error: str, sentence: str, **more: object) -> None:
        super().__init__(sentence)
        self.answer: Json = {"error": error, "error_description": sentence, **more}


@dataclass
class Code:
    """What a browser brings back to the service."""

    app: App
    account: Account
    redirect_uri: str
    challenge: str  # "": the service did without PKCE
    until: float


@dataclass
class Device:
    """A device that waits until somebody types its code."""

    app: App
    user_code: str
    until: float
    interval: float = INTERVAL
    polled: float = 0.0
    account: Account | None = None
    denied: bool = False


@dataclass
class Refresh:
    """What is worth a new token once, and the token that it then ends."""

    app: App
    account: Account
    token: str
    by_device: bool
    until: float


@dataclass
class SignIn:
    """Who is signing in where."""

    hub: Hub
    codes: dict[str, Code] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    refreshes: dict[str, Refresh] = field(default_factory=dict)

    def app(self, client_id: str) -> App:
        known = next((app for app in self.hub.apps.values() if app.client_id == client_id), None)
        if known is None:
            raise No("incorrect_client_credentials", "The client_id is not known.")
        return known

    def may_return(self, app: App, redirect_uri: str) -> bool:
        """Whether that is a callback URL of the App; one that was never registered here has its service's."""
        urls = app.manifest.get("callback_urls")
        if urls is not None:
            return redirect_uri in urls
        to, home = urlsplit(redirect_uri), urlsplit(app.hook_url or redirect_uri)
        return (to.scheme, to.netloc) == (home.scheme, home.netloc)

    def authorize(self, app: App, account: Account, redirect_uri: str, challenge: str) -> str:
        """The person said yes: the code that the browser takes along."""
        code = secrets.token_hex(10)
        self.codes[code] = Code(app, account, redirect_uri, challenge, self.hub.now() + CODE_SECONDS)
        return code

    def begin_device(self, client_id: str) -> Json:
        app, code = self.app(client_id), secrets.token_hex(20)
        letters = "".join(secrets.choice(LETTERS) for _ in range(8))
        device = Device(app, f"{letters[:4]}-{letters[4:]}", self.hub.now() + DEVICE_SECONDS)
        self.devices[code] = device
        return {
            "device_code": code,
            "user_code": device.user_code,
            "verification_uri": f"{self.hub.url}/login/device",
            "expires_in": int(DEVICE_SECONDS),
            "interval": int(INTERVAL),
        }

    def waiting(self, user_code: str) -> Device | None:
        """The device that shows this code, while it waits."""
        typed = user_code.strip().upper()
        return next(
            (
                one
                for one in self.devices.values()
                if one.user_code == typed
                and one.account is None
                and not one.denied
                and one.until > self.hub.now()
            ),
            None,
        )

    def token(self, asked: Mapping[str, str]) -> Json:
        """The answer to a token request, whatever grant it is of. Raises No."""
        app = self.app(asked.get("client_id", ""))
        match asked.get("grant_type") or "authorization_code":
            case "authorization_code":
                return self._by_code(app, asked)
            case "refresh_token":
                return self._by_refresh(app, asked)
            case grant if grant == DEVICE_GRANT:
                return self._by_device(app, asked)
        raise No("unsupported_grant_type", "The grant type is not known.")

    def _by_code(self, app: App, asked: Mapping[str, str]) -> Json:
        self._secret(app, asked)
        code = self.codes.pop(asked.get("code", ""), None)
        if code is None or code.app is not app or code.until <= self.hub.now():
            raise No("bad_verification_code", "The code passed is incorrect or expired.")
        if asked.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            raise No("redirect_uri_mismatch", "The redirect_uri is not the one of the authorization.")
        if code.challenge and s256(asked.get("code_verifier", "")) != code.challenge:
            raise No("bad_verification_code", "The code_verifier does not fit the code_challenge.")
        return self._grant(app, code.account, by_device=False)

    def _by_device(self, app: App, asked: Mapping[str, str]) -> Json:
        device = self.devices.get(asked.get("device_code", ""))
        if device is None or device.app is not app:
            raise No("incorrect_device_code", "The device_code provided is not valid.")
        now = self.hub.now()
        soon, device.polled = now - device.polled < device.interval, now
        if device.until <= now:
            raise No("expired_token", "The device code has expired.")
        if device.denied:
            raise No("access_denied", "The person has cancelled the authorization.")
        if soon:
            device.interval += INTERVAL
            raise No("slow_down", "Too many requests have been made.", interval=int(device.interval))
        if device.account is None:
            raise No("authorization_pending", "The authorization request is still pending.")
        del self.devices[asked["device_code"]]
        return self._grant(app, device.account, by_device=True)

    def _by_refresh(self, app: App, asked: Mapping[str, str]) -> Json:
        known = self.refreshes.get(asked.get("refresh_token", ""))
        if known is None or known.app is not app or known.until <= self.hub.now():
            raise No("bad_refresh_token", "The refresh token passed is incorrect or expired.")
        if not known.by_device:
            self._secret(app, asked)
        del self.refreshes[asked["refresh_token"]]
        self.hub.tokens.pop(known.token, None)
        return self._grant(app, known.account, known.by_device)

    def _secret(self, app: App, asked: Mapping[str, str]) -> None:
        if not app.client_secret or asked.get("client_secret") != app.client_secret:
            raise No("incorrect_client_credentials", "The client_id and/or client_secret is incorrect.")

    def _grant(self, app: App, account: Account, by_device: bool) -> Json:
        text = user_token(self.hub, account, app)
        again = "ghr_" + secrets.token_hex(38)
        until = self.hub.now() + REFRESH_SECONDS
        self.refreshes[again] = Refresh(app, account, text, by_device, until)
        return {
            "access_token": text,
            "expires_in": int(USER_TOKEN_SECONDS),
            "refresh_token": again,
            "refresh_token_expires_in": REFRESH_SECONDS,
            "scope": "",
            "token_type": "bearer",
        }

    def revoke(self, account: Account) -> None:
        """The person has taken back what they allowed: no token of theirs works any more."""
        mine = [text for text, one in self.hub.tokens.items() if one.user is account and one.app]
        for text in mine:
            del self.hub.tokens[text]
        self.refreshes = {text: one for text, one in self.refreshes.items() if one.account is not account}


def s256(verifier: str) -> str:
    """The challenge of a verifier (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
