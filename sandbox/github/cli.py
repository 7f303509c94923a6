"""`python -m sandbox github`: the command."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import click

from sandbox import world
from sandbox.github.git import GitError
from sandbox.github.server import CHECKOUT, GitHub, Options

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--port", default=0, show_default="a free one", help="Port on 127.0.0.1.")
@click.option(
    "--repo",
    type=FOLDER,
    help="Your git repository (it is copied), or an empty folder: gets a checkout of ours.",
)
@click.option("--data", type=FOLDER, help="Where the bare repositories and runs live. [a temporary folder]")
@click.option(
    "--bug", default="leap", show_default=True, help=f"The bug: {', '.join(world.BUGS)}, or a patch file."
)
@click.option("--private", is_flag=True, help="The repository is private.")
@click.option("--webhook-url", help="Where the App's webhooks go. Later: POST /_sandbox/hook.")
@click.option("--webhook-secret", default=Options.webhook_secret, help="What they are signed with.")
@click.option("--app-key", type=FILE, help="The App's private key: read, or made and written there.")
@click.option("--traffic", type=FILE, help="Append every request, answer and webhook here, one JSON a line.")
@click.option("--jobs", default=4, show_default=True, help="Workflow runs at once.")
@click.option(
    "--workflow", type=FILE, default=CHECKOUT / "workflows" / "agent.yml", help="The workflow file to set up."
)
@click.option("--policy", type=FILE, help="A .github/agent.yml for the default branch.")
@click.option("--fresh", is_flag=True, help="No App is registered yet, and no workflow is set up.")
@click.option("--job-env", multiple=True, metavar="NAME=VALUE", help="For every job's environment.")
def main(
    port: int,
    repo: Path | None,
    data: Path | None,
    bug: str,
    private: bool,
    webhook_url: str | None,
    webhook_secret: str,
    app_key: Path | None,
    traffic: Path | None,
    jobs: int,
    workflow: Path,
    policy: Path | None,
    fresh: bool,
    job_env: tuple[str, ...],
) -> None:
    """GitHub on loopback: API, webhooks, OIDC, git, Actions, and a page to type a comment.

    GET /_sandbox/about tells what an App's service needs; sandbox/github/client.py drives the rest.
    """
    if bug not in world.BUGS and not Path(bug).is_file():
        raise click.BadParameter(
            f"{bug!r} is none of {', '.join(world.BUGS)}, nor a file", param_hint="--bug"
        )
    env = dict(pair.split("=", 1) for pair in job_env if "=" in pair)
    options = Options(
        port,
        repo,
        data,
        bug,
        private,
        webhook_url,
        webhook_secret,
        app_key,
        traffic,
        jobs,
        None if fresh else workflow,
        policy,
        env,
        app=not fresh,
    )
    try:
        github = GitHub(options)
    except (OSError, GitError, ValueError) as error:
        raise click.ClickException(str(error)) from error

    def stop(*_: object) -> None:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    known = ("app_id", "installation_id", "repository", "oidc_issuer")
    about = github.about()
    click.echo(json.dumps({"url": github.url, **{name: about[name] for name in known}}))
    try:
        github.serve()
    finally:
        github.close()
