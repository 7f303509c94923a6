"""The commit of a run: fetched with the job's token, laid out without it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bot.runner.checkout import fetch, place
from bot.runner.pristine import GitFailed
from tests.runner.world import RUN, git, repository, serving

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def test_the_tree_of_the_commit_is_there_with_its_history_and_no_credentials(tmp_path: Path) -> None:
    found = repository(tmp_path)
    with place(None, "calendar", RUN) as where:
        url = f"{found.server}/{found.full_name}.git"
        pristine = fetch(where.git, url, found.sha, "ghs_secret", ENV)
        pristine.lay_out(found.sha, where.work)
        assert git(where.work, "rev-parse", "HEAD") == found.sha
        assert git(where.work, "status", "--porcelain") == ""
        assert git(where.work, "log", "--format=%s") == "first"
        assert where.work.name == "calendar"
        files = [path for path in where.top.rglob("*") if path.is_file()]
        assert not [path for path in files if b"ghs_secret" in path.read_bytes()]
        top = where.top
    assert not top.exists()


def test_the_token_goes_to_the_server_in_a_header_and_into_no_argument() -> None:
    seen: list[str] = []

    def handle(
        method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        seen.append(headers.get("authorization", ""))
        # What every user of the machine can see of the git that is asking right now.
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        seen.append(str("eC1hY2Nlc3MtdG9rZW46Z2hzX3NlY3JldA==" in listed or "ghs_secret" in listed))
        return 404, {}, b"no"

    with serving(handle) as server, place(None, "x", RUN) as where, pytest.raises(GitFailed):
        fetch(where.git, f"{server}/a/b.git", "0" * 40, "ghs_secret", ENV, sleep=lambda seconds: None)
    assert seen[0] == "basic eC1hY2Nlc3MtdG9rZW46Z2hzX3NlY3JldA=="
    assert set(seen[1::2]) == {"False"}


@pytest.mark.parametrize("sha", ["main", "--upload-pack=touch /tmp/x", "", "0" * 39])
def test_only_a_whole_sha_is_fetched(tmp_path: Path, sha: str) -> None:
    with pytest.raises(GitFailed, match="not the SHA"):
        fetch(tmp_path / "git", tmp_path.as_uri(), sha, "", ENV)


def test_a_commit_that_is_not_there_is_asked_for_a_few_times_and_named(tmp_path: Path) -> None:
    found, waits = repository(tmp_path), list[float]()
    with pytest.raises(GitFailed, match="commit 111111111111 cannot be fetched"):
        fetch(
            tmp_path / "git", f"{found.server}/{found.full_name}.git", "1" * 40, "", ENV, sleep=waits.append
        )
    assert len(waits) == 2


@pytest.mark.parametrize("name", ["..", ".git", "-x", "a b/../c", ""])
def test_the_folders_stay_in_their_place_whatever_a_repository_is_called(name: str) -> None:
    with place(None, name, RUN) as where:
        assert where.work.parent == where.top / "work"
        assert not where.work.name.startswith((".", "-"))


def test_each_attempt_of_a_run_works_at_the_same_path_also_after_one_that_was_killed() -> None:
    with place(None, "calendar", RUN) as first:
        (first.work / "left").touch()
        with place(None, "calendar", RUN) as beside:
            assert beside.work != first.work, "while somebody works there, nobody else does"
        assert (first.work / "left").exists()
    abandoned = first.top
    abandoned.mkdir()
    (abandoned / "left").touch()
    with place(None, "calendar", RUN) as second:
        assert second.work == first.work
        assert sorted(path.name for path in second.top.iterdir()) == ["aside", "home", "work"]
    assert not abandoned.exists()


def test_a_path_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    with place(None, "calendar", RUN) as first:
        pass
    first.top.symlink_to(tmp_path)
    try:
        (tmp_path / "theirs").touch()
        with place(None, "calendar", RUN) as second:
            assert second.top != first.top
        assert (tmp_path / "theirs").exists()
    finally:
        first.top.unlink()
