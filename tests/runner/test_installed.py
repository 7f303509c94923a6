"""Programs of others are installed where nobody but us can put one, once, and whole or not at all."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.runner.engines import Ground
from bot.runner.engines.installed import READY, SHARED, Install, NotInstalled, engines_folder, installed
from bot.runner.isolation import agent_user

MAKE = "import pathlib; pathlib.Path('program').write_text(pathlib.Path('lock').read_text())"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / "lock").write_text("by this hash")
    env = {"PATH": os.defpath}
    return Ground(tmp_path, tmp_path, tmp_path, tmp_path / "engines", env)


def install(ground: Ground, *words: str, needs: str = "sh") -> Install:
    def commands(where: Path) -> Sequence[Sequence[str]]:
        return [[sys.executable, "-c", *words]]

    return Install({needs: "add a step that has it"}, ground.work / "lock", commands)


def made(ground: Ground, how: Install) -> Path:
    return installed("thing", "1.2", how, ground, threading.Event())


def test_it_is_installed_once_by_its_lock_and_for_the_agents_user_to_read(ground: Ground) -> None:
    before = os.umask(0o077)
    try:
        where = made(ground, install(ground, MAKE))
    finally:
        os.umask(before)
    assert (where.name, (where / "program").read_text()) == ("thing-1.2", "by this hash")
    assert (where / "program").stat().st_mode & 0o777 == 0o644
    assert made(ground, install(ground, "raise SystemExit('again?')")) == where


def test_what_was_cut_off_is_done_anew(ground: Ground) -> None:
    with pytest.raises(NotInstalled, match="said: no network"):
        made(ground, install(ground, "open('half', 'w'); raise SystemExit('no network')"))
    where = made(ground, install(ground, MAKE))
    assert sorted(path.name for path in where.iterdir()) == ["lock", "program", READY]


@pytest.mark.parametrize("which", ["engines", "engines/thing-1.2"])
def test_a_folder_in_which_others_may_write_is_refused(ground: Ground, which: str) -> None:
    made(ground, install(ground, MAKE))
    (ground.work / which).chmod(0o777)
    with pytest.raises(NotInstalled, match="is not a folder that only this user can write in"):
        made(ground, install(ground, MAKE))


def test_a_link_in_its_place_is_refused(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / READY).touch()
    ground.engines.mkdir()
    (ground.engines / "thing-1.2").symlink_to(tmp_path / "theirs")
    with pytest.raises(NotInstalled, match="is not a folder"):
        made(ground, install(ground, MAKE))


def test_what_it_needs_is_named_where_it_is_missing(ground: Ground) -> None:
    with pytest.raises(NotInstalled, match="it needs npm-of-nobody, and there is none here: add a step"):
        made(ground, install(ground, MAKE, needs="npm-of-nobody"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the agent as another user")
@pytest.mark.parametrize("theirs", ["the program", "what it starts", "the folder"])
def test_no_program_that_an_earlier_agent_left_in_the_path_runs_as_root(
    ground: Ground, tmp_path: Path, theirs: str
) -> None:
    """Of the PATH of GitHub's own machines some folders are everybody's."""
    user = agent_user()
    assert user is not None
    tmp_path.chmod(0o755)
    for name in ("everybodys", "roots"):
        (tmp_path / name).mkdir()
        for program, text in (("maker", "started"), ("started", f"echo {name} > program")):
            file = tmp_path / name / program
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)
    planted = {"the program": "maker", "what it starts": "started", "the folder": ""}[theirs]
    os.chown(tmp_path / "everybodys" / planted, user.uid, user.gid)
    path = f"{tmp_path / 'everybodys'}:{tmp_path / 'roots'}:{os.defpath}"
    after = replace(ground, env={"PATH": path}, user=user)
    how = Install({"maker": "add a step that has it"}, ground.work / "lock", lambda where: [["maker"]])
    assert (made(after, how) / "program").read_text() == "roots\n"


def test_root_has_a_place_that_the_agents_user_can_enter_and_others_their_own_cache() -> None:
    assert engines_folder({"TOLLGATE_ENGINES": "/opt/engines", "HOME": "/home/me"}) == Path("/opt/engines")
    own = engines_folder({"HOME": "/home/me"})
    assert own == (SHARED if os.geteuid() == 0 else Path("/home/me/.cache/tollgate/engines"))
