"""A job's checkout: what a step found in it, what is different afterwards, and a copy to work on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bot.core.changeset import Changeset, File
from bot.runner.pristine import GitFailed
from bot.runner.workspace import Workspace
from tests.runner.world import git

PATH = {"PATH": os.environ["PATH"]}  # noqa: TID251 - git's


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With a rule for what is ignored, a file that is followed in spite of it, and a step before this one."""
    made = tmp_path / "checkout"
    files = {
        ".gitignore": "*.log\npackages/\n",
        "kept.log": "followed all the same\n",
        "a.txt": "one\n",
        "run.sh": "#!/bin/sh\n",
        "folder/b.txt": "b\n",
    }
    for name, text in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "run.sh").chmod(0o755)
    git(made, "init", "--quiet")
    git(made, "add", "--all", "--force")
    git(made, "commit", "--quiet", "--message", "first")
    (made / "generated.txt").write_text("by a step before\n")
    (made / "packages" / "deep").mkdir(parents=True)
    (made / "packages" / "deep" / "installed.py").write_text("installed\n")
    (made / "packages" / "link").symlink_to("deep/installed.py")
    return made


def opened(checkout: Path, tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "git", PATH | {"GITHUB_WORKSPACE": str(checkout)})


def test_what_nobody_touches_is_no_change(checkout: Path, tmp_path: Path) -> None:
    assert opened(checkout, tmp_path).patch() == b""


def test_the_patch_makes_of_what_was_found_what_is_there_now(checkout: Path, tmp_path: Path) -> None:
    workspace = opened(checkout, tmp_path)
    before = tmp_path / "before"
    subprocess.run(["cp", "-a", str(checkout), str(before)], check=True)
    (checkout / "a.txt").write_text("two\n")
    (checkout / "kept.log").write_text("changed\n")
    (checkout / "generated.txt").write_text("once more\n")
    (checkout / "new.bin").write_bytes(b"\0\1\2" * 100)
    (checkout / "run.sh").chmod(0o644)
    (checkout / "folder" / "b.txt").unlink()
    (checkout / "to").symlink_to("a.txt")
    (checkout / "packages" / "deep" / "installed.py").write_text("ignored\n")
    (checkout / "x.log").write_text("ignored\n")
    patch = tmp_path / "changes.patch"
    patch.write_bytes(workspace.patch())
    git(before, "apply", str(patch))
    for name in ("a.txt", "kept.log", "generated.txt", "new.bin", "to"):
        assert (before / name).read_bytes() == (checkout / name).read_bytes()
    assert not os.access(before / "run.sh", os.X_OK) or os.stat(before / "run.sh").st_mode & 0o111 == 0
    assert not (before / "folder" / "b.txt").exists()
    assert not (before / "x.log").exists()
    assert b"packages" not in patch.read_bytes()


def test_the_copy_has_what_is_ignored_too_and_nothing_of_its_own_settings(
    checkout: Path, tmp_path: Path
) -> None:
    git(checkout, "config", "http.https://github.com/.extraheader", "AUTHORIZATION: basic secret")
    workspace = opened(checkout, tmp_path)
    assert workspace.keeps_a_token()
    os.mkfifo(checkout / "packages" / "pipe")
    copy = tmp_path / "copy"
    copy.mkdir()
    workspace.lay_out(copy, None)
    assert (copy / "packages" / "deep" / "installed.py").read_text() == "installed\n"
    assert (copy / "packages" / "link").is_symlink()
    assert not (copy / "packages" / "pipe").exists()
    assert (copy / "generated.txt").read_text() == "by a step before\n"
    assert os.access(copy / "run.sh", os.X_OK)
    assert git(copy, "status", "--porcelain") == ""
    assert "secret" not in "".join(
        file.read_text(errors="replace") for file in (copy / ".git").rglob("*") if file.is_file()
    )


def test_hooks_and_filters_of_the_checkout_are_not_run(checkout: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for setting in ("core.fsmonitor", "filter.x.clean", "core.sshCommand"):
        git(checkout, "config", setting, f"touch {ran}; false")
    (checkout / ".gitattributes").write_text("* filter=x text eol=crlf\n")
    workspace = opened(checkout, tmp_path)
    (checkout / "a.txt").write_text("two\n")
    assert b"+two\n" in workspace.patch()
    assert not ran.exists()


def test_repositories_inside_and_pipes_are_left_alone(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "init", "--quiet", "inside")
    (checkout / "inside" / "own.txt").write_text("another repository's\n")
    os.mkfifo(checkout / "pipe")
    workspace = opened(checkout, tmp_path)
    (checkout / "inside" / "own.txt").write_text("changed\n")
    assert workspace.patch() == b""


def test_a_folder_without_git_is_worked_on_as_it_is(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a.txt").write_text("one\n")
    workspace = opened(plain, tmp_path)
    (plain / "a.txt").write_text("two\n")
    assert b"-one\n+two\n" in workspace.patch()


def test_changes_of_a_copy_come_back_and_none_leads_out(checkout: Path, tmp_path: Path) -> None:
    workspace = opened(checkout, tmp_path)
    (checkout / "out").symlink_to(tmp_path)
    workspace.put(
        Changeset(
            "0" * 40,
            (
                File("deep/er/new.txt", "100755", b"new\n"),
                File("folder/b.txt", "100644", None),
                File("out/escaped.txt", "100644", b"inside\n"),
            ),
        )
    )
    assert (checkout / "deep" / "er" / "new.txt").read_text() == "new\n"
    assert not (checkout / "folder" / "b.txt").exists()
    assert not (tmp_path / "escaped.txt").exists()
    with pytest.raises(ValueError, match="not a path inside"):
        workspace.put(Changeset("0" * 40, (File("../up.txt", "100644", b""),)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for another user")
def test_what_root_brings_back_belongs_to_the_checkouts_owner(checkout: Path, tmp_path: Path) -> None:
    subprocess.run(["chown", "-R", "12345:12345", str(checkout)], check=True)
    workspace = opened(checkout, tmp_path)
    workspace.put(Changeset("0" * 40, (File("deep/er/new.txt", "100644", b"new\n"),)))
    for path in ("deep", "deep/er", "deep/er/new.txt"):
        assert (checkout / path).lstat().st_uid == 12345


def test_a_job_without_a_workspace_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="GITHUB_WORKSPACE"):
        Workspace.open(tmp_path / "git", PATH)
    with pytest.raises(GitFailed, match="GITHUB_SHA"):
        Workspace.open(tmp_path / "git", PATH | {"GITHUB_WORKSPACE": str(tmp_path / "none")})
