"""The planner: cuts a task into a check list. It knows only what it was sent and what its tools show."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from sandbox.characters.answers import Answer
from sandbox.characters.hands import Hands, Work, ended, follow, turn
from sandbox.characters.plain import Manner
from sandbox.characters.talk import Talk

ASKED = "- [ ] (class)"  # who asks for a check list says what its lines look like
MOST = 8
_LIST = "git ls-files 2>/dev/null | head -n 200"
_MATERIAL = re.compile(r"<(thread|before)\b[^>]*>(.*?)</\1>", re.S)
_BUG = re.compile(r"\b(?:bugs?|broken|crash\w*|errors?|fail\w*|fix\w*|wrong)\b", re.I)
_FORM = re.compile(r"\b(?:clean\w*|move|refactor\w*|rename\w*|rewrite|simplif\w*|split)\b", re.I)
_NEW = re.compile(r"\b(?:add|allow|new|support|takes?|write)\b", re.I)
_NOISE = re.compile(r"\b(?:attempt \d+|budget|run|as:)\b", re.I)


class Planner:
    """One look at the files, one for the words of the task in them, then the list."""

    def __init__(self, manner: Manner) -> None:
        pass

    def answer(self, talk: Talk) -> Answer:
        hands = Hands(talk.tools)
        if not hands.can_run or talk.wrap_up_after is not None:
            return ended("\n".join(f"- [ ] ({kind}) {words}" for kind, words in pieces(talk)))
        return follow(self.work(talk, hands), talk)[0]

    def work(self, talk: Talk, hands: Hands) -> Work:
        listed = yield turn("I look at what there is before I cut anything.", hands.run(_LIST))
        files = [row for row in listed[0].result.split("\n") if "." in PurePosixPath(row).name]
        found = pieces(talk)
        words = sorted({word for _, title in found for word in re.findall(r"[a-z]{5,}", title.lower())})[:12]
        where: list[str] = []
        if words:
            look = f"grep -rilE '{'|'.join(words)}' --include='*.*' . | head -n 20"
            seen = yield turn("Where is what the task speaks of?", hands.run(look))
            where = [row.removeprefix("./") for row in seen[0].result.split("\n") if row.startswith("./")]
        return "\n".join(
            f"- [ ] ({kind}) {words}{_place(words, where or files)}" for kind, words in found[:MOST]
        )


def pieces(talk: Talk) -> list[tuple[str, str]]:
    """Class and words of each thing that the task asks for; what an earlier run left comes last."""
    material = {found[1]: found[2] for found in _MATERIAL.finditer(talk.said_first)}
    wanted = _sentences(talk.task)
    if len(wanted) < 2:
        wanted += _sentences(material.get("thread", ""))
    left = [
        words for words in _sentences(material.get("before", "")) if re.search(r"\b(?:not|still)\b", words)
    ]
    found = [(_kind(words), words) for words in [*wanted, *left]]
    return list(dict.fromkeys(found)) or [("default", "Say what is to be done: the task names nothing")]


def _sentences(text: str) -> list[str]:
    parts = re.split(r"(?<=[.!?;:])\s+|\n+|, and |; ", text)
    plain = (re.sub(r"^[-*+\d.)\s\[\]]+", "", part).strip(" .;:") for part in parts)
    return [part[:150] for part in plain if len(part.split()) >= 3 and not _NOISE.search(part)]


def _kind(words: str) -> str:
    for pattern, kind in ((_BUG, "bugfix"), (_FORM, "refactor"), (_NEW, "feature")):
        if pattern.search(words):
            return kind
    return "default"


def _place(words: str, files: list[str]) -> str:
    """The first file whose name a word of it names."""
    told = set(re.findall(r"[a-z]{4,}", words.lower()))
    for path in files:
        parts = set(re.findall(r"[a-z]{4,}", path.lower()))
        if any(word.removesuffix("s") in part or part in word for word in told for part in parts):
            return f" ({path})"
    return ""
