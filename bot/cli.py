"""`python -m bot …`: what a person or a script types; each command is told in its own file."""

from __future__ import annotations

import click

from bot.commands import figures, laptop, operations
from bot.commands.exec import exec_
from bot.commands.explain import explain
from bot.commands.forget import forget
from bot.commands.health import health
from bot.commands.run import run
from bot.commands.setup import setup
from bot.exam.command import exam

EXAMPLES = """\b
python -m bot exec --cost 2 -- claude -p "fix the failing test"
python -m bot run --cost 2 "make the leap year test pass"
python -m bot explain --comment '/agent fix cost=$9' --role write
python -m bot metrics --since 2026-11-01 --by developer
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXAMPLES
)
def main() -> None:
    """Claude under four hard ceilings: tokens, dollars, steps, wall-clock."""


_MORE = (*figures.COMMANDS, *laptop.COMMANDS, *operations.COMMANDS)
for _command in (exec_, run, explain, exam, setup, forget, health, *_MORE):
    main.add_command(_command)
