"""The agent's tools: bounded in time, output and place."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.runner.editor import EditError, Editor
from bot.runner.isolation import User, agent_user, tool_env
from bot.runner.output import Output
from bot.runner.pristine import give
from bot.runner.shell import Shell
from bot.runner.tools import BASH, EDITOR, Tools, one_line

RUNNING = threading.Event()


@pytest.fixture(params=["as ourselves", "as another user"])
def user(request: pytest.FixtureRequest) -> User | None:
    if request.param == "as ourselves":
        return None
    found = agent_user()
    if found is None:
        pytest.skip("only root can make another user")
    return found


@pytest.fixture
def place(user: User | None) -> Iterator[Path]:
    """A workspace with one file, that the tools' user owns; what is above it can be entered."""
    with tempfile.TemporaryDirectory(prefix="tools-") as folder:
        Path(folder).chmod(0o711)
        root = Path(folder) / "work"
        root.mkdir()
        (root / "a.py").write_text("one\ntwo\nthree\n")
        if user is not None:
            give(root, user)
        yield root


@pytest.fixture
def tools(place: Path, user: User | None) -> Iterator[Tools]:
    env = {"PATH": os.defpath, "ANTHROPIC_API_KEY": "sk-ant-x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t",
           "GITHUB_TOKEN": "ghs_x", "HTTP_PROXY": "http://me:secret@proxy"}  # fmt: skip
    made = Tools(place, Shell(place, tool_env(env, place), user, scratch=place.parent), user, seconds=20)
    yield made
    made.close()


def sh(tools: Tools, command: str) -> str:
    return tools.call(BASH, {"command": command}, RUNNING).text


def edit(tools: Tools, command: str, path: str, **given: Any) -> tuple[str, bool]:
    result = tools.call(EDITOR, {"command": command, "path": path, **given}, RUNNING)
    return result.text, result.error


def alive(mark: str) -> bool:
    found = (entry / "cmdline" for entry in Path("/proc").glob("[0-9]*"))
    for path in found:
        try:
            if mark.encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


# -- the shell --


def test_directory_exports_and_functions_are_carried_from_command_to_command(
    tools: Tools, place: Path
) -> None:
    sh(tools, "mkdir sub && cd sub && export A='x\ny' && f() { echo \"f $A\"; }")
    assert sh(tools, "pwd; f") == f"{place}/sub\nf x\ny\n"


def test_a_command_that_exits_or_cannot_be_read_takes_nothing_with_it(tools: Tools) -> None:
    sh(tools, "export A=1")
    assert sh(tools, "export B=2; exit 7") == "(exit code 7)"
    assert "syntax error" in sh(tools, "if")
    assert sh(tools, "echo $A$B") == "12\n"


def test_a_command_that_is_ended_leaves_directory_and_environment_as_they_were(tools: Tools) -> None:
    sh(tools, "export A=1")
    tools._seconds = 0.5
    assert "its time" in sh(tools, "export A=2; cd /; sleep 600")
    tools._seconds = 20
    assert sh(tools, "export A=3; kill -9 $$") == "(exit code -9)"
    assert sh(tools, "echo $A; [ $PWD = / ] || echo here") == "1\nhere\n"


def test_a_directory_may_have_a_strange_name_and_a_command_a_zero_byte(tools: Tools) -> None:
    sh(tools, "mkdir -p $'a b\\n' && cd $'a b\\n'")
    assert sh(tools, 'basename "$PWD"; echo \0zero') == "a b\n\nzero\n"


def test_restart_begins_anew(tools: Tools, place: Path) -> None:
    sh(tools, "cd /; export A=1")
    assert not tools.call(BASH, {"restart": True}, RUNNING).error
    assert sh(tools, "pwd; echo [$A]") == f"{place}\n[]\n"


def test_a_command_of_a_megabyte_runs(tools: Tools) -> None:
    assert sh(tools, f"cat <<'E' | wc -c\n{'x' * 1_000_000}\nE").strip() == "1000001"


def test_stdin_is_empty(tools: Tools) -> None:
    assert sh(tools, "cat; read line || echo nothing") == "nothing\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        pytest.param("python3 -c 'input()'", "EOFError", id="a question on stdin"),
        pytest.param("read answer < /dev/tty || echo nobody", "nobody", id="a question on the terminal"),
        pytest.param(
            "git init -q . && seq 9999 > many && git add many && git diff --cached | tail -n 1", "+9999",
            id="a pager",
        ),
        pytest.param(
            "git init -q . && git -c user.name=t -c user.email=t@t commit --allow-empty",
            "empty commit message",
            id="an editor for a message",
        ),
        pytest.param("$EDITOR a.py && cat a.py", "one\ntwo", id="an editor by its name"),
        pytest.param(
            "git clone -q http://127.0.0.1:9/private || echo refused", "refused", id="a name and password"
        ),
    ],
)  # fmt: skip
def test_nothing_waits_for_somebody_who_is_not_there(tools: Tools, command: str, says: str) -> None:
    result = tools.call(BASH, {"command": command}, RUNNING)
    assert says in result.text
    assert "its time" not in result.text


