"""Aider, without a person at it (https://aider.chat/docs, 0.86.2, read on 2026-11-26).

Of the checkout it obeys nothing: its settings, its .env and its cache are read by others than whoever wrote
them, so start_aider.py keeps it from looking for them. Only CONVENTIONS.md is shown to it, the base branch's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from bot.core.money import Usd
from bot.core.prices import PriceBook, UnknownModel
from bot.core.transcript import Transcript
from bot.runner.engines import Ending, Event, Ground, Task
from bot.runner.engines.foreign import MAX_WORDS, Session, Start, dollars, told
from bot.runner.engines.installed import Install

LOCK = Path(__file__).parent / "locks" / "aider"
LIST = "requirements.txt"
START = Path(__file__).parent / "start_aider.py"
CONVENTIONS = "CONVENTIONS.md"
TAKES = ((3, 12), (3, 11), (3, 10))  # of Python
# Tokens of an answer. It asks without streaming, for only then does it count what the cache saved; the API
# asks for streaming above about 21,000.
OUTPUT = 16_000
MAP_TOKENS = 4096
MAX_SESSION = 4 * 1024 * 1024
# What keeps it from asking anybody but the gateway.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
_PINNED = re.compile(r"^aider-chat==(\S+)", re.M)
_OPENS = re.compile(r"```+|<source>")


class Aider:
    """The program, as its lock has it."""

    name = "aider"
    settings = (CONVENTIONS,)

    def __init__(self) -> None:
        found = _PINNED.search((LOCK / LIST).read_text(encoding="utf-8"))
        self.version = found[1] if found else ""

    @property
    def install(self) -> Install:
        """From PyPI, by the hashes of its lock, into an environment of its own."""
        python = _python()
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
        return Install(
            {python: "add a step that sets up Python 3.12 before the agent's"},
            LOCK,
            lambda where: [
                [python, "-m", "venv", "--without-pip", str(where / "venv")],
                [*pip, "--python", str(interpreter(where)), "install", "--require-hashes", "-r", LIST],
            ],
        )

    def session(self, task: Task, ground: Ground, where: Path, ran: Callable[[str, bool], None]) -> Session:
        return Work(task, ground, interpreter(where), ran)


def interpreter(where: Path) -> Path:
    return where / "venv" / "bin" / "python"


def _python() -> str:
    """A Python that it takes and the agent's user can run: our own, or one of the system's."""
    own = [os.path.realpath(sys.executable)] if sys.version_info[:2] in TAKES else []
    names = [f"python{major}.{minor}" for major, minor in TAKES]
    found = own + [path for name in names if (path := shutil.which(name, path=os.defpath))]
    return next((path for path in found if os.geteuid() or _everybodys(Path(path).resolve())), names[0])


def _everybodys(program: Path) -> bool:
    """Whether it can be run without our rights: a Python in root's home cannot."""
    return all(path.stat().st_mode & 0o001 for path in (program, *program.parents))


class Work:
    """One session of it, told as events."""

    def __init__(self, task: Task, ground: Ground, python: Path, ran: Callable[[str, bool], None]) -> None:
        self._ran = ran
        earlier = task.earlier
        self.turns = earlier.turns if earlier else 0
        self.tool_calls = earlier.tool_calls if earlier else 0
        self._words = ""
        self._own: Usd | None = None
        self._gave_up = ""
        self._over = False
        self._history = earlier.session if earlier else ""
        env = {"ANTHROPIC_BASE_URL": task.base_url, "ANTHROPIC_API_BASE": task.base_url, **QUIET}
        self.start = Start(self._command(task, ground, python), env, self._given(task, ground.home))

    @property
    def over(self) -> bool:
        return self._over

    def _given(self, task: Task, home: Path) -> str:
        """What start_aider.py reads: what stands in arguments the whole machine can see."""
        given = {
            "token": task.token,
            "task": task.prompt,
            "check": task.check or "",
            "steps": task.ceilings.steps,
            "message": str(home / "message.txt"),
            "history": str(home / "history.md"),
            "earlier": self._history,
            "tags": str(home / "tags"),
        }
        return json.dumps(given)

    def _command(self, task: Task, ground: Ground, python: Path) -> Sequence[str]:
        home, aside = ground.home, ground.aside
        _write(aside, "settings.yml", json.dumps(settings(task.model, task.system)))
        _write(aside, "prices.json", json.dumps(metadata(task.model, PriceBook())))
        _write(aside, START.name, START.read_text(encoding="utf-8"))
        conventions = ground.base.get(CONVENTIONS)
        if conventions is not None:
            _write(aside, CONVENTIONS, conventions.decode("utf-8", "replace"))
        return [
            str(python), "-I", str(aside / START.name),
            "--model", f"anthropic/{task.model}", "--weak-model", f"anthropic/{task.model}",
            "--model-settings-file", str(aside / "settings.yml"),
            "--model-metadata-file", str(aside / "prices.json"),
            "--message-file", str(home / "message.txt"),
            "--chat-history-file", str(home / "history.md"),
            "--input-history-file", str(home / "input"),
            "--aiderignore", str(aside / "none"),
            *(["--restore-chat-history"] if self._history else []),
            *(["--read", str(aside / CONVENTIONS)] if conventions is not None else []),
            *(["--auto-test", "--test-cmd", task.check] if task.check else []),
            "--map-tokens", str(MAP_TOKENS), "--cache-prompts", "--no-stream", "--no-pretty",
            "--no-fancy-input", "--yes-always", "--no-auto-commits", "--no-dirty-commits", "--no-gitignore",
            "--no-check-update", "--no-analytics", "--no-show-release-notes", "--no-show-model-warnings",
            "--no-detect-urls", "--no-suggest-shell-commands", "--disable-playwright", "--encoding", "utf-8",
        ]  # fmt: skip

    def hear(self, line: str) -> Iterable[Event]:
        said = told(line)
        self._history = (self._history + str(said.get("history") or ""))[-MAX_SESSION:]
        match said:
            case {"said": str(text), "cost": cost}:
                self.turns += 1
                self._words = _prose(text)[:MAX_WORDS] or self._words
                self._own = dollars(cost)
                return [self._event("turn", self._words)]
            case {"edited": list(paths)}:
                self.tool_calls += 1
                return [
                    self._event("tool", f"edit {' '.join(map(str, paths))}"[:200]),
                    self._event("results", ""),
                ]
            case {"ran": str(command), "failed": bool(failed)}:
                self._ran(command, failed)
                self.tool_calls += 1
                return [self._event("tool", f"$ {command}"[:200])]
            case {"gave_up": str(why)}:
                self._gave_up = why
            case {"over": True}:
                self._over = True
            case _:
                pass
        return ()

    def ended(self, code: int, errors: str) -> Ending:
        """By what it said: it exits with 0 also where the model could not be asked."""
        ending = Ending(
            "done",
            self._words,
            tool_calls=self.tool_calls,
            turns=self.turns,
            so_far=self._so_far(),
            own=self._own,
        )
        if self._over and not self._gave_up:
            return ending
        why = self._gave_up or errors or f"exit code {code}"
        return replace(ending, outcome="failed", message=f"Aider failed: {why.strip()[-500:]}")

    def _event(self, kind: Any, text: str) -> Event:
        so_far = self._so_far() if kind == "results" else None
        return Event(kind, text, self.turns, self.tool_calls, so_far=so_far)

    def _so_far(self) -> Transcript | None:
        """Its chat history, from which `--restore-chat-history` goes on."""
        if not self._history:
            return None
        return Transcript("aider", (), self.turns, self.tool_calls, session=self._history)


