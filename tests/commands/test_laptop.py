"""A laptop with the service: its runs are the person's, under their caps, and nothing passes them (P7)."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.money import Usd
from bot.web.turnstile import Turnstile
from tests.browser import Browser
from tests.laptops import KEY, ONE, Laptop, World, greedy, world
from tests.runner.world import plant

pytestmark = pytest.mark.slow
POLICY = """
caps: {people: {dana: $20, max: $3, ada: $8, pat: "$0.50"}}
lines:
  evals: {monthly: $50, members: [dana]}
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("laptop")
    with world(folder, f"sqlite:///{folder / 'tollgate.db'}", POLICY) as made:
        yield made


def nanos(usd: str) -> int:
    return Usd.parse(usd).nanos


def test_a_run_counts_at_the_service_and_the_laptop_holds_no_key(up: World) -> None:
    laptop, before = up.laptop(), up.nanos
    laptop.clone()
    show = ONE + "    import os, json; print(json.dumps(dict(os.environ)))\n"
    ran = laptop.exec("--cost", "2", program=show)
    assert ran.code == 0, ran.err
    tokens, environment = ran.out.splitlines()
    assert tokens == "300"
    seen = json.loads(environment)
    assert seen["ANTHROPIC_BASE_URL"] == f"{up.service.url}/anthropic"
    assert seen["ANTHROPIC_API_KEY"].startswith("run_")
    assert KEY not in environment
    assert [name for name in seen if name.startswith("TOLLGATE")] == ["TOLLGATE_BOUND"]
    assert ran.report["outcome"] == "done"
    assert ran.report["ceilings"] == {"usd": "2", "tokens": 800_000, "steps": 50, "seconds": 1_200}
    assert nanos(ran.report["spent"]["usd"]) == up.nanos - before > 0
    columns = "origin, actor, repository, engine, spent_nanos, held_nanos, state, month <> ''"
    [row] = up.service.rows(f"SELECT {columns} FROM runs WHERE id = '{ran.report['run']}'")
    assert row[:4] == ("laptop", "dana", up.service.github.repo, "python")
    assert row[4:7] == (up.nanos - before, 0, "done")
    assert row[7]
    assert f"At {up.service.url}, as dana." in ran.err
    assert laptop.login.token not in ran.err + ran.out


def test_a_person_logs_a_machine_in_by_typing_a_code_and_out_again(up: World) -> None:
    laptop = Laptop(up.service, up.folder / "laptops" / "by-code")
    with laptop.start("login") as asking:
        assert asking.stdout is not None
        opened, _, code = asking.stdout.readline().removeprefix("Open ").partition(" and type ")
        page = Browser().open(opened)
        number = [value for _, value in page.forms[0].buttons].index("dana")
        Browser().send(page, button=number, user_code=code.strip())
        out, err = asking.communicate(timeout=60)
    assert asking.returncode == 0, err
    assert f"Logged in to {up.service.url} as dana" in out
    assert stat.S_IMODE(laptop.logins.file.stat().st_mode) == 0o600
    token = laptop.login.token
    assert token.startswith("user_")
    assert token not in out + err
    assert up.rows("audit", "action, by")[-1] == ("logged in", "dana")
    assert laptop.login.id in laptop.bot("login", "--list").out
    ran = laptop.bot("logout")
    assert (ran.code, ran.out) == (0, f"Logged out of {up.service.url}.\n")
    assert laptop.logins.of(up.service.url) is None
    assert laptop.ask("GET", "/logins", token=token)[0] == 401
    assert laptop.exec().code == 4


def test_who_says_no_at_github_is_not_logged_in(up: World) -> None:
    laptop = Laptop(up.service, up.folder / "laptops" / "denied")
    with laptop.start("login") as asking:
        assert asking.stdout is not None
        opened, _, code = asking.stdout.readline().removeprefix("Open ").partition(" and type ")
        page = Browser().open(opened)
        Browser().send(page, button=len(page.forms[0].buttons) - 1, user_code=code.strip())
        _, err = asking.communicate(timeout=60)
    assert asking.returncode == 1
    assert "you did not allow it" in err
    assert laptop.logins.of(up.service.url) is None


