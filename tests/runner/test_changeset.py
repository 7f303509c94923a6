"""A work tree compared with its commit: everything that changed, and nothing of the agent's is executed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core import changeset as core
from bot.core.changeset import File
from bot.runner import changeset
from bot.runner.isolation import agent_user
from bot.runner.pristine import GitFailed, Pristine, give
from bot.settings import environment

ENV = {"PATH": environment().get("PATH", os.defpath)}
QUIET = ENV | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": "/nonexistent"}
AS = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


def git(folder: Path, *args: str) -> str:
    command = ["git", *AS, "-C", str(folder), *args]
    return subprocess.run(command, env=QUIET, check=True, capture_output=True, text=True).stdout.strip()


class World:
    """A repository with one commit, the runner's pristine copy of it, and a work tree."""

    def __init__(self, folder: Path, files: dict[str, File]) -> None:
        self.folder, self.origin, self.work = folder, folder / "origin", folder / "work"
        self.origin.mkdir()
        git(self.origin, "init", "--quiet")
        changeset.apply(core.Changeset("", tuple(files.values())), self.origin)
        git(self.origin, "add", "--all", "--force")
        git(self.origin, "commit", "--quiet", "--allow-empty", "-m", "base")
        self.base = git(self.origin, "rev-parse", "HEAD")
        self.pristine = Pristine.create(folder / "git", ENV)
        self.pristine.run("fetch", "--quiet", "--depth=1", str(self.origin), self.base)
        self.work.mkdir()
        self.pristine.lay_out(self.base, self.work)

    def collect(self) -> dict[str, File]:
        found, notes = changeset.collect(self.pristine, self.base, self.work)
        assert notes == ()
        return {file.path: file for file in found.files}

    def notes(self) -> tuple[str, ...]:
        return changeset.collect(self.pristine, self.base, self.work)[1]


FILES = {
    "a.py": File("a.py", "100644", b"one\n"),
    "run.sh": File("run.sh", "100755", b"#!/bin/sh\n"),
    "deep/down/b.txt": File("deep/down/b.txt", "100644", b"b\r\n"),
    "link": File("link", "120000", b"deep/down"),
    ".gitignore": File(".gitignore", "100644", b"*.log\n/build/\n!keep.log\n"),
    ".gitattributes": File(".gitattributes", "100644", b"*.txt text eol=crlf\n*.py ident\n"),
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, FILES)


def test_an_untouched_tree_is_no_change(world: World) -> None:
    assert world.collect() == {}
    assert (world.work / "deep/down/b.txt").read_bytes() == b"b\n"  # as it was committed, whatever eol says
    assert git(world.work, "status", "--short") == ""
    assert git(world.work, "log", "--format=%s") == "base"


def test_edits_additions_deletions_modes_and_links_are_seen(world: World) -> None:
    work = world.work
    (work / "a.py").write_text("two\n")
    (work / "run.sh").chmod(0o644)
    (work / "deep/down/b.txt").unlink()
    (work / "deep/down").rmdir()
    (work / "deep/new").symlink_to("../a.py")
    (work / "link").unlink()
    (work / "link").write_bytes(b"\0\xff")
    assert world.collect() == {
        "a.py": File("a.py", "100644", b"two\n"),
        "run.sh": File("run.sh", "100644", b"#!/bin/sh\n"),
        "deep/down/b.txt": File("deep/down/b.txt", "100644", None),
        "deep/new": File("deep/new", "120000", b"../a.py"),
        "link": File("link", "100644", b"\0\xff"),
    }


def test_what_the_commits_rules_ignore_stays_ignored_whatever_the_agent_writes_there(world: World) -> None:
    work = world.work
    (work / ".gitignore").write_text("*.tmp\n!*.log\n")
    (work / "sub/__pycache__").mkdir(parents=True)
    (work / "build").mkdir()
    (work / "sub/.gitignore").write_text("!*.log\nsecret\n")
    for name in ("x.log", "keep.log", "sub/y.log", "build/z", "c.tmp", "sub/__pycache__/d.pyc", "sub/secret",
                 "sub/e.py"):  # fmt: skip
        (work / name).write_text("new")
    assert sorted(world.collect()) == [".gitignore", "keep.log", "sub/.gitignore", "sub/e.py"]


