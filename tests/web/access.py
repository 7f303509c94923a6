"""Who may see what: a row for each address of the dashboard and its API, a column for each kind of visitor.

A new page or route needs a row (or more) in ROWS. A cell says what the visitor gets:

    all   200, with everybody's figures
    some  200, with those of people where the visitor may see them
    own   200, with nobody else's
    200   what was asked for, and nothing that is hidden; 401 403 404 and so on, as they are

`python -m tests.web.access` (`make api`) writes the table in docs/dashboard.md and docs/openapi.json anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.web.dashboard import openapi
from sandbox.github.client import Client
from tests.browser import Browser
from tests.web.dashboard_world import World, dashboard_world

ROOT = Path(__file__).parents[2]
PAGE, FILE = ROOT / "docs" / "dashboard.md", ROOT / "docs" / "openapi.json"
BEGIN, END = "<!-- access: begin -->\n", "<!-- access: end -->\n"

ALL, SOME, OWN = "all", "some", "own"
Cell = int | str

# The repositories: `acme/calendar`, and SECRET, which only the admin may read. In the first there are runs of
# the author and of OTHER; in the second of HIDDEN.
OTHER, HIDDEN, SECRET = "quentin", "wilhelmina", "acme/vault"
ONE_PULL = "/pulls/<owner>/<repo>/<int:number>"
WHO = {
    "signed out": "nobody has signed in",
    "outsider": "has an account at GitHub and no role in any repository of the App's",
    "reader": "may read the repository",
    "author": "has write permission, and the runs that are asked for are theirs",
    "viewer there": "has the role `viewers.role` in the repository, and none in another one",
    "viewer": "is named in `viewers.people`, and may read the repository",
    "admin": "administers both repositories, and is named in `viewers.admins`",
    "removed": "was a member until a moment ago: what GitHub says is asked again after five minutes at most",
    "laptop": "a program with the token of a login of the author's, which is for the API alone",
    "ended login": "the token of one that was revoked, or whose days are over",
}
LOGINS = {"reader": "rea", "author": "dana", "viewer there": "max", "viewer": "ren", "admin": "ada"}


@dataclass(frozen=True)
class Row:
    """`rule`: as Flask has it; `path`: an address of it, with `{names}` of what Office.facts has; `what` it
    is; `gets`: a cell for each of LOGINS, or one for everybody alike, signed in or not."""

    rule: str
    path: str
    what: str
    gets: str
    method: str = "GET"

    @property
    def cells(self) -> dict[str, Cell]:
        """By column of WHO. Whoever is not signed in, or no member any more, gets nothing."""
        told: list[Cell] = [int(word) if word.isdigit() else word for word in self.gets.split()]
        if len(told) == 1:
            return dict.fromkeys(WHO, told[0])
        mine = dict(zip(LOGINS, told, strict=True))
        others: dict[str, Cell] = {"signed out": 401, "outsider": 401, "removed": 403}
        others |= {"laptop": told[1] if self.path.startswith("/api/") else 401, "ended login": 401}
        return {who: (mine | others)[who] for who in WHO}


ROWS = (
    # the rule, an address, what it is: a reader, the author, a viewer there, a viewer, an admin
    Row("/", "/", "the overview", "own own own all own"),
    Row("/", "/?by=developer", "the same by person", "403 403 some all all"),
    Row("/", f"/?developer={OTHER}", "the same of somebody", "403 403 some some some"),
    Row("/", "/?developer=dana", "the same of the author", "403 own own own own"),
    Row("/pulls", "/pulls", "pull requests and issues", "own own own own own"),
    Row("/pulls", f"/pulls?developer={OTHER}", "those with somebody's runs", "403 403 some some some"),
    Row("/pulls", "/pulls?developer=dana", "those with the author's", "403 own own own own"),
    Row(ONE_PULL, "/pulls/acme/calendar/{thread}", "one, with the author's run", "own own own own own"),
    Row(ONE_PULL, "/pulls/acme/calendar/{other_thread}", "one, with somebody's", "own own some some some"),
    Row(ONE_PULL, f"/pulls/{SECRET}/{{hidden_thread}}", "of the other repository", "404 404 404 404 200"),
    Row(ONE_PULL, "/pulls/acme/calendar/99999", "on which nothing was spent", "404 404 404 404 404"),
    Row("/api/v1/pulls", "/api/v1/pulls", "pull requests and issues", "own own own own own"),
    Row(f"/api/v1{ONE_PULL}", "/api/v1/pulls/acme/calendar/{thread}", "one", "own own own own own"),
    Row(f"/api/v1{ONE_PULL}", "/api/v1/pulls/acme/calendar/{other_thread}", "one", "own own some some some"),
    Row(
        f"/api/v1{ONE_PULL}", f"/api/v1/pulls/{SECRET}/{{hidden_thread}}", "another's", "404 404 404 404 200"
    ),
    Row("/api/v1/overview", "/api/v1/overview?by=repo", "the overview", "own own own own own"),
    Row("/api/v1/overview", "/api/v1/overview?by=developer", "by person", "403 403 some all all"),
    Row("/people", "/people", "a month by person", "403 403 some all all"),
    Row("/me", "/me", "one's own month", "own own own own own"),
    Row("/people/<login>", "/people/dana", "the author's month", "403 own 200 200 200"),
    Row("/people/<login>", f"/people/{OTHER}", "somebody else's", "403 403 some some some"),
    Row("/people/<login>", f"/people/{HIDDEN}", "of the other repository", "403 403 404 200 200"),
    Row("/people/<login>", "/people/nobody", "nobody's", "403 403 404 404 404"),
    Row("/api/v1/rollup", "/api/v1/rollup", "a month by person", "403 403 some all all"),
    Row("/api/v1/people/<login>", "/api/v1/people/dana", "the author's month", "403 own 200 200 200"),
    Row("/api/v1/people/<login>", f"/api/v1/people/{OTHER}", "somebody else's", "403 403 some some some"),
    Row("/api/v1/people/<login>", f"/api/v1/people/{HIDDEN}", "of the other one", "403 403 404 200 200"),
    Row("/runs", "/runs", "runs", "own own some all all"),
    Row("/runs", "/runs?state=live", "live runs", "own own 200 200 200"),
    Row("/runs/<run>", "/runs/{run}", "a run of the author's", "404 own 200 200 200"),
    Row("/runs/<run>", "/runs/{other_run}", "of somebody else there", "404 404 some some some"),
    Row("/runs/<run>", "/runs/{hidden_run}", "of the other repository", "404 404 404 200 200"),
    Row("/runs/<run>", "/runs/nothing", "none", "404 404 404 404 404"),
    Row("/api/v1/runs", "/api/v1/runs", "runs", "own own some all all"),
    Row("/api/v1/runs/<run>", "/api/v1/runs/{run}", "a run of the author's", "404 own 200 200 200"),
    Row("/api/v1/runs/<run>", "/api/v1/runs/{other_run}", "of somebody else there", "404 404 some some some"),
    Row("/api/v1/runs/<run>", "/api/v1/runs/{hidden_run}", "of the other one", "404 404 404 200 200"),
    Row("/api/v1/runs/<run>/turns", "/api/v1/runs/{run}/turns", "its turns", "404 own 200 200 200"),
    Row("/api/v1/runs/<run>/turns", "/api/v1/runs/{other_run}/turns", "of another", "404 404 200 200 200"),
    Row("/api/v1/runs/<run>/turns", "/api/v1/runs/{hidden_run}/turns", "and there", "404 404 404 200 200"),
    Row("/lines", "/lines", "the budget lines", "own own own own own"),
    Row("/lines", "/lines?line=evals", "a line of the author's", "404 own 404 own 404"),
    Row("/ceilings", "/ceilings", "what past runs suggest", "own own own own own"),
    Row("/settings", "/settings", "what holds in a repository", "own own own own 200"),
    Row("/settings", f"/settings?repository={SECRET}", "in the other one", "404 404 404 404 200"),
    Row("/settings/read", "/settings/read", "by another site's form", "403 403 403 403 403", method="POST"),
    Row("/drift", "/drift", "ledger and invoice", "403 403 403 200 200"),
    Row("/audit", "/audit", "who looked, who changed what", "403 403 403 403 200"),
    Row("/api/v1/lines", "/api/v1/lines", "the budget lines", "own own own own own"),
    Row("/api/v1/ceilings", "/api/v1/ceilings?steps=3", "past runs under others", "own own own own own"),
    Row("/api/v1/settings", "/api/v1/settings", "what holds in a repository", "own own own own 200"),
    Row("/api/v1/drift", "/api/v1/drift", "ledger and invoice", "403 403 403 200 200"),
    Row("/api/v1/audit", "/api/v1/audit", "who looked, who changed what", "403 403 403 403 200"),
    Row(openapi.PATH, openapi.PATH, "the OpenAPI file", "200"),
    Row("/static/<path:filename>", "/static/dashboard.css", "the style", "200"),
    Row("/sign-in", "/sign-in", "to GitHub's page", "200"),
    Row("/sign-in/callback", "/sign-in/callback", "without GitHub's answer", "400"),
    Row("/sign-out", "/sign-out", "by another site's form", "403 403 403 403 403", method="POST"),
)


@dataclass(frozen=True)
class Office:
    """Everybody's browser or token, and `facts`: what addresses are made of."""

    world: World
    visitors: dict[str, Browser]
    facts: dict[str, str]

    def address(self, row: Row) -> str:
        return self.world.url + row.path.format(**self.facts)


