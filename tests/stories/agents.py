"""Agents for the tests' workflow: what a runner does, in the fewest lines; the real one has its own tests."""

from __future__ import annotations

_CLAIM = """
import json, os, sys, time, urllib.error, urllib.request

run, attempt, service = sys.argv[1:]


def call(url, bearer, content=None, method=None):
    data = None if content is None else json.dumps(content).encode()
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    headers["anthropic-version"] = "2023-06-01"  # the gateway's door asks for it
    asked = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def claim():
    asked = os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=" + service
    identity = call(asked, os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])["value"]
    for _ in range(300):
        try:
            return call(f"{service}/api/runs/claim", identity, {"run": run, "attempt": int(attempt)})
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            time.sleep(0.2)
    raise SystemExit("not dispatched")


brief = claim()
me = f"{service}/api/runs/{run}"
"""

# Writes one file and hands it in; `files` and `more` are Python source.
DONE = (
    _CLAIM
    + """
files = [{{"path": "fixed.txt", "mode": "100644", "text": "by " + run + "\\n"}}]
result = {{
    "outcome": "done", "summary": "I fixed it.", "tool_calls": 3,
    "changeset": {{"base": brief["head"]["sha"], "files": files}},
    "check": {{"command": "make test", "exit_code": 0, "output": "ok"}},
}}
result.update({more})
call(me + "/result", brief["token"], result)
""".replace("{{", "{")
    .replace("}}", "}")
    .replace("{more}", "MORE")
)

# Claims, then works until the service says that it is over; hands in what it has.
UNTIL_STOPPED = (
    _CLAIM
    + """
state = "running"
while state == "running":
    time.sleep(0.2)
    told = {"events": [{"type": "heartbeat", "tool_calls": 1}]}
    state = call(me + "/events", brief["token"], told)["state"]
files = [{"path": "half.txt", "mode": "100644", "text": "half"}]
call(me + "/result", brief["token"], {
    "outcome": "halted", "reason": "stopped",
    "changeset": {"base": brief["head"]["sha"], "files": files},
})
"""
)

GONE = _CLAIM + "sys.exit(1)\n"


def done(**more: object) -> str:
    """The source of an agent that hands in one file; `more` overrides keys of its result."""
    return DONE.replace("MORE", repr(more))


# Does what the comment's second line says, as JSON: `wait` for a file, `exit`, or hand in a `result`.
TOLD = (
    _CLAIM
    + """
told = json.loads(brief["task"].split("\\n\\n")[-1])  # a split has the task before it too
while "wait" in told and not os.path.exists(told["wait"]):
    call(me + "/events", brief["token"], {"events": [{"type": "turn", "tool_calls": 1, "text": "waiting"}]})
    time.sleep(0.1)
if "exit" in told:
    sys.exit(told["exit"])
changeset = {"base": brief["head"]["sha"], "files": told.pop("files", [])}
known = {"outcome": "done", "summary": "Fine.", "changeset": changeset}
call(me + "/result", brief["token"], known | told.get("result", {}))
"""
)

# Does what an item's text says below its first line, as JSON: asks the model so often (`ask`, `as` whom),
# goes on until a file is there (`wait`) or it is told that it is over, hands in `files` or a `result`.
ITEM = (
    _CLAIM
    + """
told = json.loads(brief["task"].split("\\n\\n")[1])
words = "character: " + told.get("as", "echo")
asked = {"model": brief["model"], "max_tokens": 4000, "messages": [{"role": "user", "content": words}]}
state, left = "running", told.get("ask", 0)
while state == "running" and left:
    try:
        call(service + "/anthropic/v1/messages", brief["token"], asked)
        left -= 1
    except urllib.error.HTTPError as error:
        if error.code != 402:
            raise
        wrap_up = json.load(error)["error"]["reason"] == "wrap_up"  # the rest is there to end with
        state = call(me + "/events", brief["token"], {"events": [{"type": "wrap_up"}] * wrap_up})["state"]
while state == "running" and "wait" in told and not os.path.exists(told["wait"]):
    state = call(me + "/events", brief["token"], {"events": [{"type": "heartbeat"}]})["state"]
    time.sleep(0.1)
changeset = {"base": brief["head"]["sha"], "files": told.get("files", [])}
known = {"outcome": "done" if state == "running" else "halted", "summary": "Fine.", "changeset": changeset}
call(me + "/result", brief["token"], known | told.get("result", {}))
"""
)

# Does what the comment's second line says for this attempt: leaves `files` with the service, waits for a
# file, exits, or hands in a `result` whose summary is what it was given to go on from.
ATTEMPTS = (
    _CLAIM
    + """
told = json.loads(brief["task"])[int(attempt) - 1]
changeset = {"base": brief["head"]["sha"], "files": told.get("files", [])}
given = {"resumed": brief["resumed"], "work": call(me + "/work", brief["token"])}
if "talk" in told:
    call(me + "/work", brief["token"], {"transcript": told["talk"], "changeset": changeset}, "PUT")
while "wait" in told and not os.path.exists(told["wait"]):
    state = call(me + "/events", brief["token"], {"events": [{"type": "heartbeat"}]})["state"]
    if state != "running":
        break
    time.sleep(0.1)
if "exit" in told:
    sys.exit(told["exit"])
known = {"outcome": "done", "summary": json.dumps(given), "changeset": changeset}
call(me + "/result", brief["token"], known | told.get("result", {}))
"""
)

# Asks the model once, through the gateway, and is done.
ASKS = (
    _CLAIM
    + """
asked = {"model": brief["model"], "max_tokens": 200, "messages": [{"role": "user", "content": "Hello"}]}
call(service + "/anthropic/v1/messages", brief["token"], asked)
call(me + "/result", brief["token"], {"outcome": "done", "summary": "I asked."})
"""
)

# Claims, and is never heard of again.
SILENT = _CLAIM + "time.sleep(600)\n"