def _prose(text: str) -> str:
    """What is left of an answer without its blocks, each beneath the path of its file; in one pass."""
    kept: list[str] = []
    block: list[str] = []
    fence = ""
    for line in text.split("\n"):
        if fence:
            block.append(line)
            if line.rstrip() in (fence, "</source>"):
                fence, block = "", []
        elif opens := _OPENS.match(line):
            fence = opens[0]
            block = [kept.pop(), line] if kept and kept[-1][:1].strip() else [line]
        else:
            kept.append(line)
    return "\n".join(kept + block).strip()


def by_hand(folder: Path, url: str, token: str, model: str, prices: PriceBook) -> dict[str, str]:
    """The environment in which an Aider that a person starts finds the gateway, and knows `model`.

    Its own names for what could stand in a .env, which it reads over its environment.
    """
    _write(folder, "settings.yml", json.dumps(settings(model)))
    _write(folder, "prices.json", json.dumps(metadata(model, prices)))
    return {
        "AIDER_MODEL_SETTINGS_FILE": str(folder / "settings.yml"),
        "AIDER_MODEL_METADATA_FILE": str(folder / "prices.json"),
        "AIDER_MAP_TOKENS": str(MAP_TOKENS),
        "AIDER_CACHE_PROMPTS": "true",
        "AIDER_ANTHROPIC_API_KEY": token,
        "AIDER_SET_ENV": f"[ANTHROPIC_API_BASE={url}]",
    }


def settings(model: str, rules: str = "") -> list[dict[str, Any]]:
    """A model settings file (https://aider.chat/docs/config/adv-model-settings.html).

    Without one it sends a temperature, which Opus 4.7 refuses, and at most 4,096 tokens of output.
    """
    return [
        {
            "name": name,
            "edit_format": "diff",
            "use_repo_map": True,
            "use_temperature": False,
            "cache_control": True,
            # A name without a provider would mean none to it.
            "extra_params": {"max_tokens": OUTPUT, "custom_llm_provider": "anthropic"},
            "weak_model_name": name,
            "editor_model_name": name,
            "editor_edit_format": "editor-diff",
            **({"system_prompt_prefix": rules} if rules else {}),
        }
        for name in (model, f"anthropic/{model}")
    ]


def metadata(model: str, prices: PriceBook) -> dict[str, dict[str, Any]]:
    """A model metadata file with these prices; a model that has none there has none in it."""
    about: dict[str, Any] = {"litellm_provider": "anthropic", "mode": "chat", "max_output_tokens": OUTPUT}
    try:
        price = prices.price(model, datetime.fromtimestamp(time.time(), UTC))
    except UnknownModel:
        pass
    else:
        rates = price.rates[0]
        about |= {
            "max_input_tokens": price.context_window,
            "input_cost_per_token": _a_token(rates.input),
            "output_cost_per_token": _a_token(rates.output),
            "cache_creation_input_token_cost": _a_token(rates.cache_write_5m),
            "cache_read_input_token_cost": _a_token(rates.cache_read),
        }
    return {model: about, f"anthropic/{model}": about}


def _a_token(nanos: int) -> float:
    return float(Decimal(nanos) / 10**9)  # its file has no other numbers; nothing of ours is counted with it


def _write(folder: Path, name: str, content: str) -> None:
    """A file that the agent's user may read."""
    path = folder / name
    path.write_text(content, encoding="utf-8")
    path.chmod(0o644)
