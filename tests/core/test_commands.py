"""What starts a run, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.commands import (
    HELP,
    Ack,
    Approve,
    Malformed,
    Options,
    Plain,
    Resume,
    Start,
    Sweep,
    parse,
)
from bot.core.money import Usd


def start(verb: str = "fix", of: str = "bugfix", text: str = "", **options: object) -> Start:
    return Start(verb, of, Options(**options), text)  # type: ignore[arg-type]


COMMANDS = [
    pytest.param("/agent fix", start(), id="the least"),
    pytest.param("/agent fix cost=$5", start(cost=Usd.parse("5")), id="an option at the end of the line"),
    pytest.param(
        "/agent fix cost=5 the test", start(text="the test", cost=Usd.parse("5")), id="a $ is optional"
    ),
    pytest.param(
        "/agent fix the test cost=$5", start(text="the test", cost=Usd.parse("5")), id="after the text"
    ),
    pytest.param(
        "/agent feature tokens=800k steps=50 wall=20m engine=aider line=evals",
        start("feature", "feature", tokens=800_000, steps=50, wall=1_200, engine="aider", line="evals"),
        id="every option",
    ),
    pytest.param(
        "/agent run tokens=1M wall=2h", start("run", "default", tokens=1_000_000, wall=7_200), id="run"
    ),
    pytest.param(
        "/agent refactor\nSplit it.\n\nTwice.",
        start("refactor", "refactor", "Split it.\n\nTwice."),
        id="rest",
    ),
    pytest.param("/agent fix one\ntwo", start(text="one\n\ntwo"), id="line and rest are the instruction"),
    pytest.param(
        "/agent fix -- cost=$5 is too little", start(text="cost=$5 is too little"), id="-- ends the options"
    ),
    pytest.param("/agent fix steps=5 -- DEBUG=1", start(text="DEBUG=1", steps=5), id="-- after options"),
    pytest.param(
        "/agent fix DEBUG=1 breaks it", start(text="DEBUG=1 breaks it"), id="upper case is no option"
    ),
    pytest.param("/agent\tfix  steps=5", start(steps=5), id="tabs and spaces"),
    pytest.param(
        "please\r\n/agent fix\r\nnow", start(text="please\n\nnow"), id="CRLF, and not in the first line"
    ),
    pytest.param(
        "It says:\n```\nboom\n```\n/agent fix cost=$5 it",
        start(text="It says:\n```\nboom\n```\n\nit", cost=Usd.parse("5")),
        id="after a code block; what stands before it is part of the instruction",
    ),
    pytest.param("/agent\u00a0fix\u2003steps=5", start(steps=5), id="spaces of every kind"),
    pytest.param("- ```\n  x\n  ```\n/agent stop", Plain("stop"), id="after a code block in a list item"),
    pytest.param("10. ```\n    x\n/agent stop", Plain("stop"), id="a list item's end closes its code block"),
    pytest.param("```a`` b\n/agent stop", Plain("stop"), id="three backticks of code within a line"),
    pytest.param("<!-- a -->\n/agent stop", Plain("stop"), id="after an HTML comment"),
    pytest.param("<!-->\n/agent stop", Plain("stop"), id="after the shortest HTML comment"),
    pytest.param("<pre>\nx\n</pre>\n/agent stop", Plain("stop"), id="after HTML code"),
    pytest.param(
        "/agent fix the costs: a steps bar, see https://x.y/?cost=5",
        start(text="the costs: a steps bar, see https://x.y/?cost=5"),
        id="prose about costs and steps is prose",
    ),
    pytest.param("/agent stop it, please", Plain("stop"), id="stop is stop, whatever follows"),
    pytest.param("/agent fix\n/agent stop", start(text="/agent stop"), id="only the first counts"),
    pytest.param(
        "/agent split cost=$1 the importer",
        Start("split", "split", Options(cost=Usd.parse("1")), "the importer"),
        id="split",
    ),
    pytest.param("/agent resume cost=$20", Resume(Options(cost=Usd.parse("20"))), id="resume"),
    pytest.param(
        "/agent sweep parallel=5 line=refresh", Sweep(Options(parallel=5, line="refresh")), id="sweep"
    ),
    pytest.param(
        "/agent sweep total=$100 cost=$2\nCarefully.",
        Sweep(Options(cost=Usd.parse("2"), total=Usd.parse("100")), "Carefully."),
        id="a ceiling of the whole",
    ),
    pytest.param(
        "/agent resume total=150 parallel=2",
        Resume(Options(total=Usd.parse("150"), parallel=2)),
        id="resume of a sweep",
    ),
    pytest.param("/agent approve 1a2b3c4d", Approve("1a2b3c4d"), id="approve"),
    pytest.param("/agent ack release week", Ack("release week"), id="ack"),
    *(
        pytest.param(f"/agent {verb}", Plain(verb), id=verb)
        for verb in ("accept", "discard", "stop", "status", "cost", "help")
    ),
    pytest.param("/agent", Plain("help"), id="alone: help"),
    pytest.param("> /agent fix", None, id="quoted in a reply: starts nothing"),
    pytest.param("    /agent fix", None, id="indented code: starts nothing"),
    pytest.param(" /agent fix", None, id="not at the start of the line"),
    pytest.param("```\n/agent fix\n```", None, id="in a code block"),
    pytest.param("~~~sh\n/agent fix\n~~~", None, id="in a block of tildes"),
    pytest.param("````\n```\n/agent fix\n````", None, id="in a longer fence"),
    pytest.param("```\n~~~\n/agent fix\n```", None, id="another fence does not close it"),
    pytest.param("``` not closed\n/agent fix", None, id="in a block that nobody closes"),
    pytest.param("<!-- \n/agent fix\n-->", None, id="in an HTML comment"),
    pytest.param("<!-- a --> <!--\n/agent fix\n-->", None, id="in the second HTML comment of a line"),
    pytest.param("<!--\n--> <!--\n/agent fix\n-->", None, id="in an HTML comment behind another's end"),
    pytest.param("<?\n/agent fix\n?>", None, id="in a processing instruction"),
    pytest.param("<PRE>\n/agent fix\n</PRE>", None, id="in HTML code"),
    pytest.param("<blockquote>\n\n/agent fix\n</blockquote>", None, id="in an HTML quote"),
    pytest.param("```\n    ```\n/agent fix", None, id="four spaces: that closes no code block"),
    pytest.param("~~~\n~~~ x\n/agent fix", None, id="a fence with words behind it closes nothing"),
    pytest.param("- ```\n  x\n\n  /agent fix", None, id="in a code block of a list item"),
    pytest.param("/agents fix", None, id="another word"),
    pytest.param("/agent: fix", None, id="a colon behind it"),
    pytest.param("/agentfix", None, id="run together"),
    pytest.param("we could /agent fix this", None, id="in prose"),
    pytest.param("/AGENT fix", None, id="in capitals"),
    pytest.param("", None, id="empty"),
]


@pytest.mark.parametrize(("body", "expected"), COMMANDS)
def test_a_comment_asks_for_this_and_nothing_else(body: str, expected: object) -> None:
    assert parse(body) == expected


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("/agent fixx", "there is no command `fixx`; did you mean `fix`?"),
        ("/agent Fix", "did you mean `fix`?"),
        ("/agent frobnicate", "there is no command `frobnicate`"),
        ("/agent fix cost=", "`cost=`"),
        ("/agent fix cost=ten", "not an amount"),
        ("/agent fix cost=-5", "not an amount"),
        ("/agent fix cost=0", "above $0"),
        ("/agent fix cost=$100001", "up to $100,000"),
        ("/agent fix cost=$1e3", "not an amount"),
        ("/agent fix cost=٣", "not an amount"),
        ("/agent fix cost=$5 cost=$6", "twice"),
        ("/agent fix tokens=0", "whole number"),
        ("/agent fix tokens=1.5M", "whole number"),
        ("/agent fix tokens=800K", "whole number"),
        ("/agent fix steps=many", "whole number"),
        ("/agent fix wall=20", "is not a time"),
        ("/agent fix wall=99999h", "is not a time"),
        ("/agent fix engine=cursor", "none of"),
        ("/agent fix line=../x", "not a name"),
        ("/agent fix budget=$5", "is not an option"),
        ("/agent fix parallel=3", "belongs to"),
        ("/agent split total=$3", "belongs to"),
        ("/agent sweep total=$0", "not an amount of dollars"),
        ("/agent sweep parallel=21", "at most 20"),
        ("/agent approve", "needs the commit"),
        ("/agent approve HEAD", "needs the commit"),
        ("/agent accept now", "takes nothing more"),
        ("/agent fix --cost=$5", "looks like an option"),
        ("/agent fix Cost=$5 it", "looks like an option"),
        ("/agent fix COST=5", "looks like an option"),
        ("/agent fix cost:$5", "looks like an option"),
        ("/agent fix \u2014cost=$5", "looks like an option"),
        ("/agent fix cost\uff1d$5", "looks like an option"),
        ("/agent fix `cost=$5`", "looks like an option"),
        ("/agent fix **steps=5**", "looks like an option"),
        ("/agent fix cost = $5", "no spaces around"),
        ("/agent fix cost =$5", "no spaces around"),
        ("/agent fix cost= $5", "`cost=`"),
        ("/agent fix tokens=@everyone", "`tokens=`"),
        ("/agent fix `x`=1 y=2", "`y=` is not an option"),
    ],
)
def test_what_was_meant_for_us_but_is_wrong_is_answered_with_what_was_wrong(body: str, says: str) -> None:
    answer = parse(body)
    assert isinstance(answer, Malformed)
    assert says in answer.why
    assert answer.example.startswith("/agent ")


@given(st.text())
def test_no_comment_makes_the_parser_fail(body: str) -> None:
    parse(body)
    parse("/agent " + body)
    parse("/agent fix " + body)


@given(st.text().filter(lambda text: "/agent" not in text))
def test_a_comment_without_the_word_starts_nothing(body: str) -> None:
    assert parse(body) is None


@given(st.text(), st.sampled_from([">", "> > ", "    ", "x ", "-", "`", "\u200b", "\u00a0"]))
def test_a_command_that_is_not_at_the_start_of_its_line_starts_nothing(text: str, before: str) -> None:
    plain = text.replace("\n", " ").replace("\r", " ")
    assert parse(f"{before}/agent fix {plain}") is None


@given(st.text(alphabet="-=cost$5 12tepswal`~<!>/agen\n"))
def test_what_is_answered_with_the_right_form_shows_a_right_form(body: str) -> None:
    answer = parse("/agent fix " + body)
    if isinstance(answer, Malformed):
        assert not isinstance(parse(answer.example), Malformed | None)


def test_a_megabyte_is_read_in_one_pass() -> None:
    for piece in (
        "- ",
        "-  ",
        "1. ",
        "`",
        "~",
        "<!-- ",
        "<!-- -->",
        "<",
        "<pre",
        "/agent",
        " ",
        "<pre>\n",
        "- ```\n",
    ):
        assert parse("x" + piece * (1_000_000 // len(piece))) is None
        assert not isinstance(parse(piece * (1_000_000 // len(piece))), Start)
    assert isinstance(parse("/agent fix " + "cost: " * 150_000), Start)
    assert parse("<!-- " * 100_000 + "`" * 500_000) is None
    assert parse(("x " * 500_000) + "\n/agent stop") == Plain("stop")


def test_the_examples_of_the_help_are_commands() -> None:
    for usage, _ in HELP:
        for form in usage.split(" · "):
            assert form.startswith("/agent ")


@pytest.mark.parametrize(
    "body",
    [
        "/agent fix `@everyone`=x a=1`b",
        "/agent @all\u202e",
        "/agent " + "x" * 10_000,
        "/agent fix cost=@all",
        "/agent fix tokens=@all`",
        "/agent fix wall=<!--@all",
        "/agent fix engine=![x](http://x)@all",
        "/agent fix steps=" + "9" * 10_000,
        "/agent fix --cost=@all",
        "/agent accept @all",
    ],
)
def test_a_strangers_words_are_quoted_short_and_cannot_leave_their_quotes(body: str) -> None:
    answer = parse(body)
    assert isinstance(answer, Malformed)
    assert len(answer.why) < 300
    assert answer.why.count("`") % 2 == 0
    assert not any(active in answer.why for active in ("@all", "@everyone", "<!--", "!["))


@pytest.mark.parametrize(
    ("body", "example"),
    [
        ("/agent feature wall=20", "/agent feature wall=20m"),
        ("/agent sweep tokens=many", "/agent sweep tokens=800k"),
        ("/agent fxi", "/agent fix"),
        ("/agent discard all", "/agent discard"),
    ],
)
def test_the_right_form_is_shown_for_what_was_wrong_and_is_a_command(body: str, example: str) -> None:
    answer = parse(body)
    assert isinstance(answer, Malformed)
    assert answer.example == example
    assert not isinstance(parse(answer.example), Malformed | None)
