"""Whatever the window, a body is read as plain JSON would be; what is no JSON is refused wherever it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core import body as bodies
from bot.core import meter
from bot.core.body import SHORT, Limits, Long
from bot.core.talk import IMAGE_TOKENS

# So small that the samples meet every edge: of the window, of a piece, of what is long.
TINY = st.builds(
    Limits,
    whole=st.just(0),
    window=st.just(1 << 16),
    long=st.just(SHORT),
    step=st.sampled_from([1, 7, 64, 1000]),
    piece=st.sampled_from([8, 9, 13, 64]),
)
LETTERS = [
    "a",
    "é",
    "漢",
    "😀",
    "\n",
    '"',
    "\\",
    "\x01",
    "\x7f",
    "\ud83d",
    "\ude00",
    "\\u0041",
    "NaN",
    "{[,:]}",
]
texts = st.builds(
    lambda letters, least: ("".join(letters) * (least // len(letters) + 1))[: max(least, 3)],
    st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4),
    st.sampled_from([0, 1, 60, SHORT - 1, SHORT, SHORT + 1, 1500, 3000]),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
values = st.recursive(
    texts | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}, texts),
    st.builds(lambda given: {"type": "tool_use", "id": "t", "name": "n", "input": given}, values),
    st.builds(lambda data: {"type": "image", "source": {"type": "base64", "data": data}}, texts),
)
talks = st.lists(
    st.builds(
        lambda content: {"role": "user", "content": content}, texts | st.lists(blocks, min_size=1, max_size=2)
    ),
    min_size=1,
    max_size=3,
)
requests = st.builds(
    lambda talk, asked, more: {"model": "m", **more, "messages": talk, "max_tokens": asked},
    talks,
    st.integers(1, 10**9),
    st.dictionaries(st.sampled_from(["system", "metadata", "x"]), values, max_size=2),
)


def escaped(value: Any, spaced: bool) -> bytes:
    """Every letter of every text that is no key as an escape."""
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass")
        return (
            b'"'
            + b"".join(b"\\u" + units[at : at + 2].hex().encode() for at in range(0, len(units), 2))
            + b'"'
        )
    if isinstance(value, dict):
        pairs = (json.dumps(key).encode() + b": " + escaped(item, spaced) for key, item in value.items())
        return b"{" + (b" ,\n" if spaced else b",").join(pairs) + b"}"
    if isinstance(value, list):
        return b"[" + (b" ,\n" if spaced else b",").join(escaped(item, spaced) for item in value) + b"]"
    return json.dumps(value).encode()


def plainly(value: Any, spaced: bool) -> bytes:
    written = json.dumps(value, ensure_ascii=False, indent=1 if spaced else None)
    try:
        return written.encode()
    except UnicodeEncodeError:  # half a letter can only be written as an escape
        return json.dumps(value).encode()


ways = st.sampled_from([escaped, plainly, lambda value, spaced: json.dumps(value).encode()])


def oracle(raw: bytes) -> dict[str, Any] | None:
    """The object, if it is one, by the standard library alone."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    def unknown(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=unknown)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def size(value: Any) -> int:
    """Of a message, as canonical JSON without cache marks and with each image at its cap."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key != "cache_control"}
        return [bare(item) for item in value] if isinstance(value, list) else value

    written = json.dumps(bare(value), separators=(",", ":"), ensure_ascii=False)
    content = value["content"] if isinstance(value["content"], list) else []
    images = [len(block["source"]["data"]) for block in content if block["type"] == "image"]
    return len(written.encode("utf-8", "surrogatepass")) - sum(images) + IMAGE_TOKENS * len(images)


@given(requests, ways, st.booleans(), TINY)
def test_a_body_read_in_a_window_is_what_plain_json_says(
    request: dict[str, Any], way: Any, spaced: bool, limits: Limits
) -> None:
    raw = way(request, spaced)
    said = oracle(raw)
    assert said is not None
    read = meter.read(raw, limits)
    assert (read.model, read.max_tokens) == (said["model"], said["max_tokens"])
    start, end = read.span
    assert raw[start:end] == str(said["max_tokens"]).encode()
    assert raw[:start].rstrip().endswith(b'"max_tokens":')
    # Tight as well as sound: the very number of bytes.
    assert read.sizes == tuple(size(message) for message in said["messages"])
    images = [
        len(block["source"]["data"])
        for message in said["messages"]
        for block in message["content"]
        if isinstance(block, dict) and block["type"] == "image"
    ]
    assert read.byte_bound == len(raw) - sum(images) + IMAGE_TOKENS * len(images)
    # And the same as of a small body, which is decoded at once.
    assert replace(read, messages=()) == replace(meter.read(raw), messages=())


@given(requests, ways, st.booleans(), TINY, st.data())
def test_what_is_no_json_is_refused_whatever_the_window(
    request: dict[str, Any], way: Any, spaced: bool, limits: Limits, data: st.DataObject
) -> None:
    raw = way(request, spaced)
    at = data.draw(st.integers(0, len(raw)))
    put = data.draw(
        st.sampled_from(
            [b"", b'"', b"\\", b"\n", b"\x00", b"\xff", b"\xc3", b",", b"]", b"}", b"0", b"N", b"I"]
        )
    )
    wrong = raw[:at] + put + raw[at + data.draw(st.integers(0, 2)) :]
    try:
        meter.read(wrong, limits)
    except meter.Refused as refused:
        if "JSON" in str(refused):
            assert oracle(wrong) is None
    else:
        assert oracle(wrong) is not None


@given(talks, talks, ways, ways, TINY)
def test_conversations_are_known_again_by_what_they_say_and_by_nothing_else(
    one: list[Any], other: list[Any], way: Any, another: Any, limits: Limits
) -> None:
    def read(talk: list[Any], way: Any, limits: Limits) -> tuple[meter.Request, Any]:
        raw = way({"model": "m", "max_tokens": 1, "messages": talk}, False)
        plain = json.loads(raw)["messages"]
        return meter.read(raw, limits), json.dumps([said(message) for message in plain], sort_keys=True)

    first, again = read(one, way, limits), read(one, another, Limits())
    second, longer = read(other, another, limits), read(one + other, another, limits)
    if first[1] == again[1]:  # (two halves of a letter are one in some ways of writing)
        assert first[0].prefixes == again[0].prefixes
        assert longer[0].prefixes[: len(one) + 1] == first[0].prefixes
    assert (first[0].prefix == second[0].prefix) == (first[1] == second[1])


def said(message: Any) -> Any:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [{key: item for key, item in block.items() if key != "cache_control"} for block in blocks]


@given(requests, ways, st.booleans())
def test_what_is_sent_to_be_counted_is_cut_out_of_the_body_as_it_stands(
    request: dict[str, Any], way: Any, spaced: bool
) -> None:
    raw = way(request, spaced)
    known = {name: value for name, value in json.loads(raw).items() if name in meter.COUNTED}
    assert json.loads(b"".join(meter.countable(raw))) == known


def test_nothing_that_a_client_writes_passes_for_a_long_text() -> None:
    """Else a short text could be paid for, and a long one be taken for the same conversation."""
    long = "x" * 5_000
    digest, _ = bodies.weighed(long)
    prefixes = set()
    for text in (long, f"\x7f{digest}", f"\x7f\x7f{digest}", digest, str(Long(digest, 5_000, 5_000))):
        raw = json.dumps({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": text}]})
        prefixes.add(meter.read(raw.encode()).prefix)
        assert meter.read(raw.encode(), Limits(whole=0, long=SHORT)).prefix in prefixes
    assert len(prefixes) == 5


MEGABYTE = 1 << 20


def talk(*contents: Any) -> bytes:
    messages = [{"role": "user", "content": content} for content in contents]
    return json.dumps({"model": "m", "max_tokens": 1, "messages": messages}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b'{"a":' + b"[" * MEGABYTE * 32, "nested too deeply", id="open brackets"),
        pytest.param(b'{"a":[' + b"[]," * MEGABYTE * 10, "many small parts", id="lists in a list"),
        pytest.param(b'{"a":[' + b'"a",' * MEGABYTE * 8, "many small parts", id="letters"),
        pytest.param(b'{"a":[' + b'{"a":1},' * MEGABYTE * 4, "many small parts", id="objects"),
        pytest.param(b'{"a":"' + b"\\" * MEGABYTE * 32, "does not end", id="backslashes"),
        pytest.param(b'{"a":"' + b'\\"' * MEGABYTE * 16, "does not end", id="escaped quotes"),
        pytest.param(b'{"a":' + b"9" * MEGABYTE * 30 + b"}", "JSON", id="a number"),
        pytest.param(b'{"a":0.' + b"9" * MEGABYTE * 30 + b"}", "many small parts", id="a fraction"),
        pytest.param(b"{" + b" " * MEGABYTE * 32, "JSON", id="spaces"),
        pytest.param(b'{"a":{"' + b"k" * MEGABYTE * 4 + b'":1}}', "a key", id="a long key"),
        pytest.param(b'{"a":"' + b"x" * MEGABYTE * 4 + b'\n"}', "JSON", id="a line end in a long text"),
        pytest.param(b'{"a":"' + b"x" * MEGABYTE * 4 + b'\xff"}', "JSON", id="no UTF-8 in a long text"),
        pytest.param(b'{"a":"' + b"x" * MEGABYTE * 4 + b'\\x"}', "JSON", id="no escape in a long text"),
        pytest.param(b'{"a":"' + b"x" * MEGABYTE * 4 + b'",NaN:1}', "JSON", id="a word instead of a key"),
        pytest.param(b'{"a":"' + b"x" * MEGABYTE * 4 + b'","b":NaN}', "JSON", id="a word behind a long text"),
        pytest.param(b'{"a":NaN}', "JSON", id="a word in a small body"),
        pytest.param(talk(*["hi"] * 100_001), "100,000 at most", id="too many messages"),
        pytest.param(
            talk([{"type": "text", "text": "hi"}] * 50_000), "many small parts", id="one of many parts"
        ),
    ],
)
def test_a_body_that_is_made_to_be_dear_is_refused_with_a_sentence(raw: bytes, says: str) -> None:
    with pytest.raises(meter.Refused, match=says):
        meter.read(raw)


def test_of_a_large_body_the_last_messages_stay_to_be_looked_at() -> None:
    small = [f"message {number} " + "é" * 50_000 for number in range(100)]
    read = meter.read(talk(*small, "z" * 100_000))
    assert len(read.sizes) == 101
    *kept, last = read.messages
    assert [message["content"] for message in kept] == small[-len(kept) :]
    assert 10 < len(kept) < 25
    assert isinstance(last["content"], Long)
    assert (last["content"].length, last["content"]) == (
        100_000,
        f"(100,000 characters, sha256 {last['content'].digest})",
    )


def test_a_message_of_many_files_is_read_with_all_but_short_texts_replaced() -> None:
    blocks = [{"type": "text", "text": f"{number}" * 20_000} for number in range(100)]
    raw = talk("before", blocks, "after")
    read = meter.read(raw)
    assert [message["content"] for message in read.messages][::2] == ["before", "after"]
    assert all(isinstance(block["text"], Long) for block in read.messages[1]["content"])
    assert read.byte_bound == len(raw)
