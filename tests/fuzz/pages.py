"""Every address of the dashboard and its API with any query, for each kind of visitor, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import strategies as st

from bot.web.dashboard.frame import HEADERS
from tests.fuzz.target import Target
from tests.fuzz.trying import Law
from tests.fuzz.values import query, quoted, words
from tests.fuzz.worlds import Worlds
from tests.web.access import HIDDEN, OTHER, ROWS, SECRET

WHO = ("signed out", "outsider", "reader", "author", "viewer", "admin", "laptop", "ended login")
# Whose answers may name people and repositories that others may not see.
MAY_READ = {"viewer": {OTHER, HIDDEN}, "admin": {OTHER, HIDDEN, SECRET}}
PATHS = sorted({row.rule for row in ROWS if row.method == "GET" and not row.rule.startswith("/sign-in")})
NAMES = (
    "days", "since", "until", "by", "repo", "repository", "class", "engine", "developer", "line", "state",
    "reason",
    "having", "sort", "after", "before", "csv", "month", "role", "resolved", "cost", "tokens", "steps",
    "wall", "next",
    "limit", "v",
)  # fmt: skip
VALUES = (
    "1", "7", "30", "3660", "3661", "all", "2026-11-01", "2026-11-31", "2026-02-29", "1971-01-01",
    "2899-12-31",
    "0001-01-01", "9999-12-31", "2026-W01", "20261101", "2026-11", "2026-13", "2999-12", "2000-01",
    "developer", "repo",
    "model", "acme/calendar", "ACME/Calendar", "dana", "evals", "(none)", "bugfix", "opus", "done", "live",
    "halted",
    "merged", "open", "cost_ceiling", "cost", "at", "1.2.3", "1.-2.3", "99999999999999999999.1.1",
    "1700000000000.0123",
    "runs", "pulls", "people", "write", "admin", "yes", "no", "$5", "5", "0.000000001", "800k", "20m",
    "-5", "1e9",
)  # fmt: skip
pairs = st.tuples(
    st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), words),
    st.one_of(st.sampled_from(VALUES), words),
)


@st.composite
def addresses(draw: st.DrawFn) -> tuple[str, str]:
    """Who asks, and for what."""
    rule = draw(st.sampled_from(PATHS))
    path = re.sub(r"<(?:(\w+):)?(\w+)>", lambda found: _part(draw, found[1] or "", found[2]), rule)
    asked = query(draw(st.lists(pairs, max_size=5)))
    if draw(st.sampled_from(range(15))) == 7:
        asked += draw(
            st.sampled_from(
                ["&", "&&=&", "%", "%zz", "&=", "&a", "&x=%ff%fe", "&days[]=1", "&" + "a=1&" * 1_500]
            )
        )
    return draw(st.sampled_from(WHO)), path + (f"?{asked}" if asked else "")


def _part(draw: st.DrawFn, kind: str, name: str) -> str:
    if kind == "int":
        return draw(
            st.sampled_from(
                ["1", "2", "0", "999999999999999", "9223372036854775808", "9" * 40, "9" * 5_000, "-1", "x"]
            )
        )
    known = {
        "owner": "acme",
        "repo": "calendar",
        "login": "dana",
        "run": "{run}",
        "filename": "dashboard.css",
    }
    if draw(st.booleans()) and name in known:
        return known[name]
    return quoted(draw(words)[:300]) or "x"


def looked(kind: str) -> Callable[[Worlds], Law]:
    def opened(worlds: Worlds) -> Law:
        place = worlds.place(kind)
        credentials = {who: place.credentials(who) for who in WHO}
        facts = place.office.facts

        def law(given: tuple[str, str]) -> None:
            who, address = given
            address = address.replace("{run}", facts["run"])
            before = place.counted()
            page = address.startswith("/api/") is False
            headers = credentials[who] | ({"Accept": "text/html"} if page else {})
            answer = place.ask("GET", address, headers=headers)
            assert answer.status in (200, 303, 304, 308, 400, 401, 403, 404), (
                answer.status,
                answer.text[:500],
            )
            if page and "text/html" in answer.headers["content-type"]:
                assert {name.lower() for name in HEADERS} <= set(answer.headers)
                assert "<script>alert" not in answer.text
            assert place.counted() == before
            if answer.status in (303, 308):
                where = answer.headers["location"]
                assert where.startswith(("/", "http://localhost/"))
                assert not where.startswith("//")
            if answer.status >= 400:
                said = re.sub(r"'[^']*'|such as \$10 or \$0\.50", "", answer.text)  # quoted, and an example
                assert not re.search(r"\$[0-9]|usd", said.replace("$5", "")), "a refusal tells nothing"
                if not page and "/static/" not in address:
                    assert set(answer.json) == {"error"}
            shown = {name for name in (OTHER, HIDDEN, SECRET) if name in answer.text}
            assert shown <= MAY_READ.get(who, set()) | ({SECRET} if who == "reader" else set())

        return law

    return opened


TARGETS = tuple(
    Target(
        f"pages, {kind}",
        "an address is answered as documented, and shows and changes nothing that it may not",
        addresses(),
        looked(kind),
        100,
        2,
    )
    for kind in ("sqlite", "postgresql")
)
