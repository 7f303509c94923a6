"""How long a lead waits for each page, with a year of many runs in the ledger, and how that grows.

make bench-scale
"""

from __future__ import annotations

import json
import re
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

import click
import sqlalchemy as sa

from benchmarks import kept, peers, service
from benchmarks.seed import PLACES
from bot.core.places import Repo
from bot.core.roles import Role
from bot.core.visibility import Access
from bot.stores.database import Database
from bot.stores.sessions import Sessions
from bot.stores.tables import attributions, pulls, runs
from bot.stores.tables import sessions as sessions_table

COOKIE = "benchmark-" * 4
POLICY = """
caps: {everyone: $2000}
lines: {evals: {monthly: $50000, members: [person-0]}}
viewers: {people: [person-0], admins: [person-0]}
"""
# One pull request and one run, which are others in a database of another size.
_ONE, _CALLED = re.compile(r"^/(pulls|runs)/.+"), {"pulls": "/pulls/OWNER/REPO/NUMBER", "runs": "/runs/RUN"}
EVERYBODY, SOME = "everybody's", "of 20 repositories"


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of one address: waited for (median, and what 19 in 20 do not exceed), and of CPU, a time,
    of the web process and of PostgreSQL."""

    p50: float
    p95: float
    web: float
    database: float


@click.command()
@kept.sizes
@click.option("--only", default="", help="Addresses that begin so.")
@click.option("--times", default=20, show_default=True, help="How often each is asked for.")
def main(postgresql: int, sqlite: int, only: str, times: int) -> None:
    """Each page over HTTP, from one worker process, at a tenth of the runs and at all of them."""
    click.echo(f"Tollgate {peers.commit()}; {peers.machine()}")
    figures = []
    for kind, urls in kept.each(postgresql, sqlite):
        found = {count: dict(_measured(url, only, times)) for count, url in urls.items()}
        tenth, whole = found.values()
        click.echo(f"\n{kind}: {' and '.join(f'{count:,}' for count in urls)} runs")
        click.echo(f"  {'ms, median and p95':<50}{'a tenth':>14}{'whole':>14}{'grows':>8}{'CPU':>12}")
        for name, was in tenth.items():
            if (took := whole.get(name)) is None:
                continue
            columns = (
                f"{was.p50:>7.0f}{was.p95:>7.0f}{took.p50:>7.0f}{took.p95:>7.0f}{took.p50 / was.p50:>8.1f}"
            )
            click.echo(f"  {name:<50}{columns}{took.web:>7.0f} +{took.database:>4.0f}")
        for count, each in found.items():
            for name, took in each.items():
                figures.append(
                    {"database": kind, "runs": count, "page": name, "p50_ms": took.p50, "p95_ms": took.p95}
                    | {"web_cpu_ms": took.web, "database_cpu_ms": took.database}
                )
    click.echo(json.dumps({"bench": "scale", "figures": figures}))


def _measured(url: str, only: str, times: int) -> Iterator[tuple[str, Took]]:
    with tempfile.TemporaryDirectory() as home:
        policy = Path(home, "policy.yml")
        policy.write_text(POLICY)
        told = {
            "SESSION_SECRET": "a session secret of more than 32 characters",
            "GITHUB_CLIENT_ID": "none",
            "GITHUB_CLIENT_SECRET": "none",
            "POLICY_FILE": str(policy),
            "METRICS_TOKEN": COOKIE,
        }
        with service.serving(url, "http://127.0.0.1:9", **told) as web:
            root, server = web.url.removesuffix("/anthropic"), service.postgresql_pid(web.database)
            for whose, address in _addresses(web.database, root):
                if only and not address.startswith(only):
                    continue
                name = _ONE.sub(lambda found: _CALLED[found[1]], address)
                name += "" if whose == EVERYBODY else f" ({whose})"
                _sign_in(web.database, whose)
                if (took := _asked(root + address, web.process.pid, server, times)) is not None:
                    waits, cpu = (
                        f"{took.p50:.0f}, p95 {took.p95:.0f}",
                        f"{took.web:.0f} + {took.database:.0f}",
                    )
                    click.echo(f"{name}: {waits} ms; CPU {cpu}", err=True)
                    yield name, took


def _addresses(database: Database, root: str) -> Iterator[tuple[str, str]]:
    """Every page in the head of the first one, with the questions that take longest; whose figures."""
    _sign_in(database, EVERYBODY)
    first = _get(root + "/").decode()
    with database.read() as tx:
        lately = sa.select(runs.c.id).order_by(runs.c.steps.desc(), runs.c.opened_at.desc()).limit(1)
        run = tx.execute(lately).scalar_one()
        merged = sa.select(pulls.c.repository, pulls.c.number).join(
            attributions, sa.and_(attributions.c.repository_id == pulls.c.repository_id,
                                  attributions.c.number == pulls.c.number)
        )  # fmt: skip
        place, number = tx.execute(merged.order_by(pulls.c.merged_at.desc()).limit(1)).one()
    for query in (
        "", "?days=90", "?days=all", "?by=repo", "?by=model", "?repo=octo/repo-7", "?developer=person-7",
        "?class=bugfix&line=evals",
    ):  # fmt: skip
        yield EVERYBODY, f"/{query}"
    yield SOME, "/?by=repo"
    yield SOME, "/?days=90&by=repo"
    head = re.findall(r'<a href="(/[a-z]+)"', first.partition("<main")[0])
    for address in dict.fromkeys([*head, "/people", "/me", "/runs", "/pulls"]):
        if address not in ("/sign-out", "/static"):
            yield EVERYBODY, address
    for address in (
        "/people/person-7", f"/runs/{run}", "/runs?state=halted", "/runs?developer=person-7",
        "/runs?repo=octo/repo-7", f"/pulls/{place}/{number}", "/pulls?state=merged&having=outlier",
        "/pulls?sort=latest", "/lines", "/ceilings", "/drift", "/settings", "/api/v1/overview",
        "/api/v1/rollup", "/api/v1/runs", "/metrics",
    ):  # fmt: skip
        if address not in head:
            yield EVERYBODY, address


def _sign_in(database: Database, whose: str) -> None:
    """A browser of somebody whom GitHub was asked about just now."""
    person, count = (0, PLACES) if whose == EVERYBODY else (1, 20)
    access = [Access(Repo(1, id, f"octo/repo-{id}"), Role.ADMIN) for id in range(count)]
    sessions = Sessions(database)
    sessions.end(COOKIE)
    sessions.open(COOKIE, person, f"person-{person}", "", 86_400, access)
    with database.begin() as tx:  # there is no GitHub to ask again after five minutes
        tx.execute(sa.update(sessions_table).values(looked_at=database.now + 86_400_000))


def _asked(address: str, pid: int, server: int | None, times: int) -> Took | None:
    """None: there is no such page, and that is said."""
    try:
        _get(address)
    except (HTTPError, TimeoutError) as error:
        click.echo(f"{address} is left out: {error}", err=True)
        return None
    took, web = [], service.cpu_seconds(pid)
    database = service.cpu_seconds(server) if server else 0.0
    for _ in range(times):
        began = time.monotonic()
        _get(address)
        took.append((time.monotonic() - began) * 1000)
    took.sort()
    web = (service.cpu_seconds(pid) - web) * 1000 / times
    database = (service.cpu_seconds(server) - database) * 1000 / times if server else 0.0
    return Took(took[times // 2], took[-(-times * 95 // 100) - 1], web, database)


def _get(address: str) -> bytes:
    asked = urllib.request.Request(address)  # noqa: S310 - loopback
    asked.add_header("Cookie", f"tollgate={COOKIE}")
    asked.add_header("Authorization", f"Bearer {COOKIE}") if address.endswith("/metrics") else None
    with urllib.request.urlopen(asked, timeout=120) as answer:  # noqa: S310 - loopback
        return bytes(answer.read())


if __name__ == "__main__":
    main()
