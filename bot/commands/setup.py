"""`python -m bot setup`: the service's GitHub App, registered from a manifest, kept and checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from bot import settings
from bot.commands.options import failed

if TYPE_CHECKING:
    from bot.stories.setup import Check

WAIT_SECONDS = 3_600  # a code of GitHub's is good for an hour
TELL_SECONDS = 15


@click.command(short_help="Register the GitHub App, keep its credentials, check everything.")
@click.option("--check", is_flag=True, help="Only check what is there; exit code 1 where something is wrong.")
@click.option("--organization", default="", help="Register it for this organization, not for yourself.")
@click.option("--name", default="", help="Its name; unique in all of GitHub, and changeable there.")
@click.option("--port", default=0, show_default="a free one", help="Of the page, on 127.0.0.1.")
def setup(check: bool, organization: str, name: str, port: int) -> None:
    """Register the service's GitHub App: open the page that is shown, look at what it asks for, say yes.

    Needs PUBLIC_URL, and CREDENTIALS_FILE or CREDENTIALS_COMMAND for where the credentials are kept. No
    secret is shown. On a machine without a browser: ssh -L PORT:127.0.0.1:PORT, and --port PORT.
    """
    from bot.stores.credentials import CredentialsError
    from bot.stories import setup as story
    from bot.web.setup import Page, on_loopback

    env = settings.environment()
    if check:
        raise click.exceptions.Exit(_told(story.check(env)))
    if settings.registered(env):
        raise failed(["there is an App already: `python -m bot setup --check` checks it"])
    try:
        asked = settings.registering(env)
        asked.place.try_it()
    except settings.SettingsError as error:
        raise failed(error.problems) from None
    except CredentialsError as error:
        raise failed([f"{error}."]) from None
    page = Page(asked, env, "", name, organization)
    with on_loopback(page, port):
        click.echo(f"Open {page.address}")
        click.echo("It works once, in a browser on this machine.", err=True)
        for waited in range(TELL_SECONDS, WAIT_SECONDS + 1, TELL_SECONDS):
            if page.done.wait(TELL_SECONDS):
                break
            click.echo(f"waiting for GitHub to send your browser back, {waited} s", err=True)
    if page.made is None:
        raise failed(["GitHub did not send anybody back within an hour; nothing was registered here"])
    click.echo(f"Registered {page.made.url}; its credentials are kept by {asked.place}.")
    code = _told(story.check(env, page.made))
    click.echo(story.next_step(page.made.url))
    raise click.exceptions.Exit(code)


def _told(checks: Iterable[Check]) -> int:
    """Print each; the exit code."""
    found = list(checks)
    for one in found:
        click.echo(str(one))
    return int(not all(one.right for one in found))
