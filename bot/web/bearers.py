"""Programs that read the API by the token of a laptop's login: they see what its person may.

GitHub's token of that person is not kept, so it is the App that asks GitHub, by repository; a look is good
for FRESH_MS. A role of `read` counts for nothing here (`stories.login.look`): a program sees what its
person's browser shows them, or less.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bot.clients.github import Unavailable
from bot.core.roles import Role
from bot.core.visibility import Access, sight
from bot.services import Services
from bot.stores.laptops import PREFIX, Laptop
from bot.stores.sessions import hashed
from bot.stories.login import look
from bot.web.answers import Problem
from bot.web.turnstile import Turnstile
from bot.web.who import CANNOT_TELL, FRESH_MS, NOT_A_MEMBER, Visitor

MOST_FAILURES = 60  # tokens in a minute that are not good, of anybody
MOST_LOOKS = 30  # in a minute; each asks GitHub about some repositories
MOST_KNOWN = 1_000  # tokens that were good here: they are let in, however many are tried beside them
NOT_GOOD = "this login is not good (any more): log in with `python -m bot login`"
TOO_MANY = "too many tokens that are not good were tried just now; try again in a minute"


class Bearers:
    """Whose token it is, and what they see."""

    def __init__(self, services: Services, clock: Callable[[], float]) -> None:
        self._services = services
        self._failures, self._looks = Turnstile(MOST_FAILURES, clock), Turnstile(MOST_LOOKS, clock)
        self._known: OrderedDict[str, None] = OrderedDict()

    def visitor(self, laptop: Laptop) -> Visitor:
        """Raises Problem 403 (no member), 429 and 503."""
        access = self._access(laptop)
        seen = sight(laptop.actor_id, laptop.actor, access, self._services.policy.viewers)
        if seen is None:
            raise Problem(403, NOT_A_MEMBER)
        return Visitor(laptop.actor_id, laptop.actor, seen, access)

    def laptop(self, token: str) -> Laptop:
        """Raises Problem 401 and 429."""
        name = hashed(token)
        if name not in self._known and self._failures.closed:
            raise Problem(429, TOO_MANY)
        laptop = self._services.laptops.of(token) if token.startswith(PREFIX) else None
        if laptop is None:
            self._known.pop(name, None)
            self._failures.passes()
            raise Problem(401, NOT_GOOD)
        self._known[name] = None
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return laptop

    def _access(self, laptop: Laptop) -> tuple[Access, ...]:
        access, age = self._services.laptops.access(laptop.id)
        if age < FRESH_MS:
            return tuple(one for one in access if one.role > Role.READ)
        if not self._looks.passes():
            raise Problem(429, "GitHub was asked too often what logins may see; try again in a minute")
        try:
            return look(self._services, laptop)
        except Unavailable as error:
            raise Problem(503, CANNOT_TELL) from error
