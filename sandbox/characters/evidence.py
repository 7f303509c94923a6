"""Reading what a test run printed: did it pass, what failed, where, with which values."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITTEST_FAIL = re.compile(r"^(?:FAIL|ERROR): (\S+) \((\S+?)\)", re.M)
_PYTEST_FAIL = re.compile(r"^(?:FAILED|ERROR) (\S+?\.py(?:::\S+)?)", re.M)
_RAN = re.compile(r"^Ran (\d+) tests?", re.M)
_PYTEST_END = re.compile(r"^=* ?(?:.*, )?(\d+) (passed|failed|errors?)\b.* in [\d.]+s", re.M)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_PYTEST_FRAME = re.compile(r"^(\S+\.py):(\d+): (?:in (\S+)|\w+)?", re.M)
_COMPARED = re.compile(
    r"^(?:E\s+)?(?:AssertionError: )?(?:assert )?(.+?) (?:!=|==|is not|not found in) (.+)$", re.M
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])")
_ERROR = re.compile(r"^(?:E\s+)?([A-Z]\w*(?:Error|Exception|Iteration)): ?(.*)$", re.M)


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback."""

    path: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run of the tests, as printed."""

    ran: int  # tests; 0: it was no test run at all
    passed: bool
    failed: frozenset[str]
    frames: tuple[Frame, ...]
    pairs: tuple[tuple[str, str], ...]  # the two sides of each comparison that did not hold
    errors: tuple[tuple[str, str], ...]  # (class, message)

    @property
    def test_names(self) -> set[str]:
        """`test_x` of each failed test."""
        return {re.split(r"::|\.", name.partition("[")[0])[-1] for name in self.failed}

    @property
    def numbers(self) -> list[float]:
        """Every number in what was compared."""
        return [float(each) for pair in self.pairs for side in pair for each in _NUMBER.findall(side)]

    @property
    def differences(self) -> list[tuple[float, float]]:
        """The pairs that are two plain numbers."""
        found = []
        for left, right in self.pairs:
            try:
                found.append((float(left), float(right.split(" :")[0])))
            except ValueError:
                continue
        return found


def read(output: str) -> Evidence:
    """What a test run by unittest or pytest printed."""
    failed = {
        f"{found[2]}" if found[1] in found[2] else f"{found[2]}.{found[1]}"
        for found in _UNITTEST_FAIL.finditer(output)
    }
    failed |= set(_PYTEST_FAIL.findall(output))
    ran = sum(int(each) for each in _RAN.findall(output))
    ends = _PYTEST_END.findall(output)
    counts = re.findall(r"(\d+) (passed|failed|error)", output) if ends else []
    ran += sum(int(number) for number, _ in counts)
    bad = (
        bool(failed)
        or any(what != "passed" for _, what in counts)
        or bool(re.search(r"^FAILED \(", output, re.M))
    )
    frames = [Frame(path, int(line), name) for path, line, name in _FRAME.findall(output)]
    frames += [Frame(path, int(line), name) for path, line, name in _PYTEST_FRAME.findall(output)]
    pairs = [(left.strip(), right.strip()) for left, right in _COMPARED.findall(output)]
    errors = [(kind, words) for kind, words in _ERROR.findall(output) if kind != "AssertionError"]
    return Evidence(
        ran, ran > 0 and not bad, frozenset(failed), tuple(frames), tuple(pairs), tuple(dict.fromkeys(errors))
    )
