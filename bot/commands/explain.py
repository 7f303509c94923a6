"""`python -m bot explain`: what a comment would start, with nothing asked of anybody."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bot.core.explain import explain as explained


@click.command(short_help="What a comment would start, and why: ceilings, sources, clamps.")
@click.option("--labels", default="", help="Labels with who applied them: 'agent:cost=$9@admin,bug'.")
@click.option("--comment", required=True, help="The comment, such as '/agent fix cost=$5'.")
@click.option("--role", default="write", show_default=True, help="The commenter's role in the repository.")
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .github/agent.yml that holds there.",
)
def explain(labels: str, comment: str, role: str, policy: Path | None) -> None:
    """Say what a comment would start: the ceilings, where each comes from, and every clamp, as JSON."""
    text = policy.read_bytes() if policy else None
    click.echo(json.dumps(explained(labels, comment, role, text), indent=2))
