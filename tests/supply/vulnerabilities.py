"""Known holes in what is installed: pip-audit's answer for requirements.lock, and whether there was one.

pip-audit ends with 0 where the index could not tell anything of any package. That is not the same as no hole.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Unasked(Exception):
    """Nobody could be asked; a sentence."""


def known(root: Path) -> list[str]:
    """A line for each known hole, and for each package of which nothing could be told. Raises Unasked."""
    asked = [
        sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", "requirements.lock",
        "--format", "json", "--progress-spinner", "off", "--timeout", "30",
    ]  # fmt: skip
    told = subprocess.run(asked, cwd=root, check=False, capture_output=True, text=True)
    try:
        packages = json.loads(told.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        last = (told.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Unasked(f"the package index could not be asked for known holes: {last}") from error
    return lines(packages)


def lines(packages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same from pip-audit's JSON. Raises Unasked."""
    untold = [package for package in packages if "skip_reason" in package]
    if len(untold) == len(packages):
        raise Unasked("the package index tells nothing of any package: nothing is known of holes")
    found = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in packages
        for hole in package.get("vulns", ())
    ]
    return found + [f"{package['name']}: nothing could be told" for package in untold]
