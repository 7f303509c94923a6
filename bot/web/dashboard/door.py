"""The dashboard: pages for people who have signed in with GitHub, and the same figures as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint

from bot.services import Services
from bot.web.dashboard import api, people, signing_in
from bot.web.dashboard.frame import Frame

PAGES = (signing_in, people, api)  # a further page is a file, and a word here


def door(services: Services, clock: Callable[[], float] = time.monotonic) -> Blueprint:
    frame = Frame(services, clock)
    for page in PAGES:
        page.mount(frame)
    return frame.blueprint
