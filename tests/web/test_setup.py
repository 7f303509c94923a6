"""The set-up page: who sees the console may register the App, once; nobody else, and no secret is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bot import services, settings
from bot.stories.setup import check
from bot.web.setup import STATE_SECONDS, Claim, Page, on_loopback
from sandbox.github.client import Client
from sandbox.processes import ROOT, serving, start
from sandbox.world_up import free_port
from tests.browser import Browser
from tests.browser import Page as Answer
from tests.contracts.checker import contract


@dataclass
class World:
    """A GitHub where nobody has registered an App, and the environment of a service to be."""

    url: str
    env: dict[str, str]
    file: Path
    log: Path
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(self.url)

    def page(self, **more: Any) -> Page:
        return Page(settings.registering(self.env), self.env, "", **more)

    def kept(self) -> dict[str, str]:
        found = json.loads(self.file.read_text())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    traffic = tmp_path / "traffic.ndjson"
    with start("github", "--fresh", data=tmp_path / "github", traffic=traffic) as hub:
        service = f"http://127.0.0.1:{free_port()}"
        known = {
            k: v for k, v in settings.environment().items() if not k.startswith(("GITHUB_", "ANTHROPIC_"))
        }
        env = known | {
            "PUBLIC_URL": service,
            "GITHUB_API_URL": hub.url,
            "CREDENTIALS_FILE": str(tmp_path / "app.json"),
            "DATABASE_URL": f"sqlite:///{tmp_path / 'tollgate.db'}",
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        }
        yield World(hub.url, env, tmp_path / "app.json", traffic)
    lines = [json.loads(line) for line in traffic.read_text().splitlines()]
    assert [wrong for line in lines for wrong in contract().exchange(line)] == []


def register(page: Page, **name: str) -> tuple[Browser, Answer]:
    """What a person does: open the address, press the button here, then the one at GitHub."""
    browser = Browser()
    asked = browser.open(page.address)
    return browser, browser.send(browser.send(asked), 0, 0, **name)


def test_an_app_is_registered_its_credentials_kept_and_everything_checked(world: World) -> None:
    page = world.page(organization="acme")
    with on_loopback(page, 0):
        _, done = register(page, name="Tollgate for acme")
        assert page.done.wait(10)
    kept = world.kept()
    assert done.status == 200
    assert kept["GITHUB_APP_URL"] == f"{world.url}/apps/tollgate-for-acme"
    assert done.text.count("✗") == 1
    assert "✗ the database has no tables yet" in done.text
    assert f"{world.url}/apps/tollgate-for-acme/installations/new" in done.links
    for name in ("GITHUB_APP_PRIVATE_KEY", "GITHUB_CLIENT_SECRET", "GITHUB_WEBHOOK_SECRET"):
        assert kept[name][-30:] not in done.text, f"{name} is nobody's to see"
    services.migrate(settings.read(world.env))
    assert [str(one) for one in check(world.env) if not one.right] == []


def test_a_secret_store_is_given_the_credentials_and_they_are_checked_from_there(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "store.py").write_text(f"import sys; open({str(world.file)!r}, 'w').write(sys.stdin.read())")
    env = {name: value for name, value in world.env.items() if name != "CREDENTIALS_FILE"}
    env["CREDENTIALS_COMMAND"] = f"{sys.executable} {tmp_path / 'store.py'}"
    services.migrate(settings.look(env)[0])
    page = Page(settings.registering(env), env, "")
    with on_loopback(page, 0):
        _, done = register(page)
    assert done.status == 200
    assert "✗" not in done.text
    kept = {name: value for name, value in world.kept().items() if name.startswith("GITHUB_")}
    assert [str(one) for one in check(env | kept) if not one.right] == [], "as the store gives them back"


def test_the_page_says_what_is_asked_for_and_why(world: World) -> None:
    page = world.page()
    with on_loopback(page, 0):
        shown = Browser().open(page.address)
    for phrase in ("Pull requests", "commit the agent&#39;s work", "issue_comment", str(world.file)):
        assert phrase in shown.text
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert f"form-action 'self' {world.url}" in shown.headers["content-security-policy"]
    assert "token=" not in shown.url, "an address with the token stays in no history"


def test_a_stranger_sees_nothing_and_can_do_nothing(world: World) -> None:
    page = world.page()
    with on_loopback(page, 0):
        for path in ("/setup", "/setup?token=guess", "/setup/registered?code=x&state=y"):
            answer = Browser().open(page.base + path)
            assert answer.status == 403
            assert "sees the service" in answer.text
            assert not answer.forms
    assert not world.file.exists()


def test_the_address_of_the_console_works_once(world: World) -> None:
    page = world.page()
    with on_loopback(page, 0):
        mine = Browser()
        assert mine.open(page.address).status == 200
        assert Browser().open(page.address).status == 403
        assert mine.open(f"{page.base}/setup").status == 200, "who came first may look again"


def test_every_other_door_is_closed_and_says_so(world: World) -> None:
    page = world.page()
    with on_loopback(page, 0):
        for path in ("/", "/readyz", "/api/runs/claim", "/anthropic/v1/models"):
            answer = Browser().open(page.base + path)
            assert answer.status == 503
            assert "not set up yet" in answer.text
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        posted = Browser().open(f"{page.base}/webhooks/github", {"a": "b"})
        assert posted.status == 503
        assert Browser().open(f"{page.base}/healthz").status == 200


def test_githubs_answer_counts_once_and_only_with_its_state(world: World) -> None:
    page = world.page()
    with on_loopback(page, 0):
        browser, done = register(page)
        again = browser.open(done.url)
        assert again.status == 400
        made = parse_qs(urlsplit(done.url).query)["code"][0]
        for state in ("", "guess", page.claim.state() + "x"):
            assert browser.open(f"{page.base}/setup/registered?code={made}&state={state}").status == 400
    assert "second time" in again.text


def test_a_state_is_good_for_its_time_and_no_longer() -> None:
    now = 0.0
    claim = Claim(clock=lambda: now)
    state = claim.state()
    now = STATE_SECONDS - 1
    assert claim.spend(state)
    state = claim.state()
    now += STATE_SECONDS
    assert not claim.spend(state)
    assert not claim.spend(state)


def test_only_the_last_state_counts() -> None:
    claim = Claim()
    first, last = claim.state(), claim.state()
    assert first != last
    assert not claim.spend(first)
    assert claim.spend(last)


def test_where_nothing_can_be_kept_github_is_not_asked(world: World, tmp_path: Path) -> None:
    page = world.page()
    with on_loopback(page, 0):
        browser = Browser()
        there = browser.send(browser.open(page.address))
        world.file.write_text("something of somebody's")
        refused = browser.send(there)
    assert refused.status == 502
    assert "not written over" in refused.text
    asked = [json.loads(line)["path"] for line in world.log.read_text().splitlines()]
    assert not [path for path in asked if "conversions" in path]


def test_a_code_that_github_does_not_know_is_said_and_not_shown(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    page = world.page()
    with on_loopback(page, 0):
        browser = Browser()
        browser.open(page.address)
        refused = browser.open(f"{page.base}/setup/registered?code=0123456789abc&state={page.claim.state()}")
    assert refused.status == 502
    assert "404" in refused.text
    assert "0123456789abc" not in refused.text + "".join(capfd.readouterr())
    assert not world.file.exists()


@pytest.mark.parametrize("fails", [False, True])
def test_where_github_gives_no_secret_the_webhook_gets_one_of_ours(world: World, fails: bool) -> None:
    page = world.page()
    with on_loopback(page, 0):
        browser = Browser()
        browser.open(page.address)
        asked = page.manifest() | {"redirect_url": world.url}
        landed = browser.open(f"{world.url}/settings/apps", {"manifest": json.dumps(asked)}).url
        [code] = parse_qs(urlsplit(landed).query)["code"]
        world.client.control("hook", url=asked["hook_attributes"]["url"], secret="")
        if fails:
            world.client.fault("PATCH", "/app/hook/config", 500)
        done = browser.open(f"{page.base}/setup/registered?code={code}&state={page.claim.state()}")
    assert len(world.kept()["GITHUB_WEBHOOK_SECRET"]) == 64
    assert world.kept()["GITHUB_WEBHOOK_SECRET"] not in done.text
    if fails:
        assert "its webhook has no secret yet" in done.text
    else:
        assert world.client.about["webhook_secret"] in (None, world.kept()["GITHUB_WEBHOOK_SECRET"])
        assert done.status == 200


def test_a_changed_app_is_told_what_to_change(world: World) -> None:
    page = world.page()
    with on_loopback(page, 0):
        register(page)
    kept = world.kept()
    other = world.env | {"PUBLIC_URL": "http://tollgate.example"}
    said = "\n".join(str(one) for one in check(other))
    assert "✗ PUBLIC_URL http://tollgate.example is not https" in said
    assert "✗ its webhook goes to" in said
    world.file.chmod(0o644)
    wrong = kept | {"GITHUB_APP_ID": "12345"}
    world.file.write_text(json.dumps(wrong))
    said = "\n".join(str(one) for one in check(world.env))
    assert "✗ others may read" in said
    assert "✗ GitHub does not know App 12345" in said
    world.file.write_text(json.dumps(kept | {"GITHUB_APP_PRIVATE_KEY": "-----BEGIN NOTHING-----"}))
    assert "it cannot sign" in "\n".join(str(one) for one in check(world.env))


# -- as the programs that they are --


def product(world: World, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *words],
        env=world.env | env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_command_shows_an_address_waits_and_tells_each_check(world: World) -> None:
    services.migrate(settings.read(world.env | _an_app()))
    command = [sys.executable, "-m", "bot", "setup", "--organization", "acme"]
    with subprocess.Popen(
        command, env=world.env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asked:
        assert asked.stdout is not None
        address = asked.stdout.readline().removeprefix("Open ").strip()
        browser = Browser()
        browser.send(browser.send(browser.open(address)))
        said, errors = asked.communicate(timeout=60)
    assert asked.returncode == 0, said + errors
    assert said.count("✓") == 7
    assert "✗" not in said
    assert "/installations/new" in said
    kept = world.kept()
    for name in ("GITHUB_APP_PRIVATE_KEY", "GITHUB_CLIENT_SECRET", "GITHUB_WEBHOOK_SECRET"):
        assert kept[name][-30:] not in said + errors
    checked = product(world, "setup", "--check")
    assert (checked.returncode, checked.stdout.count("✓")) == (0, 7)
    again = product(world, "setup")
    assert again.returncode == 1
    assert "there is an App already" in again.stderr


def test_a_check_without_an_app_names_what_is_missing_and_fails(world: World) -> None:
    checked = product(world, "setup", "--check")
    assert checked.returncode == 1
    assert "`python -m bot setup` makes it" in checked.stdout


@pytest.mark.slow
def test_a_service_that_waits_for_its_app_is_whole_once_it_has_it(world: World, tmp_path: Path) -> None:
    services.migrate(settings.read(world.env | _an_app()))
    port = world.env["PUBLIC_URL"].rpartition(":")[2]
    command = [sys.executable, "-m", "bot", "serve", "--port", port]
    log = tmp_path / "service.log"
    env = world.env | {"SETUP": "1", "WEB_CONCURRENCY": "2"}
    with serving(command, env=env, log=log, wait=60) as service:
        browser = Browser()
        assert browser.open(f"{service.url}/readyz").status == 503
        [line] = [line for line in log.read_text().splitlines() if line.startswith("Set-up: open ")]
        address = line.removeprefix("Set-up: open ")
        done = browser.send(browser.send(browser.send(browser.open(address), 1, organization="acme")))
        assert "✗" not in done.text
        assert world.client.wait(lambda _: browser.open(f"{service.url}/readyz").status == 200, 30)
        configured = Browser().open(f"{service.url}/setup")
        assert f"{world.kept()['GITHUB_APP_URL']}/installations/new" in configured.links
        installing = browser.open(done.links[0])
        installed = browser.send(installing)
        assert installed.url.startswith(f"{service.url}/setup?installation_id=")
        heard = world.client.wait(lambda c: [d for d in c.deliveries("installation") if d["status_code"]], 30)
        assert [one["status_code"] for one in heard] == [202]
    assert world.kept()["GITHUB_WEBHOOK_SECRET"] not in log.read_text()


def test_nothing_starts_half_configured_where_nobody_asked_for_set_up(world: World) -> None:
    done = product(world, "serve", "--port", "0")
    assert done.returncode == 1
    assert "CREDENTIALS_FILE" in done.stderr


def _an_app() -> dict[str, str]:
    return {"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": "-----BEGIN", "GITHUB_WEBHOOK_SECRET": "s"}
