"""A pull request that changes the policy is told whether it can be read, on the line, before it is merged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.stories.service import Service, serving

pytestmark = pytest.mark.slow
FILE = ".github/agent.yml"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("policy")
    with serving(folder, f"sqlite:///{folder / 'tollgate.db'}", "") as made:
        made.worker()
        yield made


def checks(service: Service, sha: str) -> list[Any]:
    """The policy checks of a commit, when every delivery so far has had its story told."""
    quiet = "SELECT count(*) = 0 FROM workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
    heard = "SELECT count(*) > 0 FROM deliveries WHERE event = 'pull_request'"
    service.until(heard)
    service.until(quiet)
    found = [one for one in service.github.repository()["checks"] if one["head_sha"] == sha]
    return [one for one in found if one["name"] == "Tollgate policy"]


def seen(service: Service, count: int) -> None:
    """Until so many deliveries about pull requests have come in."""
    service.until(f"SELECT count(*) >= {count} FROM deliveries WHERE event = 'pull_request'")


def test_a_pull_request_with_a_wrong_policy_is_marked_on_the_line_and_is_right_when_it_is_mended(
    service: Service,
) -> None:
    github = service.github
    before = len(service.rows("SELECT id FROM deliveries WHERE event = 'pull_request'"))
    wrong = github.commit("dana", "rules", {FILE: "max:\n  write:\n    cost: lots\n"}, from_="main")
    github.pull("dana", "rules", "Rules")
    seen(service, before + 1)
    [check] = checks(service, wrong)
    assert check["conclusion"] == "failure"
    [mark] = check["annotations"]
    assert (mark["path"], mark["start_line"], mark["end_line"]) == (FILE, 3, 3)
    assert "max.write.cost" in mark["message"]

    mended = github.commit("dana", "rules", {FILE: "max:\n  write:\n    cost: $9\n"})
    seen(service, before + 2)
    [check] = checks(service, mended)
    assert (check["conclusion"], check["annotations"]) == ("success", [])

    for one in github.deliveries("pull_request")[-2:]:
        github.redeliver(one["id"], times=3, fresh=True)
    seen(service, before + 8)
    assert (len(checks(service, wrong)), len(checks(service, mended))) == (1, 1), "said once for a commit"


@pytest.mark.parametrize(
    "files", [{"src.py": "x = 1\n"}, {"docs/.github/agent.yml": "max: 1\n"}], ids=["another", "elsewhere"]
)
def test_a_pull_request_that_leaves_the_policy_alone_gets_no_check(
    service: Service, files: dict[str, str]
) -> None:
    before = len(service.rows("SELECT id FROM deliveries WHERE event = 'pull_request'"))
    branch = f"no-rules-{before}"
    sha = service.github.commit("dana", branch, files, from_="main")
    service.github.pull("dana", branch, "No rules")
    seen(service, before + 1)
    assert checks(service, sha) == []


def test_a_fork_s_policy_is_read_as_text_and_nothing_else(service: Service) -> None:
    before = len(service.rows("SELECT id FROM deliveries WHERE event = 'pull_request'"))
    number = service.github.fork_pull("eve", {FILE: "classes: [1, 2\n"})
    seen(service, before + 1)
    [check] = checks(service, service.github.thread(number)["head_sha"])
    assert check["conclusion"] == "failure"
    assert service.rows("SELECT id FROM runs") == []