@pytest.mark.parametrize("who", ["ren", "tri", "eve"])
def test_who_may_not_write_anywhere_is_not_logged_in(up: World, who: str) -> None:
    laptop = Laptop(up.service, up.folder / "laptops" / who)
    said = {"token": up.service.github.app_token(who), "machine": "m"}
    status, answer = laptop.ask("POST", "/login", said, token="none")
    assert status == 403
    assert "write permission in no repository" in answer["error"]


def test_a_token_that_github_gave_for_another_purpose_logs_nobody_in(up: World) -> None:
    laptop = Laptop(up.service, up.folder / "laptops" / "other")
    for token in (up.service.github.token("dana"), "ghu_made_up"):
        assert laptop.ask("POST", "/login", {"token": token, "machine": "m"}, token="none")[0] == 403


@pytest.mark.parametrize(
    ("words", "env", "says"),
    [
        pytest.param(["--line", "nowhere"], {}, "there is no budget line `nowhere`", id="an unknown line"),
        pytest.param(["--cost", "0"], {}, "a cost ceiling of nothing", id="a ceiling of nothing"),
        pytest.param(["--policy", "p.yml"], {}, "its own policy and prices hold", id="a policy of one's own"),
        pytest.param([], {"TOLLGATE_URL": "http://127.0.0.1:9"}, "not logged in to", id="another service"),
        pytest.param([], {"TOLLGATE_URL": "http://tollgate.example"}, "is not https", id="an open line"),
        pytest.param([], {"XDG_CONFIG_HOME": "/nowhere"}, "not logged in to", id="no login"),
    ],
)
def test_what_cannot_be_started_says_why_and_no_key_of_the_machine_is_used_instead(
    up: World, words: list[str], env: dict[str, str], says: str
) -> None:
    laptop, before, runs = up.laptop(), up.nanos, len(up.rows("runs"))
    (laptop.checkout / "p.yml").write_text("{}\n")
    own = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": up.claude.url}
    ran = laptop.exec(*words, **own, **env)
    assert ran.code == 4
    assert says in ran.err
    assert "Nothing was spent." in ran.err
    assert (up.nanos, len(up.rows("runs"))) == (before, runs)
    assert laptop.exec("--local", **own).code == 0


def test_a_service_that_is_not_there_starts_nothing(up: World) -> None:
    laptop = up.laptop()
    nowhere = "http://127.0.0.1:9"
    kept = json.loads(laptop.logins.file.read_text())
    laptop.logins.file.write_text(json.dumps({nowhere: kept[up.service.url]}))
    ran = laptop.exec(TOLLGATE_URL=nowhere)
    assert ran.code == 4
    assert "cannot be reached" in ran.err


def test_who_was_removed_spends_not_a_cent_more(up: World) -> None:
    github = up.service.github
    github.user("leo", role="write")
    laptop = up.laptop("leo")
    assert laptop.exec().code == 0
    before = up.nanos
    github.user("leo", role="read")
    for _ in range(2):
        ran = laptop.exec()
        assert ran.code == 4
        assert "leo has the role read" in ran.err
    assert up.nanos == before
    refused = up.service.rows("SELECT reason, comment_kind FROM refusals WHERE actor = 'leo'")
    assert refused == [("not_entitled", "laptop")] * 2


def test_a_pause_ends_the_command_and_starts_nothing(up: World) -> None:
    laptop = up.laptop()
    with laptop.start("exec", "--", *laptop.program("import time; time.sleep(600)")) as running:
        up.service.until("SELECT count(*) = 1 FROM runs WHERE state = 'running' AND origin = 'laptop'")
        laptop.bot("pause", "--reason", "the bill", **up.service.env)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 3, err
    assert "the bill" in err
    ran = laptop.exec()
    assert ran.code == 4
    assert "paused everywhere" in ran.err
    assert laptop.bot("unpause", **up.service.env).code == 0


