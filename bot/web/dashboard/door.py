"""The dashboard: pages for people who have signed in with GitHub, and the same figures as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint

from bot.services import Services
from bot.web.dashboard import (
    api,
    audit,
    ceilings,
    drift,
    lines,
    overview,
    people,
    pulls,
    pulls_api,
    run,
    runs,
    runs_api,
    settings,
    signing_in,
)
from bot.web.dashboard.frame import Frame

# A further page is a file, and a word here, in the order in which the head of every page has them.
PAGES = (
    signing_in,
    overview,
    pulls,
    pulls_api,
    people,
    runs,
    run,
    lines,
    ceilings,
    settings,
    drift,
    audit,
    runs_api,
    api,
)


def door(services: Services, clock: Callable[[], float] = time.monotonic) -> Blueprint:
    frame = Frame(services, clock)
    for page in PAGES:
        page.mount(frame)
    return frame.blueprint
