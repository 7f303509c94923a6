"""One figure is the same wherever it is told: comment, page, command line, API, Prometheus, OTLP, files.

What is expected are sums of plain numbers that were noted while the ledger was filled (`tests.spending`): to
the nano-dollar where a surface has every digit, else to the digits that it prints.
"""

from __future__ import annotations

import csv
import io
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from bot import services as rooms
from bot import settings
from bot.core.money import Usd
from bot.exports.otel import Meter, Tracer
from bot.settings import Telemetry
from bot.stores.tables import looks
from sandbox.world_up import free_port
from tests import servers
from tests.browser import Browser, Page
from tests.commands.test_figures import told
from tests.exports.collector import Taken, collecting, values
from tests.spending import Months, Office, months
from tests.stories.service import Service, serving

RUNS = 200
FAR = 10**14  # ms: no lease and no deadline is over before the tests are
POLICY = """
caps: {everyone: $5000}
lines: {evals: {monthly: $5000, members: [dana, max, ada, tri]}}
viewers: {role: admin, people: [ada]}
"""
TOKEN = "a token of Prometheus', of more than 32 characters"
MORE = {"SESSION_SECRET": "a session secret of more than 32 characters", "METRICS_TOKEN": TOKEN}
FORMS = ("ndjson", "csv", "parquet")

pytestmark = pytest.mark.slow


