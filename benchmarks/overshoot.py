"""Dollars past a ceiling: the same turns of $0.80 under a limit of $2.00, one client and many on one limit.

    make bench-overshoot

What was spent is read from the upstream's own invoice (the sandbox's Claude, fresh for every line), never
from the program that is measured. A limit that is checked after the answer lets the last one through, and
with many clients at once the last answer of each.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import click

from benchmarks import peers, service
from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from sandbox.characters.delegating import SUBAGENTS
from sandbox.processes import Started, start

MODEL = "claude-opus-4-7"
KEY = "sk-benchmark-0123456789abcdef"
ANSWER_TOKENS = 32_000  # of output, at $25 a million: $0.80
LIMIT = "2.00"
NANOS = 1_000_000_000
BODY = json.dumps(
    {
        "model": MODEL,
        "max_tokens": ANSWER_TOKENS + 100,
        "messages": [{"role": "user", "content": "Go on."}],
    }
).encode()
MOST_TURNS = 40  # a client that nobody stops stops here


@dataclass(frozen=True)
class Line:
    """One program with so many clients: what the upstream billed, in dollars."""

    name: str
    clients: int
    billed: Decimal
    answers: int
    refused: str = ""

    @property
    def past(self) -> Decimal:
        return max(Decimal(0), self.billed - Decimal(LIMIT))


@contextmanager
def claude() -> Iterator[Started]:
    with start("claude", character="echo", answer_tokens=ANSWER_TOKENS) as started:
        yield started


def billed(upstream: Started) -> Decimal:
    return Decimal(upstream.invoice()["total_nanos"]) / NANOS


def clients(url: str, key: str, count: int) -> tuple[int, str]:
    """Each asks again until it is told no; the answers there were, and the first refusal."""
    parts = urlsplit(url)
    answers: list[int] = []
    refusals: list[str] = []
    begin = threading.Barrier(count)

    def work() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=300)
        headers = {"content-type": "application/json", "x-api-key": key, "anthropic-version": "2023-06-01"}
        begin.wait()
        for _ in range(MOST_TURNS):
            connection.request("POST", f"{parts.path}/v1/messages", BODY, headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                refusals.append(f"{answer.status}: {_message(content)}")
                break
            answers.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(answers), refusals[0] if refusals else "nobody was told to stop"


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")


# -- the four --


def tollgate(kind: str) -> Callable[[int], Line]:
    def line(count: int) -> Line:
        made = service.sqlite() if kind == "sqlite" else service.postgresql()
        with claude() as upstream, made as url, service.serving(url, upstream.url) as served:
            ceilings = Ceilings(Usd.parse(LIMIT), 10**9, 10**6, 3600)
            _, token = served.run(ceilings)
            answers, refused = clients(served.url, token, count)
            return Line(f"Tollgate, {kind}", count, billed(upstream), answers, refused)

    return line


def litellm(count: int) -> Line:
    """Its proxy with a budget for the provider, the one that needs no database."""
    program = peers.litellm() / "litellm"
    with claude() as upstream, TemporaryDirectory(prefix="bench-") as home, _nowhere() as nowhere:
        params = {"model": f"anthropic/{MODEL}", "api_key": "sk-upstream", "api_base": upstream.url}
        budget = {"anthropic": {"budget_limit": float(LIMIT), "time_period": "1d"}}
        config = {
            "model_list": [{"model_name": MODEL, "litellm_params": params}],
            "router_settings": {"provider_budget_config": budget},
        }
        (Path(home) / "config.yaml").write_text(json.dumps(config))
        port = service.free_port()
        url = f"http://127.0.0.1:{port}"
        command = [str(program), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
        env = _environment(LITELLM_MASTER_KEY=KEY, LITELLM_LOCAL_MODEL_COST_MAP="True")
        process = subprocess.Popen(command, env=env, cwd=home, stdout=nowhere, stderr=nowhere)
        try:
            service.await_http(f"{url}/health/liveliness", process)
            answers, refused = clients(url, KEY, count)
        finally:
            service.stop(process)
        return Line(f"LiteLLM {peers.LITELLM}, provider budget", count, billed(upstream), answers, refused)


_MINI = """
import json, sys, threading
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel
url, model, tokens, limit, count = sys.argv[1:6]
ends = []
def work():
    asked = {"api_base": url, "api_key": "sk-benchmark", "max_tokens": int(tokens)}
    agent = DefaultAgent(
        LitellmModel(model_name="anthropic/" + model, model_kwargs=asked), LocalEnvironment(),
        system_template="You work.", instance_template="Go on.", cost_limit=float(limit),
        max_consecutive_format_errors=0)
    try:
        ends.append(agent.run("go on").get("exit_status", ""))
    except Exception as error:
        ends.append(str(error))
