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

# Says its token and what it finds in the file `says` wherever an agent can say something: to the model, to
# doors that refuse it, in its events, its result and a file. Keeps the token in the file `keep`.
LEAKS = (
    _CLAIM
    + """
told = json.loads(brief["task"])
with open(told["keep"], "w") as file:
    file.write(brief["token"])
with open(told["says"]) as file:
    found = file.read().split()
said = " ".join([brief["token"], *found])


def refused(url, bearer, content):
    try:
        call(url, bearer, content)
    except urllib.error.HTTPError as error:
        assert error.code < 500, error.code
    else:
        raise SystemExit("taken: " + url)


asked = {"model": brief["model"], "max_tokens": 200, "messages": [{"role": "user", "content": said}]}
messages = service + "/anthropic/v1/messages"
call(messages, brief["token"], asked)
refused(messages, brief["token"], asked | {"model": said})
refused(messages, brief["token"] + "x", asked)
refused(messages, found[0], asked)
refused(me + "/result", brief["token"] + "x", {"outcome": said})
refused(me + "/result", brief["token"], {"outcome": said})
refused(service + "/api/runs/claim", brief["token"], {"run": said, "attempt": 1})
call(me + "/events", brief["token"], {"events": [{"type": "turn", "tool_calls": 1, "text": said}]})
call(me + "/result", brief["token"], {
    "outcome": "done", "summary": said, "message": said,
    "check": {"command": "echo " + said, "exit_code": 1, "output": said},
    "changeset": {"base": brief["head"]["sha"], "files": [{"path": "k.txt", "mode": "100644", "text": said}]},
})
"""
)

# As ITEM, but streams; what was refused for a moment or never answered is asked again, as SDKs and the
# runner do; it says every 20 s that it is alive. `ask`: how often; for ever, where a ceiling is to end it.
STEADFAST = (
    _CLAIM.replace(
        "brief = claim()",
        """
import http.client, threading


def steadily(do, *no):
    for _ in range(150):
        try:
            return do()
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429 or error.code in no:
                raise
        except (OSError, http.client.HTTPException, ValueError):
            pass
        time.sleep(1)
    raise SystemExit("nobody answers")


once = call
def call(*asked):
    return steadily(lambda: once(*asked))


def turn(token, body):
    headers = {"x-api-key": token, "Content-Type": "application/json", "anthropic-version": "2023-06-01"}
    asked = urllib.request.Request(service + "/anthropic/v1/messages", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        if b"message_stop" not in answer.read():
            raise OSError("cut")


brief = claim()""",
    )
    + """


def alive():
    while True:
        time.sleep(20)
        try:
            once(me + "/events", brief["token"], {"events": [{"type": "heartbeat"}]})
        except (OSError, http.client.HTTPException, ValueError):
            pass


threading.Thread(target=alive, daemon=True).start()
told = json.loads(brief["task"].split("\\n\\n")[-1])
words = "character: " + told["as"]
body = {"model": brief["model"], "max_tokens": 2000, "stream": True, "metadata": {"user_id": run},
        "messages": [{"role": "user", "content": words}]}
outcome, left = "done", told["ask"]
while left:
    try:
        steadily(lambda: turn(brief["token"], body))
        left -= 1
    except urllib.error.HTTPError as error:
        if error.code != 402:
            raise
        if json.load(error)["error"]["reason"] != "wrap_up":
            outcome = "halted"
            break
        call(me + "/events", brief["token"], {"events": [{"type": "wrap_up"}]})
files = [{"path": f"done/{run}.txt", "mode": "100644", "text": run}]
changeset = {"base": brief["head"]["sha"], "files": files}
call(me + "/result", brief["token"], {"outcome": outcome, "summary": "Fine.", "changeset": changeset})
"""
)

# Claims, and is never heard of again.
SILENT = _CLAIM + "time.sleep(600)\n"
