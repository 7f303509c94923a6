"""Who may have done it: every change that could be the repair, the likeliest first."""

from __future__ import annotations

import re

from sandbox.characters.evidence import Evidence
from sandbox.characters.mutations import misspelt, mutations
from sandbox.characters.source import Mutation, functions_called, imports, reweighed


def suspects(
    task: str, files: list[str], sources: dict[str, str], tests: dict[str, str], found: Evidence
) -> list[Mutation]:
    """Every change we would try, the likeliest first."""
    called: set[str] = set()
    for text in tests.values():
        called |= functions_called(text, found.test_names) or functions_called(text)
    deeper: set[str] = set()
    for text in sources.values():
        deeper |= functions_called(text, called)
    framed = [(path, frame) for frame in found.frames if (path := known(frame.path, files)) in sources]
    lines = {(path, frame.line) for path, frame in framed}
    functions = {frame.function for _, frame in framed}
    values = _values(found)
    made: list[Mutation] = []
    for path, text in sources.items():
        for each in mutations(path, text, values):
            more = 5.0 if each.function in called else 3.0 if each.function in deeper else 0.0
            if not each.function:  # a constant of the module counts as much as who uses it
                more = 4.0 if each.old.partition("=")[0].strip() in called | deeper else 0.0
            more += 5 if each.function in functions else 0
            more += 1.5 if (path, each.line) in lines and each.kind != "name" else 0
            more += 2 if each.function and each.function in task else 0
            made.append(reweighed(each, more + _hints(each, found, text)))
        for kind, words in found.errors:
            missing = re.search(r"(?:name|attribute|keyword argument) '(\w+)'", words)
            if kind in ("NameError", "AttributeError", "TypeError", "UnboundLocalError") and missing:
                made += [reweighed(each, 10) for each in misspelt(path, text, missing[1])]
    return sorted(made, key=lambda each: (-each.weight, each.path, each.line, each.new))


def _hints(mutation: Mutation, found: Evidence, text: str) -> float:
    more = 0.0
    for one, other in found.differences:
        if abs(one - other) == 1 and mutation.kind in ("comparison", "off by one", "range", "constant"):
            more += 1.5
        if one == -other and mutation.kind in ("sign", "order", "arithmetic"):
            more += 2
        if {one, other} == {0.0, 1.0} and mutation.kind == "logic":
            more += 1
    if any(kind == "IndexError" for kind, _ in found.errors) and mutation.kind in (
        "off by one",
        "range",
        "comparison",
    ):
        more += 2
    if any(kind == "ZeroDivisionError" for kind, _ in found.errors) and mutation.kind in (
        "comparison",
        "logic",
    ):
        more += 2
    if mutation.kind == "comparison":
        nearby = _words_about(mutation, text)
        for words, signs in (
            (("at least", "or more", "no less", "minimum", "from "), (">=",)),
            (("at most", "up to", "or less", "no more", "inclusive", "including"), ("<=", ">=")),
            (("more than", "over ", "above", "older than", "after"), (">",)),
            (("less than", "under ", "below", "fewer", "before", "exclusive"), ("<",)),
        ):
            if any(each in nearby for each in words) and any(f" {sign} " in mutation.after for sign in signs):
                more += 1.5
    return more


def _words_about(mutation: Mutation, text: str) -> str:
    lines = text.split("\n")
    return "\n".join(lines[max(0, mutation.line - 9) : mutation.line]).lower()


def _values(found: Evidence) -> list[str]:
    numbers = [str(int(each)) if each == int(each) else repr(each) for each in found.numbers]
    texts = [
        side
        for pair in found.pairs
        for side in pair
        if re.fullmatch(r"'[^'\\\n]{0,40}'|\"[^\"\\\n]{0,40}\"", side)
    ]
    return list(dict.fromkeys([*numbers, *texts]))[:12]


def is_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return path.endswith(".py") and (
        name.startswith("test") or name.endswith("_test.py") or name == "conftest.py" or "tests/" in path
    )


def module_name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def known(path: str, files: list[str]) -> str:
    fits = [each for each in files if path == each or path.endswith("/" + each)]
    return max(fits, key=len, default="")


def imported(path: str, text: str, files: list[str]) -> list[str]:
    package = path.split("/")[:-1]
    found = []
    for module in sorted(imports(text)):
        dots = len(module) - len(module.lstrip("."))
        parts = [each for each in module.split(".") if each]
        if dots:
            parts = package[: len(package) - dots + 1] + parts
        as_path = "/".join(parts)
        for each in (f"{as_path}.py", f"{as_path}/__init__.py"):
            fits = [known for known in files if known == each or known.endswith("/" + each)]
            found += fits[:1]
    return list(dict.fromkeys(found))
