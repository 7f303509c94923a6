"""A shell in which `claude` is bounded: real shells, a real gateway, a terminal where a person would sit."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from bot.core.shell_init import Wrap, script
from sandbox.processes import ROOT, Started, start
from tests.commands.test_local import environment

ASKS = """
    import json, os, sys
    import anthropic
    if "--version" not in sys.argv:
        anthropic.Anthropic(max_retries=0).messages.create(
            model="claude-opus-4-7", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
        )
    named = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "TOLLGATE_BOUND")
    print(json.dumps([sys.argv[1:], {name: os.environ.get(name, "")[:8] for name in named}]))
"""


@pytest.fixture(scope="module")
def claude() -> Iterator[Started]:
    with start("claude", character="echo") as started:
        yield started


def program(folder: Path, text: str, name: str = "claude") -> Path:
    """A program of that name, in a folder with a name that has to be quoted."""
    place = folder / 'it\'s a "$HOME" of programs'
    place.mkdir(exist_ok=True)
    path = place / name
    path.write_text(f"#!{sys.executable}\n{dedent(text)}")
    path.chmod(0o755)
    return path


def shell(name: str) -> str:
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not on this machine")
    return found


def typed(
    folder: Path, claude: Started, name: str, words: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """What a shell says that has sourced the script and then is told `words`."""
    env = environment(claude, HOME=str(folder), PATH=f"{program(folder, ASKS).parent}:{os.defpath}")
    env.pop("TOLLGATE_URL", None)
    init = [sys.executable, "-m", "bot", "shell-init", name, *options]
    made = subprocess.run(init, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    (folder / "init").write_text(made.stdout)
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    said = f"source {shlex.quote(str(folder / 'init'))}\n{words}"
    return subprocess.run(
        [shell(name), *flags, "-c", said],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_what_is_typed_runs_bounded_with_its_words_as_they_are_and_is_counted(
    tmp_path: Path, claude: Started, name: str
) -> None:
    before = claude.invoice()["count"]
    ran = typed(
        tmp_path, claude, name, "claude -p 'it'\\''s \"$5\" & *' ''; aider", "--cost", "0.50", "--wall", "4h"
    )
    said = ran.stdout.splitlines()
    assert said[0].startswith('[["-p", "it\'s \\"$5\\" & *", ""], {"ANTHROPIC_BASE_URL": "http://1'), ran
    assert '"ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": "run_' in said[0]
    assert "$0.50 from option" in " ".join(ran.stderr.split())
    assert "4h" in ran.stderr
    assert "aider: there is no such command" in ran.stderr
    assert claude.invoice()["count"] == before + 1
    told = typed(
        tmp_path, claude, "bash", f"cd {shlex.quote(str(ROOT))}; {sys.executable} -m bot cost"
    ).stdout
    assert "claude" in told
    assert "aider" in told


@pytest.mark.parametrize("words", ["claude --version", "TOLLGATE_BOUND=1 claude --version -p x"])
def test_what_asks_no_model_and_what_is_bounded_already_is_left_alone(
    tmp_path: Path, claude: Started, words: str
) -> None:
    ran = typed(tmp_path, claude, "bash", words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"ANTHROPIC_AUTH_TOKEN": ""' in ran.stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("prompt", ["what does git log --help", "explain ls -h", "stop --version"])
def test_a_prompt_that_ends_with_a_flag_is_bounded(
    tmp_path: Path, claude: Started, name: str, prompt: str
) -> None:
    assert "run_" in typed(tmp_path, claude, name, f"claude {shlex.quote(prompt)}").stdout


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_shell_that_ends_at_the_first_failure_sources_it(
    tmp_path: Path, claude: Started, name: str
) -> None:
    ran = typed(tmp_path, claude, name, "set -eu; source ./init; claude -p x; claude")
    assert (ran.returncode, ran.stdout.count("run_")) == (0, 2), ran


def test_an_alias_of_the_name_does_not_go_before_the_function(tmp_path: Path, claude: Started) -> None:
    other = program(tmp_path, "print('unbounded')", "other")
    alias = f"shopt -s expand_aliases; alias claude={shlex.quote(shlex.quote(str(other)))}"
    ran = typed(tmp_path, claude, "bash", f"{alias}\nsource ./init\nclaude -p x")
    assert "run_" in ran.stdout


def test_a_modules_name_in_the_folder_of_the_moment_is_not_ours(tmp_path: Path, claude: Started) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('planted')")
    assert "run_" in typed(tmp_path, claude, "bash", "claude -p x").stdout


def test_a_name_that_no_function_may_have_is_refused() -> None:
    command = [sys.executable, "-m", "bot", "shell-init", "--program", "x; rm -rf /"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_every_word_of_the_command_is_quoted() -> None:
    evil = "'; echo $(id) `id` \\"
    for name in ("bash", "zsh"):
        assert shlex.quote(evil) in script(name, Wrap([evil]))
    assert "'\\'; echo $(id) `id` \\\\'" in script("fish", Wrap([evil]))


# -- a terminal --

# A signal that comes between input()'s last look and its read is not seen until more is typed: the wake-up
# descriptor has no such moment.
PERSON = """
    import os, select, signal, sys
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    front = os.tcgetpgrp(0) == os.getpgrp()
    print("in front" if front else "behind", flush=True)
    signal.signal(signal.SIGWINCH, lambda *_: print("size", os.get_terminal_size(0).columns, flush=True))
    def interrupted(*_):
        print("interrupted", flush=True)
        sys.exit(7)
    signal.signal(signal.SIGINT, interrupted)
    open("/dev/tty").close()
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 100)
        if 0 in readable:
            print("heard", os.read(0, 100).decode(), end="", flush=True)