def test_no_git_is_run_from_a_folder_in_which_everybody_may_put_one(world: World, tmp_path: Path) -> None:
    mark, everybodys = tmp_path / "ran", tmp_path / "bin"
    for folder in (everybodys, everybodys / "below"):
        folder.mkdir()
        (folder / "git").write_text(f"#!/bin/sh\ntouch {mark}\n")
        (folder / "git").chmod(0o755)
    everybodys.chmod(0o777)
    path = f"{everybodys}:{everybodys}/below:bin:{ENV['PATH']}"
    (world.work / "new.py").write_text("new")
    asked = Pristine(world.folder / "git", {"PATH": path})
    found, _ = changeset.collect(asked, world.base, world.work)
    assert [file.path for file in found.files] == ["new.py"]
    assert not mark.exists()


def test_names_that_mean_something_to_git_are_names(world: World) -> None:
    for name in (":(glob)x", ":!y.log", "-n", "!keep", "#d", "*", "later.py"):
        (world.work / name).write_text("new")
    (world.work / ":(top)").mkdir()
    (world.work / ":(top)/e").write_text("new")
    assert sorted(world.collect()) == ["!keep", "#d", "*", "-n", ":(glob)x", ":(top)/e", "later.py"]


def test_rules_on_which_git_reads_without_end_keep_nobody_and_what_is_known_is_handed_in(
    world: World, tmp_path: Path
) -> None:
    """Such as `**/a/**/a/…`, which takes git 2.39 twice as long with every two more of it."""
    git_that_reads = tmp_path / "bin" / "git"
    git_that_reads.parent.mkdir()
    git_that_reads.write_text(
        f'#!/bin/sh\ncase "$*" in *check-ignore*) exec sleep 1000;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    git_that_reads.chmod(0o755)
    slow = Pristine(world.pristine.git_dir, {"PATH": f"{git_that_reads.parent}:{ENV['PATH']}"})
    (world.work / "a.py").write_text("two\n")
    (world.work / "new.py").write_text("new\n")
    (world.work / "new").mkdir()
    found, notes = changeset.collect(slow, world.base, world.work, patience=0.2)
    assert [file.path for file in found.files] == ["a.py"]
    assert notes == tuple(
        f"{name} could not be read: its .gitignore takes too long to be read" for name in ("new", "new.py")
    )


def test_a_tracked_file_is_seen_although_a_rule_ignores_it(tmp_path: Path) -> None:
    files = {"x.log": File("x.log", "100644", b"1"), ".gitignore": File(".gitignore", "100644", b"*.log\n")}
    world = World(tmp_path, files)
    (world.work / "x.log").write_text("2")
    assert list(world.collect()) == ["x.log"]


def test_a_tampered_git_directory_runs_nothing_and_changes_nothing(world: World) -> None:
    trap = world.folder / "sprung"
    script = world.folder / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    script.chmod(0o755)
    own = world.work / ".git"
    with (own / "config").open("a") as config:
        config.write(
            f"[core]\n fsmonitor = {script}\n hooksPath = {world.folder}\n sshCommand = {script}\n"
            f' pager = {script}\n[diff]\n external = {script}\n[filter "x"]\n clean = {script}\n'
            f" smudge = {script}\n process = {script}\n[alias]\n check-ignore = !{script}\n"
        )
    (own / "info" / "attributes").write_text("* filter=x diff=x\n")
    (own / "info" / "exclude").write_text("*\n")
    (world.work / ".gitattributes").write_text("* filter=x\n")
    (world.work / "a.py").write_text("two\n")
    assert sorted(world.collect()) == [".gitattributes", "a.py"]
    (own / "HEAD").write_text("ref: refs/heads/elsewhere\n")
    assert sorted(world.collect()) == [".gitattributes", "a.py"]
    assert not trap.exists()


def test_without_its_git_directory_the_work_is_still_collected(world: World) -> None:
    (world.work / ".git").rename(world.folder / "gone")
    (world.work / "a.py").write_text("two\n")
    assert list(world.collect()) == ["a.py"]


def test_what_cannot_be_handed_in_is_named(world: World) -> None:
    work = world.work
    os.mkfifo(work / "fifo")
    with (work / "big").open("wb") as big:
        big.truncate(changeset.MAX_FILE + 1)
    (work / "clone").mkdir()
    git(work / "clone", "init", "--quiet")
    os.close(os.open(os.fsencode(work) + b"/bad\xff", os.O_CREAT | os.O_WRONLY))
    notes = world.notes()
    assert [note.partition(" was left out")[0] for note in notes] == ["bad?", "big", "clone", "fifo"]
    assert changeset.collect(world.pristine, world.base, work)[0].files == ()


def test_too_much_is_bounded_and_named(world: World) -> None:
    for number in range(5):
        (world.work / f"n{number}").write_bytes(b"x" * (changeset.MAX_FILE // 2))
    found, notes = changeset.collect(world.pristine, world.base, world.work)
    assert [file.path for file in found.files] == ["n0", "n1", "n2", "n3"]
    assert notes == ("n4 was left out: there is too much of it all",)


def test_a_hard_link_to_a_file_of_ours_is_not_handed_in(world: World) -> None:
    user = agent_user()
    if user is None:
        pytest.skip("only root can make another user")
    give(world.work, user)
    mine = world.folder / "mine"
    mine.write_text("secret")
    os.link(mine, world.work / "stolen")
    (world.work / "linked").symlink_to(mine)
    os.chown(world.work / "linked", user.uid, user.gid, follow_symlinks=False)
    found, notes = changeset.collect(world.pristine, world.base, world.work, user)
    assert [file.content for file in found.files] == [str(mine).encode()]
    assert notes == ("stolen was left out: it does not belong to the agent",)


def test_applying_follows_no_link_out(world: World) -> None:
    (world.work / "deep/out").symlink_to(world.folder)
    changeset.apply(core.Changeset("", (File("deep/out/x", "100644", b"x"),)), world.work)
    assert not (world.folder / "x").exists()
    assert (world.work / "deep/out/x").read_bytes() == b"x"
    for path in ("../x", ".git/config", "/x", "a//b"):
        with pytest.raises(ValueError, match="inside the tree"):
            changeset.apply(core.Changeset("", (File(path, "100644", b"x"),)), world.work)


def test_what_git_says_when_it_fails_is_told(world: World) -> None:
    with pytest.raises(GitFailed, match="ls-tree"):
        changeset.collect(world.pristine, "0" * 40, world.work)


NAMES = st.sampled_from(["a", "b", "ü", "c d", "-x", "x.py", "$(y)", "A", "*"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CONTENTS = st.binary(max_size=20) | st.text(max_size=20).map(str.encode) | st.just(b"\r\n")
LINKS = st.builds(lambda path: File("", "120000", path.encode()), PATHS)
ANY = st.builds(lambda mode, content: File("", mode, content), st.sampled_from(core.MODES[:2]), CONTENTS)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, File]:
    """Some files, none of which is a folder of another."""
    tree: dict[str, File] = {}
    for path, file in draw(st.dictionaries(PATHS, ANY | LINKS, max_size=6)).items():
        if not any(other.startswith(path + "/") or path.startswith(other + "/") for other in tree):
            tree[path] = File(path, file.mode, file.content)
    return tree


@contextmanager
def empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@given(trees(), trees())
@settings(max_examples=15, deadline=None)
def test_what_is_collected_makes_the_one_tree_from_the_other(
    before: dict[str, File], after: dict[str, File]
) -> None:
    with empty() as folder, empty() as again:
        world = World(folder, before)
        gone = tuple(File(path, "100644", None) for path in before if path not in after)
        changeset.apply(core.Changeset("", (*gone, *after.values())), world.work)
        found, notes = changeset.collect(world.pristine, world.base, world.work)
        assert notes == ()
        expected = {path: file for path, file in after.items() if before.get(path) != file}
        assert {file.path: file for file in found.files if file.content is not None} == expected
        assert {file.path for file in found.files if file.content is None} == {file.path for file in gone}
        # And over the wire into a fresh tree.
        posted = core.read(json.loads(json.dumps(changeset.to_json(found))))
        assert posted == found
        fresh = again / "fresh"
        fresh.mkdir()
        world.pristine.lay_out(world.base, fresh)
        changeset.apply(posted, fresh)
        assert changeset.collect(world.pristine, world.base, fresh)[0] == found
