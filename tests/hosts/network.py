"""Machines in one machine: Linux namespaces with a cable each to a bridge, which can be pulled."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateways import children

SECONDS = 10


def why_not() -> str:
    """What is missing here, as a sentence; empty: nothing is."""
    if os.name != "posix" or not Path("/proc/self/ns/net").exists():
        return "namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    name = f"tg{secrets.token_hex(4)}"
    try:
        _ip("link", "add", name, "type", "bridge")
        _ip("link", "del", name)
        subprocess.run([*_UNSHARE, "true"], check=True, capture_output=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return "this kernel, or this container, lets nobody make a bridge or a namespace (ip, unshare)"
    return ""


_UNSHARE = ("unshare", "--net", "--pid", "--uts", "--mount", "--fork", "--kill-child", "--mount-proc")


@dataclass
class Program:
    """A process on a host, as it is known here."""

    pid: int
    entered: subprocess.Popen[bytes]
    log: Path

    def end(self, seconds: float) -> int:
        """SIGTERM, and its exit code. Raises subprocess.TimeoutExpired."""
        os.kill(self.pid, signal.SIGTERM)
        return self.entered.wait(seconds)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Host:
    """A name, an address, process ids and a cable of its own."""

    name: str
    address: str
    cable: str  # the end of it that is at the bridge
    first: int  # its first process
    process: subprocess.Popen[bytes]
    programs: list[Program] = field(default_factory=list)

    def start(self, command: list[str], cwd: Path, env: Mapping[str, str], log: Path) -> Program:
        enter = ["nsenter", "--target", str(self.first), "--net", "--pid", "--uts", "--mount", "--wd=/", "--"]
        with log.open("ab") as out:
            entered = subprocess.Popen(
                [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(cwd), *command],
                env=dict(env), stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        made = Program(_only_child(entered), entered, log)
        self.programs.append(made)
        return made

    def cut(self) -> None:
        """Pull the cable: nobody is told."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        _ip("link", "set", self.cable, "up")

    def lose(self, address: str) -> None:
        """Only this one is not reached any more: the way there leads to nobody."""
        self._inside("route", "add", f"{address}/32", "via", f"{address.rpartition('.')[0]}.254")

    def find(self, address: str) -> None:
        self._inside("route", "del", f"{address}/32")

    def _inside(self, *asked: str) -> None:
        subprocess.run(
            ["nsenter", "--target", str(self.first), "--net", "--", "ip", *asked],
            check=True, capture_output=True, timeout=SECONDS,
        )  # fmt: skip

    def kill(self) -> None:
        """The power is gone: every process of it, at once, by the first one's SIGKILL."""
        self.process.kill()
        self.process.wait(SECONDS)
        for program in self.programs:
            program.entered.wait(SECONDS)


class Network:
    """`here`: this machine's address on the bridge; `beside`: another of them."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self._prefix = name, f"10.{number >> 8 & 255}.{number & 255}"
        self.here, self.beside = f"{self._prefix}.1", f"{self._prefix}.2"
        self.hosts: list[Host] = []

    def host(self, name: str) -> Host:
        number = 11 + len(self.hosts)
        address, cable = f"{self._prefix}.{number}", f"{self.name}-{number}"
        process = subprocess.Popen([*_UNSHARE, "sh", "-c", f"hostname {name}; exec sleep infinity"])
        first = _only_child(process)
        made = Host(name, address, cable, first, process)
        self.hosts.append(made)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(first))
        _ip("link", "set", cable, "master", self.name)
        made.mend()
        for asked in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            made._inside(*asked)
        return made


@contextmanager
def network() -> Iterator[Network]:
    """A bridge; at the end it is gone, and every host with all that ran there."""
    made = Network(f"tg{secrets.token_hex(3)}", 0xC800 + secrets.randbelow(0x3600))  # 10.200.0 to 10.253.255
    _ip("link", "add", made.name, "type", "bridge")
    try:
        for address in (made.here, made.beside):
            _ip("addr", "add", f"{address}/24", "dev", made.name)
        _ip("link", "set", made.name, "up")
        yield made
    finally:
        for host in made.hosts:
            host.kill()
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", made.name)


def _ip(*asked: str) -> None:
    subprocess.run(["ip", *asked], check=True, capture_output=True, timeout=SECONDS)


def _only_child(process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        if found := children(process.pid):
            return found[0]
        time.sleep(0.005)
    raise RuntimeError(f"{process.args!r} started nothing")
