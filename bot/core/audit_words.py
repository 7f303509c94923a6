"""What a line of the audit log tells, in a sentence: the action's own words about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

About = Mapping[str, Any]


def said(action: str, about: About) -> str:
    """`about` as the log keeps it; "" where there is nothing to add."""
    return _SAID.get(action, _plain)(about)


def _plain(about: About) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items() if value not in ("", None, []))


def _reason(about: About) -> str:
    return str(about.get("reason") or "no reason given")


def _acknowledged(about: About) -> str:
    whose = f"{about['scope']} {about['cap']}" if about["scope"] == "person" else str(about["cap"])
    month = f" for {about['month']}" if about["month"] else ""
    return f"a quarter more of the cap of {whose}{month}: {_reason(about)}"


def _approved(about: About) -> str:
    return (
        f"{about['author']}'s commit {str(about['sha'])[:12]} on #{about['number']} may run; "
        f"their role was {about['role']}"
    )


def _settled(about: About) -> str:
    through = [str(one) for one in about.get("let_through", ())]
    return f"the work of run {about['run']}" + (f", and let through: {'; '.join(through)}" if through else "")


def _resumed(about: About) -> str:
    what = f"sweep {about['sweep']}" if "sweep" in about else f"run {about['run']}"
    return f"{what}, attempt {about['attempt']}, up to {about['cost']} in all"


def _laptop(about: About) -> str:
    of = f" of {about['of']}" if "of" in about else ""
    return f"the laptop {about['machine']}{of} ({about['laptop']})"


def _changed(about: About) -> str:
    where = f"at commit {str(about['sha'])[:12]}: " if about.get("sha") else ""
    return where + ("; ".join(map(str, about["changes"])) or "nothing that holds is another")


def _onboarded(about: About) -> str:
    return f"{about['state']}: {about['why']}" if about.get("why") else str(about["state"])


_SAID: dict[str, Callable[[About], str]] = {
    "paused": _reason,
    "unpaused": lambda about: "",
    "acknowledged": _acknowledged,
    "approved": _approved,
    "accepted": _settled,
    "discarded": _settled,
    "could not be settled": _settled,
    "resumed": _resumed,
    "logged in": _laptop,
    "revoked": _laptop,
    "policy changed": _changed,
    "onboarded": _onboarded,
    "forgotten": lambda about: f"a person is {about['who']} from here on",
}
