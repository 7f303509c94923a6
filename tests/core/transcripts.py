"""Conversations of agents at work, as their requests carry them: healthy ones, and ones in circles."""

# ruff: noqa: E501, RUF001  what tools print is as wide as it is, in the letters that they use

from __future__ import annotations

from collections.abc import Callable

from tests.core.transcript_parts import (
    LEAP,
    Json,
    Step,
    aider_edit,
    attempt,
    cc,
    cc_edit,
    diff_of,
    pytest_output,
    pytest_run,
    sh,
    swap,
    talk,
    todo,
    tried,
    unittest_output,
    view,
    words,
    write,
)

# -- healthy --

TEN = {f"tests/test_a.py::test_{number}": f"AssertionError: assert {number} == 0" for number in range(10)}


def without(number: int) -> dict[str, str]:
    return dict(list(TEN.items())[number:])


def _red_green() -> list[Step]:
    steps: list[Step] = []
    for number in range(6):
        name = f"test_feature_{number}"
        failing = {f"tests/test_new.py::{name}": f"NameError: name 'feature_{number}' is not defined"}
        steps += [
            swap("tests/test_new.py", "# next", f"def {name}():\n    assert feature_{number}()\n\n# next"),
            pytest_run(failing, 10 + number),
            swap("new.py", "# next", f"def feature_{number}():\n    return True\n\n# next"),
            pytest_run({}, 11 + number),
        ]
    return steps


def _small_steps(path: Callable[[int], str], failed: dict[str, str] | None = None) -> list[Step]:
    steps: list[Step] = []
    for number in range(12):
        steps.append(swap(path(number), f"old_{number}()", f"new_{number}()"))
        steps.append(pytest_run(failed or {}, 42, 0.3 + number / 100))
    return steps


def _toggled(new: str) -> list[Step]:
    failed = {"t.py::test_x": f"AssertionError: {new}"}
    return [swap("a.py", "x = 1", new), pytest_run(failed), swap("a.py", new, "x = 1")]


def _debugging() -> list[Step]:
    steps: list[Step] = [pytest_run(LEAP)]
    for number in range(4):
        look = f"    print('days', days, {number})\n    return days"
        steps += [swap("dates.py", "    return days", look), pytest_run(LEAP, seconds=0.1 * number + 0.2)]
        steps += [swap("dates.py", look, "    return days"), view("dates.py", f"seen {number}")]
    return steps