def test_a_halt_ends_the_whole_process_group(up: World) -> None:
    laptop, before = up.laptop(), up.nanos
    stubborn = """
        import signal, time, anthropic
        client = anthropic.Anthropic(max_retries=0)
        while True:
            try:
                client.messages.create(
                    model="claude-opus-4-7", max_tokens=1_500, messages=[{"role": "user", "content": "more"}]
                )
            except anthropic.APIStatusError:
                time.sleep(600)
    """
    ran = laptop.exec("--cost", "0.20", program=stubborn)
    assert ran.code == 3
    assert "$0.20 cost ceiling reached" in ran.err
    assert ran.report["reason"] == "cost_ceiling"
    assert nanos(ran.report["spent"]["usd"]) == up.nanos - before <= 200_000_000


def test_a_process_that_is_killed_gives_back_what_it_held_when_its_lease_is_over(up: World) -> None:
    laptop = up.laptop("max")
    state = str(laptop.folder / "state")
    assert laptop.killed("--cost", "3", "--state", state) == "300\n"
    run = json.loads((Path(state) / "served.json").read_text())["run"]
    ran = laptop.exec()
    assert ran.code == 4
    assert "max's cap" in ran.err
    assert "held by live runs" in ran.err
    assert "`/agent ack` with a reason, by `max`, opens $0.75 more" in ran.err
    up.silence(run)
    assert up.over(run)[0] == "lost"
    assert laptop.exec("--cost", "1").code == 0


def test_a_state_goes_on_with_the_same_run_and_its_counters(up: World) -> None:
    laptop = up.laptop()
    state = str(laptop.folder / "state")
    first = laptop.exec("--state", state, "--steps", "1")
    assert (first.code, first.report["spent"]["steps"]) == (0, 1)
    stuck = laptop.exec("--state", state, "--steps", "1")
    assert stuck.code == 4
    assert "has used 1 of 1 already; --steps sets a greater total" in stuck.err
    second = laptop.exec("--state", state, "--steps", "9")
    assert second.code == 0, second.err
    assert second.report["run"] == first.report["run"]
    assert second.report["spent"]["steps"] == 2
    other = up.laptop("ada")
    assert other.exec("--state", state).code == 4
    own = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": up.claude.url}
    alone = laptop.exec("--local", "--state", state, **own)
    assert alone.code == 4
    assert "holds a run of a service" in alone.err


def test_a_state_whose_process_was_killed_goes_on_at_once(up: World) -> None:
    laptop, before = up.laptop(), up.nanos
    state = str(laptop.folder / "state")
    laptop.killed("--state", state)
    ran = laptop.exec("--state", state)
    assert ran.code == 0, ran.err
    assert ran.report["spent"]["steps"] == 2
    assert nanos(ran.report["spent"]["usd"]) == up.nanos - before


def test_a_live_run_ends_with_the_login_of_the_machine_that_it_went_on_at(up: World) -> None:
    first, second = up.laptop(name="first"), up.laptop(name="second")
    made = first.ask("POST", "/runs", {"number": 1, "engine": "curl"})[1]
    status, taken = second.ask("POST", "/runs", {"number": 1, "engine": "curl", "run": made["run"]})
    assert (status, taken["run"]) == (200, made["run"])
    state = f"SELECT state, reason FROM runs WHERE id = '{made['run']}'"
    assert first.ask("DELETE", f"/logins/{first.login.id}")[1] == {"halted": 0}, "it is no more there"
    assert up.service.rows(state) == [("running", None)]
    assert second.ask("DELETE", f"/logins/{second.login.id}")[1] == {"halted": 1}
    assert up.service.rows(state) == [("halted", "stopped")]


def test_a_line_is_for_its_members_and_eats_nobodys_cap(up: World) -> None:
    dana, ada = up.laptop("dana"), up.laptop("ada")
    assert dana.exec("--line", "evals").code == 0
    ran = ada.exec("--line", "evals")
    assert ran.code == 4
    assert "ada is not a member" in ran.err


