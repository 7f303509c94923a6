"""`python -m bot.runner`: one run in CI through the service, dispatched by it or asked for by this step."""

from __future__ import annotations

import os
import sys

from bot import settings
from bot.runner import isolation
from bot.runner.runner import main_ci
from bot.runner.step import main_step


def main() -> int:
    env = settings.environment()
    if env.get("TOLLGATE_ISOLATION") != "none" and isolation.may_become_root():
        # Only root may run the agent's tools as another user (S1). sudo would set its own PATH: keep ours.
        command = ["sudo", "-n", "--preserve-env", "env", f"PATH={env.get('PATH', os.defpath)}"]
        os.execvp("sudo", [*command, sys.executable, "-m", "bot.runner"])  # noqa: S606
    with isolation.outlived_by_none():
        return main_ci(env) if env.get("TOLLGATE_RUN") else main_step(env)


if __name__ == "__main__":
    sys.exit(main())