"""


class Terminal:
    """A person's: what is typed, and what is seen."""

    def __init__(self, folder: Path, claude: Started, *words: str) -> None:
        env = environment(claude, HOME=str(folder), TERM="dumb")
        env.pop("TOLLGATE_URL", None)
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, "-m", "bot", "exec", *words], env)  # noqa: S606
        self.seen = ""

    def see(self, words: str, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while words not in self.seen:
            assert time.monotonic() < until, f"waited for {words!r}: {self.seen}"
            if select.select([self.handle], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.handle, 65_536).decode(errors="replace")
                except OSError:
                    time.sleep(0.05)

    def type(self, keys: str) -> None:
        os.write(self.handle, keys.encode())

    def status(self, flags: int = 0) -> int:
        return os.waitpid(self.pid, flags)[1]


def test_on_a_terminal_it_is_in_front_and_hears_keys_sizes_and_interrupts(
    tmp_path: Path, claude: Started
) -> None:
    terminal = Terminal(tmp_path, claude, "--cost", "1", "--", str(program(tmp_path, PERSON)))
    terminal.see("in front")
    terminal.type("a word\n")
    terminal.see("heard a word")
    fcntl.ioctl(terminal.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 123, 0, 0))
    terminal.see("size 123")
    terminal.type("\x1a")  # Ctrl-Z: the whole job stops, and goes on
    assert os.WIFSTOPPED(terminal.status(os.WUNTRACED))
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.type("another\n")
    terminal.see("heard another")
    terminal.type("\x03")
    terminal.see("interrupted")
    terminal.see("the command exited with 7")
    assert os.waitstatus_to_exitcode(terminal.status()) == 7


def test_a_halt_ends_it_and_gives_the_terminal_back_as_it_was(tmp_path: Path, claude: Started) -> None:
    raw = "import time, tty\ntty.setraw(0)\nprint('raw', flush=True)\ntime.sleep(600)"
    terminal = Terminal(tmp_path, claude, "--wall", "2s", "--", str(program(tmp_path, raw)))
    before = termios.tcgetattr(terminal.handle)
    terminal.see("raw")
    terminal.see("2s wall-clock ceiling reached")
    assert os.waitstatus_to_exitcode(terminal.status()) == 3
    assert termios.tcgetattr(terminal.handle)[:4] == before[:4]
