"""Whether a service may be sent requests, and what somebody should look at; judged of what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.times import MINUTE_MS

LITTLE = 1 << 30  # bytes; below that a disk is nearly full
LONG_MS = 900_000  # the alert TollgateStoriesWait says the same
NO_TABLES = "the database has no tables yet: run `python -m bot migrate` first"


@dataclass(frozen=True, slots=True)
class Seen:
    """`free`: bytes on the database's disk, None where it is another machine's. `oldest`: ms that the first
    story in the queue is there. `unrecognized`: GitHub does not know the App by the key of a worker."""

    workers: int = 0
    oldest: int = 0
    free: int | None = None
    unrecognized: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """`why`: not to be sent anything, and the reason; "" for one that is ready. `warnings`: what is wrong
    and costs no request."""

    why: str = ""
    workers: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.why


def unmigrated(schema: str | None, wanted: str) -> str:
    """Why a database of this schema is not begun with by a program that wants another; "" for one that is.
    A newer one serves the version before it."""
    if schema is None:
        return NO_TABLES
    if schema < wanted:
        return (
            f"the database has schema {schema}, and this version needs {wanted}: run `python -m bot migrate`"
        )
    return ""


def judge(seen: Seen) -> Health:
    warnings = []
    if not seen.workers:
        warnings.append("no worker is alive: deliveries are taken and kept, and nothing starts")
    if seen.oldest > LONG_MS:
        warnings.append(f"a story has waited for {seen.oldest // MINUTE_MS} minutes")
    if seen.free is not None and seen.free < LITTLE:
        warnings.append(f"the database's disk has {seen.free >> 20} MB left")
    if seen.unrecognized:
        warnings.append("GitHub does not know the App by its private key: stories wait")
    return Health(workers=seen.workers, warnings=tuple(warnings))
