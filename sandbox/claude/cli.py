"""`python -m sandbox claude`: the command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from sandbox.characters.cast import CAST
from sandbox.characters.plain import Manner
from sandbox.claude.api import Claude, Conduct, refusal
from sandbox.claude.http import Address
from sandbox.claude.invoice import Invoice

_EPILOG = "\b\nCharacters:\n" + "\n".join(f"  {name:<15} {words}" for name, (words, _) in CAST.items())


@click.command(epilog=_EPILOG)
@click.option("--port", default=0, show_default="a free one", help="Port on --host.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--character", default="auto", show_default=True, type=click.Choice(list(CAST)), metavar="NAME")
@click.option(
    "--invoice", type=click.Path(dir_okay=False, path_type=Path), help="Append a line a billed answer here."
)
@click.option("--key", help="The only API key that is taken. Without it: any.")
@click.option("--admin-key", help="The key of the Admin API (reports, API keys). Without it: closed.")
@click.option("--report-lag-ms", default=300_000, show_default=True, help="How far the reports are behind.")
@click.option(
    "--reports",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON of what the reports get wrong, as POST /_sandbox/reports takes it.",
)
@click.option("--dense", is_flag=True, help="A token a byte: the worst that a tokenizer may do.")
@click.option("--think-ms", default=0, help="Pause before an answer begins.")
@click.option(
    "--event-ms", default=200, show_default=True, help="For slow and pings: pause before each event."
)
@click.option("--answer-tokens", default=0, help="For those that only talk: tokens an answer.")
@click.option("--retry-after", default=1, show_default=True, help="For overloaded and rate-limited: seconds.")
@click.option(
    "--generates-on/--stops-with-reader",
    default=True,
    show_default=True,
    help="What an answer costs whose reader left: to its end, or to where it was.",
)
def main(
    port: int,
    host: str,
    character: str,
    invoice: Path | None,
    key: str | None,
    admin_key: str | None,
    report_lag_ms: int,
    reports: Path | None,
    dense: bool,
    think_ms: int,
    event_ms: int,
    answer_tokens: int,
    retry_after: int,
    generates_on: bool,
) -> None:
    """Anthropic's Messages API on loopback, with a character for a mind and an invoice of its own.

    GET /invoice is the bill; POST /_sandbox/character, /_sandbox/conduct and /_sandbox/clock change how it
    behaves, POST /_sandbox/reports what its usage and cost reports get wrong.
    """
    manner = Manner(answer_tokens, 5 if dense else 16, event_ms, retry_after)
    conduct = Conduct(think_ms, generates_on, report_lag_ms)
    claude = Claude(
        character,
        Invoice(invoice),
        key=key,
        admin_key=admin_key,
        dense=dense,
        manner=manner,
        conduct=conduct,
    )
    if reports is not None:
        try:
            claude.reports.set(json.loads(reports.read_text()))
        except (ValueError, TypeError) as wrong:
            raise click.ClickException(f"{reports}: {wrong}") from None
    asyncio.run(Address(claude.handle, refusal).until_stopped(host, port, claude.stopped))
