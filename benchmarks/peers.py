"""The programs that we are measured beside, each in an environment of its own under .benchmarks/."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from bot.runner.engines.claude_code import ClaudeCode

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".benchmarks"

LITELLM = "1.108.7"
MINI_SWE_AGENT = "2.4.6"
CLAUDE_CODE = ClaudeCode().version  # the one that the product installs


class NotInstalled(Exception):
    """A peer could not be installed here: its side is left out, and the reason said."""


def python(name: str, *requirements: str) -> Path:
    """The Python of an environment with these packages, made at the first call. Raises NotInstalled."""
    home = HOME / name
    interpreter, ready = home / "bin" / "python", home / "ready.json"
    if ready.exists() and json.loads(ready.read_text()) == list(requirements):
        return interpreter
    sys.stdout.write(f"installing {', '.join(requirements)} into .benchmarks/{name} (once)\n")
    sys.stdout.flush()
    _run(sys.executable, "-m", "venv", str(home))
    _run(str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    ready.write_text(json.dumps(list(requirements)))
    return interpreter


def npm(name: str, package: str, program: str) -> Path:
    """A program of an npm package, installed at the first call. Raises NotInstalled."""
    return npm_package(name, package) / "node_modules" / ".bin" / program


def npm_package(name: str, package: str) -> Path:
    """The folder with the `node_modules` of an npm package, made at the first call. Raises NotInstalled."""
    home = HOME / name
    ready = home / "ready.json"
    if ready.exists() and json.loads(ready.read_text()) == [package] and (home / "node_modules").is_dir():
        return home
    sys.stdout.write(f"installing {package} into .benchmarks/{name} (once)\n")
    sys.stdout.flush()
    home.mkdir(parents=True, exist_ok=True)
    _run("npm", "install", "--prefix", str(home), "--silent", "--no-audit", "--no-fund", package)
    ready.write_text(json.dumps([package]))
    return home


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstalled(f"{' '.join(command[:4])} failed: {words[-1] if words else done.returncode}")


def litellm() -> Path:
    """The folder of LiteLLM's programs."""
    return python("litellm", f"litellm[proxy]=={LITELLM}").parent


def claude_code() -> Path:
    """The program of Claude Code."""
    return npm("claude-code", f"@anthropic-ai/claude-code@{CLAUDE_CODE}", "claude")


def commit() -> str:
    """The commit that is measured, with a + when files differ from it."""
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True
    )
    return shown.stdout.strip() or "unknown"


def machine() -> str:
    """What this ran on, and how busy it was with other things."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load average before the start {load:.1f}"
    )


def version(package: str) -> str:
    return metadata.version(package)
