"""`python -m bot.commands.step`: the action as a step of a workflow, as action.yml starts it.

With the service the runner takes over. Without it the step is a bounded run on this machine: the gateway is
in this process and the key too, so it bounds whatever keeps to the gateway, not what looks for the key (S1).
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bot import settings
from bot.clients.anthropic import Key
from bot.commands.local import CannotStart, Local, opened
from bot.commands.options import ceilings_of, key_and_upstream, price_book
from bot.core import policy as policies
from bot.core import reports, steps
from bot.core.ceilings import Ceilings
from bot.core.limits import KINDS
from bot.core.objections import objections
from bot.core.onboarding import POLICY
from bot.core.outcomes import MOST_NOTE
from bot.core.policy import Policy, PolicyError
from bot.core.reports import Published, Report
from bot.core.secrets import redacted
from bot.core.untrusted import several
from bot.runner import changeset, isolation
from bot.runner.engines import Event
from bot.runner.inputs import REFUSED, Inputs, WrongInputs, exit_code, read, variable
from bot.runner.joblog import Job
from bot.runner.local import LocalResult, run_local
from bot.runner.papers import Papers
from bot.runner.pristine import GitFailed
from bot.runner.workspace import Workspace

MOST_POLICY = 1024 * 1024  # bytes


class NotStarted(Exception):
    """Why nothing was started, and nothing spent; a phrase."""


def main() -> int:
    """The exit code of the step. Key and job's token come on standard input, a line each: what runs beside us
    as the same user could read them in our environment."""
    key, token = (sys.stdin.readline().strip() for _ in range(2))
    env = settings.environment() | {"GITHUB_TOKEN": token}
    job = Job(env)
    if key:
        job.mask(key)
    try:
        inputs = read(env, bool(key))
        if inputs.mode != "alone":
            os.execve(sys.executable, [sys.executable, "-m", "bot.runner"], env)  # noqa: S606 - the same Python
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        return alone(inputs, key, env, job)
    except (WrongInputs, NotStarted) as error:
        job.error(f"Not started: {error}. Nothing was spent.")
        return REFUSED


def alone(inputs: Inputs, key: str, env: Mapping[str, str], job: Job) -> int:
    """A bounded run on the job's checkout, in place. Raises NotStarted."""
    with tempfile.TemporaryDirectory(prefix="tollgate-step-") as scratch:
        try:
            workspace = Workspace.open(Path(scratch) / "git", env)
        except (GitFailed, OSError) as error:
            raise NotStarted(f"the checkout cannot be worked on: {error}") from error
        if workspace.keeps_a_token():
            job.warning(
                "The checkout keeps a token in .git/config, where the agent's commands can read it: check "
                "out with `persist-credentials: false`, or leave the checkout to this step."
            )
        policy = policy_of(inputs, workspace.folder)
        # Before its work is looked at, and before the job's next step, which may have secrets.
        with isolation.outlived_by_none():
            report, result = _bounded(inputs, key, dict(env), job, workspace.folder, policy, Path(scratch))
        papers, notes = _papers(report, workspace, policy)
    for note in notes:
        job.warning(note)
    job.block(reports.terminal(report))
    papers.leave(env, job)
    return exit_code(report.outcome, result.check if result else None, inputs.fails)


def policy_of(inputs: Inputs, checkout: Path) -> Policy:
    """The checkout's policy inside the default. It may be a pull request's own, so it only tightens (P2)."""
    file = checkout / (inputs.policy or POLICY)
    if not inputs.policy and not file.exists():
        return Policy.default()
    try:
        with file.open("rb") as opened_file:
            text = opened_file.read(MOST_POLICY)
        return policies.tighten(Policy.default(), policies.parse(text))
    except PolicyError as error:
        raise NotStarted(f"{file.relative_to(checkout)}: {error}") from error
    except (OSError, ValueError) as error:
        raise NotStarted(f"`policy`: {file} cannot be read: {error}") from error


