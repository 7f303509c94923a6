"""The App comes to a repository, and leaves it: everything once, however often it dies; nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot import services, settings
from bot.core import onboarding
from bot.core.ceilings import CLASSES
from bot.core.events import CommentCreated, Installed, Uninstalled
from bot.core.places import Repo
from bot.services import Services
from bot.stores.handover import finish_key
from bot.stores.run_rows import NewRun
from bot.stores.runs import new_id, token_hash
from bot.stores.tables import runs
from bot.stories import finish, launch, onboard
from bot.stories.durable import PATIENCE, Aside, Story
from sandbox.github.client import Client
from sandbox.processes import start


class Died(BaseException):
    """The process is gone."""


@dataclass
class Memory:
    """What the engine does: the first recorded outcome of a step is its outcome. It may die at one."""

    recorded: dict[str, Any] = field(default_factory=dict)
    done: int = 0
    die_at: tuple[int, bool] | None = None  # number of a step, and whether it was recorded

    def __call__(self, name: str, do: Callable[[], Any], /) -> Any:
        if name in self.recorded:
            return self.recorded[name]
        outcome = do()
        here, self.done = self.done, self.done + 1
        if self.die_at == (here, False):
            raise Died(name)
        self.recorded[name] = outcome
        if self.die_at == (here, True):
            raise Died(name)
        return outcome

    def time_passes(self) -> None:
        """What the story has put itself aside for has come."""
        self.recorded |= {name: 0 for name in self.recorded if name.startswith("when to go on")}


@dataclass
class World:
    github: Client
    services: Services
    waited: list[float] = field(default_factory=list)

    def repo(self, name: str = "", **how: object) -> Repo:
        """A repository that the App may see; a new one where it is named."""
        if not name:
            about = self.github.about
            return Repo(about["installation_id"], about["repository_id"], about["repository"])
        made = self.github.control("repos", full_name=f"acme/{name}", **how)
        return Repo(self.github.about["installation_id"], made["id"], f"acme/{name}")

    def story(self, memory: Memory | None = None) -> Story:
        return Story("d-1", self.services, memory or Memory(), self.waited.append)

    def install(self, *repos: Repo, everything: bool = False, memory: Memory | None = None) -> None:
        self.told(Installed(repos[0].installation, repos, everything), memory)

    def told(self, event: Installed, memory: Memory | None = None) -> None:
        """The whole story, however often it puts itself aside."""
        memory = memory or Memory()
        while True:
            try:
                onboard.on_installed(self.story(memory), event)
            except Aside as aside:
                self.waited.append(aside.seconds)
                memory.time_passes()
            else:
                return

    def pulls(self, repo: Repo) -> list[Any]:
        threads = Client(self.github.url, repo.full_name).repository()["threads"]
        return [one for one in threads if one["head_ref"] == onboarding.BRANCH]

    def outcome(self, repo: Repo) -> tuple[str, str]:
        found = self.services.onboardings.of(repo.id)
        assert found is not None
        return found.state, found.message


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    nothing = tmp_path / "no-workflow"
    with start("github", data=tmp_path / "github", workflow=nothing) as hub:
        github = Client(hub.url)
        about = github.about
        told = settings.read(
            {
                "DATABASE_URL": f"sqlite:///{tmp_path / 'tollgate.db'}",
                "PUBLIC_URL": "https://tollgate.example",
                "GITHUB_APP_ID": str(about["app_id"]),
                "GITHUB_APP_PRIVATE_KEY": about["private_key"],
                "GITHUB_WEBHOOK_SECRET": about["webhook_secret"],
                "GITHUB_API_URL": hub.url,
                "ANTHROPIC_API_KEY": "sk-ant-test",
            }
        )
        services.migrate(told)
        with services.opened(told, "worker") as opened:
            yield World(github, opened)


def test_a_repository_gets_one_pull_request_with_the_shipped_workflow_and_a_policy(world: World) -> None:
    repo = world.repo()
    world.install(repo)
    [pull] = world.pulls(repo)
    assert world.outcome(repo)[0] == "proposed"
    client = world.github
    shipped = (Path(onboard.__file__).parents[2] / "workflows" / "agent.yml").read_bytes()
    assert client.file(onboarding.WORKFLOW, onboarding.BRANCH) == shipped
    assert client.file(onboarding.POLICY, onboarding.BRANCH).decode() == onboarding.policy_file()
    assert (pull["base_ref"], pull["user"]) == ("main", "tollgate[bot]")
    assert "at most $20.00" in pull["body"]
    log = client.do("dana", "GET", f"/commits?sha={onboarding.BRANCH}")
    assert len(log) == 1 + len(client.do("dana", "GET", "/commits?sha=main"))


def test_the_labels_are_made_with_colours_and_words_and_those_that_are_there_stay(world: World) -> None:
    repo = world.repo()
    before = world.github.do("ada", "GET", "/labels")
    mine = next(one for one in before if one["name"] == "agent:cost=$2")
    world.install(repo)
    after = {one["name"]: one for one in world.github.do("ada", "GET", "/labels?per_page=100")}
    assert after["agent:cost=$2"] == mine
    for label in onboarding.LABELS:
        assert label.name in after
    assert after["agent:cost=$5"]["description"] == "An agent run on this thread may cost at most $5"


def test_who_closes_the_pull_request_has_said_no(world: World) -> None:
    repo = world.repo()
    world.install(repo)
    [pull] = world.pulls(repo)
    world.github.close("ada", pull["number"])
    world.install(repo)
    assert len(world.pulls(repo)) == 1
    assert world.outcome(repo) == ("declined", "its pull request was closed, and is not opened again")


def test_a_repository_that_has_the_workflow_gets_no_pull_request(world: World) -> None:
    repo = world.repo("ready", files={onboarding.WORKFLOW: "on: workflow_dispatch\n"})
    world.install(repo)
    assert world.pulls(repo) == []
    assert world.outcome(repo)[0] == "ready"


@pytest.mark.parametrize(
    ("how", "said"), [({"archived": True}, "archived"), ({"empty": True}, "empty")], ids=["archived", "empty"]
)
def test_what_cannot_be_set_up_is_said_and_the_next_one_goes_on(
    world: World, how: dict[str, bool], said: str
) -> None:
    odd, plain = world.repo("odd", **how), world.repo()
    world.install(odd, plain)
    state, message = world.outcome(odd)
    assert state == "skipped"
    assert said in message
    assert world.outcome(plain)[0] == "proposed"


def test_where_nobody_says_which_repositories_github_is_asked(world: World) -> None:
    repos = (world.repo(), world.repo("second"))
    world.told(Installed(repos[0].installation, None, True))
    assert [world.outcome(repo)[0] for repo in repos] == ["proposed", "proposed"]


@pytest.mark.parametrize(("everything", "state"), [(True, "skipped"), (False, "proposed")])
def test_a_fork_is_set_up_only_if_it_was_chosen_by_name(world: World, everything: bool, state: str) -> None:
    repo = world.repo("a-fork", fork=True)
    world.install(repo, everything=everything)
    assert world.outcome(repo)[0] == state


def test_without_the_permission_it_is_said_and_not_failed(world: World) -> None:
    repo = world.repo()
    granted = {"contents": "write", "issues": "write", "metadata": "read", "pull_requests": "write",
               "checks": "write", "actions": "write"}  # fmt: skip
    world.github.grant(granted)
    world.install(repo)
    state, message = world.outcome(repo)
    assert state == "refused"
    assert "not granted" in message
    assert world.pulls(repo) == []


def test_a_branch_of_somebody_elses_is_not_proposed_as_ours(world: World) -> None:
    repo = world.repo()
    world.github.commit("dana", onboarding.BRANCH, {"x.txt": "x\n"}, "Mine", from_="main")
    world.install(repo)
    assert world.outcome(repo)[0] == "refused"
    assert world.pulls(repo) == []


def test_many_are_set_up_one_after_another_with_pauses_and_the_rest_by_a_story_of_its_own(
    world: World,
) -> None:
    repos = [world.repo(f"many-{number}") for number in range(onboard.FEW + 2)]
    world.install(*repos)
    few, rest = repos[: onboard.FEW], repos[onboard.FEW :]
    assert [world.outcome(repo)[0] for repo in few] == ["proposed"] * onboard.FEW
    assert len(world.waited) == onboard.FEW, "once after each"
    assert all(0 < seconds <= onboard.SOON for seconds in world.waited)
    assert world.services.onboardings.of(rest[0].id) is None
    assert world.services.queue.status("d-1-rest-1") == "ENQUEUED"
    # Against GitHub's limit of new things: labels, tree, commit, branch, pull request.
    each = len(onboarding.LABELS) + 4
    assert each * 3600 / onboard.LATER <= 0.8 * 500, "some are left for the comments of the others"


def test_whoever_dies_at_any_step_has_it_done_once(world: World) -> None:
    repos = [world.repo(f"deadly-{number}", files={"a.txt": "a\n"}) for number in range(2)]
    memory, deaths = Memory(), 0
    for _ in range(100):
        for recorded in (False, True):
            memory.die_at, memory.done = (0, recorded), 0
            try:
                world.install(*repos, memory=memory)
            except Died:
                deaths += 1
                continue
        if memory.done == 0:
            break
    assert memory.done == 0, "it came to an end"
    assert deaths == 2 * len(memory.recorded) >= 14
    for repo in repos:
        assert len(world.pulls(repo)) == 1
        client = Client(world.github.url, repo.full_name)
        assert len(client.do("ada", "GET", "/labels?per_page=100")) == len(onboarding.LABELS)
        assert len(client.do("ada", "GET", f"/commits?sha={onboarding.BRANCH}")) == 2


# -- before the merge --


def comment(repo: Repo, number: int, body: str, id: int = 1) -> CommentCreated:
    return CommentCreated(
        repo=repo, kind="issue_comment", comment_id=id, number=number, on_pull=True, body=body,
        actor="dana", actor_type="User", by_app=False, url="",
    )  # fmt: skip


def test_help_works_from_the_first_minute_and_a_fix_says_what_to_merge(world: World) -> None:
    repo = world.repo()
    world.install(repo)
    [pull] = world.pulls(repo)
    for words in ("/agent help", "/agent fix"):
        id = world.github.comment("dana", 2, words)
        launch.on_comment(
            Story(f"d-{id}", world.services, Memory(), world.waited.append), comment(repo, 2, words, id)
        )
    helped, refused = (one["body"] for one in world.github.comments(2) if one["app"])
    assert "What would hold here now" in helped
    assert f"merge {world.github.url}/{repo.full_name}/pull/{pull['number']}" in refused.replace("\u200b", "")
    assert "nothing was spent" in refused
    with world.services.database.read() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one() == 0
    assert world.github.repository()["checks"] == []


# -- the end --


def live_run(world: World, repo: Repo, thread: int, claimed: bool) -> str:
    new = NewRun(
        id=new_id(), origin="github", ceilings=CLASSES["bugfix"], task_class="bugfix", engine="opus",
        model="claude-opus-4-7", price_book="p", installation=repo.installation, repository_id=repo.id,
        repository=repo.full_name, thread=thread, thread_kind="issue", comment_kind="issue_comment",
        comment_id=int(new_id(), 16), snapshot={"thread": {"url": "x"}, "head": {"sha": "s", "ref": "r"}},
    )  # fmt: skip
    assert world.services.runs.open(new)
    if claimed:
        assert world.services.runs.claim(new.id, 1, token_hash(new.id), 500)
    return new.id


@pytest.mark.parametrize("claimed", [False, True], ids=["open", "running"])
def test_who_leaves_has_their_runs_ended_and_their_money_kept(world: World, claimed: bool) -> None:
    repo, other = world.repo(), world.repo("other")
    run, elsewhere = live_run(world, repo, 1, claimed), live_run(world, other, 1, claimed)
    world.github.choose(other.full_name)
    gone = Uninstalled(repo.installation, (repo.id,), "the App was taken off this repository")
    assert onboard.on_uninstalled(world.story(), gone) == 1
    found, still = world.services.runs.get(run), world.services.runs.get(elsewhere)
    assert found is not None
    assert still is not None
    assert (found.state, found.reason) == ("halted", "stopped")
    assert "taken off this repository" in found.message
    assert still.live, "another repository's goes on"
    waits = world.services.queue.status(finish_key(run, 1)) == "ENQUEUED"
    assert waits is not claimed, "a runner hands in first what it has"
    world.github.uninstall()
    everything = Uninstalled(repo.installation, None, "the App was uninstalled")
    assert onboard.on_uninstalled(Story("d-2", world.services, Memory()), everything) == 1
    assert onboard.on_uninstalled(Story("d-3", world.services, Memory()), everything) == 0


@pytest.mark.parametrize("of_all", [False, True], ids=["one repository", "all of it"])
def test_a_removal_that_github_knows_nothing_of_any_more_ends_nothing(world: World, of_all: bool) -> None:
    """It came days late, or somebody sends it again: the App is there."""
    repo = world.repo()
    run = live_run(world, repo, 1, claimed=True)
    world.github.suspend()
    world.github.suspend(False)
    late = Uninstalled(repo.installation, None if of_all else (repo.id,), "the App was suspended")
    memory = Memory()
    with pytest.raises(Aside):
        onboard.on_uninstalled(world.story(memory), late)
    memory.time_passes()
    assert onboard.on_uninstalled(world.story(memory), late) == 0
    found = world.services.runs.get(run)
    assert found is not None
    assert found.live
    assert world.services.onboardings.of(repo.id) is None


@pytest.mark.parametrize("for_good", [False, True])
def test_where_github_does_not_say_what_is_gone_its_first_word_is_taken(world: World, for_good: bool) -> None:
    repo = world.repo()
    run = live_run(world, repo, 1, claimed=True)
    world.github.fault("GET", "/app/installations", 401, times=100)
    gone = Uninstalled(repo.installation, None, "the App was suspended", for_good)
    late = replace(world.story(), age=lambda: PATIENCE + 1)
    assert onboard.on_uninstalled(late, gone) == 1
    found = world.services.runs.get(run)
    assert found is not None
    assert found.state == "halted"


def test_a_removal_that_githubs_lists_do_not_know_yet_ends_runs_with_the_second_look(
    world: World,
) -> None:
    repo = world.repo()
    run = live_run(world, repo, 1, claimed=True)
    gone, memory = Uninstalled(repo.installation, None, "the App was uninstalled"), Memory()
    with pytest.raises(Aside):
        onboard.on_uninstalled(world.story(memory), gone)
    world.github.uninstall()
    memory.time_passes()
    assert onboard.on_uninstalled(world.story(memory), gone) == 1
    found = world.services.runs.get(run)
    assert found is not None
    assert found.state == "halted"


def test_a_run_whose_app_is_gone_is_finished_without_waiting_for_github(world: World) -> None:
    repo = world.repo()
    run = live_run(world, repo, 1, claimed=False)
    world.github.uninstall()
    gone = Uninstalled(repo.installation, None, "the App was uninstalled")
    onboard.on_uninstalled(world.story(), gone)
    state = finish.finish(Story("f-1", world.services, Memory(), world.waited.append), run, 1)
    assert state == "halted"
    assert world.waited == [], "a GitHub that says no is not asked again"
    found = world.services.runs.get(run)
    assert found is not None
    assert found.finished_at is not None
