"""What a command printed, bounded: its head and its tail, and how much was left out between them."""

from __future__ import annotations

HEAD = 10_000
TAIL = 20_000  # failures stand at the end


class Output:
    """Takes bytes as they come and keeps at most `head` + `tail` of them (plus a line that says so)."""

    def __init__(self, head: int = HEAD, tail: int = TAIL) -> None:
        self._most_head, self._most_tail = head, tail
        self._head, self._tail = bytearray(), bytearray()
        self._bytes = self._lines = 0

    def add(self, data: bytes) -> None:
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        room = self._most_head - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._most_tail:  # not at every chunk: trimming moves bytes
            del self._tail[: -self._most_tail]

    def text(self) -> str:
        """As text; bytes that are not UTF-8 are replaced."""
        tail = bytes(self._tail[-self._most_tail :])
        if self._bytes <= len(self._head) + len(tail):
            return _decoded(bytes(self._head) + tail)
        head = bytes(self._head)
        # Whole lines, where there are any.
        head = head[: head.rfind(b"\n") + 1] or head
        tail = tail[tail.find(b"\n") + 1 :] or tail
        lines = self._lines - head.count(b"\n") - tail.count(b"\n")
        left_out = f"{lines:,} lines" if lines > 1 else f"{self._bytes - len(head) - len(tail):,} bytes"
        note = f"… {left_out} left out; head and tail shown"
        return f"{_decoded(head).rstrip()}\n{note}\n{_decoded(tail)}"


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\0", "\ufffd")


def bounded_text(text: str, head: int = HEAD, tail: int = TAIL) -> str:
    """The same for a text that is there already."""
    output = Output(head, tail)
    output.add(text.encode("utf-8", "replace"))
    return output.text()
