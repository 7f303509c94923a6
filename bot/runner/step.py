"""The step of a workflow with the service: it opens a run for itself, and works on a copy of the checkout.

The key and the ceilings are the service's. The agent's commands run as another user, in a copy of the job's
working tree; what they changed is put into that tree, and nothing of it anywhere else.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bot.core import changeset as changesets
from bot.core.objections import objections
from bot.runner.checkout import Place
from bot.runner.inputs import REFUSED, Inputs, WrongInputs, exit_code, read
from bot.runner.isolation import User
from bot.runner.joblog import Job
from bot.runner.papers import Papers
from bot.runner.pristine import GitFailed
from bot.runner.runner import IDENTITY, Begun, CiRun, Made, cancelled, client, identity
from bot.runner.service import Service, ServiceError
from bot.runner.supervise import Stop
from bot.runner.workspace import Workspace


def main_step(env: Mapping[str, str]) -> int:
    """The whole of it; the exit code of the step."""
    job = Job(env)
    stop = Stop()
    with cancelled(stop), client() as http:
        try:
            inputs = read(env, key=False)
            if missing := next((name for name in IDENTITY if not env.get(name)), None):
                raise WrongInputs(f"{missing} is not set: {IDENTITY[missing]}, with which it tells who it is")
            service = Service(inputs.service, http)
            brief = service.open(_asked(inputs), identity(env, service))
        except (WrongInputs, ServiceError) as error:
            job.error(f"Not started: {str(error).rstrip('.')}.")
            return REFUSED
        try:
            job.mask(brief.token)
            job.began(brief)
            return StepRun(env, service, brief, job, time.monotonic(), inputs=inputs).through(stop)
        except ServiceError as error:
            job.error(str(error))
            return 1


def _asked(inputs: Inputs) -> dict[str, Any]:
    """What bot/core/steps.py reads. Its number makes asking again the same as asking once."""
    return {
        "number": secrets.randbits(62) + 1,
        "task": inputs.task,
        "class": inputs.task_class,
        "engine": inputs.engine or None,
        "cost": inputs.cost.exact if inputs.cost is not None else None,
        "tokens": inputs.tokens,
        "steps": inputs.steps,
        "wall": inputs.wall,
        "check": inputs.check,
        "line": inputs.line,
    }


@dataclass
class StepRun(CiRun):
    """A run that a step has opened for itself."""

    patience: ClassVar[float] = 150.0  # seconds: what is in flight at a halt may take two minutes to end (G5)

    inputs: Inputs = Inputs("served")  # noqa: RUF009 - frozen
    workspace: Workspace | None = None
    patch: bytes = b""

    def _lay_out(self, where: Place, user: User | None) -> Begun:
        self.workspace = Workspace.open(where.git, self.env)
        self.workspace.lay_out(where.work, user)
        return Begun(self.workspace.pristine, self.workspace.found)

    def _in(self, *given: Any) -> Made:
        made = super()._in(*given)
        try:
            self._bring_back(made)
        except (GitFailed, OSError, ValueError, changesets.Malformed) as error:
            self.job.error(f"What it made could not be put into the working tree: {error}")
        return made

    def _bring_back(self, made: Made) -> None:
        """Into the job's own working tree, as its owner's. Raises GitFailed, OSError, ValueError."""
        if self.workspace is None:
            return
        changes = changesets.read(made.changeset)
        self.workspace.put(changes)
        self.patch = self.workspace.patch()
        for why in objections(changes, self.brief.forbidden):
            self.job.warning(f"A person should look before this goes anywhere: {why}.")

    def _leave(self, made: Made, seconds: float) -> int:
        told = self.service.report(self.brief, seconds)
        if told is None:
            self.job.error("The service does not tell the report of this run; what is known here is said.")
            self.job.unreported(made.ending, made.check)
            return exit_code(made.ending.outcome, made.check, self.inputs.fails)
        Papers(told["report"], told["summary"], self.patch).leave(self.env, self.job)
        return exit_code(str(told["report"]["outcome"]), made.check, self.inputs.fails)
