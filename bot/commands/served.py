"""One machine with the service: a run that is opened there, for `exec` and `run` (P7).

The service has the key, the ceilings and the counters; here is the run's token, for as long as the run
lives. While this process lives it says so; when it is silent for the lease (90 s), the run ends by itself and
what it did not spend is its person's again. Nothing here falls back to a key of this machine.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bot.commands.local import CannotStart, locked
from bot.commands.logins import Login
from bot.core.ceilings import Ceilings
from bot.core.laptop import Checkout
from bot.core.money import Usd
from bot.core.reports import Check
from bot.core.run_tokens import for_agent
from bot.runner.runner import client
from bot.runner.service import Brief, Pulse, Service, ServiceError, Standing

OPEN_SECONDS = 20.0  # a service that does not answer by then starts nothing
RESULT_SECONDS = 10.0  # after them the lease ends the run
REPORT_SECONDS = 150.0  # what is in flight at a halt may take two minutes to end (G5)
LOOK_SECONDS = 1.0
KEPT = "served.json"  # in a state directory: which run of which service it goes on with

Heard = Callable[[Standing, Ceilings], None]


@dataclass(slots=True)
class Served:
    """A run that is open at the service. `halted` is set when it goes on no more."""

    service: Service
    brief: Brief
    start: str
    pulse: Pulse | None = None
    halted: threading.Event = field(default_factory=threading.Event)
    told: Mapping[str, Any] | None = None  # the report, once it is there
    _kept: dict[str, Any] = field(default_factory=dict)
    _ended: dict[str, Any] = field(default_factory=dict)
    _why: str = ""
    _handed_in: bool = False

    @property
    def url(self) -> str:
        return self.brief.base_url

    @property
    def token(self) -> str:
        return for_agent(self.brief.token)

    @property
    def model(self) -> str:
        return self.brief.model

    @property
    def effort(self) -> str | None:
        return self.brief.effort or None

    @property
    def context(self) -> int | None:
        return self.brief.context

    @property
    def ceilings(self) -> Ceilings:
        return self.brief.ceilings

    def keep(self, summary: str, check: Check | None, tool_calls: int, own: Usd | None = None) -> None:
        """What the agent says of its work and of its cost, and whether its tests pass."""
        self._kept = {
            "summary": summary,
            "check": asdict(check) if check else None,
            "tool_calls": tool_calls,
            "isolation": "none",
            "engine": {"name": self.brief.engine, "own_usd": own.exact if own is not None else None},
        }

    def ended(self, outcome: str, reason: str | None, message: str) -> None:
        """How the native agent says that it ended; the service's word on a halt goes first."""
        if not self._ended:
            self._ended = {"outcome": outcome, "reason": reason, "message": message}

    def open_slice(self) -> None:
        """The agent has been told to wrap up (G10): the service hears it before its next request."""
        if self.pulse is not None:
            self.pulse.tell("wrap_up", "")
            self.pulse.now()

    def end(self, state: str, message: str = "") -> None:
        """The command has ended."""
        self.ended(state, None, message)

    def over(self, standing: Standing) -> None:
        """The service says that the run goes on no more; what it says after our own end is that end."""
        if self._ended:
            return
        self._why = standing.message or standing.state
        self.halted.set()

    def outcome(self) -> str:
        """How it ended, by the service's word once it is known."""
        if self.told is None and not self._handed_in:
            self._handed_in = True
            self._hand_in()
        if self.told is not None:
            return str(self.told["report"]["outcome"])
        return "halted" if self.halted.is_set() else str(self._ended.get("outcome", "failed"))

    @property
    def unreported(self) -> str:
        """What there is to say where the service does not tell the report."""
        why = f" ({self._why})" if self._why else ""
        return (
            f"The service does not tell the report of run {self.brief.run}{why}. It ends there when nothing "
            "has been heard of it for 90 seconds, and what it did not spend is free again: "
            "`python -m bot cost`."
        )

    def _hand_in(self) -> None:
        result = {"changeset": None, **self._kept, **self._ended}
        try:
            self.service.result(self.brief, result, RESULT_SECONDS)
        except ServiceError as error:
            # Too late is no failure: then it has ended without us, and its report is there.
            self._why = self._why or str(error)
        self.told = self.service.report(self.brief, REPORT_SECONDS if self._known() else 0.0)

    def _known(self) -> bool:
        try:
            self.service.standing(self.brief)
        except ServiceError:
            return False
        return True


@contextmanager
def opened(login: Login, asked: Mapping[str, Any], state: Path | None, heard: Heard) -> Iterator[Served]:
    """A run of this login, claimed, that is told to live until the block ends. Raises CannotStart."""
    with locked(state) if state else nullcontext(), client() as http:
        service = Service(login.url, http)
        number = secrets.randbits(62) + 1  # asked again after a failure it is the same run
        whole = {**asked, "number": number, "run": _goes_on(state, login) if state else None}
        try:
            brief, start = service.open_here(whole, login.token, OPEN_SECONDS)
        except ServiceError as error:
            raise CannotStart(str(error).removesuffix("Nothing was spent.").rstrip(". ")) from error
        if state:
            kept = {"service": login.url, "run": brief.run}
            (state / KEPT).write_text(json.dumps(kept) + "\n", encoding="utf-8")
        served = Served(service, brief, start)

        def hear(standing: Standing) -> None:
            heard(standing, brief.ceilings)

        with Pulse(service, brief, served.over, hear, look=LOOK_SECONDS) as served.pulse:
            yield served


def asked_of(checkout: Checkout, **options: Any) -> dict[str, Any]:
    """What bot/core/laptop.py reads."""
    return {**asdict(checkout), **options}


def _goes_on(state: Path, login: Login) -> str | None:
    """The run that a state directory holds. Raises CannotStart for one of another place."""
    if (state / "ledger.db").exists():
        raise CannotStart(
            f"{state} holds a run without the service: --local goes on with it, another --state begins anew"
        )
    try:
        kept = json.loads((state / KEPT).read_text(encoding="utf-8"))
        where, run = str(kept["service"]), str(kept["run"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotStart(f"{state / KEPT} cannot be read: {error}") from error
    if where != login.url:
        raise CannotStart(f"{state} holds a run of {where}, not of {login.url}")
    return run