def test_output_is_bounded_and_says_what_was_left_out(tools: Tools) -> None:
    said = sh(tools, "seq 1000000")
    assert len(said) < 31_000
    assert said.startswith("1\n2\n")
    assert said.endswith("\n1000000\n")
    assert "lines left out; head and tail shown" in said
    one = sh(tools, "head -c 500000 /dev/zero | tr '\\0' x")
    assert len(one) < 31_000
    assert "470,000 bytes left out" in one


@pytest.mark.parametrize("escape", ["", "setsid ", "nohup "])
def test_at_its_time_limit_a_command_ends_with_its_grandchildren(
    tools: Tools, place: Path, escape: str
) -> None:
    tools._seconds = 1.0
    mark = f"7{place.stat().st_ino}{len(escape)}"
    result = tools.call(BASH, {"command": f"echo begun; ({escape}sleep {mark} &) ; sleep {mark}"}, RUNNING)
    assert result.error
    assert result.text.startswith("begun\n(ended with all that it had started")
    assert not alive(mark)


def test_when_the_run_ends_so_does_the_command(tools: Tools) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    began = time.monotonic()
    assert "the run ends" in tools.call(BASH, {"command": "sleep 600"}, stop).text
    assert time.monotonic() - began < 15
    timer.join()


def test_what_runs_in_the_background_lives_on_until_the_end_of_the_run(tools: Tools, place: Path) -> None:
    mark = f"8{place.stat().st_ino}"
    assert sh(tools, f"sleep {mark} & echo started") == "started\n"
    assert alive(mark)
    tools.close()
    assert not alive(mark)


def test_what_runs_can_be_ended_and_the_shell_goes_on_where_it_was(tools: Tools, place: Path) -> None:
    mark = f"9{place.stat().st_ino}"
    sh(tools, f"mkdir on; cd on; export A=1; sleep {mark} & true")
    tools.shell.end()
    assert not alive(mark)
    assert sh(tools, "pwd; echo $A") == f"{place}/on\n1\n"


def test_tools_see_no_secret_of_ours(tools: Tools) -> None:
    seen = sh(tools, "env; cat /proc/self/environ | tr '\\0' '\\n'")
    for secret in ("sk-ant", "ghs_", "ACTIONS_ID_TOKEN", "secret@"):
        assert secret not in seen


def test_as_another_user_what_is_ours_cannot_be_read(tools: Tools, user: User | None, place: Path) -> None:
    if user is None:
        pytest.skip("as ourselves it can")
    mine = place.parent / "mine"
    mine.write_text("secret")
    mine.chmod(0o600)
    assert "Permission denied" in sh(tools, f"cat {mine}")
    assert "Permission denied" in sh(tools, f"cat /proc/{os.getpid()}/environ")
    assert sh(tools, "id -un; id -G").split() == [user.name, str(user.gid)]


# -- the editor --


def test_the_editor_views_creates_replaces_and_inserts(tools: Tools, place: Path) -> None:
    assert edit(tools, "view", "a.py") == ("     1\tone\n     2\ttwo\n     3\tthree", False)
    assert edit(tools, "view", f"{place}/a.py", view_range=[2, -1])[0] == "     2\ttwo\n     3\tthree"
    assert not edit(tools, "str_replace", "a.py", old_str="two", new_str="2")[1]
    assert not edit(tools, "insert", "a.py", insert_line=0, insert_text="zero")[1]
    assert (place / "a.py").read_text() == "zero\none\n2\nthree\n"
    assert not edit(tools, "create", "new/deep/b.py", file_text="b\n")[1]
    assert edit(tools, "view", ".")[0].endswith("two levels deep:\na.py\nnew/\nnew/deep/")
    assert sh(tools, "echo more >> new/deep/b.py; cat new/deep/b.py") == "b\nmore\n"


def test_an_edit_that_fits_not_exactly_once_changes_nothing(tools: Tools, place: Path) -> None:
    for old in ("o", "nowhere", ""):
        assert edit(tools, "str_replace", "a.py", old_str=old, new_str="x")[1]
    assert edit(tools, "insert", "a.py", insert_line=9, insert_text="x")[1]
    assert edit(tools, "view", "a.py", view_range=[3, 1])[1]
    assert (place / "a.py").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("path", ["../out", "x/../../out", "{out}", "link", "up/out", "loop", "/etc/passwd",
                                  "fifo", "chain/out", "abs"])  # fmt: skip
