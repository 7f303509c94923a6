"""GitHub's published deliveries with anything changed in them, signed, at the real door on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from bot.stories.receive import ROUTES
from tests import samples
from tests.fuzz.target import Target
from tests.fuzz.trying import Law
from tests.fuzz.values import mutated, words
from tests.fuzz.worlds import Place, Worlds

# What starts a story, each as somebody sends it; and two of the many that start none.
COMMENT = {"comment": "/agent fix", "on_pull": True}
SENT: list[tuple[str, str, dict[str, Any]]] = [
    *((event, action, COMMENT if "comment" in event else {}) for event, action in ROUTES),
    ("issue_comment", "edited", COMMENT),
    ("ping", "", {}),
]
NAMES = [event for event, _, _ in SENT]
EVENTS = st.one_of(
    st.none(), st.sampled_from(sorted(set(NAMES))), words.filter(str.isascii).filter(str.isprintable)
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[str, bytes, bool]:
    """The event's name, the body, and whether it is signed with our secret."""
    event, action, facts = draw(st.sampled_from(SENT))
    body = draw(mutated(st.just(samples.payload(event, action, check=False, **facts))))
    return draw(EVENTS) or event, body, draw(st.integers(0, 9)) != 9


def received(kind: str) -> Callable[[Worlds], Law]:
    def opened(worlds: Worlds) -> Law:
        place = worlds.place(kind)
        secret = place.services.settings.secrets.github_webhook_secret

        def law(given: tuple[str, bytes, bool]) -> None:
            event, body, signed = given
            before = stored(place)
            answer = place.ask(
                "POST",
                "/webhooks/github",
                body,
                samples.headers(event, body, secret=secret if signed else "x"),
            )
            said = answer.json
            if not signed:
                assert answer.status == 401
            else:
                assert answer.status in (200, 202, 400)
            if answer.status >= 400:
                assert set(said) == {"error"}
                assert len(said["error"]) < 300
                assert stored(place) == before, "what was refused has left nothing"
            if answer.status == 400:
                assert re.search(
                    r"cannot be read: \w+|not JSON|JSON object|carries X-GitHub", said["error"]
                ), said
            if answer.status == 202:
                names = {f"{tell.__module__.rpartition('.')[2]}.{tell.__name__}" for tell in ROUTES.values()}
                assert said["started"] is None or said["started"] in names

        return law

    return opened


def stored(place: Place) -> tuple[Any, ...]:
    where = "" if place.services.database.kind == "sqlite" else "dbos."
    with place.services.database.read() as tx:
        stories = tx.exec_driver_sql(f"SELECT count(*) FROM {where}workflow_status").scalar_one()
    return *place.counted(), stories


TARGETS = tuple(
    Target(
        f"deliveries, {kind}",
        "a delivery is taken, or refused with the name of the field and nothing left of it",
        deliveries(),
        received(kind),
        40,
        2,
    )
    for kind in ("sqlite", "postgresql")
)
