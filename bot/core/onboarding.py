"""What a repository gets when the App is installed: a pull request with two files, and labels.

The policy file is made from the model that reads it, every key commented out at its default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.core import limits
from bot.core.ceilings import Ceilings
from bot.core.policy import FORBIDDEN, Policy
from bot.core.policy_keys import KEYS
from bot.core.roles import Role

BRANCH = "agent/onboarding"
TITLE = "Let /agent work on pull requests here"
MESSAGE = "Add the agent's workflow and its policy"
# In the commit's message: a branch of that name that somebody else has made is not ours to propose.
TRAILER = "Tollgate-Onboarding: 1"
WORKFLOW, POLICY = ".github/workflows/agent.yml", ".github/agent.yml"
SCHEMA = "https://raw.githubusercontent.com/tollgate-dev/tollgate/main/docs/policy.schema.json"
PAGE = "https://github.com/tollgate-dev/tollgate/blob/main/docs/policy.md"


@dataclass(frozen=True, slots=True)
class Label:
    """A label of the repository; `color` is six hex digits."""

    name: str
    color: str
    description: str


_COST, _CLASS = "0e8a16", "5319e7"
LABELS = (
    Label("agent:cost=$2", _COST, "An agent run on this thread may cost at most $2"),
    Label("agent:cost=$5", _COST, "An agent run on this thread may cost at most $5"),
    Label("agent:cost=$10", _COST, "An agent run on this thread may cost at most $10"),
    Label("agent:class=bugfix", _CLASS, "Agent runs on this thread get the ceilings of a bug fix"),
    Label("agent:class=feature", _CLASS, "Agent runs on this thread get the ceilings of a feature"),
    Label("agent:class=refactor", _CLASS, "Agent runs on this thread get the ceilings of a refactoring"),
)


# -- the pull request --


def body(policy: Policy, service: str) -> str:
    """What its reader needs to decide: what it is, what it can cost, what a merge does, how to say no."""
    rows = "\n".join(
        f"| {name} | " + " | ".join(limits.described(kind, row) for kind, _ in limits.KINDS) + " |"
        for name, row in policy.classes.items()
    )
    sweep = policy.sweep
    of_all = f"{sweep.total} together, on" if sweep.total else "on"
    most = policy.most[Role.WRITE]
    cost, tokens, steps, wall = (limits.described(kind, most) for kind, _ in limits.KINDS)
    labels = " ".join(f"`{label.name}`" for label in LABELS)
    return f"""\
The App [Tollgate]({service}) was installed on this repository. It lets people write `/agent fix` on a pull \
request or an issue: a Claude agent then works in GitHub Actions under four hard ceilings, and its work and \
its cost come back as one comment.

This adds two files:

- `{WORKFLOW}`: what GitHub Actions runs for an accepted comment. It may read this repository and prove \
which run it is, and nothing else; it holds no key. Whatever your tests need goes in steps before the agent's.
- `{POLICY}`: what runs here may cost, use and change. Every key in it is commented out at its default.

**What it costs.** Nothing until somebody with write permission asks for a run. Then at most:

| class | cost | tokens | steps | wall |
|---|--:|--:|--:|--:|
{rows}

With write permission one may ask for at most {cost}, {tokens} tokens, {steps} steps and {wall} a run; \
maintainers and admins for more. A sweep is such a run for each unchecked item of an issue's task list: \
at most {sweep.items} items, {of_all} a budget line of the service's that whoever asks is a member of, and \
nobody's own month. The policy file can lower all of it. The minutes of Actions are your own.

**What happens on merge.** Nothing runs. From then on `/agent fix` and its siblings start something.

**Try it now.** Write `/agent help` below: it works before the merge too, costs nothing, and says what would \
hold for you.

**No, thanks.** Close this pull request: it is not opened again, and without the workflow no run can start. \
To take it up later, reopen it.

These labels are made where they are not there yet; they set the ceilings of runs on a thread: {labels}
"""


# -- the policy file --


def policy_file() -> str:
    """`.github/agent.yml` with every key commented out: `#key` is a key, `# words` are words."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA}"
    yield "# What agent runs in this repository may cost, use and change: read from the default branch alone."
    yield "# Each key is commented out at its default; take away the # to change it. The service's own policy"
    yield f"# bounds all of it. {PAGE}"
    for name, key in KEYS.keys.items():
        yield ""
        yield from (f"# {line}" for line in _wrapped(f"{key.says[0].upper()}{key.says[1:]}."))
        yield from _shown(name)


def _shown(name: str) -> Iterator[str]:
    policy = Policy.default()
    match name:
        case "classes":
            yield "#classes:"
            yield from (f"#  {kind}: {_row(row)}" for kind, row in policy.classes.items())
        case "max":
            yield "#max:"
            yield from (f"#  {role}: {_row(row)}" for role, row in policy.most.items() if role >= Role.WRITE)
        case "engines":
            yield f"#engines: [{', '.join(policy.engines)}]"
        case "sweep":
            yield "#sweep:"
            yield f"#  parallel: {policy.sweep.parallel}"
            yield f"#  items: {policy.sweep.items}"
            yield "# Not set, total is items times each one's ceiling, and comment or label names the line."
            yield "# Such as sweep: {total: $100, line: refresh}"
        case "paths":
            yield "#paths:"
            yield f"#  forbidden: []  # beside {' and '.join(FORBIDDEN)}"
        case "stuck":
            stuck = policy.stuck
            yield f"#stuck: {{repeats: {stuck.repeats}, idle: {stuck.idle}, errors: {stuck.errors}}}"
        case "concurrency":
            yield "#concurrency:"
            yield f"#  person: {policy.concurrency.person}"
            yield f"#  repository: {policy.concurrency.repository}"
        case "retention":
            yield f"#retention: {policy.retention}d"
        case "allow":
            yield "#allow: {}  # nothing, such as {pdf: {tokens: 100k}}"
        case "effort":
            yield "# Not set, it goes by the class. Such as effort: high"
        case "context":
            yield "# Not set, it goes by the class. Such as context: 100k"
        case "check":
            yield "# Not set, the agent's last test command is run again. Such as check: python -m pytest -q"
        case _:
            yield f"#{name}: {getattr(policy, name)}"


def _row(row: Ceilings) -> str:
    wall = f"{row.seconds // 60}m"
    return f"{{cost: ${row.usd.exact}, tokens: {_count(row.tokens)}, steps: {row.steps}, wall: {wall}}}"


def _count(number: int) -> str:
    """`800k`, `1M`."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if number % unit == 0:
            return f"{number // unit}{name}"
    return str(number)


def _wrapped(words: str, width: int = 106) -> Iterator[str]:
    line = ""
    for word in words.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    if line:
        yield line


def files(workflow: str) -> Mapping[str, str]:
    """What the pull request adds, by path."""
    return {WORKFLOW: workflow, POLICY: policy_file()}