HEALTHY: dict[str, list[Json]] = {
    "red, green, six times": talk(*_red_green()),
    "ten failures, each edit mends one": talk(
        pytest_run(TEN, 0),
        *(
            step
            for number in range(1, 11)
            for step in (swap("a.py", f"bug_{number}", f"ok_{number}"), pytest_run(without(number), number))
        ),
    ),
    "a test fails otherwise after each edit": talk(
        *tried(lambda n: pytest_run({"tests/t.py::test_x": f"AssertionError: assert {n} == 99"}), 9)
    ),
    "polling a server until it is up": talk(
        *(sh("curl -s localhost:8000/health", f'{{"status":"starting","pods":{n}}}') for n in range(9)),
        sh("curl -s localhost:8000/health", '{"status":"ok"}'),
    ),
    "polling with the same answer, and time between": talk(
        *(sh("sleep 10; kubectl get pods", "web-1  0/1  Pending") for _ in range(7))
    ),
    "a long build looked at": talk(
        cc(
            "Bash",
            "Command running in background with ID: bash_1",
            command="make all",
            run_in_background=True,
        ),
        *(cc("BashOutput", "<status>running</status>", bash_id="bash_1") for _ in range(8)),
    ),
    "reading a file again after each edit": talk(
        *(
            step
            for n in range(8)
            for step in (view("a.py", f"     1\tx = {n}"), swap("a.py", f"x = {n}", f"x = {n + 1}"))
        )
    ),
    "bisecting": talk(
        sh("git bisect start HEAD v1", "Bisecting: 31 revisions left"),
        *(
            step
            for n in range(6)
            for step in (
                pytest_run(LEAP if n % 2 else {}),
                sh(
                    f"git bisect {'bad' if n % 2 else 'good'}",
                    f"Bisecting: {31 >> n} revisions left\n[abc{n}]",
                ),
            )
        ),
    ),
    "small steps, the same green run twelve times": talk(*_small_steps(lambda n: "a.py")),
    "small steps by sed, the same green run": talk(
        *(step for n in range(12) for step in (sh(f"sed -i 's/old_{n}/new_{n}/' a.py"), pytest_run({}, 42)))
    ),
    "small steps all over, one test fails all the time": talk(*_small_steps(lambda n: f"m{n}.py", LEAP)),
    "small steps in one file, one test known to fail": talk(
        *_small_steps(lambda n: "a.py", LEAP), said={2: "That failure is pre-existing; I leave it alone."}
    ),
    "a flaky test run again twice": talk(pytest_run(LEAP), pytest_run(LEAP), pytest_run(LEAP, seconds=0.33)),
    "forty files read": talk(*(view(f"src/m{n}.py", f"     1\tdef f{n}(): ...") for n in range(40))),
    "large greps": talk(
        *(
            sh(f"grep -rn word{n} src", "\n".join(f"src/a.py:{i}: word{n}" for i in range(900)))
            for n in range(9)
        )
    ),
    "git status between edits": talk(
        *(step for n in range(9) for step in (attempt(n, f"m{n}.py"), sh("git status --short", " M a.py")))
    ),
    "formatting until it converges": talk(
        sh(
            "ruff check .",
            "a.py:1:1: F401 `os` imported but unused\na.py:9:1: E501 Line too long\nFound 2 errors.",
        ),
        sh("ruff check --fix .", "a.py:9:1: E501 Line too long\nFound 2 errors (1 fixed, 1 remaining)."),
        sh("ruff format .", "1 file reformatted"),
        sh("ruff check .", "a.py:7:1: E501 Line too long\nFound 1 error."),
        swap("a.py", "long_line", "short"),
        sh("ruff format .", "1 file reformatted"),
        sh("ruff check .", "All checks passed!"),
    ),
    "an install retried twice": talk(
        *(sh("pip install rich", "ERROR: Could not connect to proxy", True) for _ in range(3)),
        sh("pip install rich", "Successfully installed rich"),
    ),
    "one line edited thrice": talk(*tried(lambda n: pytest_run({"t.py::x": f"assert {n} == 7"}), 4)),
    "three tries at one failure, the fourth passes": talk(
        *tried(lambda n: pytest_run(LEAP), 3), attempt(3), pytest_run({}, 42)
    ),
    "a bad edit taken back once": talk(*_toggled("x = 2"), swap("a.py", "y = 1", "y = 2"), pytest_run({})),
    "the fix taken out to see the test fail": talk(
        swap("a.py", "x = 1", "x = 2"),
        pytest_run({}),
        swap("a.py", "x = 2", "x = 1"),
        pytest_run(LEAP),
        swap("a.py", "x = 1", "x = 2"),
        pytest_run({}),
    ),
    "five tries, each taken back": talk(*(step for n in range(2, 7) for step in _toggled(f"x = {n}"))),
    "prints put in and taken out": talk(*_debugging()),
    "subagents, several at once": talk(
        [
            cc("Task", f"Report {n}: nothing found", description=f"look {n}", prompt=f"Look at {n}")
            for n in range(4)
        ],
        [cc("Task", f"Report {n}: a bug", description=f"look {n}", prompt=f"Again at {n}") for n in range(4)],
    ),
    "the same call twice in one answer": talk(
        *([sh("ls src", "a.py\nb.py"), sh("ls src", "a.py\nb.py")] for _ in range(3))
    ),
    "todo lists without end": talk(
        *(
            step
            for n in range(8)
            for step in (todo(*(f"item {i}" for i in range(n))), cc_edit(f"m{n}.py", "a", "b"))
        )
    ),
    "only the list, five times": talk(*(todo(f"item {n}") for n in range(5))),
    "claude code: exit codes are errors": talk(
        *(
            cc(
                "Bash",
                f"Exit code 1\n{pytest_output({f't.py::test_{n}': f'assert {n} == 0'}, 3)}" * 3,
                True,
                command=f"pytest -k {n}",
            )
            for n in range(9)
        )
    ),
    "looking for a python": talk(
        sh("pytest", "pytest: command not found", True),
        sh("python -m pytest", "python: command not found", True),
        sh("python3 -m pytest", "No module named pytest", True),
        sh("pip install pytest", "pip: command not found", True),
        sh("python3 -m unittest", "Ran 3 tests in 0.001s\n\nOK"),
    ),
    "aider: edit, test, edit": words(
        aider_edit("x = 1", "x = 2"),
        pytest_output({"t.py::x": "assert 2 == 4"}, 3),
        aider_edit("x = 2", "x = 3"),
        pytest_output({"t.py::x": "assert 3 == 4"}, 3),
        aider_edit("x = 3", "x = 4"),
        pytest_output({"t.py::y": "KeyError: 'y'"}, 3),
        aider_edit("y = {}", "y = {'y': 1}"),
        pytest_output({}, 4),
    ),
    "only talk, the same over and over": words(*(["Hello.", "Hello again."] * 20)),
    "resumed after it was stuck, with a word on what it missed": talk(
        *(sh("ls", "README.md") for _ in range(4)), "Look into src, not here.", sh("ls", "README.md")
    ),
    "results that were cleared": talk(
        *(view("a.py", "[Old tool result content cleared]") for _ in range(12)), view("a.py", "     1\tx = 1")
    ),
    "calls that were not carried out": talk(
        *(sh("make", "Not executed: the run had halted.", True) for _ in range(9))
    ),
    "silent commands that change things": talk(*(sh(f"mkdir -p out/{n}") for n in range(12))),
    "a script written once and run after each edit": talk(
        *(
            step
            for n in range(8)
            for step in (
                attempt(n),
                sh("python3 - <<'E'\nopen('out.txt','w').write(str(days()))\nE", f"wrote {n}"),
            )
        )
    ),
    "files read again after the context was cleared": talk(
        *(view(f"m{n}.py", f"     1\tdef f{n}(): ...") for n in range(12)),
        *(view(f"m{n}.py", f"     1\tdef f{n}(): ...") for n in range(12)),
    ),
    "a type checker whose errors become fewer": talk(
        *(
            step
            for n in range(9, 0, -1)
            for step in (
                sh(
                    "mypy .",
                    "\n".join(
                        f'a.py:{i}: error: Name "n{i}" is not defined  [name-defined]' for i in range(n)
                    ),
                ),
                swap("a.py", f"n{n}", f"m{n}"),
            )
        )
    ),
}


