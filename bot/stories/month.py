"""What a person has spent this month, under which caps: their own view of it."""

from __future__ import annotations

from typing import Any

from bot.core import mine
from bot.core.caps import month_of, of_line
from bot.core.places import Repo
from bot.services import Services
from bot.stores.laptops import Laptop
from bot.stores.rollups import Rollups
from bot.stories.ruling import caps_of


def told(services: Services, laptop: Laptop) -> dict[str, Any]:
    """As JSON: the caps that stand over them wherever they work, the lines that they may use, their runs."""
    policy = services.policy
    month = month_of(services.database.now_ms(), policy.caps.zone)
    person, nowhere = (laptop.actor_id, laptop.actor), Repo(laptop.home.installation, 0, "")
    caps = caps_of(services, person, nowhere, "")
    name = laptop.actor.lower()
    caps += tuple(of_line(line, one) for line, one in policy.lines.items() if name in one.members)
    found = Rollups(services.database).mine(month, laptop.actor_id)
    return mine.as_json(found, services.people.standings(caps, month), laptop.actor)
