"""Which of an agent's commands is a test, and running it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.reports import Check
from bot.runner import check
from bot.runner.isolation import tool_env
from bot.runner.shell import Shell

HERE = Path("/w")


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("python -m unittest", "python -m unittest"),
        ("python3 -B -m unittest -v 2>&1 | tail -n 20", "python3 -B -m unittest -v"),
        ("cd pkg && PYTHONPATH=src pytest -q tests/a.py", "cd pkg && PYTHONPATH=src pytest -q tests/a.py"),
        ("sed -i s/a/b/ x.py && pytest -x; git diff", "pytest -x"),
        ("pytest -k 'a && b | c'", "pytest -k 'a && b | c'"),
        ("(cd web && npm test)", "cd web && npm test"),
        ("timeout 60 uv run pytest > out.txt", "timeout 60 uv run pytest"),
        ("make -j2 test", "make -j2 test"),
        ("npm run test:unit", "npm run test:unit"),
        ("go test ./...", "go test ./..."),
        ("cargo test --all", "cargo test --all"),
        ("./gradlew :core:test", "./gradlew :core:test"),
        ("python tests/test_dates.py", "python tests/test_dates.py"),
        (".venv/bin/tox -e py311", ".venv/bin/tox -e py311"),
        ("pytest a; pytest b", "pytest b"),
        ("python -m unittest <<'E'\nmake test\nE", "python -m unittest"),
        ("python -m unittest -v; echo attempt 3; git diff | tail -n 4; cat a.py", "python -m unittest -v"),
        pytest.param("pip install pytest", None, id="installing is not testing"),
        pytest.param("grep -rn 'pytest' .", None, id="searching is not testing"),
        pytest.param("cat tests/test_a.py; ls tests", None, id="reading is not testing"),
        pytest.param("python3 - <<'E'\nimport pytest\npytest\nE", None, id="a script is not a command"),
        pytest.param("pytest.ini", None, id="a file of that name is not the command"),
        pytest.param("echo 'x; pytest'", None, id="quoted is said, not run"),
        pytest.param("git commit -m 'make test pass'", None, id="a message is not a command"),
    ],
)
def test_the_part_that_runs_tests_is_what_runs_again(command: str, again: str | None) -> None:
    found = check.test_in(command, HERE)
    assert (found.command if found else None) == again
    assert found is None or found.cwd == HERE


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("A='' " * 60 + "pytes", id="assignments that can be read in two ways"),
        pytest.param("timeout -a -b " * 90 + "pytes", id="many that each take words"),
        pytest.param("pytest" + " " * 300_000 + "a", id="a wall of blanks"),
        pytest.param("echo " + ">" * 300_000 + "x y", id="a wall of redirections"),
        pytest.param("python " + "/" * 100_000 + "test_" * 100_000, id="a path that is all of the pattern"),
    ],
)
def test_no_command_is_made_so_that_it_is_read_for_hours(command: str) -> None:
    """While an expression reads, no other thread runs: nobody would see that the run is over."""
    assert check.test_in(command, HERE) is None


def test_what_stands_before_a_test_is_part_of_it() -> None:
    for before in ("A='b c' D=\"e f\" G=h'i j'k env", "timeout -k5 60 time", "uv run -q", "npx -y"):
        assert check.test_in(f"{before} pytest -q", HERE) == check.Test(f"{before} pytest -q", HERE)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "w").mkdir()
    made = Shell(tmp_path / "w", tool_env({"PATH": "/usr/bin:/bin"}, tmp_path), scratch=tmp_path)
    yield made
    made.close()


def test_the_agents_test_runs_where_it_ran_with_what_it_had_exported(shell: Shell) -> None:
    shell.run("mkdir a && cd a && export WORD=yes")
    test = check.Test("pwd; echo $WORD; exit 3", shell.cwd)
    shell.run("cd /")
    assert check.run(shell, test) == Check(test.command, 3, f"{shell.root}/a\nyes\n")


def test_the_policys_test_is_preferred_and_starts_fresh(shell: Shell) -> None:
    shell.run("mkdir a && cd a && export WORD=yes; true() { false; }")
    found = check.run(shell, check.Test("false", shell.root), "pwd; echo [$WORD]; true")
    assert found == Check("pwd; echo [$WORD]; true", 0, f"{shell.root}\n[]\n")


def test_without_a_test_there_is_no_check(shell: Shell) -> None:
    assert check.run(shell, None) is None


def test_a_test_that_does_not_end_has_failed_and_only_its_tail_is_kept(shell: Shell) -> None:
    found = check.run(shell, check.Test("seq 100000; sleep 60", shell.root), seconds=1)
    assert found is not None
    assert found.exit_code == 124
    assert "100000" in found.output
    assert len(found.output) < 9_000
