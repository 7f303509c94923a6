"""`python -m sandbox …`: the world around the product, one command each."""

from __future__ import annotations

from importlib import import_module

import click

# One line a command: its name, the module that has it (imported when it is asked for), what help says.
COMMANDS = {
    "claude": ("sandbox.claude.cli", "Anthropic's Messages API, with characters and an honest invoice."),
    "cursor": ("sandbox.cursor.cli", "Cursor's Admin API: a team's usage events, and how they change."),
    "github": ("sandbox.github.cli", "GitHub: pull requests, webhooks, Actions, a page to type a comment."),
    "pictures": ("sandbox.pictures", "How every kind of end looks, as PNG files (needs chromium)."),
    "views": ("sandbox.views", "How the dashboard looks, as PNG files (needs chromium and playwright)."),
    "up": ("sandbox.world_up", "Everything together."),
}


class Lazily(click.Group):
    """A group whose commands are imported only when they are called: one that is broken stops no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).main
        assert isinstance(command, click.Command)  # noqa: S101  each module in the table has its command as `main`
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(cls=Lazily)
def main() -> None:
    """GitHub, Claude and a repository with a bug, on loopback: the demo's world and the tests' world."""


if __name__ == "__main__":
    main(prog_name="python -m sandbox")
