"""Who is asking, and what they may see: by the session of a browser that has signed in with GitHub.

The token that GitHub gave is kept sealed, for its eight hours and without the one that would renew it: what
GitHub lets a person see is then GitHub's own answer to them, and a token that they took back ends the session
with the next look. A look is good for FRESH_MS; where GitHub cannot be asked, nobody is shown anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Request

from bot.clients.github import GitHubError
from bot.core.visibility import Access, Sight, sight
from bot.services import Services
from bot.stores.sessions import Session
from bot.web.answers import Problem
from bot.web.seal import Seal

FRESH_MS = 300_000  # a removed member sees for so long what they saw
NOT_A_MEMBER = (
    "GitHub gives you no role in any repository where this App is installed. Ask whoever owns one, then sign "
    "in again"
)
CANNOT_TELL = "GitHub could not be asked what you may see, so nothing is shown. Try again in a minute"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may come in. `access`: what GitHub gives them; `mark`: what their forms carry back, "" for
    a visitor without a browser."""

    person: int
    login: str
    sight: Sight
    access: tuple[Access, ...] = ()
    mark: str = ""

    def names(self, repository: str) -> bool:
        """Whether a repository may be called by this name before them: they may read it."""
        return repository.lower() in {one.repo.full_name.lower() for one in self.access}


class Who:
    """Who has signed in, and what they see."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.seal = Seal(services.settings.secrets.session)
        # `__Host-`: no other host, not even a neighbour's, can have set it. Browsers take it over HTTPS only.
        self.https = services.settings.public_url.startswith("https://")
        self.cookie = "__Host-tollgate" if self.https else "tollgate"

    def session(self, request: Request) -> Session | None:
        """None: nobody is signed in."""
        cookie = request.cookies.get(self.cookie, "")
        return self.services.sessions.find(cookie) if cookie else None

    def visitor(self, known: Session, request: Request) -> Visitor | None:
        """None: their session has just ended. Raises Problem 403 (no member) and 503."""
        cookie = request.cookies.get(self.cookie, "")
        login, access = known.login, known.access
        if known.age >= FRESH_MS:
            looked = self._look(known, cookie)
            if looked is None:
                return None
            login, access = looked
        seen = sight(known.person, login, access, self.services.policy.viewers)
        if seen is None:
            raise Problem(403, NOT_A_MEMBER)
        return Visitor(known.person, login, seen, access, self.seal.mark(known.id))

    def _look(self, known: Session, cookie: str) -> tuple[str, tuple[Access, ...]] | None:
        """What GitHub says now; None, and the session is over, where the token is not good any more."""
        services = self.services
        token = self.seal.open(known.sealed, known.id)
        try:
            user = services.github.user(token) if token else None
            access = services.github.access(token) if token else ()
        except GitHubError as error:
            if error.status != 401:
                raise Problem(503, CANNOT_TELL) from error
            user = None
        if user is None or user.id != known.person:
            services.sessions.end(cookie)
            return None
        services.sessions.looked(known.id, user.login, access)
        return user.login, access