def test_cost_tells_the_month_by_run_and_lines_apart(up: World) -> None:
    up.service.github.user("kim", role="write")
    laptop = up.laptop("kim")
    first = laptop.exec().report
    told = json.loads(laptop.bot("cost", "--json").out)
    assert (told["login"], told["caps"]) == ("kim", [])
    assert [run["run"] for run in told["runs"]] == [first["run"]]
    assert told["usd"] == first["spent"]["usd"]
    dana = up.laptop("dana")
    dana.exec("--line", "evals")
    text = dana.bot("cost").out
    assert "dana's cap for 20" in text
    assert "of $20.00 spent" in text
    assert "Of it on lines, which count under no cap of yours: $" in text
    assert "The cap of the line evals for 20" in text
    mine = json.loads(dana.bot("cost", "--json").out)
    whole, own = "actor = 'dana'", "actor = 'dana' AND line = ''"
    sums = [
        up.service.rows(f"SELECT coalesce(sum(spent_nanos), 0) FROM runs WHERE {one}")[0][0]
        for one in (whole, own)
    ]
    assert [nanos(mine["usd"]), nanos(mine["caps"][0]["spent_usd"])] == sums


def test_without_a_service_cost_tells_of_the_states_that_it_is_given(up: World) -> None:
    laptop = up.laptop()
    env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": up.claude.url, "TOLLGATE_URL": ""}
    states = [str(laptop.folder / name) for name in ("one", "two")]
    found = [laptop.exec("--state", state, **env).report for state in states]
    asked = [word for state in states for word in ("--state", state)]
    told = json.loads(laptop.bot("cost", "--json", *asked, **env).out)
    assert nanos(told["usd"]) == sum(nanos(one["spent"]["usd"]) for one in found) > 0
    assert {run["run"] for run in told["runs"]} == {one["run"] for one in found}
    assert "which service?" in laptop.bot("cost", **env).err


def test_a_stolen_login_opens_its_persons_runs_and_nothing_else(up: World) -> None:
    laptop, other = up.laptop("dana"), up.laptop("ada")
    theirs = other.exec().report["run"]
    token = laptop.login.token
    asks = [
        ("POST", "/anthropic/v1/messages", {"model": "claude-opus-4-7", "max_tokens": 9, "messages": []}),
        ("GET", f"/api/runs/{theirs}", None),
        ("GET", f"/api/runs/{theirs}/report", None),
        ("POST", "/api/runs/open", {}),
        ("POST", "/api/runs/claim", {"run": theirs, "attempt": 1}),
    ]
    assert [laptop.reach(method, path, body, token)[0] for method, path, body in asks] == [401] * len(asks)
    goes_on = {"number": 1, "run": theirs}
    status, answer = laptop.ask("POST", "/runs", goes_on)
    assert (status, "you have no run" in answer["error"]) == (403, True)
    assert laptop.ask("DELETE", f"/logins/{other.login.id}")[0] == 404
    assert {run["run"] for run in laptop.ask("GET", "/cost")[1]["runs"]}.isdisjoint({theirs})
    live = laptop.ask("POST", "/runs", {"number": 2, "engine": "curl"})[1]["run"]
    assert laptop.ask("DELETE", f"/logins/{laptop.login.id}")[1] == {"halted": 1}
    assert up.service.rows(f"SELECT state, reason FROM runs WHERE id = '{live}'") == [("halted", "stopped")]
    assert laptop.ask("POST", "/runs", {"number": 3})[0] == 401


def test_the_header_that_reads_the_api_is_printed_for_a_file_and_asks_nobody(up: World) -> None:
    laptop = up.laptop("dana")
    ran = laptop.bot("login", "--header")
    assert (ran.code, ran.out) == (0, f"Authorization: Bearer {laptop.login.token}\n")
    assert laptop.bot("login", "--header", "--url", "https://elsewhere.example").code == 1


