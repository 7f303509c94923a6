"""What a workflow step leaves behind for the steps after it: files, outputs, the job's summary."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.runner.joblog import Job

OUTPUTS = ("outcome", "reason", "cost", "tokens", "steps", "patch", "report", "summary")


@dataclass(frozen=True, slots=True)
class Papers:
    """One run's: `report` as `--report` writes it, `summary` in Markdown, `patch`."""

    report: Mapping[str, Any]
    summary: str
    patch: bytes | None = None  # None: its work went elsewhere

    def leave(self, env: Mapping[str, str], job: Job) -> None:
        """Write all of it. Texts and patches are files, for an output is pasted wherever it is named."""
        folder = Path(env.get("RUNNER_TEMP") or "/tmp") / f"tollgate-{self.report['run']}"  # noqa: S108
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        named = {
            "patch": ("changes.patch", self.patch),
            "report": ("report.json", json.dumps(self.report, indent=2).encode() + b"\n"),
            "summary": ("summary.md", self.summary.encode(errors="replace")),
        }
        paths = {}
        for name, (file, content) in named.items():
            if content is not None:
                (folder / file).write_bytes(content)
                paths[name] = str(folder / file)
        owner = folder.parent.stat()
        if owner.st_uid != os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        job.outputs(values(self.report) | paths)
        job.summary(self.summary)


def values(report: Mapping[str, Any]) -> dict[str, str]:
    """The outputs that a report gives."""
    spent = report["spent"]
    return {
        "outcome": str(report["outcome"]),
        "reason": str(report["reason"] or ""),
        "cost": str(spent["usd"]),
        "tokens": str(spent["tokens"]),
        "steps": str(spent["steps"]),
    }
