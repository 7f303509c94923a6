"""`python -m sandbox cursor`: the command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from sandbox.claude.http import Address
from sandbox.cursor.api import Cursor, refusal
from sandbox.cursor.month import month as made


@click.command()
@click.option("--port", default=0, show_default="a free one", help="Port on --host.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--key", default="key_sandbox", show_default=True, help="The team's admin key.")
@click.option(
    "--events",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON list of events as the API tells them. Without it: a month made by a seed.",
)
@click.option("--month", default="2026-10", show_default=True, metavar="YYYY-MM", help="Which month is made.")
@click.option("--people", default=3, show_default=True, help="How many are in the team that is made.")
@click.option("--a-day", default=8, show_default=True, help="Events of one person on one day, at most.")
@click.option("--a-minute", default=20, show_default=True, help="Requests a minute; 0: any number.")
@click.option("--cycle-start", default=0, help="When the billing cycle began, ms since the epoch.")
def main(
    port: int,
    host: str,
    key: str,
    events: Path | None,
    month: str,
    people: int,
    a_day: int,
    a_minute: int,
    cycle_start: int,
) -> None:
    """Cursor's Admin API on loopback, with a team that has used it.

    POST /_sandbox/events puts other events in the place of all; POST /_sandbox/faults says what goes wrong
    with the next requests; POST /_sandbox/conduct changes the rate limit, and what is told no more.
    """
    told = json.loads(events.read_text()) if events is not None else made(month, people, a_day)
    first = min((int(event["timestamp"]) for event in told), default=1_700_000_000_000)
    cursor = Cursor(key, told, a_minute, cycle_start or first)
    asyncio.run(Address(cursor.handle, refusal).until_stopped(host, port))
