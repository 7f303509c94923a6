"""Who is calling: the App by its JWT, an installation, a person or a job by a token, or nobody."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt

from sandbox.github.state import Account, App, Hub, Installation, Json, Repository, Role, Token

USER_TOKEN_SECONDS = 8 * 3600.0
LEVELS = {"read": 1, "write": 2, "admin": 3}
# What a person's role lets them do through the API, by permission.
ROLE_NEEDED = {
    ("contents", "write"): Role.write,
    ("pull_requests", "write"): Role.read,
    ("issues", "write"): Role.read,
    ("actions", "write"): Role.write,
    ("checks", "write"): Role.admin,  # check runs are for Apps; see routes/checks.py
    ("administration", "write"): Role.admin,
}


class Refused(Exception):
    """An answer that is not a success: status, GitHub's message, and what was wrong with which field."""

    def __init__(self, status: int, message: str, errors: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


@dataclass(frozen=True)
class Caller:
    """Who is calling. `kind` is app, installation, user, actions or anonymous."""

    kind: str
    account: Account | None = None
    app: App | None = None
    token: Token | None = None
    through: tuple[Installation, ...] = ()  # those of the App in whose name a person calls

    @property
    def label(self) -> str:
        """`app user` for a person in an App's name, else the kind."""
        return "app user" if self.kind == "user" and self.app else self.kind

    def may(self, repo: Repository, permission: str, level: str) -> bool:
        """Whether this caller may do that here."""
        if self.kind == "app" or (self.token and self.token.permissions is not None):
            granted = (self.token.permissions or {}) if self.token else {}
            held = granted.get(permission, "read" if permission == "metadata" else "none")
            return LEVELS.get(held, 0) >= LEVELS[level]
        if self.account is None:
            return level == "read" and not repo.private
        if self.app is not None and not self._granted(repo, permission, level):
            return False
        needed = ROLE_NEEDED.get((permission, level), Role.read)
        return repo.role(self.account.login) >= needed

    def sees(self, repo: Repository) -> bool:
        """Whether the repository exists for this caller: if not, the answer is 404."""
        if self.kind == "app":
            return True
        token = self.token
        if token and token.installation:
            inside = token.installation.covers(repo)
            return inside and (token.repositories is None or repo.id in token.repositories)
        if self.account is not None:
            if self.app is not None and repo.private and not any(i.covers(repo) for i in self.through):
                return False
            return repo.role(self.account.login) >= Role.read
        return not repo.private

    def _granted(self, repo: Repository, permission: str, level: str) -> bool:
        """Whether the App, too, may do what a person does in its name: a token has what both have."""
        held = [i.permissions.get(permission, "") for i in self.through if i.covers(repo)]
        public = level == "read" and not repo.private
        return public or any(LEVELS.get(one, 0) >= LEVELS[level] for one in held)


def new_token(app: App) -> str:
    """An installation token in the long form since 2026-04: about 520 characters, with dots."""
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').decode().rstrip("=")
    body = base64.urlsafe_b64encode(json.dumps({"jti": secrets.token_hex(24)}).encode()).decode().rstrip("=")
    return f"ghs_{app.id}_{head}.{body}.{secrets.token_urlsafe(256)}"


def issue_token(
    hub: Hub,
    installation: Installation,
    kind: str = "installation",
    permissions: dict[str, str] | None = None,
    repositories: frozenset[int] | None = None,
    seconds: float = 3600,
    user: Account | None = None,
) -> tuple[str, Token]:
    """A token of an installation, narrowed where asked. Raises Refused for more than was granted."""
    asked = dict(permissions) if permissions is not None else dict(installation.permissions)
    for name, level in asked.items():
        if LEVELS.get(level, 9) > LEVELS.get(installation.permissions.get(name, ""), 0) and kind != "actions":
            wrong = {"resource": name, "code": "custom"}
            raise Refused(422, "The permissions requested are not granted to this installation.", [wrong])
    if kind == "installation":
        asked["metadata"] = "read"
    text = new_token(installation.app)
    account = user or installation.app.bot
    token = Token(kind, account, hub.now() + seconds, installation, asked, repositories)
    hub.tokens[text] = token
    return text, token


def user_token(hub: Hub, account: Account, app: App | None = None) -> str:
    """A token of a person, or of a person who signed in to an App; it lives for eight hours."""
    text = "ghu_" + secrets.token_urlsafe(27).replace("-", "x").replace("_", "y")
    hub.tokens[text] = Token("user", account, hub.now() + USER_TOKEN_SECONDS, app=app)
    return text


def credentials(authorization: str) -> str:
    """The token in an Authorization header, in any of the three forms that GitHub takes."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(rest).decode()
        except ValueError:
            return "malformed"
        user, _, password = pair.partition(":")
        return password or user
    return rest.strip() if scheme.lower() in ("bearer", "token") else "malformed"


def identify(hub: Hub, authorization: str | None) -> Caller:
    """Who sent this header. Raises Refused (401) for what is malformed, unknown or over."""
    if not authorization:
        return Caller("anonymous")
    text = credentials(authorization)
    if re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", text) and not text.startswith("gh"):
        return Caller("app", app=identify_app(hub, text))
    token = hub.tokens.get(text)
    if token is None or hub.now() >= token.expires_at:
        raise Refused(401, "Bad credentials")
    if token.installation and token.installation.suspended_at:
        raise Refused(403, "This installation has been suspended")
    token.used += 1
    app = token.installation.app if token.installation and token.kind == "installation" else token.app
    through = tuple(one for one in hub.installations.values() if token.app and one.app is token.app)
    return Caller(token.kind, token.user, app, token, through)


def _verified(text: str, keys: list[str]) -> dict[str, Any]:
    """The claims of a JWT that one of the keys has signed. Raises PyJWTError."""
    options: Any = {
        "require": ["exp", "iat"], "verify_iat": False, "verify_exp": False, "verify_iss": False,
    }  # fmt: skip
    for key in keys:
        with suppress(jwt.InvalidSignatureError):
            return dict(jwt.decode(text, key, algorithms=["RS256"], options=options))
    raise jwt.InvalidSignatureError("none of its keys has signed this")


def identify_app(hub: Hub, text: str) -> App:
    """The App that signed this JWT: RS256, at most ten minutes, its clock no more than a minute ahead."""
    try:
        issuer = str(jwt.decode(text, options={"verify_signature": False}).get("iss", ""))
        app = next((a for a in hub.apps.values() if issuer in (str(a.id), a.client_id)), None)
        if app is None:
            raise Refused(404, "Integration not found")
        claims = _verified(text, app.keys)
    except jwt.PyJWTError as error:
        raise Refused(401, "A JSON web token could not be decoded") from error
    now = time.time()  # an App signs by its own machine's clock, which no test moves
    if float(claims["exp"]) <= now:
        raise Refused(401, "'Expiration time' claim ('exp') must be a numeric value in the future")
    if float(claims["exp"]) - now > 600 + 60:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
    if float(claims["iat"]) > now + 60:
        raise Refused(401, "'Issued at' claim ('iat') must be an Integer representing the time in the past")
    return app
