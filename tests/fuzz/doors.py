"""The doors for programs: runners, steps, laptops; bodies with anything in them, and identities of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.changes import BASE, a_result
from tests.fuzz.target import Target
from tests.fuzz.trying import Law
from tests.fuzz.values import mutated, quoted, words
from tests.fuzz.worlds import Answer, Place, Worlds

Given = tuple[str, str, str, bytes]  # who, method, path, body
CHANGES = {"base": BASE, "files": [{"path": "src/a.py", "mode": "100644", "text": "x = 1\n"}]}
RUNNERS: dict[tuple[str, str], Any] = {
    ("POST", "/api/runs/claim"): {"run": "{open}", "attempt": 1},
    ("POST", "/api/runs/{run}/events"): {
        "events": [{"type": "tool", "text": "ran make test", "tool_calls": 3}, {"type": "wrap_up"}]
    },
    ("PUT", "/api/runs/{run}/work"): {"transcript": "aGk=", "changeset": CHANGES},
    ("GET", "/api/runs/{run}/work"): {},
    ("GET", "/api/runs/{run}"): {},
    ("GET", "/api/runs/{run}/report"): {},
    ("POST", "/api/runs/{run}/result"): a_result(CHANGES),
    ("POST", "/api/runs/open"): {
        "number": 7, "task": "refresh", "class": "bugfix", "cost": "2", "tokens": 1_000, "steps": 9,
        "wall": 300,
        "engine": "opus", "line": "evals", "check": "make test",
    },
}  # fmt: skip
LAPTOPS: dict[tuple[str, str], Any] = {
    ("GET", "/api/laptop"): {},
    ("POST", "/api/laptop/login"): {"token": "ghu_nobodys", "machine": "a laptop"},
    ("GET", "/api/laptop/logins"): {},
    ("DELETE", "/api/laptop/logins/{odd}"): {},
    ("GET", "/api/laptop/cost"): {},
    ("POST", "/api/laptop/runs"): {
        "number": 7, "native": True, "engine": "opus", "model": "claude-opus-4-7", "task": "fix",
        "class": "bugfix",
        "cost": "0.01", "tokens": 1_000, "steps": 2, "wall": 60, "line": "evals", "budgets": ["cost"],
        "check": "true",
        "host": "127.0.0.1", "repository": "acme/calendar", "branch": "main", "sha": "c" * 40, "run": "",
    },
}  # fmt: skip
MAY = {200, 202, 400, 401, 403, 404, 405, 409, 413}


def asked(doors: dict[tuple[str, str], Any], who: tuple[str, ...]) -> st.SearchStrategy[Given]:
    @st.composite
    def made(draw: st.DrawFn) -> Given:
        method, path = draw(st.sampled_from(list(doors)))
        body = draw(mutated(st.just(doors[method, path])))
        if draw(st.sampled_from(range(12))) == 7:
            method = draw(
                st.sampled_from(
                    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "X" * 50]
                )
            )
        return (
            draw(st.sampled_from(who)),
            method,
            path.replace("{odd}", quoted(draw(words)[:200]) or "x"),
            body,
        )

    return made()


def runners(kind: str) -> Callable[[Worlds], Law]:
    def opened(worlds: Worlds) -> Law:
        place = worlds.place(kind)
        claimed, dispatched = [place.run()], [place.open()]  # the last one of each is the one that is meant

        def law(given: Given) -> None:
            who, method, path, body = given
            run, token = claimed[-1]
            identity = {
                "its own": token,
                "a job": place.identity(),
                "another job": place.identity(repository_id="2"),
            }
            body = body.replace(b"{open}", dispatched[-1].encode())
            before = place.counted()
            answer = place.ask(
                method,
                path.replace("{run}", run),
                body,
                {"Authorization": f"Bearer {identity.get(who, who)}", "Content-Type": "application/json"},
            )
            sound(answer, place, before)
            if answer.status == 202:
                claimed.append(place.run())
            if path.endswith("/claim") and answer.status == 200:
                dispatched.append(place.open())

        return law

    return opened


def laptops(kind: str) -> Callable[[Worlds], Law]:
    def opened(worlds: Worlds) -> Law:
        place = worlds.place(kind)
        own = place.credentials("laptop")["Authorization"]

        def law(given: Given) -> None:
            who, method, path, body = given
            before = place.counted()
            headers = {
                "Authorization": own if who == "its own" else f"Bearer {who}",
                "Content-Type": "application/json",
            }
            answer = place.ask(method, path, body, headers)
            sound(answer, place, before)

        return law

    return opened


def sound(answer: Answer, place: Place, before: tuple[Any, ...]) -> None:
    assert answer.status in MAY, (answer.status, answer.text)
    if answer.status >= 400 and answer.text:
        said = answer.json
        assert set(said) == {"error"}
        assert 0 < len(said["error"]) < 1_000
        assert place.counted() == before, "what was refused has changed nothing"


_STRANGERS = ("nobody's", "run_" + "a" * 43, "user_" + "a" * 43, "a.b.c", "")
TARGETS = (
    *(
        Target(
            f"runners, {kind}",
            "a runner's words are taken, or refused with a sentence and nothing changed",
            asked(RUNNERS, ("its own",) * 6 + ("a job", "a job", "another job", *_STRANGERS)),
            runners(kind),
            80,
            2,
        )
        for kind in ("sqlite", "postgresql")
    ),
    *(
        Target(
            f"laptops, {kind}",
            "a laptop's words are taken, or refused with a sentence and nothing changed",
            asked(LAPTOPS, ("its own",) * 6 + _STRANGERS),
            laptops(kind),
            50,
            2,
        )
        for kind in ("sqlite", "postgresql")
    ),
)