def test_no_login_stands_in_a_log_a_process_list_or_the_database(up: World) -> None:
    laptop = up.laptop()
    listed = "import os; os.system('cat /proc/[0-9]*/cmdline | tr \\\\0 \\\\n')"
    ran = laptop.exec(program=listed)
    token = laptop.login.token
    up.service.kill()
    up.service.again()
    logs = "".join((up.service.folder / name).read_text() for name in ("web.log", "worker.log"))
    stored = (up.service.folder / "tollgate.db").read_bytes() + (
        up.service.folder / "tollgate.db-wal"
    ).read_bytes()
    assert "exec" in ran.out
    assert token not in ran.out + ran.err + logs
    assert token.encode() not in stored
    assert stat.S_IMODE(laptop.logins.file.stat().st_mode) == 0o600


def test_more_logins_in_a_minute_than_people_make_are_told_to_wait() -> None:
    now = [0.0]
    turnstile = Turnstile(3, lambda: now[0])
    assert [turnstile.passes() for _ in range(5)] == [True, True, True, False, False]
    now[0] = 60.0
    assert turnstile.passes()


def test_whoever_runs_the_service_sees_the_logins_and_ends_one(up: World) -> None:
    laptop = up.laptop("dana")
    listed = laptop.bot("logins", **up.service.env)
    assert f"{laptop.login.id}  dana  {laptop.folder.name}  until 20" in listed.out
    ended = laptop.bot("logins", "--revoke", laptop.login.id, **up.service.env)
    assert ended.out == f"Login {laptop.login.id} is ended; 0 live runs were halted.\n"
    assert laptop.exec().code == 4
    assert laptop.bot("logins", "--revoke", laptop.login.id, **up.service.env).code == 1
    assert ("revoked",) in up.service.rows("SELECT action FROM audit")


def test_three_quarters_of_the_month_are_told_at_the_end_of_the_run_once(up: World) -> None:
    up.service.github.user("pat", role="write")
    laptop = up.laptop("pat")
    first = laptop.exec("--cost", "0.45", "--steps", "80", program=greedy())
    assert first.code == 3
    second = laptop.exec("--cost", "0.02")
    told = ["pat has spent" in ran.err for ran in (first, second)]
    assert told == [True, False], first.err + second.err


def test_the_native_agent_works_on_the_checkout_and_its_run_is_the_services(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("native")
    with world(folder, f"sqlite:///{folder / 'tollgate.db'}", character="auto") as up:
        laptop = up.laptop()
        plant(laptop.checkout)
        laptop.clone("repair")
        task = "The tests fail. Find the bug and fix it."
        report = str(folder / "report.json")
        ran = laptop.bot("run", "--cost", "2", "--class", "bugfix", "--report", report, task)
        assert ran.code == 0, ran.err
        assert "changed: acme_calendar/years.py" in ran.err
        told = json.loads(Path(report).read_text())
        assert (told["outcome"], told["engine"], told["model"]) == ("done", "opus", "claude-opus-4-7")
        assert nanos(told["spent"]["usd"]) == up.nanos > 0
        assert told["ceilings"] == {"usd": "2", "tokens": 500_000, "steps": 20, "seconds": 600}
        columns = "branch, task, kept_back, task_class, result IS NOT NULL"
        [row] = up.service.rows(f"SELECT {columns} FROM runs WHERE id = '{told['run']}'")
        assert tuple(row) == ("repair", task, 1, "bugfix", 1)
        halted = laptop.bot("run", "--cost", "0.30", "Please be tireless with this task: polish everything.")
        assert halted.code == 3, halted.err
        assert "$0.30 cost ceiling reached" in halted.err
        assert "`/agent" not in halted.err


def test_what_ran_on_its_branch_is_on_the_pull_request_once_it_is_merged(up: World) -> None:
    github, laptop = up.service.github, up.laptop()
    github.commit("dana", "topic", {"topic.md": "x"}, from_="main")
    laptop.clone("topic")
    run = laptop.exec().report["run"]
    number = github.pull("dana", "topic", "A topic")
    github.merge("ada", number)
    up.service.until(f"SELECT count(*) = 1 FROM attributions WHERE run = '{run}' AND number = {number}")
    github.comment("dana", number, "/agent cost")
    answer = github.wait(lambda hub: [c for c in hub.comments(number) if run in c["body"]], 60, "an answer")
    assert f"`{run}`, on a laptop | dana" in answer[0]["body"]
