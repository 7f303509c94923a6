"""The agents that a run may be given to, by name."""

from __future__ import annotations

from collections.abc import Callable

from bot.runner.engines import Engine
from bot.runner.engines.aider import Aider
from bot.runner.engines.claude_code import ClaudeCode
from bot.runner.engines.foreign import Foreign
from bot.runner.engines.opus import Opus

BY_NAME: dict[str, Callable[[], Engine]] = {
    "opus": Opus,
    "claude-code": lambda: Foreign(ClaudeCode()),
    "aider": lambda: Foreign(Aider()),
}


class UnknownEngine(Exception):
    """No engine has that name; a sentence."""


def named(name: str) -> Engine:
    """The engine of that name. Raises UnknownEngine."""
    if name not in BY_NAME:
        raise UnknownEngine(f"there is no engine {name!r} here: {', '.join(BY_NAME)}")
    return BY_NAME[name]()
