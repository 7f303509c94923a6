"""The prompt cache, after Anthropic's published rules: what is read, what is written, what is neither."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from sandbox.claude.prices import Model, Usage
from sandbox.claude.tokens import Piece

LIFE = {"5m": 300.0, "1h": 3600.0}
LOOKBACK = 20  # positions looked at for each breakpoint, itself the first
_MANY = 200_000

Place = tuple[str, str, bytes]  # (workspace, model, hash of the whole prefix)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a prompt costs, and what the cache will hold once its answer has begun."""

    usage: Usage
    entries: tuple[tuple[Place, str], ...] = ()


class PromptCache:
    """Prefixes by workspace and model, each alive for its TTL after it was last written or read."""

    def __init__(self) -> None:
        self._until: dict[Place, tuple[float, str]] = {}

    def plan(self, pieces: list[Piece], workspace: str, model: Model, now: float) -> Plan:
        """Divide a prompt's tokens. `now` in seconds of any clock. Nothing is stored before `begun`."""
        marks = [index for index, piece in enumerate(pieces) if piece.ttl]
        total = sum(piece.tokens for piece in pieces)
        if not marks:
            return Plan(Usage(input=total))
        places, upto = self._prefixes(pieces[: marks[-1] + 1], workspace, model)
        hit = self._hit(marks, places, now)
        read = upto[hit] if hit >= 0 else 0
        written = [mark for mark in marks if mark > hit and upto[mark] >= model.cache_minimum]
        hours = [mark for mark in written if pieces[mark].ttl == "1h"]
        to_hour = upto[hours[-1]] if hours else read
        to_last = upto[written[-1]] if written else read
        usage = Usage(total - to_last, to_last - to_hour, to_hour - read, read)
        entries = [
            (places[mark], pieces[mark].ttl or "5m") for mark in marks if upto[mark] >= model.cache_minimum
        ]
        if hit >= 0 and hit not in marks:
            entries.append((places[hit], self._until[places[hit]][1]))
        return Plan(usage, tuple(entries))

    def begun(self, plan: Plan, now: float) -> None:
        """The answer has begun: from now on others may read what it wrote, and what it read lives anew."""
        for place, ttl in plan.entries:
            known = self._until.get(place)
            kept = known[1] if known and known[0] > now and LIFE[known[1]] > LIFE[ttl] else ttl
            self._until[place] = (now + LIFE[kept], kept)
        if len(self._until) > _MANY:
            self._until = {place: entry for place, entry in self._until.items() if entry[0] > now}

    def _hit(self, marks: list[int], places: list[Place], now: float) -> int:
        for mark in reversed(marks):
            for position in range(mark, max(mark - LOOKBACK, -1), -1):
                entry = self._until.get(places[position])
                if entry and entry[0] > now:
                    return position
        return -1

    @staticmethod
    def _prefixes(pieces: list[Piece], workspace: str, model: Model) -> tuple[list[Place], list[int]]:
        places, upto, so_far, tokens = [], [], sha256(), 0
        for piece in pieces:
            so_far.update(b"%d:" % len(piece.key) + piece.key)
            tokens += piece.tokens
            places.append((workspace, model.id, so_far.digest()))
            upto.append(tokens)
        return places, upto
