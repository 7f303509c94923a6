"""What is installed: every version is pinned with its reason, and the service's whole tree by its hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = ("requirements.txt", "sandbox/requirements.txt", "tests/requirements.txt")
PIN = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?==(\S+) +# (.+)")
LOCKED = re.compile(r"^([a-z0-9.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)", re.MULTILINE)


def plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned_with_its_reason(name: str) -> None:
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        assert line.startswith(("#", "-r ")) or PIN.fullmatch(line), f"{name}: {line}"


def test_the_lock_has_what_the_service_requires_and_a_hash_for_each() -> None:
    required = PIN.findall((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    locked = LOCKED.findall((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    versions = {name: version for name, version, _ in locked}
    assert [versions.get(plain(name)) for name, _, _ in required] == [
        version for _, version, _ in required
    ], "`make lock` builds it anew"
    assert all(hashes for _, _, hashes in locked)
