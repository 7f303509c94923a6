"""`python -m bot health`: what `/readyz` says, for a machine without a web process."""

from __future__ import annotations

import json

import click

from bot import settings
from bot.commands.options import named

SILENT = "no worker on this machine has been heard of for half a minute"


@click.command(short_help="Whether the service can work: what /readyz says.")
@click.option("--worker", is_flag=True, help="And whether a worker on this machine is alive.")
def health(worker: bool) -> None:
    """Whether the service can work: what `/readyz` says, as one line of JSON. Exit code: 0, or 1 if not."""
    from bot import services
    from bot.stories.health import look

    with named(), services.opened(settings.read(settings.environment()), "health") as opened:
        found = look(opened)
        why = found.why
        if found.ready:
            opened.processes.forget(opened.process)
            if worker and not opened.processes.beside("worker", opened.process):
                why = SILENT
    told = {"ok": not why, "workers": found.workers, "warnings": found.warnings}
    click.echo(json.dumps({"ok": False, "why": why} if why else told))
    raise click.exceptions.Exit(1 if why else 0)
