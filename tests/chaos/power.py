"""A power cut for SQLite: what was not synced is lost, whole, in part or not at all, as a disk does it.

The processes write down what they do to the file and its log (power.c, loaded into them). A cut keeps what a
sync had ended for that began after it was written; of all else, sector by sector, what the dice say.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

MARK = b"\x8f\xa1tollgate-pow\xfe\x01"
HEAD = struct.Struct("<BBQQQ")
SECTOR = 512
SOURCE = Path(__file__).with_suffix(".c")


@dataclass
class Disk:
    """One file as the disk surely has it, and what it may have besides, in its order."""

    sure: bytearray
    perhaps: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut to that length
    asked: dict[int, int] = field(default_factory=dict)  # how much of `perhaps` a sync that runs is for

    def read(self, kind: str, id: int, offset: int, content: bytes) -> None:
        match kind:
            case "w":
                self.perhaps.append((offset, content))
            case "t":
                self.perhaps.append((offset, None))
            case "b":
                self.asked[id] = len(self.perhaps)
            case "e" if many := self.asked.pop(id, 0):
                for one in self.perhaps[:many]:
                    self._do(*one)
                del self.perhaps[:many]
                self.asked = {other: max(0, left - many) for other, left in self.asked.items()}

    def _do(self, offset: int, content: bytes | None) -> None:
        if content is None:
            del self.sure[offset:]
            return
        self.sure.extend(b"\0" * (offset - len(self.sure)))
        self.sure[offset : offset + len(content)] = content

    def cut(self, dice: random.Random) -> int:
        """Lose the power; how many of what was not synced are lost or torn."""
        lost = 0
        for offset, content in self.perhaps:
            fate = dice.choice(("kept", "lost", "torn"))
            lost += fate != "kept"
            if content is None or fate == "kept":
                if fate == "kept":
                    self._do(offset, content)
                continue
            if fate == "torn":
                for at in range(0, len(content), SECTOR):
                    if dice.random() < 0.5:
                        self._do(offset + at, content[at : at + SECTOR])
        self.perhaps.clear()
        self.asked.clear()
        return lost


class Power:
    """Of one database file, whose processes were started with `env`."""

    def __init__(self, file: Path, folder: Path, compiler: str) -> None:
        self.file, self.log = file, folder / "power.log"
        library = folder / "power.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"], check=True
        )
        self.env = {"LD_PRELOAD": str(library), "POWER_FILE": str(file), "POWER_LOG": str(self.log)}
        self.written = self.lost = self.cuts = 0

    def begin(self) -> None:
        """What the disk has now is where the next cut starts from. No process may have the file open."""
        self._before = [path.read_bytes() if path.exists() else b"" for path in self._paths]
        self.log.write_bytes(b"")

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self.file, Path(f"{self.file}-wal")

    def cut(self, dice: random.Random) -> None:
        """Every process is dead; the files become what the disk had."""
        disks = [Disk(bytearray(content)) for content in self._before]
        for record in self.log.read_bytes().split(MARK)[1:]:
            if len(record) < HEAD.size:
                continue  # of a process that died while it wrote this down: what it tells of is not synced
            kind, file, id, offset, length = HEAD.unpack_from(record)
            content = record[HEAD.size :]
            if chr(kind) == "w" and len(content) != length:
                continue
            disks[file].read(chr(kind), id, offset, content)
            self.written += chr(kind) == "w"
        for path, disk in zip(self._paths, disks, strict=True):
            self.lost += disk.cut(dice)
            path.write_bytes(disk.sure)
        Path(f"{self.file}-shm").unlink(missing_ok=True)
        self.cuts += 1
        self.begin()


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")
