"""The keys of a policy file: each one's kind, meaning and place. The reader and the schema come from here."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from bot.core import allowances, document
from bot.core.ceilings import CLASSES
from bot.core.commands import ENGINES
from bot.core.document import Node, PolicyError, Scalar, shown
from bot.core.policy_values import (
    AMOUNT_OR_TIER,
    COMMAND,
    DAYS,
    LOGIN,
    MODEL,
    MONEY,
    PATTERN,
    TIER,
    TRUTH,
    WALL,
    WHOLE,
    ZONE,
    Key,
    Kind,
    Many,
    Named,
    Schema,
    Table,
    Value,
    choice,
    context,
    meant,
    number,
    words,
)
from bot.core.rules import ADMISSIONS

# They can create money, or say who may: the service's own file only (P2).
SERVICE_ONLY = ("caps", "lines", "teams", "prices", "approvers", "viewers", "drift", "cursor")

LINE_NAME = r"[a-z0-9][a-z0-9_-]{0,38}"

CEILINGS = Table(
    {
        "cost": Key(MONEY, "US dollars, such as $10 or 2.50 in quotes"),
        "tokens": Key(WHOLE, "fresh input, cache writes and output together, such as 800k"),
        "steps": Key(WHOLE, "answered requests to the model"),
        "wall": Key(WALL, "time, such as 90s, 20m or 1h"),
    }
)
CLASS = Table(
    {**CEILINGS.keys, "cached_tokens": Key(WHOLE, "cached reads; no ceiling of their own when not given")}
)
_USES = {"uses": Key(number(1, 100), "how often in one request")}
_TOKENS = {"tokens": Key(WHOLE, "what each brings into the conversation, or writes, at the most")}
_COST = {"cost": Key(MONEY, "US dollars of each request, which no usage tells: booked with every answer")}
ALLOWANCES = {
    key: Key(Table(parts), allowances.WHY[key])
    for keys, parts in (
        (allowances.SOURCES, _TOKENS),
        (("web_search", "web_fetch", "tool_search", "advisor", "mcp_servers", "compaction"), _USES | _TOKENS),
        (("code_execution",), _USES | _TOKENS | _COST),
        (("fallbacks",), _USES),
    )
    for key in keys
}
KEYS = Table(
    {
        "classes": Key(
            Table({name: Key(CLASS, f"the ceilings of a {name} run") for name in CLASSES}),
            "the ceilings of each class of task, where neither a comment nor a label sets one",
        ),
        "max": Key(
            Table(
                {
                    role: Key(CEILINGS, f"the most that somebody with the role {role} may set")
                    for role in ("write", "maintain", "admin")
                }
            ),
            "the most that each role may set, by comment or by label",
        ),
        "engines": Key(
            Many(choice(*ENGINES), least=1), "the engines that may be used; the first is the default"
        ),
        "model": Key(MODEL, "the model that the native engine uses"),
        "effort": Key(choice("low", "medium", "high", "xhigh", "max"), "how hard the model tries"),
        "context": Key(
            context(),
            "tokens of conversation that the native engine works in; above that, old results are cleared",
        ),
        "admission": Key(
            choice(*ADMISSIONS),
            "strict: a cache miss must fit under the ceiling too; expected: near a ceiling the cache is "
            "counted on, and one miss may pass it; counted: near a ceiling the upstream's estimate of the "
            "input, with a margin, is counted on, and one wrong estimate may pass it",
        ),
        "allow": Key(
            Table(ALLOWANCES),
            "what may be asked for although it has no bound of its own, and how much of it is held; a "
            "repository can only take away from what the service allows",
        ),
        "check": Key(COMMAND, "the command that tells whether the work is good, such as python -m pytest"),
        "sweep": Key(
            Table(
                {
                    "parallel": Key(number(1, 20), "how many items at once, where the comment does not say"),
                    "items": Key(number(1, 200), "the most items that a list may have"),
                    "total": Key(MONEY, "the most that all items of a sweep may cost together"),
                    "line": Key(
                        words(LINE_NAME, 39, "a line's name"), "its budget line, where nothing names one"
                    ),
                }
            ),
            "runs over a task list",
        ),
        "concurrency": Key(
            Table(
                {
                    "person": Key(number(1, 1_000), "how many runs of one person"),
                    "repository": Key(number(1, 1_000), "how many runs in one repository"),
                }
            ),
            "how many runs may be live at once; further ones wait in line",
        ),
        "paths": Key(
            Table(
                {
                    "forbidden": Key(
                        Many(PATTERN),
                        "paths that no run may change; the workflows and this file always are",
                    )
                }
            ),
            "where a run may not write",
        ),
        "publish": Key(
            choice("push", "pull_request"), "push to the pull request's branch, or open one of its own"
        ),
        "stuck": Key(
            Table(
                {
                    "repeats": Key(number(2, 20), "halt when the same has happened so many times"),
                    "idle": Key(number(3, 50), "halt after so many turns that changed and read nothing new"),
                    "errors": Key(number(3, 50), "halt after so many turns of nothing but tool errors"),
                }
            ),
            "when a run counts as going round in circles",
        ),
        "retention": Key(DAYS, "how long transcripts and changesets are kept, such as 30d"),
    }
)

_PEOPLE = Named(LOGIN, "the name of a person on GitHub", AMOUNT_OR_TIER)
_REPOSITORIES = Named(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}", "a repository, OWNER/NAME", MONEY)
CAPS = Table(
    {
        "time_zone": Key(ZONE, "in which months begin, such as Europe/Berlin"),
        "tiers": Key(
            Named(TIER.pattern, "a tier's name, such as standard", MONEY), "amounts of a month by name"
        ),
        "everyone": Key(AMOUNT_OR_TIER, "a month of whoever `people` does not name, an amount or a tier"),
        "people": Key(_PEOPLE, "a month of a person, an amount or a tier"),
        "repositories": Key(_REPOSITORIES, "a month of all runs in a repository"),
        "installation": Key(MONEY, "a month of all runs of an installation"),
        "acknowledge": Key(
            choice("self", "approver"), "who opens the next quarter of a person's cap that is reached"
        ),
        "mention": Key(
            TRUTH,
            "whether the notice at 75 % mentions the person, or only tells",
        ),
    }
)
_MEMBERS = Key(
    Many(words(LOGIN, 100, "the name of a person on GitHub"), least=1, most=1_000), "who, by name on GitHub"
)
_KEY = Key(
    words(r"ANTHROPIC_API_KEY(?:_[A-Z0-9_]+)?", 64, "the name of a variable ANTHROPIC_API_KEY_…"),
    "the variable that holds the key, never the key",
)
LINE = Table(
    {
        "monthly": Key(MONEY, "a month of it"),
        "members": _MEMBERS,
        "api_key_env": _KEY,
        "concurrency": Key(
            number(1, 1_000), "how many runs on it may be live at once; further ones wait in line"
        ),
    }
)
VIEWERS = Table(
    {
        "role": Key(
            choice("triage", "write", "maintain", "admin"),
            "whoever has it in a repository sees what each person spent there",
        ),
        "people": Key(
            Many(words(LOGIN, 100, "the name of a person on GitHub")),
            "who see what each person spent anywhere",
        ),
        "admins": Key(
            Many(words(LOGIN, 100, "the name of a person on GitHub")),
            "who see who looked and who changed what, as long as they administer a repository of the App's",
        ),
    }
)
TEAM = Table({"members": _MEMBERS, "api_key_env": _KEY})
CURSOR = Table(
    {
        "people": Key(
            Named(
                r"[^@\s]{1,64}@[^@\s]{1,255}",
                "an e-mail address",
                words(LOGIN, 100, "the name of a person on GitHub"),
            ),
            "who has which account, by the e-mail address that Cursor tells: what they use there counts "
            "under their cap",
        )
    }
)
_LINES = Named(LINE_NAME, "a line's name, such as evals", LINE)
# The service's own file has these besides.
SERVICE_KEYS = Table(
    {
        **KEYS.keys,
        "caps": Key(CAPS, "what a person, a repository and an installation may spend in a month"),
        "lines": Key(_LINES, "budgets beside people's caps, by name: /agent fix line=NAME"),
        "teams": Key(
            Named(TIER.pattern, "a team's name", TEAM), "people whose runs are sent with a key of their own"
        ),
        "drift": Key(
            MONEY, "by how much ledger and invoice may differ in a window before `reconcile` gives the alarm"
        ),
        "approvers": Key(
            Many(words(LOGIN, 100, "the name of a person on GitHub")), "who may open what others may not"
        ),
        "cursor": Key(CURSOR, "what is imported from Cursor's admin API (CURSOR_ADMIN_KEY)"),
        "viewers": Key(VIEWERS, "who may see other people's figures on the dashboard; nobody when not given"),
    }
)


# -- reading --


def read(node: Node, table: Table | None = None, *, service: bool = False) -> dict[str, Any]:
    """The values that stand in a mapping, nested as there. Raises PolicyError."""
    table = table or (SERVICE_KEYS if service else KEYS)
    if not isinstance(node, document.Mapping):
        raise PolicyError(node.line, node.key, f"this must be a list of keys: {', '.join(table.keys)}")
    found: dict[str, Any] = {}
    for name, value in node.items.items():
        key = table.keys.get(name)
        if key is None:
            _unknown(node, name, table, service)
        found[name] = _read(value, key.kind)
    return found


def _read(node: Node, kind: Kind) -> Any:
    match kind:
        case Table():
            return read(node, kind)
        case Named():
            return _named(node, kind)
        case Many(of, least, most):
            if not isinstance(node, document.Sequence):
                raise PolicyError(node.line, node.key, "this must be a list, each item after a dash")
            if not least <= len(node.items) <= most:
                raise PolicyError(node.line, node.key, f"this must have {least} to {most} items")
            values: list[Any] = []
            for item in node.items:
                value = _read(item, of)
                if value in values:
                    raise PolicyError(item.line, item.key, "this is in the list already")
                values.append(value)
            return tuple(values)
        case Value(reader, _):
            if not isinstance(node, Scalar):
                raise PolicyError(node.line, node.key, "this must be one value")
            if node.kind == "null" and not node.quoted:
                raise PolicyError(node.line, node.key, "it has no value")
            try:
                return reader(node)
            except ValueError as error:
                raise PolicyError(node.line, node.key, _tame(str(error))) from error


def _named(node: Node, kind: Named) -> dict[str, Any]:
    if not isinstance(node, document.Mapping):
        raise PolicyError(node.line, node.key, f"this must be a list of keys, each {kind.form}")
    found: dict[str, Any] = {}
    for name, value in node.items.items():
        if not re.fullmatch(kind.name, name):
            raise PolicyError(node.lines[name], f"{node.key}.{shown(name)}", f"this is not {kind.form}")
        if name.lower() in found:
            raise PolicyError(node.lines[name], f"{node.key}.{shown(name)}", "it is there already")
        found[name.lower()] = _read(value, kind.of)
    return found


def _unknown(node: document.Mapping, name: str, table: Table, service: bool) -> NoReturn:
    path = f"{node.key}.{shown(name)}" if node.key else shown(name)
    line = node.lines[name]
    if table in (KEYS, SERVICE_KEYS) and name in SERVICE_ONLY:
        if service:
            raise PolicyError(line, path, "this version does not enforce it yet, so it does not accept it")
        raise PolicyError(line, path, "only the service's own policy file may set this, not a repository's")
    if name == "<<":
        raise PolicyError(line, path, "merge keys are not read here; write it out")
    raise PolicyError(
        line, path, f"there is no such key{meant(name, tuple(table.keys))}; here are {', '.join(table.keys)}"
    )


def _tame(text: str) -> str:
    """It may quote the file, and becomes part of a comment."""
    return "".join(c if c.isprintable() and c not in "`@<>" else "?" for c in text)[:300]


# -- the schema --


def schema(*, service: bool = False) -> Schema:
    """JSON Schema (draft 2020-12) of a repository's policy file, or of the service's own."""
    title = "Tollgate service policy (POLICY_FILE)" if service else "Tollgate policy (.github/agent.yml)"
    where = "every repository of this service" if service else "this repository"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": f"What agent runs in {where} may cost, use and change.",
        **_schema(SERVICE_KEYS if service else KEYS),
    }


def _schema(kind: Kind) -> Schema:
    match kind:
        case Table(keys):
            inside = {name: {"description": key.says, **_schema(key.kind)} for name, key in keys.items()}
            return {"type": "object", "additionalProperties": False, "properties": inside}
        case Named(name, _, of):
            return {
                "type": "object",
                "propertyNames": {"pattern": f"^(?:{name})$"},
                "additionalProperties": _schema(of),
            }
        case Many(of, least, most):
            return {
                "type": "array",
                "items": _schema(of),
                "minItems": least,
                "maxItems": most,
                "uniqueItems": True,
            }
        case Value(_, form):
            return form
