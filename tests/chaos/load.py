"""Requests as heavy as they come, by hand, and what a process then holds."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.core.ceilings import Ceilings
from bot.core.money import Usd
from tests.gateways import World

MODEL = "claude-opus-4-7"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
KINDS = ("text", "text of four bytes a letter", "escapes", "pictures", "messages")


def wide(seconds: int = 600) -> Ceilings:
    return Ceilings(Usd.parse("1000"), 10**9, 10**5, seconds)


def body(character: str, stream: bool = True, **more: Any) -> bytes:
    talk = [{"role": "user", "content": f"character: {character}"}]
    return json.dumps(
        {"model": MODEL, "max_tokens": 2_000, "stream": stream, "messages": talk, **more}
    ).encode()


def head(token: str, length: int, *more: str) -> bytes:
    lines = ["POST /anthropic/v1/messages HTTP/1.1", "host: x", f"x-api-key: {token}", *more]
    return "\r\n".join(
        [*lines, "anthropic-version: 2023-06-01", f"content-length: {length}", "", ""]
    ).encode()


def dial(world: World) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.gateways[0].port), timeout=60)


def ask(world: World, token: str, content: bytes) -> tuple[int, bytes]:
    parts = urlsplit(world.gateways[0].url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    headers = {"x-api-key": token, "anthropic-version": "2023-06-01"}
    try:
        connection.request("POST", f"{parts.path}/v1/messages", content, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def megabytes(pid: int, what: str = "VmRSS") -> float:
    """Of a process: VmRSS now, VmHWM at the most so far."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().split("\n") if x.startswith(what))
    return int(line.split()[1]) / 1024


def body_of(size: int, kind: str) -> bytes:
    if kind == "pictures":
        data = PICTURE * ((1 << 20) // len(PICTURE) // 4 * 4)
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        content: list[Any] = [image] * (size // len(data) - (0 if size > (32 << 20) else 1))
    else:
        content = []
    if kind == "messages":
        messages = [{"role": "user", "content": "x" * 500}] * (size // 535)
        return body("echo", False, messages=messages) + b" " * (size - (32 << 20) + 1)
    rest = size - len(body("echo", False, messages=[{"role": "user", "content": [*content, text("")]}]))
    fillers = {"text of four bytes a letter": "😀" * (rest // 4), "escapes": '\n\\"' * (rest // 6)}
    filler = fillers.get(kind, "a" * rest)
    made = json.dumps(
        {
            "model": MODEL,
            "max_tokens": 2_000,
            "messages": [{"role": "user", "content": [*content, text(filler)]}],
        },
        ensure_ascii=False,
    ).encode()
    return made if size > (32 << 20) else made[: 32 << 20]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}