def test_the_editor_cannot_leave_the_workspace(tools: Tools, place: Path, path: str) -> None:
    out = place.parent / "out"
    out.write_text("ours")
    (place / "x").mkdir()
    (place / "link").symlink_to(out)
    (place / "up").symlink_to("..")
    (place / "loop").symlink_to("loop")
    (place / "chain").symlink_to("x/../up")
    (place / "abs").symlink_to("/etc/passwd")
    os.mkfifo(place / "fifo")
    named = path.format(out=out)
    assert edit(tools, "view", named)[1]
    assert edit(tools, "create", named, file_text="theirs")[1]
    assert edit(tools, "str_replace", named, old_str="ours", new_str="theirs")[1]
    assert out.read_text() == "ours"


_NAMES = st.sampled_from(["a", "b", "in", "deep", "out", "..", ".", "", "secret"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=6).map("/".join)
_SECRET = "not for the agent"


@settings(max_examples=200, deadline=None)
@given(
    links=st.dictionaries(st.sampled_from(["a", "b", "deep/a", "deep/b"]), st.tuples(_PATHS, st.booleans())),
    paths=st.lists(st.tuples(_PATHS, st.booleans()), min_size=1, max_size=4),
)
def test_whatever_links_there_are_no_path_leads_out(
    links: dict[str, tuple[str, bool]], paths: list[tuple[str, bool]]
) -> None:
    with tempfile.TemporaryDirectory(prefix="paths-") as folder:
        top, root = Path(folder), Path(folder) / "in"
        (root / "deep").mkdir(parents=True)
        (root / "deep" / "secret").write_text("the agent's own")
        (top / "secret").write_text(_SECRET)
        (top / "out").mkdir()
        (top / "out" / "secret").write_text(_SECRET)
        for name, (target, absolute) in links.items():
            (root / name).symlink_to(f"{top}/{target}" if absolute else target or ".")
        before = {path: path.read_text() for path in (top / "secret", top / "out" / "secret")}
        editor = Editor(root)
        for path, absolute in paths:
            named = f"{top}/{path}" if absolute else path
            for given_ in (
                {"command": "view"},
                {"command": "str_replace", "old_str": "not", "new_str": "now"},
                {"command": "insert", "insert_line": 0, "insert_text": "x"},
                {"command": "create", "file_text": "theirs"},
            ):
                with contextlib.suppress(EditError):
                    assert _SECRET not in editor.run({**given_, "path": named})
        assert {path: path.read_text() for path in before} == before
        assert sorted(os.listdir(top)) == ["in", "out", "secret"]
        assert os.listdir(top / "out") == ["secret"]


def test_a_link_within_the_workspace_is_followed(tools: Tools, place: Path) -> None:
    (place / "in").symlink_to(place / "a.py")
    (place / "rel").symlink_to("./in")
    assert edit(tools, "view", "rel")[0].startswith("     1\tone")


def test_a_hard_link_to_a_file_of_ours_is_not_followed(tools: Tools, place: Path, user: User | None) -> None:
    if user is None:
        pytest.skip("as ourselves it is the agent's own file")
    out = place.parent / "out"
    out.write_text("ours")
    os.link(out, place / "hard")
    assert edit(tools, "view", "hard")[1]
    assert edit(tools, "create", "hard", file_text="theirs")[1]
    assert out.read_text() == "ours"


def test_an_unknown_tool_or_input_is_told_in_a_sentence(tools: Tools) -> None:
    for name, asked in ((BASH, {}), (BASH, "ls"), (EDITOR, {"command": "view"}), ("x", {}),
                        (EDITOR, {"command": "undo", "path": "a.py"})):  # fmt: skip
        assert tools.call(name, asked, RUNNING).error


# -- words --


def test_short_output_is_whole() -> None:
    output = Output(4, 4)
    output.add(b"12345678")
    assert output.text() == "12345678"


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        pytest.param(BASH, {"command": "ls\n-l\x1b[2J"}, "$ ls -l [2J", id="one line, no control characters"),
        pytest.param(EDITOR, {"command": "view", "path": "a"}, "view a", id="the editor"),
        pytest.param(BASH, {"restart": True}, "$ restart", id="a restart"),
        pytest.param("other", 3, "other", id="nonsense"),
    ],
)
def test_a_call_is_shown_on_one_line(name: str, given: Any, line: str) -> None:
    assert one_line(name, given) == line


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "PIP_INDEX_URL"])
@pytest.mark.parametrize("user", ["ada:secret@", "secret@", ":secret@"])
@pytest.mark.parametrize("scheme", ["http://", "socks5://", ""])
def test_an_address_with_somebodys_password_in_it_is_not_for_the_agent(
    name: str, user: str, scheme: str, tmp_path: Path
) -> None:
    plain = {"http_proxy": "proxy:3128", "LC_ALL": "de_DE.UTF-8@euro", "PATH": "/opt//node@22/bin:/bin"}
    found = tool_env({name: f"{scheme}{user}proxy:3128", **plain}, tmp_path)
    assert name not in found
    assert plain.items() <= found.items()
