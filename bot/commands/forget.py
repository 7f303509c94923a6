"""`python -m bot forget LOGIN`: a person's name leaves the service; what was spent stays."""

from __future__ import annotations

import click

from bot import settings
from bot.commands.options import failed, named, who


@click.command(short_help="Take a person's name and words out of everything that is kept.")
@click.argument("login")
@click.option("--email", default="", help="Their address at Cursor, if its use is imported.")
@click.option("--yes", is_flag=True, help="Do it; without this, only say what it would change.")
def forget(login: str, email: str, yes: bool) -> None:
    """Take the person with this GitHub login out of everything that is kept here: forget dana --yes

    Their runs stay, and every sum with them, under a pseudonym that nobody can lead back to them. What they
    wrote, what their agents left, their browsers and machines are deleted. Nothing leads back. Exit code: 1
    where they have a live run, or where several people had this name.
    """
    from bot import services
    from bot.stores.forgetting import CURSOR_DAYS, Lives
    from bot.stories.forget import person

    with named(), services.opened(settings.read(settings.environment()), "forget") as opened:
        try:
            told = person(opened, login, who(), email=email, really=yes)
        except Lives as error:
            raise failed([f"{error}. Nothing was changed."]) from None
    if not (told.changed or told.deleted):
        click.echo(f"Nothing is kept of {login}.")
    for what, counts in (("change", told.changed), ("delete", told.deleted)):
        for table, rows in sorted(counts.items()):
            click.echo(f"{what}{'d' if yes else ''}  {table}  {rows}")
    if told.later:
        click.echo(f"{told.later} events of Cursor are younger than {CURSOR_DAYS} days: do it again then.")
    if yes and (told.changed or told.deleted):
        click.echo(f"{login} is {told.pseudonym} from here on.")
    elif told.changed or told.deleted:
        click.echo("Nothing was changed yet: --yes does it, and nothing leads back.")
