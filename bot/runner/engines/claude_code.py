"""Claude Code: Anthropic's own command line, without a person at it.

https://code.claude.com/docs/en/cli-reference and /headless (2026-11-26), and what version 2.1.332 did here.

What it obeys of a repository comes from the base branch, as settings of its user: of the head's `.claude`,
`.mcp.json` and `CLAUDE.md` it reads nothing by itself, for whoever opens a pull request writes them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.core.transcript import Transcript
from bot.runner.engines import Ending, Event, Ground, Task
from bot.runner.engines.foreign import MAX_WORDS, Session, Start, dollars, told
from bot.runner.engines.installed import Install
from bot.runner.isolation import as_user
from bot.runner.tools import BASH, one_line

LOCK = Path(__file__).parent / "locks" / "claude-code"
PACKAGE = "@anthropic-ai/claude-code"
MEMORY, SERVERS, FOLDER, SETTINGS = "CLAUDE.md", ".mcp.json", ".claude/", ".claude/settings.json"
# In a settings file these would go before our environment: another model, another place to ask, another key.
_OURS = ("model", "apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "forceLoginMethod")
_OUR_ENV = ("ANTHROPIC_", "CLAUDE_CODE_", "DISABLE_")
# Beginnings of variables that lead it past ANTHROPIC_BASE_URL: to another provider, or by a login of its own.
_OTHERS = ("ANTHROPIC_", "BEDROCK", "FOUNDRY", "GATEWAY", "MANTLE", "VERTEX")
ELSEWHERE = (
    *(f"CLAUDE_CODE_USE_{name}" for name in _OTHERS),
    *("CLAUDE_CODE_OAUTH_", "CLAUDE_CODE_API_BASE_URL", "ANTHROPIC_UNIX_SOCKET"),
)
# Without those that wait for a clock or a person, and WebSearch: it runs at Anthropic, and has no bound (G8).
TOOLS = "Bash,Edit,Read,Write,NotebookEdit,Skill,Task,TaskCreate,TaskGet,TaskList,TaskUpdate,ToolSearch"
OUTPUT = 32_000  # tokens: each request in flight holds this much, and subagents ask side by side (G1)
READ_SECONDS = 20
MAX_SESSION = 24 * 1024 * 1024
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ClaudeCode:
    """The program, as its lock has it."""

    name = "claude-code"
    settings = (MEMORY, SERVERS, FOLDER)

    def __init__(self) -> None:
        self.version = str(json.loads((LOCK / "package.json").read_bytes())["dependencies"][PACKAGE])

    @property
    def install(self) -> Install:
        """From the npm registry, by the hashes of its lock and without running a script of it."""
        return Install(
            {"npm": "add a step with Node.js before the agent's"},
            LOCK,
            lambda where: [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]],
        )

    def session(self, task: Task, ground: Ground, where: Path, ran: Callable[[str, bool], None]) -> Session:
        return Work(task, ground, program(where), ran)


def program(where: Path) -> Path:
    """This machine's program of those that the package has. Raises OSError."""
    found = sorted((where / "node_modules" / "@anthropic-ai").glob("claude-code-*/claude"))
    if not found:
        raise OSError("its package has no program for this kind of machine")
    return found[0]


