"""What a team sources in its shells, so that every agent typed there is bounded and counted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

SHELLS = ("bash", "zsh", "fish")
PROGRAMS = ("claude", "aider")
STATES = "tollgate/runs"  # below XDG_STATE_HOME: what is counted there without a service
# What asks no model: it needs no run, and must work without a key. Words of Claude Code's; flags of any.
_FLAGS = ("-h", "--help", "--version")
_WORDS = (
    *("-v", "update", "upgrade", "install", "doctor", "auth", "setup-token", "mcp", "plugin", "plugins"),
    *("import", "purge", "logs", "rm", "stop", "kill"),
)
_HEAD = "# Tollgate: {programs} run under ceilings in this shell. Made by `python -m bot shell-init`."


@dataclass(frozen=True, slots=True)
class Wrap:
    """`command` begins what is run in the place of a program: `exec` and its options are in it."""

    command: Sequence[str]
    programs: Sequence[str] = PROGRAMS


def script(shell: str, wrap: Wrap) -> str:
    """The functions, for a shell of SHELLS. Every word in them is quoted."""
    return _fish(wrap) if shell == "fish" else _posix(wrap)


def _posix(wrap: Wrap) -> str:
    """For bash and zsh. An alias of the name would go before the function, and is taken away."""
    own = "\n".join(
        f'unalias {name} 2>/dev/null || true\nfunction {name} {{ _tollgate {name} "$@"; }}'
        for name in wrap.programs
    )
    return f"""{_HEAD.format(programs=", ".join(wrap.programs))}
function _tollgate {{
    if [ -n "${{TOLLGATE_BOUND:-}}" ]; then command "$@"; return; fi
    case "${{2:-}}" in
        {"|".join(_FLAGS)}) command "$@"; return ;;
    esac
    case "$1 ${{2:-}}" in
        {"|".join(f"'claude {word}'" for word in _WORDS)}) command "$@"; return ;;
    esac
    if [ -n "${{TOLLGATE_URL:-}}" ]; then
        {shlex.join(wrap.command)} -- "$@"
    else
        local state="${{XDG_STATE_HOME:-$HOME/.local/state}}/{STATES}"
        {shlex.join(wrap.command)} --state "$state/$(date +%Y%m%dT%H%M%S)-$$-$RANDOM" -- "$@"
    fi
}}
{own}
"""


def _fish(wrap: Wrap) -> str:
    own = "\n".join(f"function {name}; _tollgate {name} $argv; end" for name in wrap.programs)
    command = " ".join(map(_fish_quoted, wrap.command))
    return f"""{_HEAD.format(programs=", ".join(wrap.programs))}
function _tollgate
    if set -q TOLLGATE_BOUND
        or contains -- "$argv[2]" {" ".join(_FLAGS)}
        or contains -- "$argv[1] $argv[2]" {" ".join(f"'claude {word}'" for word in _WORDS)}
        command $argv
        return
    end
    if set -q TOLLGATE_URL
        {command} -- $argv
    else
        set -l state $HOME/.local/state
        set -q XDG_STATE_HOME; and set state $XDG_STATE_HOME
        {command} --state $state/{STATES}/(date +%Y%m%dT%H%M%S)-$fish_pid-(random) -- $argv
    end
end
{own}
"""


def _fish_quoted(word: str) -> str:
    """In fish only a backslash and a quote mean something between single quotes."""
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
