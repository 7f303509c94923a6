"""Secrets that are known, and some that an agent says, are looked for wherever anything is kept or shown."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import services, settings
from bot.core.places import Repo
from bot.core.roles import Role
from bot.core.visibility import Access
from bot.exports.warehouse.export import export
from bot.services import Services
from bot.stores.exported import Exported
from bot.stores.sessions import hashed, new_cookie
from bot.stores.tables import blobs, metadata
from bot.stories.login import log_in
from bot.web.seal import Seal
from sandbox.processes import start
from tests.stories import agents
from tests.stories.service import Service, Told, serving

pytestmark = pytest.mark.slow
POLICY = "viewers: {people: [dana], admins: [dana]}\n"
# Their patterns are put together here: nobody's scanner is to find them in this file.
TAIL = "aB3dE6gH9jK2mN5pQ8sT1vW4" * 4
KEY, ADMIN = f"sk-ant-api03-{TAIL[:93]}AA", f"sk-ant-admin01-{TAIL[1:94]}AA"
PLANTED = (f"sk-ant-api03-{TAIL[2:95]}AA", f"ghp_{TAIL[:36]}", f"AKIA{'QWERTYUIOP234567'}")
SESSION, METRICS = "a session secret canary of more than 32 letters", "a-metrics-token-canary-of-32-letters"


def places(folder: Path, opened: Services) -> Iterator[tuple[str, str]]:
    """All that the database keeps and every export has, each by its name."""
    for table in metadata.sorted_tables:
        if table is blobs:
            continue  # what an agent handed in is kept there word for word, to go on from or to publish
        with opened.database.read() as tx:
            yield f"table {table.name}", "\n".join(map(str, tx.execute(sa.select(table))))
    with opened.database.read() as tx:
        inside = sa.inspect(tx).get_table_names()
        for name in sorted({"workflow_status", "operation_outputs"} & set(inside)):
            yield f"table {name}", "\n".join(map(str, tx.execute(sa.text(f"SELECT * FROM {name}"))))
    for form in ("ndjson", "csv", "parquet"):
        export(Exported(opened.database), folder / f"ledger.{form}", form)
        yield form, (folder / f"ledger.{form}").read_bytes().decode("utf-8", "replace")
    for log in ("web.log", "worker.log"):
        yield log, (folder / log).read_text(encoding="utf-8")


def shown(service: Service, issue: Told, run: str, cookie: str, laptop: str) -> Iterator[tuple[str, str]]:
    """All that anybody is shown: on the thread, at the doors for people and for programs."""
    yield "comments", "\n".join(comment["body"] for comment in issue.github.comments(issue.number))
    yield "check run", json.dumps(issue.check())
    thread = f"/pulls/{service.github.repo}/{issue.number}"
    about = ("/me", "/people", "/people/dana", "/lines", "/ceilings", "/settings", "/drift", "/audit")
    tables = ("/runs?csv=runs", "/pulls?csv=pulls", f"/runs/{run}?csv=turns")
    for path in ("/", "/pulls", thread, "/runs", f"/runs/{run}", *about, *tables):
        yield path, read(service.url + path, "Cookie", f"tollgate={cookie}")
    for name in ("overview", "runs", f"runs/{run}", f"runs/{run}/turns", "pulls", "settings", "rollup"):
        path = f"/api/v1/{name}"
        yield path, read(service.url + path, "Authorization", f"Bearer {laptop}")
    yield "/metrics", read(f"{service.url}/metrics", "Authorization", f"Bearer {METRICS}")


def read(url: str, name: str, header: str) -> str:
    """Raises HTTPError for anything but 200."""
    asked = urllib.request.Request(url, headers={name: header})  # noqa: S310 - loopback
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - loopback
        return str(answer.read().decode())


def test_no_secret_stands_in_anything_that_is_kept_or_shown(tmp_path: Path) -> None:
    more = {
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_ADMIN_KEY": ADMIN,
        "SESSION_SECRET": SESSION,
        "METRICS_TOKEN": METRICS,
    }
    with (
        start("claude", character="echo", invoice=tmp_path / "invoice") as claude,
        serving(
            tmp_path,
            f"sqlite:///{tmp_path / 'tollgate.db'}",
            agents.LEAKS,
            service_policy=POLICY,
            upstream=claude.url,
            more=more,
        ) as service,
    ):
        service.worker()
        issue = Told(service, service.github.issue("dana", "It is wrong", "Please look."))
        (tmp_path / "says").write_text(" ".join(PLANTED))
        issue.fix(keep=str(tmp_path / "token"), says=str(tmp_path / "says"))
        state, report = issue.ended()
        assert state == "done", report
        run = str(issue.row("id")[0])
        told = settings.read(service.env)
        with services.opened(told, "web") as opened:
            dana = int(service.github.control("users", login="dana")["id"])
            theirs, cookie = service.github.app_token("dana"), new_cookie()
            about = service.github.about
            home = Repo(about["installation_id"], about["repository_id"], about["repository"])
            sealed = Seal(SESSION).seal(theirs, hashed(cookie))
            opened.sessions.open(cookie, dana, "dana", sealed, 600, [Access(home, Role.ADMIN)])
            laptop, _ = log_in(opened, theirs, "a laptop")
            seen = {
                **dict(shown(service, issue, run, cookie, laptop)),
                **dict(places(tmp_path, opened)),
            }
            secrets = {
                "the run's token": (tmp_path / "token").read_text(),
                "the session's cookie": cookie,
                "the laptop's login": laptop,
                "the person's token": theirs,
                "the key file": told.secrets.github_private_key.splitlines()[1],
                **{f"secret {number}": value for number, value in enumerate(told.secrets.values())},
                **{f"planted {number}": value for number, value in enumerate(PLANTED)},
                "a token of an installation": "ghs_",
            }
    assert "held" in report or "look first" in report, "a file with a credential waits for a person"
    assert all(len(value) >= 4 for value in secrets.values())
    assert len(seen) > 50, "there is much to look at"
    assert all(
        run in seen[name]
        for name in ("comments", "/runs", "/api/v1/runs", "ndjson", "csv", "worker.log", "table runs")
    )
    found = [
        (what, where) for where, text in seen.items() for what, value in secrets.items() if value in text
    ]
    assert found == []