class Work:
    """One session of it, told as events."""

    def __init__(self, task: Task, ground: Ground, claude: Path, ran: Callable[[str, bool], None]) -> None:
        self._ground, self._ran = ground, ran
        self._home = ground.home / ".claude"
        earlier = task.earlier
        self._id = self._go_on(earlier) if earlier and earlier.session else ""
        self.turns = self.tool_calls = 0
        if earlier is not None:
            self.turns, self.tool_calls = earlier.turns, earlier.tool_calls
        self._words = ""
        self._answer = ""  # the message that is being told, block by block
        self._calls: dict[str, str] = {}  # commands whose results are still to come
        self._results = False
        self._result: dict[str, Any] = {}
        self.start = Start(self._command(task, claude), environment(task), task.prompt)

    def _command(self, task: Task, claude: Path) -> Sequence[str]:
        """The prompt comes by standard input: what stands in arguments the whole machine can read."""
        aside, base = self._ground.aside, self._ground.base
        rules, servers = aside / "rules.md", aside / "mcp.json"
        rules.write_text(task.system, encoding="utf-8")
        servers.write_bytes(base.get(SERVERS) or b'{"mcpServers": {}}')
        for made in (rules, servers):
            made.chmod(0o644)
        for path, content in base.items():
            if path == SETTINGS:
                self._put("settings.json", _settings(content))
            elif path == MEMORY or path.startswith(FOLDER):
                self._put(path.removeprefix(FOLDER), content)
        return [
            str(claude), "-p", "--output-format", "stream-json", "--verbose",
            "--model", task.model,
            "--append-system-prompt-file", str(rules),
            # As its user's own, base's; nothing of the project's, which is the head's.
            "--setting-sources", "user", "--strict-mcp-config", "--mcp-config", str(servers),
            "--tools", TOOLS, "--allowed-tools", ",".join([TOOLS, *_servers(base.get(SERVERS, b""))]),
            "--permission-mode", "dontAsk",
            *(["--resume", self._id] if self._id else []),
        ]  # fmt: skip

    # -- what it says --

    @property
    def over(self) -> bool:
        return bool(self._result)

    def hear(self, line: str) -> Iterable[Event]:
        said = told(line)
        match said:
            case {"type": "system", "subtype": "init", "session_id": str(id)} if _ID.fullmatch(id):
                self._id = id
            case {"type": "assistant", "message": {"model": "<synthetic>"}}:
                pass  # its own words for an answer that there was not
            case {"type": "assistant", "message": {"id": str(id), "content": list(blocks)}}:
                return list(self._said(id, blocks, isinstance(said.get("parent_tool_use_id"), str)))
            case {"type": "user", "message": {"content": list(blocks)}}:
                self._done(blocks)
            case {"type": "result"}:
                self._result = said
            case _:
                pass
        return ()

    def _said(self, id: str, blocks: list[Any], subagent: bool) -> Iterator[Event]:
        if id != self._answer:
            self._answer = id
            self.turns += 1
            if self._results:
                self._results = False
                yield self._event("results", "", self.so_far())
        for block in blocks:
            match block:
                case {"type": "text", "text": str(text)} if words := text.strip()[:MAX_WORDS]:
                    self._words = self._words if subagent else words
                    yield self._event("turn", words)
                case {"type": "tool_use", "id": str(call), "name": str(name), "input": dict(given)}:
                    self.tool_calls += 1
                    if isinstance(command := given.get("command"), str):
                        self._calls[call] = command
                    yield self._event("tool", _shown(name, given))
                case _:
                    pass

    def _done(self, blocks: list[Any]) -> None:
        for block in blocks:
            match block:
                case {"type": "tool_result", "tool_use_id": str(call)}:
                    self._results = True
                    if command := self._calls.pop(call, ""):
                        self._ran(command, bool(block.get("is_error")))
                case _:
                    pass

    def ended(self, code: int, errors: str) -> Ending:
        """`is_error` says that it failed, where `subtype` says "success" all the same."""
        result, words = self._result, self._words
        if isinstance(result.get("result"), str) and not result.get("is_error"):
            words = result["result"].strip()[:MAX_WORDS] or words
        ending = Ending(
            "done",
            words,
            tool_calls=self.tool_calls,
            turns=self.turns,
            so_far=self.so_far(),
            own=dollars(result.get("total_cost_usd")),
        )
        if code == 0 and result and not result.get("is_error"):
            return ending
        why = str(result.get("result") or result.get("subtype") or errors or f"exit code {code}")
        return replace(ending, outcome="failed", message=f"Claude Code failed: {why.strip()[:500]}")

    def _event(self, kind: Any, text: str, so_far: Transcript | None = None) -> Event:
        return Event(kind, text, self.turns, self.tool_calls, so_far=so_far)

    # -- its session --

    def so_far(self) -> Transcript | None:
        """Its own file of the session, from which `--resume` goes on; None while there is none."""
        if not self._id:
            return None
        # A command of the agent's may have put a device or a pipe in its place.
        read = f'[ -f "$1" ] && exec head -c {MAX_SESSION + 1} "$1"'
        text = self._as_user("sh", "-c", read, "sh", str(self._file(self._id)))
        if not text or len(text) > MAX_SESSION:
            return None
        session = text.decode("utf-8", "replace")
        return Transcript("claude-code", (), self.turns, self.tool_calls, session=session)

    def _go_on(self, earlier: Transcript) -> str:
        """Put an earlier attempt's session back; its id, "" where it has none."""
        for line in earlier.session.splitlines():
            id = told(line).get("sessionId")
            if isinstance(id, str) and _ID.fullmatch(id):
                self._put(str(self._file(id).relative_to(self._home)), earlier.session.encode())
                return id
        return ""

    def _file(self, id: str) -> Path:
        # It names a project's folder so: every character of its path but letters and digits is a dash.
        name = re.sub(r"[^A-Za-z0-9]", "-", str(self._ground.work))
        return self._home / "projects" / name / f"{id}.jsonl"

    def _put(self, path: str, content: bytes) -> None:
        """A file below its folder in the user's home, which is the user's: written by that user."""
        if ".." in Path(path).parts:
            return
        to = self._home / path
        self._as_user("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "sh", str(to), given=content)

    def _as_user(self, *command: str, given: bytes = b"") -> bytes:
        """What a command of the user's prints: no link of its leads us where it may not read."""
        try:
            done = subprocess.run(
                command,
                env={"PATH": os.defpath},
                cwd="/",
                input=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=READ_SECONDS,
                check=False,
                **as_user(self._ground.user),
            )
        except (OSError, subprocess.TimeoutExpired):
            return b""
        return done.stdout if done.returncode == 0 else b""


def environment(task: Task) -> dict[str, str]:
    """What tells it where its model is, and keeps it from asking for anything else.

    https://code.claude.com/docs/en/env-vars (2026-11-26).
    """
    return {
        "ANTHROPIC_BASE_URL": task.base_url,
        "ANTHROPIC_API_KEY": task.token,
        "ANTHROPIC_MODEL": task.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": task.model,
        "CLAUDE_CODE_SUBAGENT_MODEL": task.model,
        "CLAUDE_CODE_EFFORT_LEVEL": task.effort,
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(OUTPUT),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }


def _servers(content: bytes) -> list[str]:
    """What allows all tools of each server: nobody is there to be asked about one."""
    try:
        return [f"mcp__{re.sub('[^A-Za-z0-9_-]', '_', name)}" for name in json.loads(content)["mcpServers"]]
    except (ValueError, KeyError, TypeError):
        return []


def _settings(content: bytes) -> bytes:
    """A settings file without what the run decides; an empty one where it cannot be read."""
    try:
        given = json.loads(content)
        kept = {name: value for name, value in given.items() if name not in _OURS}
        env = {name: value for name, value in kept.get("env", {}).items() if not name.startswith(_OUR_ENV)}
    except (ValueError, AttributeError):
        return b"{}"
    return json.dumps(kept | {"env": env}).encode()


def _shown(name: str, given: dict[str, Any]) -> str:
    if "command" in given:
        return one_line(BASH, given)
    return one_line(name, {"command": name, "path": given.get("file_path") or given.get("description") or ""})