threads = [threading.Thread(target=work) for _ in range(int(count))]
[t.start() for t in threads]
[t.join() for t in threads]
print("\\n" + json.dumps(ends))
"""


def mini_swe_agent(count: int) -> Line:
    """One agent under its cost_limit; many under the limit that agents of a process share."""
    interpreter = peers.python("mini", f"mini-swe-agent=={peers.MINI_SWE_AGENT}")
    with claude() as upstream, TemporaryDirectory(prefix="bench-") as home:
        env = _environment(
            HOME=home,
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            MSWEA_SILENT_STARTUP="1",
            MSWEA_CONFIGURED="true",
            MSWEA_GLOBAL_CONFIG_DIR=home,
            MSWEA_GLOBAL_COST_LIMIT=LIMIT if count > 1 else "0",
        )
        asked = [upstream.url, MODEL, str(ANSWER_TOKENS + 100), LIMIT, str(count)]
        done = subprocess.run(
            [str(interpreter), "-c", _MINI, *asked],
            env=env,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=600,
        )
        said = done.stdout.strip().splitlines()
        if done.returncode or not said:
            raise RuntimeError(f"mini-swe-agent: {(done.stderr or 'said nothing').strip()[-400:]}")
        what = "cost_limit" if count == 1 else "global cost limit"
        invoice = upstream.invoice()
        return Line(
            f"mini-swe-agent {peers.MINI_SWE_AGENT}, {what}",
            count,
            Decimal(invoice["total_nanos"]) / NANOS,
            invoice["count"],
            str(json.loads(said[-1])[0]),
        )


def claude_code(count: int) -> Line:
    """Turn upon turn in one conversation under --max-budget-usd; it has no limit that processes share."""
    program = peers.claude_code()
    with claude() as upstream, TemporaryDirectory(prefix="bench-") as home:
        env = _quiet(home, upstream)
        command = [
            str(program), "-p", "--model", MODEL, "--max-budget-usd", LIMIT, "--verbose",
            "--input-format", "stream-json", "--output-format", "stream-json",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env=env, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(240, process.kill)
        watchdog.start()
        ended = ""
        try:
            _say(process)
            for number, result in enumerate(_results(process), 2):
                ended = str(result.get("subtype", ""))
                if result.get("is_error") or ended != "success" or number > MOST_TURNS:
                    break
                _say(process)
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        time.sleep(0.2)
        invoice = upstream.invoice()
        return Line(
            f"Claude Code {peers.CLAUDE_CODE}, --max-budget-usd",
            count,
            Decimal(invoice["total_nanos"]) / NANOS,
            invoice["count"],
            ended,
        )


def subagents(ours: bool) -> Callable[[int], Line]:
    """One that gives its task to eight subagents at once: under its own limit, or under `exec`."""

    def line(count: int) -> Line:
        program = peers.claude_code()
        talker = start("claude", character="delegating", answer_tokens=ANSWER_TOKENS)
        with talker as upstream, TemporaryDirectory(prefix="bench-") as home:
            asks = [
                str(program), "-p", "Do all of it.", "--model", MODEL, "--permission-mode", "dontAsk",
                "--allowed-tools", "Task,Bash", "--output-format", "json",
            ]  # fmt: skip
            bounded = ["exec", "--cost", LIMIT, "--tokens", "1000M", "--steps", "1M", "--local", "--"]
            before, after = (
                ([sys.executable, "-m", "bot", *bounded], []) if ours else ([], ["--max-budget-usd", LIMIT])
            )
            env = _quiet(home, upstream) | {"PYTHONPATH": str(peers.ROOT)}
            done = subprocess.run(
                [*before, *asks, *after], env=env, cwd=home, capture_output=True, text=True, timeout=300
            )
            invoice = upstream.invoice()
        said = [text for text in done.stderr.splitlines() if "ceiling reached" in text or "Budget" in text]
        name = f"Claude Code {peers.CLAUDE_CODE}'s subagents"
        return Line(
            f"Tollgate exec, {name}" if ours else f"{name}, --max-budget-usd",
            count,
            Decimal(invoice["total_nanos"]) / NANOS,
            invoice["count"],
            said[0] if said else f"exit code {done.returncode}",
        )

    return line


def _quiet(home: str, upstream: Started) -> dict[str, str]:
    """Claude Code's environment: the model's address, and nothing else that it asks."""
    return _environment(
        HOME=home,
        ANTHROPIC_BASE_URL=upstream.url,
        ANTHROPIC_API_KEY=KEY,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
    )


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    message = {"type": "user", "message": {"role": "user", "content": "Go on."}}
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _results(process: subprocess.Popen[str]) -> Iterator[dict[str, object]]:
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("type") == "result":
            yield said


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}  # noqa: TID251 - a child's environment is this one and what is said here


@contextmanager
def _nowhere() -> Iterator[int]:
    number = os.open(os.devnull, os.O_WRONLY)
    try:
        yield number
    finally:
        os.close(number)


# -- the table --


@click.command()
@click.option("--many", default=32, show_default=True, help="Clients of the second half.")
@click.option("--peers", "beside", default="litellm,mini-swe-agent,claude-code", show_default=True)
def main(many: int, beside: str) -> None:
    """Dollars past a limit of $2.00 with turns of $0.80, from the upstream's invoice."""
    machine = peers.machine()
    plans: list[tuple[str, Callable[[int], Line], tuple[int, ...]]] = [
        ("tollgate-sqlite", tollgate("sqlite"), (1, many)),
        ("tollgate-postgresql", tollgate("postgresql"), (1, many)),
        ("litellm", litellm, (1, many)),
        ("mini-swe-agent", mini_swe_agent, (1, many)),
        ("claude-code", claude_code, (1,)),
        ("claude-code", subagents(ours=False), (SUBAGENTS,)),
        ("claude-code", subagents(ours=True), (SUBAGENTS,)),
    ]
    lines: list[Line] = []
    missing: dict[str, str] = {}
    for name, program, counts in plans:
        if not name.startswith("tollgate") and name not in beside.split(","):
            continue
        for count in counts:
            try:
                lines.append(program(count))
            except (peers.NotInstalled, RuntimeError, subprocess.SubprocessError) as error:
                missing[name] = str(error)
                break
    click.echo(f"Tollgate {peers.commit()}")
    click.echo(machine)
    click.echo(
        f"turns of ${Decimal(ANSWER_TOKENS) * 25 / 1_000_000}, limit ${LIMIT}; billed by the upstream\n"
    )
    click.echo(
        f"{'program':<54}{'clients':>8}{'answers':>9}{'billed $':>11}{'past the limit $':>18}  how it ended"
    )
    for line in lines:
        click.echo(
            f"{line.name:<54}{line.clients:>8}{line.answers:>9}{line.billed:>11.4f}{line.past:>18.4f}  "
            f"{line.refused[:60]}"
        )
    click.echo(
        "\nLiteLLM's budgets of keys and users need its Prisma client, whose engine is downloaded from"
        " binaries.prisma.sh when it is set up: not measured. Claude Code's limit is of one process: many"
        " share none."
    )
    for name, why in missing.items():
        click.echo(f"{name} is not beside us here: {why}")
    own = [line for line in lines if line.name.startswith("Tollgate")]
    found = {
        "bench": "overshoot",
        "machine": machine,
        "limit": LIMIT,
        "past": max(float(line.past) for line in own),
        "used": min(float(line.billed) for line in own if line.name.startswith("Tollgate,")),
        "lines": [
            {
                "program": line.name,
                "clients": line.clients,
                "answers": line.answers,
                "billed": float(line.billed),
                "past": float(line.past),
            }
            for line in lines
        ],
        "missing": missing,
    }
    click.echo(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