@dataclass
class House:
    """A service whose ledger has 200 runs in it, and what was noted of them."""

    service: Service
    months: Months
    office: Office
    browser: Browser
    taken: Taken
    folder: Path

    # -- the surfaces --

    def page(self, path: str) -> Page:
        page = self.browser.open(self.service.url + path)
        assert page.status == 200, (path, page.text)
        return page

    def rows(self, path: str) -> list[dict[str, str]]:
        """A table of a page, as its CSV."""
        return list(csv.DictReader(io.StringIO(self.page(path).text)))

    def api(self, path: str) -> Any:
        return json.loads(self.page(f"/api/v1{path}").text)

    def cli(self, *words: str) -> Any:
        return json.loads(self.said(*words, "--json"))

    def said(self, *words: str) -> str:
        return told(self.service.env["DATABASE_URL"], *words, POLICY_FILE=self.service.env["POLICY_FILE"])

    @cached_property
    def scraped(self) -> dict[str, list[tuple[dict[str, str], int]]]:
        """`/metrics`: samples by name, in nano-dollars."""
        asked = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.service.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - as above
            text = answer.read().decode()
        found: dict[str, list[tuple[dict[str, str], int]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, nanos(repr(sample.value))))
        return found

    @cached_property
    def pushed(self) -> dict[str, list[tuple[dict[str, str], int]]]:
        """The same as a collector of OpenTelemetry's has it, under Prometheus' names."""
        found: dict[str, list[tuple[dict[str, str], int]]] = {}
        for name, metric in self.taken.metrics.items():
            kind = metric.WhichOneof("data")
            ending = "_total" if kind == "sum" else ""
            points = getattr(metric, kind).data_points
            found[name.replace(".", "_") + ending] = [
                (
                    {key.removeprefix("tollgate."): value for key, value in values(p.attributes).items()},
                    nanos(repr(_number(p))),
                )
                for p in points
            ]
        return found

    @property
    def monitored(self) -> dict[str, dict[str, list[tuple[dict[str, str], int]]]]:
        return {"/metrics": self.scraped, "OTLP": self.pushed}

    @cached_property
    def traced(self) -> dict[str, int]:
        """What the trace of each run that has ended says that it cost."""
        about = [values(span.attributes) for span in self.taken.by_id.values()]
        return {
            one["tollgate.run"]: one["tollgate.run_cost_nano_usd"]
            for one in about
            if one.get("gen_ai.operation.name") == "invoke_agent"
        }

    def exported(self, sql: str) -> dict[str, list[tuple[Any, ...]]]:
        """What DuckDB finds in the exported file of each form, as table `ledger`."""
        return {form: self._files.execute(sql.replace("ledger", form)).fetchall() for form in FORMS}

    @cached_property
    def _files(self) -> duckdb.DuckDBPyConnection:
        made = duckdb.connect()
        readers = {"ndjson": "read_json_auto", "csv": "read_csv", "parquet": "read_parquet"}
        for form in FORMS:
            path = self.folder / f"ledger.{form}"
            self.said("export", "--to", str(path), "--format", form)
            every = ", all_varchar = true" if form == "csv" else ""
            columns = "* REPLACE (CAST(usd AS DECIMAL(38, 9)) AS usd, CAST(thread AS BIGINT) AS thread)"
            made.execute(f"CREATE TABLE {form} AS SELECT {columns} FROM {readers[form]}('{path}'{every})")
        return made

    def cli_month(self, month: str) -> Any:
        return self.cli("metrics", "--month", month)

    def laptop(self, login: str) -> Any:
        """What `python -m bot cost --json` prints on this person's machine."""
        url, token = self.service.url, self.service.github.app_token(login)
        made = self._ask(f"{url}/api/laptop/login", "", {"token": token, "machine": "a laptop"})
        return self._ask(f"{url}/api/laptop/cost", made["token"], None)

    @staticmethod
    def _ask(url: str, token: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        asked = urllib.request.Request(url, data, headers)  # noqa: S310 - loopback
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - as above
            return json.load(answer)

    def comment(self, number: int, text: str) -> str:
        """The answer to a comment on this thread."""
        github = self.service.github
        asked = github.comment("dana", number, text)

        def answer(_: Any) -> Any:
            return [one["body"] for one in github.comments(number) if f":{asked} -->" in one["body"]]

        return str(github.wait(answer, 30, f"the answer to {text}")[0])

    def since(self, days: int) -> str:
        """A day so long ago, as people write it."""
        now = datetime.fromtimestamp(self.service.database.now_ms() / 1000, UTC)
        return f"{now - timedelta(days=days):%Y-%m-%d}"

    # -- what was noted --

    @property
    def everything(self) -> int:
        return self.months.sum() + sum(self.months.pooled.values())

    @property
    def this_month(self) -> str:
        return self.months.runs[-1].month


def nanos(dollars: str) -> int:
    return int(Decimal(dollars).scaleb(9).to_integral_value())


def _number(point: Any) -> float:
    return float(point.as_double) if point.HasField("as_double") else float(point.as_int)


def total(samples: list[tuple[dict[str, str], int]], **labels: str) -> int:
    return sum(value for has, value in samples if labels.items() <= has.items())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    if request.param == "sqlite":
        with _house(folder, f"sqlite:///{folder / 'tollgate.db'}") as made:
            yield made
        return
    with servers.database(request.getfixturevalue("postgresql")) as url, _house(folder, url) as made:
        yield made


@contextmanager
def _house(folder: Path, url: str) -> Iterator[House]:
    with serving(folder, url, service_policy=POLICY, more=MORE) as service:
        github = service.github
        other = github.control("repos", full_name="acme/ledger", private=True, empty=True)
        about = github.about
        github.commit("dana", "change", {"change.md": "a change"}, from_="main")
        office = Office(
            {
                login: int(github.control("users", login=login)["id"])
                for login in ("dana", "max", "ada", "tri")
            },
            {about["repository"]: about["repository_id"], "acme/ledger": other["id"]},
            about["installation_id"],
            (about["repository"], github.pull("dana", "change", "A change")),
        )
        noted = months(service.env, office, RUNS)
        for table in ("runs", "turns"):  # whoever is at them goes on calling
            service.write(f"UPDATE {table} SET lease_until_at = {FAR} WHERE state IN ('running', 'held')")
        service.write(f"UPDATE runs SET deadline_at = {FAR} WHERE state = 'running'")
        service.worker()
        yield House(service, noted, office, _signed_in(service), _collected(service), folder)


def _signed_in(service: Service) -> Browser:
    """A lead, who is named in `viewers`."""
    browser = Browser()
    asking = browser.open(f"{service.url}/sign-in")
    browser.send(asking, button=[value for _, value in asking.forms[0].buttons].index("ada"))
    return browser


def _collected(service: Service) -> Taken:
    """What a collector has been told of everything that ever happened."""
    taken, port = Taken(), free_port()
    read = settings.read(service.env)
    telling = replace(read, telemetry=Telemetry(traces=True, metrics=True))
    with pytest.MonkeyPatch.context() as patch, rooms.opened(telling, "web") as opened:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        opened.looks.begin("traces")
        opened.looks.end("traces", None)
        with opened.database.begin() as tx:
            tx.execute(sa.update(looks).where(looks.c.name == "traces").values(through_at=0))
        with collecting(taken, port):
            Tracer(opened).tell()
            assert Meter(opened).tell()
    return taken


# -- the figures --


def test_everything_that_was_spent(house: House) -> None:
    whole = house.everything
    exact = Usd(whole).exact
    assert house.cli("metrics")["spend"]["usd"] == exact
    assert f"Spend                          {Usd(whole)}" in house.said("metrics")
    assert house.api("/overview?since=2020-01-01")["spend"]["usd"] == exact
    assert str(Usd(whole)) in house.page("/?since=2020-01-01").text
    for where, samples in house.monitored.items():
        parts = ("cost_usd_total", "cost_corrections_usd", "cost_pool_corrections_usd")
        assert sum(total(samples[f"tollgate_{part}"]) for part in parts) == whole, where
    booked = house.exported("SELECT sum(usd) FROM ledger WHERE \"table\" IN ('turns', 'pool_corrections')")
    assert {form: nanos(str(rows[0][0])) for form, rows in booked.items()} == dict.fromkeys(FORMS, whole)


def test_what_of_it_is_an_upper_bound(house: House) -> None:
    estimated = sum(run.estimated for run in house.months.runs)
    assert house.cli("metrics")["spend"]["estimated_usd"] == Usd(estimated).exact
    assert house.api("/overview?since=2020-01-01")["spend"]["estimated_usd"] == Usd(estimated).exact
    for where, samples in house.monitored.items():
        assert total(samples["tollgate_cost_estimated_usd"]) == estimated, where


@pytest.mark.parametrize(
    ("by", "name", "label", "column"),
    [
        ("repo", "repository", "repository", "repository"),
        ("line", "line", "line", "line"),
        ("developer", "actor", None, "actor"),
    ],
)
def test_the_spend_by_what_it_was_for(
    house: House, by: str, name: str, label: str | None, column: str
) -> None:
    parts = {str(key): value for key, value in house.months.by(name).items() if value}
    none = {"repo": "(this machine)", "line": "(on no line)"}.get(by, "")
    shown = {key or none: Usd(value).exact for key, value in parts.items()}
    assert {one["name"]: one["usd"] for one in house.cli("metrics", "--by", by)["shares"]} == shown
    shares = house.api(f"/overview?since=2020-01-01&by={by}")["shares"]
    assert {one["name"]: one["usd"] for one in shares} == shown
    for where, samples in house.monitored.items() if label else ():
        costs = [*samples["tollgate_cost_usd_total"], *samples["tollgate_cost_corrections_usd"]]
        for key, value in parts.items():
            assert total(costs, **{str(label): key or "none"}) == value, (where, key)
    sums = f"SELECT coalesce({column}, ''), sum(usd) FROM ledger WHERE \"table\" = 'turns' GROUP BY 1"
    for form, rows in house.exported(sums).items():
        assert {key: nanos(str(usd)) for key, usd in rows if usd} == parts, form


def test_a_persons_month(house: House) -> None:
    month = house.this_month
    spent = house.months.sum(lambda run: (run.actor, run.month) == ("dana", month))
    exact = Usd(spent).exact
    people = house.cli_month(month)
    assert {one["name"]: one["usd"] for one in people["people"]}["dana"] == exact
    assert {one["name"]: one["usd"] for one in house.api(f"/rollup?month={month}")["people"]}["dana"] == exact
    assert house.api(f"/people/dana?month={month}")["usd"] == exact
    assert str(Usd(spent)) in house.page(f"/people/dana?month={month}").text
    assert str(Usd(spent)) in house.page(f"/people?month={month}").text
    table = {row["person"]: row["spend"] for row in house.rows(f"/people?month={month}&csv=people")}
    assert table["dana"] == exact
    assert sum(nanos(row["cost"]) for row in house.rows(f"/people/dana?month={month}&csv=runs")) == spent
    assert house.laptop("dana")["usd"] == exact
    mine = [run.run for run in house.months.runs if (run.actor, run.month) == ("dana", month)]
    listed = ", ".join(f"'{run}'" for run in mine)
    for form, rows in house.exported(
        f"SELECT sum(usd) FROM ledger WHERE \"table\" = 'turns' AND run IN ({listed})"
    ).items():
        assert nanos(str(rows[0][0])) == spent, form


def test_a_thread_and_the_pull_request_that_was_merged(house: House) -> None:
    repository, number = house.office.thread
    spent = house.months.on(house.office.thread)
    exact = Usd(spent).exact
    assert f"**{Usd(spent)}**" in house.comment(number, "/agent cost")
    named = {(one["repository"], one["number"]): one["usd"] for one in house.cli("metrics")["merged"]}
    assert named == {place: Usd(house.months.on(place)).exact for place in house.months.merged}
    assert named[repository, number] == exact
    merged = house.api("/overview?since=2020-01-01")["merged"]
    assert {(one["repository"], one["number"]): one["usd"] for one in merged} == named
    told = house.api(f"/pulls/{repository}/{number}")
    assert told["usd"] == exact
    assert sum(nanos(run["usd"]) for run in told["list"]) == spent
    assert str(Usd(spent)) in house.page(f"/pulls/{repository}/{number}").text
    asked = "SELECT sum(usd) FROM ledger WHERE \"table\" = 'turns' AND repository = '{}' AND thread = {}"
    for form, rows in house.exported(asked.format(repository, number)).items():
        assert nanos(str(rows[0][0])) == spent, form
    mine = [run for run in house.months.runs if (run.repository, run.thread) == house.office.thread]
    assert sum(house.traced[run.run] for run in mine) == spent


def test_every_thread(house: House) -> None:
    threads = {(run.repository, run.thread) for run in house.months.runs if run.thread}
    noted = {place: house.months.on(place) for place in threads}
    listed: dict[tuple[str, int], int] = {}
    after: str | None = ""
    while after is not None:
        some = house.api("/pulls?since=2020-01-01" + (f"&after={after}" if after else ""))
        listed |= {(one["repository"], one["number"]): nanos(one["usd"]) for one in some["threads"]}
        after = some["next"]
    assert {place: usd for place, usd in listed.items() if usd} == {p: usd for p, usd in noted.items() if usd}
    rows = house.rows("/pulls?since=2020-01-01&csv=pulls")
    assert {(row["repository"], int(row["number"])): nanos(row["usd"]) for row in rows} == listed


def test_what_a_merged_pull_request_costs(house: House) -> None:
    recent = [place for place, days in house.months.merged.items() if days < 30]
    direct = Usd(sum(house.months.on(place) for place in recent)).over(len(recent))
    window = house.months.sum(lambda run: run.days < 30) + sum(
        usd for days, usd in house.months.pooled.items() if days < 30
    )
    loaded = Usd(window).over(len(recent))
    since = house.since(30)
    found = house.cli("metrics", "--since", since)["cost_per_merged_pr"]
    assert (found["direct"], found["fully_loaded"], found["merged"]) == (
        direct.exact,
        loaded.exact,
        len(recent),
    )
    assert f"direct {direct}, fully loaded {loaded}" in house.said("metrics", "--since", since)
    shown = house.api(f"/overview?since={since}")["cost_per_merged_pr"]
    assert (shown["direct"], shown["fully_loaded"]) == (direct.exact, loaded.exact)
    page = house.page(f"/?since={since}").text
    assert str(direct) in page
    assert str(loaded) in page
    for where, samples in house.monitored.items():
        told = samples["tollgate_window_cost_per_merged_pull_request_usd"]
        assert total(told, loading="direct") == direct.nanos, where
        assert total(told, loading="fully_loaded") == loaded.nanos, where
        assert total(samples["tollgate_window_spent_usd"]) == window, where


def test_each_run(house: House) -> None:
    ended = {run.run: run.nanos for run in house.months.runs if run.state != "running"}
    assert house.traced == ended
    whole = {run.run: run.nanos for run in house.months.runs}
    for form, rows in house.exported("SELECT id, usd FROM ledger WHERE \"table\" = 'runs'").items():
        assert {id: nanos(str(usd)) for id, usd in rows} == whole, form
    listed: dict[str, int] = {}
    before: str | None = ""
    while before is not None:
        some = house.api("/runs" + (f"?before={before}" if before else ""))
        listed |= {one["run"]: nanos(one["usd"]) for one in some["runs"]}
        before = some["next"]
    assert listed == whole
    assert {row["run"]: nanos(row["usd"]) for row in house.rows("/runs?csv=runs")} == whole


def test_one_run_and_its_requests(house: House) -> None:
    for noted in house.months.runs[::9]:
        told = house.api(f"/runs/{noted.run}")
        assert told["report"]["spent"]["usd"] == told["usd"] == Usd(noted.nanos).exact
        assert told["report"]["estimated_usd"] == Usd(noted.estimated).exact
        assert sum(nanos(part) for part in told["report"]["cost_by"].values()) == noted.nanos
        turns = house.api(f"/runs/{noted.run}/turns")["turns"]
        assert sum(nanos(turn["usd"]) for turn in turns) == noted.nanos
        assert str(Usd(noted.nanos)) in house.page(f"/runs/{noted.run}").text
        requests = house.rows(f"/runs/{noted.run}?csv=turns")
        assert sum(nanos(row["usd"] or "0") for row in requests) == noted.nanos


def test_what_runs_that_were_halted_have_cost(house: House) -> None:
    halted = house.months.sum(lambda run: run.state == "halted")
    assert house.cli("metrics")["spend"]["halted_usd"] == Usd(halted).exact
    assert house.api("/overview?since=2020-01-01")["spend"]["halted_usd"] == Usd(halted).exact
    recent = house.months.sum(lambda run: run.state == "halted" and run.days < 30)
    for where, samples in house.monitored.items():
        assert total(samples["tollgate_window_halted_usd"]) == recent, where
    stood = "SELECT sum(usd) FROM ledger WHERE \"table\" = 'runs' AND state = 'halted'"
    for form, rows in house.exported(stood).items():
        assert nanos(str(rows[0][0])) == halted, form


def test_the_ledger_has_seen_everything_that_can_happen(house: House) -> None:
    """Or these figures would agree on too little."""
    states = {state for (state,) in house.service.rows("SELECT DISTINCT state FROM turns")}
    assert states == {"settled", "estimated", "released", "corrected", "held"}
    assert {run.state for run in house.months.runs} == {"done", "halted", "failed", "lost", "running"}
    assert len(house.months.runs) == RUNS
    assert len(house.months.by("repository")) == 3
    assert len(house.months.by("month")) >= 2
    assert len(house.months.by("model")) == 3
    assert all(house.months.pooled.values())