# -- stuck --


def _compiled(said: str) -> Callable[[int], Step]:
    return lambda n: sh("make", said.format(line=10 + n))


STUCK: dict[str, tuple[list[Json], str]] = {
    "the same command": (
        talk(*(sh("ls; head -n 5 README.md", "README.md\nHello") for _ in range(4))),
        "same action",
    ),
    "the same test run, nothing changed": (
        talk(*(pytest_run(LEAP, seconds=0.3 + n / 100) for n in range(4))),
        "same action",
    ),
    "three reads in turn": (
        talk(*(view(f"{n}.py", f"text of {n}") for _ in range(4) for n in "abc")),
        "same action",
    ),
    "another client's tool": (
        talk(*(cc("run_in_terminal", "nothing to do", cmd=["make", "x"]) for _ in range(4))),
        "same action",
    ),
    "the same test after different edits": (
        talk(*tried(lambda n: pytest_run(LEAP, 41, 0.3 + n / 7), 4)),
        "same failure",
    ),
    "unittest": (
        talk(*tried(lambda n: sh("python -m unittest", unittest_output("28 != 29", n)), 4)),
        "same failure",
    ),
    "claude code": (
        talk(
            *(
                step
                for n in range(4)
                for step in (
                    cc_edit("/w/dates.py", f"+ {n}", f"+ {n + 1}"),
                    cc(
                        "Bash",
                        f"Exit code 1\n{unittest_output('28 != 29', n)}",
                        True,
                        command="python -m unittest",
                    ),
                )
            )
        ),
        "same failure",
    ),
    "aider": (
        words(
            *(
                said
                for n in range(4)
                for said in (aider_edit(f"x = {n}", f"x = {n + 1}"), pytest_output(LEAP, 3, n / 7))
            )
        ),
        "same failure",
    ),
    "jest": (
        talk(
            *tried(
                lambda n: sh(
                    "npx jest",
                    f"FAIL src/d.test.js\n  ● dates › leap\n\n    expect(received).toBe(expected)\n\n    Expected: 29\n    Received: 28\n\n      at Object.<anonymous> (src/d.test.js:{n + 3}:20)\n\nTests: 1 failed, 4 passed\nTime: 0.{n}1 s",
                ),
                4,
                "src/d.js",
            )
        ),
        "same failure",
    ),
    "go test": (
        talk(
            *tried(
                lambda n: sh(
                    "go test ./...",
                    f"--- FAIL: TestLeap (0.0{n}s)\n    dates_test.go:{n + 9}: got 28, want 29\nFAIL\nFAIL\tdates\t0.00{n}s",
                ),
                4,
                "dates.go",
            )
        ),
        "same failure",
    ),
    "cargo test": (
        talk(
            *tried(
                lambda n: sh(
                    "cargo test",
                    f"test tests::leap ... FAILED\n\nfailures:\n\n---- tests::leap stdout ----\nthread 'tests::leap' panicked at src/lib.rs:{n + 20}:9:\nassertion `left == right` failed\n  left: 28\n right: 29\n\n\nfailures:\n    tests::leap\n\ntest result: FAILED. 2 passed; 1 failed; finished in 0.0{n}s",
                ),
                4,
                "src/lib.rs",
            )
        ),
        "same failure",
    ),
    "gcc": (
        talk(
            *tried(
                _compiled(
                    "cc -c a.c\na.c:{line}:5: error: expected ';' before 'return'\nmake: *** [a.o] Error 1"
                ),
                4,
                "a.c",
            )
        ),
        "same failure",
    ),
    "tsc": (
        talk(
            *tried(
                _compiled(
                    "src/a.ts({line},7): error TS2322: Type 'string' is not assignable to type 'number'."
                ),
                4,
                "src/a.ts",
            )
        ),
        "same failure",
    ),
    "edits to and fro": (
        talk(*(swap("a.py", *("x = 1", "x = 2")[:: 1 if n % 2 else -1]) for n in range(4))),
        "edits that undo each other",
    ),
    "edits over three states": (
        talk(*(swap("a.py", f"x = {n % 3}", f"x = {(n + 1) % 3}") for n in range(6))),
        "edits that undo each other",
    ),
    "whole files to and fro": (
        talk(*(write("a.py", f"x = {n % 2}\n") for n in range(5))),
        "edits that undo each other",
    ),
    "sed to and fro": (
        talk(*(sh("sed -i 's/{}/{}/' a.py".format(*("<=", "<")[:: 1 if n % 2 else -1])) for n in range(4))),
        "edits that undo each other",
    ),
    "heredocs to and fro": (
        talk(*(sh(f"cat > a.py <<'EOF'\nx = {n % 2}\nEOF") for n in range(5))),
        "edits that undo each other",
    ),
    "scripts to and fro": (
        talk(
            *(
                sh(
                    f"python3 - <<'E'\nimport pathlib\np = pathlib.Path('a.py')\np.write_text('x = {n % 2}')\nE",
                    f"edited {n}",
                )
                for n in range(6)
            )
        ),
        "edits that undo each other",
    ),
    "what git diff shows to and fro": (
        talk(
            *(
                step
                for n in range(6)
                for step in (sh(f"./toggle {n}", f"ok {n}"), sh("git diff", diff_of(str(n % 2))))
            )
        ),
        "edits that undo each other",
    ),
    "looking at what is known": (
        talk(
            *(
                sh(f"{how} {path}", f"the text of {path}")
                for how in ("cat", "head -99", "less", "tail -99", "nl")
                for path in ("a.py", "b.py", "c.py")
            )
        ),
        "nothing new",
    ),
    "the same error whatever is tried": (
        talk(
            *(
                swap("a.py", f"line {n}", "x", "old_str does not stand in a.py; nothing was changed.")
                for n in range(4)
            )
        ),
        "tool errors",
    ),
    "errors of all kinds": (
        talk(*(sh(f"tool{n} --go", f"bash: tool{n}: command not found", True) for n in range(6))),
        "tool errors",
    ),
}
