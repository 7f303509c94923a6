"""Asking an API that may be away or busy: again, after the pause that it asks for."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

TRIES = 4
LONGEST_WAIT = 120.0

Pause = Callable[[httpx2.Response, int], float]  # seconds, after that answer to the try of that number


class Unanswered(Exception):
    """Why there is no answer with 200, a phrase; `status`: of the last one, None: none came."""

    def __init__(self, why: str, status: int | None) -> None:
        super().__init__(why)
        self.status = status


def pause_for(answer: httpx2.Response, otherwise: float) -> float:
    """What `retry-after` says."""
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() else otherwise


def doubling(answer: httpx2.Response, tried: int) -> float:
    return pause_for(answer, 2.0**tried)


def ask(
    send: Callable[[], httpx2.Response],
    why: Callable[[httpx2.Response], str],
    wait: Callable[[float], None],
    pause: Pause = doubling,
) -> httpx2.Response:
    """The answer with 200 of `send`, called up to TRIES times; `why` words any other. Raises Unanswered."""
    for tried in range(1, TRIES + 1):
        status = None
        try:
            answer = send()
        except httpx2.HTTPError as error:
            said, seconds = f"did not answer ({type(error).__name__})", 2.0**tried
        else:
            status = answer.status_code
            if status == 200:
                return answer
            said, seconds = why(answer), pause(answer, tried)
            if status not in (408, 429) and status < 500:
                break
        if tried < TRIES:
            wait(min(LONGEST_WAIT, seconds))
    raise Unanswered(said, status)