def ceilings(inputs: Inputs, env: dict[str, str], policy: Policy) -> tuple[Ceilings, dict[str, str]]:
    """Each from its input, else the budget variables, else the class; the policy may only lower it."""
    asked = (inputs.cost, inputs.tokens, inputs.steps, inputs.wall)
    most, sources = ceilings_of(env, inputs.task_class, *asked)
    sources = {name: "input" if source == "option" else source for name, source in sources.items()}
    row = policy.classes[inputs.task_class]
    for name, kind in KINDS:
        value = getattr(row, name)
        if f"classes.{inputs.task_class}.{kind}" in policy.given and value < getattr(most, name):
            most, sources[name] = replace(most, **{name: value}), "policy"
    return replace(most, cached_tokens=row.cached_tokens), sources


def engine(inputs: Inputs, policy: Policy) -> str:
    """The one that is asked for, else the policy's first. Raises NotStarted where it does not allow that."""
    chosen = inputs.engine or next(iter(policy.engines), "none")
    if chosen not in policy.engines:
        raise NotStarted(f"`engine`: the policy allows {', '.join(policy.engines)}, not {chosen}")
    return chosen


def _bounded(
    inputs: Inputs, key: str, env: dict[str, str], job: Job, folder: Path, policy: Policy, scratch: Path
) -> tuple[Report, LocalResult | None]:
    """The run itself; no result when it was cancelled a second time."""
    most, sources = ceilings(inputs, env, policy)
    try:
        prices = price_book(folder / inputs.model_prices if inputs.model_prices else None)
    except (OSError, ValueError) as error:
        raise NotStarted(f"`model-prices`: {error}") from error
    result: LocalResult | None = None
    local: Local | None = None
    try:
        with opened(
            origin="step",
            ceilings=most,
            sources=sources,
            prices=prices,
            upstream=key_and_upstream(env)[1],
            key=Key("anthropic-api-key", key),
            state=scratch / "state",
            engine=engine(inputs, policy),
            model=inputs.model or policy.model,
            task=inputs.task,
            task_class=inputs.task_class,
            actor=env.get("GITHUB_ACTOR", ""),
            rules=policy.rules,
        ) as local:
            result = _worked(inputs, env, job, folder, policy, local)
    except CannotStart as error:
        raise NotStarted(str(error)) from error
    except KeyboardInterrupt:
        if local is None:
            raise NotStarted("the job was cancelled") from None
        local.end("failed", "interrupted")
    return local.report(), result


def _worked(
    inputs: Inputs, env: dict[str, str], job: Job, folder: Path, policy: Policy, local: Local
) -> LocalResult:
    job.block(reports.terminal_start(local.report()))
    most = local.account().ceilings

    def tell(event: Event) -> None:
        if event.kind == "wrap_up":
            local.open_slice()
        job.event(event, most.usd)

    kept = {name: value for name, value in env.items() if not name.startswith(variable(""))}
    result = run_local(
        inputs.task,
        folder,
        local.url,
        local.token,
        model=inputs.model or policy.model,
        ceilings=most,
        env=kept,
        task_class=inputs.task_class,
        engine=engine(inputs, policy),
        effort=policy.effort,
        context=policy.context,
        check_command=inputs.check or policy.check,
        on_event=tell,
        halted=local.halted,
    )
    found = result.check
    check = replace(found, output=redacted(found.output)[0]) if found is not None else None
    local.keep(redacted(result.summary)[0], check, result.tool_calls, result.ending.own)
    local.ended(result.outcome, result.ending.reason, redacted(result.ending.message or "")[0])
    return result


def _papers(report: Report, workspace: Workspace, policy: Policy) -> tuple[Papers, tuple[str, ...]]:
    """The papers, and what a person should know before this work goes anywhere."""
    try:
        patch = workspace.patch()
        made, left_out = changeset.collect(workspace.pristine, workspace.found, workspace.folder)
        notes = (*left_out, *map(str, objections(made, policy.forbidden)))
    except (GitFailed, OSError) as error:
        patch, notes = b"", (f"the changes could not be collected: {error}",)
    if patch or notes:
        report = replace(report, published=Published("tree", "", "", "", note=several(notes, MOST_NOTE)))
    return Papers(reports.to_json(report), reports.job_summary(report, steps.here(report)), patch), notes


if __name__ == "__main__":
    sys.exit(main())