@contextmanager
def office(folder: Path, **more: str) -> Iterator[Office]:
    """A month of the author's, of OTHER and HIDDEN; everybody has come in, and one of them was removed.
    `more`: of the service's environment."""
    with dashboard_world(folder, **more) as world:
        github = world.github
        for login, role in (("rea", "read"), (OTHER, "write"), (HIDDEN, "none"), ("lea", "maintain")):
            github.user(login, role)
        hidden = world.repository(SECRET)
        for login in ("rea", "dana", "max", "ren", "lea", "tri", OTHER):
            Client(github.url, SECRET).user(login, "none")
        Client(github.url, SECRET).user(HIDDEN, "write")
        facts = {
            "run": world.run("dana", "12.25"),
            "other_run": world.run(OTHER, "9.5", state="halted", reason="cost_ceiling"),
            "live_run": world.run("dana", "1.5", state="open", ceiling="5"),
            "hidden_run": world.run(HIDDEN, "700.000000001", hidden),
        }
        for name in ("run", "other_run", "hidden_run"):
            facts[name.replace("run", "thread")] = str(world.thread(facts[name]))
        visitors = {"signed out": Browser(), "outsider": world.signed_in("eve")[0]}
        visitors |= {who: world.signed_in(login)[0] for who, login in LOGINS.items()}
        visitors["removed"] = world.signed_in("lea")[0]
        github.user("lea", "none")
        visitors["laptop"] = Browser(world.laptop("dana"))
        ended = world.laptop("dana")
        visitors["ended login"] = Browser(ended)
        found = world.services.laptops.of(ended)
        assert found is not None
        world.services.laptops.revoke(found.id, "dana")
        world.forward(301)
        yield Office(world, visitors, facts)


def table() -> str:
    """For docs/dashboard.md."""
    lines = [f"| {who} | {what} |" for who, what in WHO.items()]
    told = [
        "| visitor | |",
        "|---|---|",
        *lines,
        "",
        f"| | | {' | '.join(WHO)} |",
        "|---|---|" + "---|" * len(WHO),
    ]
    for row in ROWS:
        method = "" if row.method == "GET" else f"{row.method} "
        told.append(
            f"| `{method}{row.path}` | {row.what} | {' | '.join(str(cell) for cell in row.cells.values())} |"
        )
    return "\n".join(told) + "\n"


def document(world: World) -> dict[str, Any]:
    """The OpenAPI file, as it is served."""
    with urllib.request.urlopen(world.url + openapi.PATH, timeout=60) as answer:  # noqa: S310 - loopback
        found: dict[str, Any] = json.load(answer)
    return found


def written(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def main() -> int:
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}", "utf-8")
    with tempfile.TemporaryDirectory() as folder, dashboard_world(Path(folder)) as world:
        FILE.write_text(written(document(world)), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
