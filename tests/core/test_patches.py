"""A changeset as a patch: what git makes of it is what the agent made, or the patch says what it lacks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.changeset import Changeset, File
from bot.core.patches import Patch, patch

SHA = "0" * 40


def made(before: Mapping[str, File], *files: File, most: int = 40_000) -> Patch:
    return patch(Changeset(SHA, files), before, most)


def file(path: str, content: str | bytes | None, mode: str = "100644") -> File:
    return File(path, mode, content.encode() if isinstance(content, str) else content)


def put(folder: Path, file: File) -> None:
    place = folder / file.path
    place.parent.mkdir(parents=True, exist_ok=True)
    if file.mode == "120000":
        place.symlink_to((file.content or b"").decode())
        return
    place.write_bytes(file.content or b"")
    place.chmod(0o755 if file.mode == "100755" else 0o644)


def found(folder: Path) -> dict[str, tuple[str, bytes]]:
    there = {}
    for place in sorted(folder.rglob("*")):
        if place.is_symlink():
            there[str(place.relative_to(folder))] = ("120000", os.readlink(place).encode())
        elif place.is_file():
            mode = "100755" if place.stat().st_mode & 0o100 else "100644"
            there[str(place.relative_to(folder))] = (mode, place.read_bytes())
    return there


def applied(folder: Path, before: Mapping[str, File], text: str) -> dict[str, tuple[str, bytes]]:
    """What real git makes of it."""
    folder.mkdir()
    for old in before.values():
        put(folder, old)
    apply = ["git", "apply", "--whitespace=nowarn", "--unidiff-zero", "-"]
    # Outside of any repository: only the patch itself tells.
    environment = {"PATH": os.environ["PATH"], "GIT_DIR": str(folder / "none")}  # noqa: TID251
    done = subprocess.run(
        apply, cwd=folder, input=text.encode(), capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, f"{done.stderr.decode()}\n{text}"
    return found(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(None, file("new.txt", "one\ntwo\n"), id="a new file"),
        pytest.param(
            None, file("a/b c.sh", "echo\n", "100755"), id="a new executable in a folder with a space"
        ),
        pytest.param(None, file("empty", ""), id="a new empty file"),
        pytest.param(None, file("link", "target", "120000"), id="a link"),
        pytest.param(file("old.txt", "x\n"), file("old.txt", None), id="a file that is gone"),
        pytest.param(file("run", "x\n", "100755"), file("run", None), id="an executable that is gone"),
        pytest.param(file("a", "1\n2\n3\n"), file("a", "1\nB\n3\n"), id="a line in the middle"),
        pytest.param(file("a", "x\n"), file("a", "x\n", "100755"), id="only its mode"),
        pytest.param(file("a", "1\n2"), file("a", "1\n3"), id="no line feed at its end"),
        pytest.param(file("a", "1\n2"), file("a", "1\n2\n"), id="a line feed at its end"),
        pytest.param(file("a", ""), file("a", "x\n"), id="something in an empty file"),
        pytest.param(file("a", "x\n"), file("a", ""), id="nothing is left in it"),
        pytest.param(file("ünï.txt", "ä\n"), file("ünï.txt", "ö\n"), id="letters beyond ASCII"),
        pytest.param(file('q".txt', "a\n"), file('q".txt', "b\n"), id="a quote in the name"),
    ],
)
def test_git_makes_of_a_patch_what_the_agent_had_made(tmp_path: Path, old: File | None, new: File) -> None:
    before = {new.path: old} if old else {}
    text = made(before, new)
    assert text.lacks == ()
    expected = {} if new.content is None else {new.path: (new.mode, new.content)}
    assert applied(tmp_path / "work", before, text.text) == expected


lines = st.lists(
    st.sampled_from(["a", "b", "c", "", " ", "-- x", "+++ b/a", "@@ -1 +1 @@", "```"]), max_size=30
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(lines, lines, st.booleans(), st.booleans())
def test_whatever_stands_in_a_file_git_reads_the_patch_as_it_was_meant(
    tmp_path_factory: pytest.TempPathFactory, was: list[str], now: list[str], ends: bool, ended: bool
) -> None:
    old = file("f.txt", "\n".join(was) + ("\n" if ended else ""))
    new = file("f.txt", "\n".join(now) + ("\n" if ends else ""))
    text = made({"f.txt": old}, new).text
    if old == new:
        assert text == ""
        return
    there = applied(tmp_path_factory.mktemp("patch") / "work", {"f.txt": old}, text)
    assert there == {"f.txt": ("100644", new.content)}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        pytest.param(b"\0\1", b"\0\2", "binary", id="bytes that are no text"),
        pytest.param("a\r\n", "b\r\n", "nobody would see", id="carriage returns"),
        pytest.param("a\n", "b\u202e\n", "nobody would see", id="text that turns its direction"),
        pytest.param("a\n", "b\n" * 10_001, "more than 10,000 lines", id="very many lines"),
        pytest.param("a\n", "b" * 50_000, "too long", id="very much text"),
    ],
)
def test_what_a_patch_cannot_show_is_named_and_the_rest_is_whole(
    tmp_path: Path, old: str | bytes, new: str | bytes, why: str
) -> None:
    before = {"odd": file("odd", old), "z": file("z", "1\n")}
    text = made(before, file("odd", new), file("z", "2\n"))
    [lack] = text.lacks
    assert lack.startswith("`odd`: ")
    assert why in lack
    assert applied(tmp_path / "work", {"z": before["z"]}, text.text) == {"z": ("100644", b"2\n")}
